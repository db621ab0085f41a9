"""What each term of S2 does to the pixels that it is for: moving things, flicker, mirrors and bare walls, against S1 alone.

    python -m depth_perception simulate --seconds 6 --seed 300 --appearance varied --width 416 --height 128 \
        --hard moving,flicker,reflections,textureless --out hard/train_300                 # and so on, hard/held_* too
    python -m bench.s2_hard_pixels --bags hard/train_* --held hard/held_* --minutes 3 --seeds 1 2 3 --jobs 4 --out out/bench/s2

Every variant is S1 by video alone (RECIPE) and what VARIANTS adds to it. `train depth` trains each from a fresh depth network and the
pose network of --init-pose, for the same wall time (--minutes), the same number of steps (--steps), or both, a table each; `evaluate depth`
scores it on the held drives. Printed, by variant and region: median-scaled AbsRel, mean over the seeds and their deviation, its change
against S1's with the same seeds, and the steps that were done. So many --jobs run at once, each on its share of the cores, so that all are
slowed alike. What --out already has is not done again. OUT/*.png: held images, truth, S1 and `--picture`, hard pixels outlined: red moving,
yellow flicker, cyan reflecting, blue texture-less.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from depth_perception import decode, model
from depth_perception.bag import Bag, FrameReader
from depth_perception.evaluation import offline
from depth_perception.evaluation.depth import REGIONS
from depth_perception.model import as_json, write_atomically
from depth_perception.report import pictures
from depth_perception.train import metrics

# Nothing is held out: none is chosen by its photometric loss, which S2's terms are there to correct.
RECIPE: dict[str, Any] = {
    "distance": 0.0, "motion": 0.0, "match_every": 1, "mask": "moved", "match_strides": [2, 4, 8], "validate": 0.0,
    "fit": {"learning_rate": 0.001}}
PERSPECTIVE = {"unit": "perspective", "start": [-1.2, -0.4, -3.0], "size": [0.1, 0.1, 0.15], "count": [24, 8, 40]}
VARIANTS: dict[str, dict[str, Any]] = {
    "S1": {},
    "alignment": {"alignment": 0.01},
    "density": {"density": 0.001, "density_grid": PERSPECTIVE},
    "style": {"style": 0.01},
    "mask": {"mask": "moved+weighted"},
}
VARIANTS |= {"alignment+mask": VARIANTS["alignment"] | VARIANTS["mask"],
             "all": {key: value for variant in VARIANTS.values() for key, value in variant.items()}}
SHOWN = ("hard", *REGIONS, "easy")
COLOURS = {"moving": (230, 50, 50), "flicker": (230, 220, 40), "reflecting": (60, 200, 220), "textureless": (90, 90, 230)}


def done(args: argparse.Namespace, folder: Path, budget: list[str], variant: str, seed: int) -> dict[str, Any]:
    """Trains and scores one variant, unless OUT has it: {"variant", "seed", "steps", "minutes", "regions": {name: AbsRel}}."""
    place = folder / f"{variant}_{seed}"
    if not (place / "scores.json").is_file():
        place.mkdir(parents=True, exist_ok=True)
        config = merged(merged(RECIPE, {"fit": {"threads": max(1, (os.cpu_count() or 1) // args.jobs)}}), VARIANTS[variant])
        if args.device:
            config = merged(config, {"fit": {"device": args.device}})
        for text in args.config:
            config = merged(config, yaml.safe_load(Path(text).read_text()))
        (place / "config.yaml").write_text(yaml.safe_dump(config))
        start = ["--init", args.init] if args.init else ["--init-pose", args.init_pose] if args.init_pose else []
        package(place / "train.log", "train", "depth", "--bag", *args.bags, "--config", str(place / "config.yaml"), *start, *budget,
                *([] if args.init else ["--network", args.network]), "--seed", str(seed), "--batch", str(args.batch),
                "--out", str(place / "model"), "--json", str(place / "train.json"))
        package(place / "evaluate.log", "evaluate", "depth", "--bag", *args.held, "--truth", "/truth/depth", "--regions", "/truth/hard",
                "--model", str(place / "model"), "--json", str(place / "scores.json"))
    trained, scores = (json.loads((place / name).read_text()) for name in ("train.json", "scores.json"))
    regions = {name: scores["regions"][name]["median_scaled"]["abs_rel"] for name in SHOWN if "median_scaled" in scores["regions"][name]}
    print(f"{place}: {trained['steps']} steps, " + ", ".join(f"{name} {value:.3f}" for name, value in regions.items()), flush=True)
    return {"variant": variant, "seed": seed, "steps": trained["steps"], "minutes": trained["minutes"], "regions": regions}


def merged(config: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`config` with the values of `other`, sections joined."""
    both = {key: merged(value, other[key]) for key, value in config.items() if isinstance(value, dict) and isinstance(other.get(key), dict)}
    return config | other | both


def package(log: Path, *command: str) -> None:
    """Runs a verb of the package in a process of its own; what it says goes to a file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))}
    with log.open("w") as file:
        code = subprocess.call([sys.executable, "-m", "depth_perception", *command], stdout=file, stderr=subprocess.STDOUT, env=environment)
    if code:
        raise SystemExit(f"{' '.join(command[:2])} ended with {code}:\n{log.read_text()[-2000:]}")


def table(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a variant: steps, and by region mean, deviation, and the mean change against S1 with the same seeds (None without one)."""
    plain = {run["seed"]: run["regions"] for run in runs if run["variant"] == "S1"}
    rows = []
    for variant in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == variant]
        row: dict[str, Any] = {"variant": variant} | {name: [run[name] for run in mine] for name in ("seed", "steps", "minutes")}
        row["regions"] = {}
        for name in mine[0]["regions"]:
            values = [run["regions"][name] for run in mine]
            changes = [run["regions"][name] / plain[run["seed"]][name] - 1 for run in mine if run["seed"] in plain]
            change = float(np.mean(changes)) if changes else None
            mean, deviation = float(np.mean(values)), float(np.std(values))
            row["regions"][name] = {"abs_rel": mean, "deviation": deviation, "values": values, "change": change}
        rows.append(row)
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    lines = [f"{'':14s}{'steps':>7s}  " + "".join(f"{name:>22s}" for name in SHOWN)]
    for row in rows:
        cells = []
        for name in SHOWN:
            cell = row["regions"].get(name, {})
            said = f"{cell['abs_rel']:.3f} ±{cell['deviation']:.3f}" if cell else "-"
            if row["variant"] != "S1" and cell.get("change") is not None:
                said += f" {100 * cell['change']:+.0f}%"
            cells.append(f"{said:>22s}")
        lines.append(f"{row['variant']:14s}{np.mean(row['steps']):7.0f}  " + "".join(cells))
    return "\n".join(lines)


def draw(bag: str, models: dict[str, Path], out: Path, *, count: int = 3) -> None:
    """Image, truth and each model's depth (at the truth's median), of the frames with most hard pixels of `count` stretches of a drive."""
    truth: dict[str, dict[int, np.ndarray]] = {"/truth/depth": {}, "/truth/hard": {}}
    for topic, kind, _, raw in (opened := Bag(bag)).messages(list(truth)):
        message = opened.decode(kind, raw)
        image = decode.depth_image(message) if topic == "/truth/depth" else decode.image(message)[..., 0]
        truth[topic][decode.stamp_ns(message.header)] = image
    frames = [frame for frame in FrameReader(bag, pairing="nearest") if frame.stamp_ns in truth["/truth/hard"]]
    parts = np.array_split(np.arange(len(frames)), min(count, len(frames)))
    chosen = [frames[max(part, key=lambda i: int((truth["/truth/hard"][frames[i].stamp_ns] > 0).sum()))] for part in parts]
    systems = {name: offline.depth_system(model.load(path)) for name, path in models.items()}
    rows = []
    for frame in chosen:
        true, bits = truth["/truth/depth"][frame.stamp_ns], truth["/truth/hard"][frame.stamp_ns]
        valid = metrics.valid_depth(true, crop="garg")
        panels = [frame.image, pictures.colour_depth(true)]
        for system in systems.values():
            system.reset()
            output = system.step(frame)
            depth = output.in_view(output.network_metres)
            panels.append(pictures.colour_depth(depth * np.median(true[valid]) / np.median(depth[valid])))
        rows.append(np.concatenate([outlined(panel, bits) for panel in panels], 1))
    pictures.save(out, np.concatenate(rows))


def outlined(image: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """The image with the borders of each region of hard pixels."""
    out = np.ascontiguousarray(image).copy()
    for name, bit in REGIONS.items():
        contours, _ = cv2.findContours((bits & bit > 0).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(out, [each for each in contours if cv2.contourArea(each) > 30], -1, COLOURS[name], 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bags", nargs="+", required=True, help="simulated drives to train on")
    parser.add_argument("--held", nargs="+", required=True, help="others, with /truth/depth and /truth/hard, to score on")
    parser.add_argument("--minutes", type=float, help="wall time of every training")
    parser.add_argument("--steps", type=int, help="steps of every training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--picture", default="all", choices=list(VARIANTS), help="the variant drawn beside S1")
    parser.add_argument("--network", choices=["student", "s1"], default="s1")
    parser.add_argument("--init", help="the model to go on from with every variant, instead of a fresh depth network")
    parser.add_argument("--init-pose", default="models/student", help='the model whose pose network to start from, "" for a fresh one')
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--device", help="fit.device of the trainings")
    parser.add_argument("--config", nargs="+", default=[], help="YAML over every variant's configuration, such as fit: {loaders: 2}")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at once")
    parser.add_argument("--out", default="out/bench/s2")
    args = parser.parse_args()
    if not (budgets := {name: ["--" + name, str(n)] for name, n in (("minutes", args.minutes), ("steps", args.steps)) if n is not None}):
        parser.error("wanted --minutes, --steps or both")
    tables = {}
    for name, budget in budgets.items():
        folder = Path(args.out) / f"{budget[1]}_{name}"
        jobs = [(variant, seed) for seed in args.seeds for variant in args.variants]
        with ThreadPoolExecutor(args.jobs) as pool:
            runs = list(pool.map(partial(done, args, folder, budget), *zip(*jobs, strict=True)))
        tables[name] = table(runs)
        print(f"\nmedian-scaled AbsRel, {budget[1]} {name} each, {len(args.held)} held drives, seeds {args.seeds}\n{text(tables[name])}\n")
        if {"S1", args.picture} <= set(args.variants):
            shown = {variant: folder / f"{variant}_{args.seeds[0]}" / "model" for variant in ("S1", args.picture)}
            for bag in args.held:
                draw(bag, shown, Path(args.out) / f"{Path(bag).stem}_{name}.png")
    said = {"name": "s2_hard_pixels", "bags": [Path(bag).name for bag in args.bags], "held": [Path(bag).name for bag in args.held],
            "network": args.network, "init": args.init, "init_pose": args.init_pose, "batch": args.batch, "jobs": args.jobs,
            "device": args.device,
            "recipe": RECIPE, "variants": {name: VARIANTS[name] for name in args.variants}, "tables": tables}
    write_atomically(Path(args.out) / "s2_hard_pixels.json", as_json(said))


if __name__ == "__main__":
    main()
