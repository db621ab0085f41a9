"""How often a target's image finds its own cloud among 256 of one frame (S3 claims 8, 9), beside what positions alone tell.

    python -m bench.s3_retrieval --bags sim_0 sim_1 a_0_39 --held sim_100 b_40_50 --minutes 10 --seeds 1 2 3 --out out/bench/s3

Each seed pretrains twice for the same time: on the images, and on blank ones. The second network knows where each target lies and nothing
else; what it finds, it finds by position. Scored on the held drives, each by itself and all together: frames that have 256 targets, any two
at least 1 m apart, each in a cell of its own; top-1 and top-5; at random 1 of 256. Each drive is scored as it is, and with every cloud
turned and shifted against its image by a fixed draw per frame, up to each of --turned: by 15 degrees and 5 m positions tell nothing, by 3
and 1 they tell as much as a calibration does that is as wrong as that. Beside them stands what the nearest of the exact places is worth.
`--model` scores a model that is there already instead. What --out already has is not done again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import yaml

from bench.s2_hard_pixels import merged, package
from depth_perception import model
from depth_perception.model import as_json, write_atomically

CANDIDATES, APART_M = 256, 1.0
TURNED = (15.0, 5.0)
# So many corners with so wide regions that most frames have 256 targets a metre apart.
FRAMES: dict[str, Any] = {"corners": 1500, "quality": 0.002, "apart_px": 3.0, "region_px": 20, "most": 12000}
VARIANTS: dict[str, dict[str, Any]] = {"images": {}, "positions": {"blank": True}}


def turn(text: str) -> tuple[float, float]:
    """3,1 -> 3 degrees and 1 metre."""
    try:
        degrees, metres = (float(number) for number in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted DEGREES,METRES, got {text!r}") from None
    if not (0 <= degrees <= 180 and 0 <= metres <= 50):
        raise argparse.ArgumentTypeError(f"wanted 0..180 degrees and 0..50 metres, got {text!r}")
    return degrees, metres


def score(path: Path, held: list[str], *, candidates: int, frames: int, blank: bool, turned: list[tuple[float, float]]) -> dict[str, Any]:
    """{drive: what train.retrieval.retrieval says, ..., "all": the same of all of them}, as they are and by each of `turned`."""
    from depth_perception.samples.bev_batches import BevSampleConfig
    from depth_perception.samples.bev_frames import BevFrameConfig
    from depth_perception.samples.targets import TargetConfig
    from depth_perception.train import bev, contrast
    from depth_perception.train.retrieval import retrieval

    config, networks = contrast.new_networks(contrast.Config(samples=BevSampleConfig()), path)
    networks.eval()
    turns = {"": (0.0, 0.0)} | {f" turned {degrees:g},{metres:g}": (degrees, metres) for degrees, metres in turned}
    rows: dict[str, Any] = {}
    for drive in held:
        read, _ = bev.read([drive], BevFrameConfig(targets=TargetConfig(**FRAMES)), validate=0.0)
        for name, by in turns.items():
            rows[drive + name] = retrieval(networks, read.frames, config.layout(), candidates=candidates, apart_m=APART_M, most=frames,
                                           least=candidates, blank=blank, turned=by)
    for name in turns:
        scored = [rows[drive + name] for drive in held if rows[drive + name]["frames"]]
        count = sum(row["frames"] for row in scored)
        rows[f"all{name}"] = {key: sum(row[key] * row["frames"] for row in scored) / max(count, 1)
                              for key in ("top1", "top5", "nearest", "chance", "candidates")} | {"frames": count}
    return rows


def done(args: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Trains and scores one variant, unless OUT has it."""
    place = Path(args.out) / f"{variant}_{seed}"
    file = place / "scores.json"
    if not file.is_file():
        place.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {"validate": 0.0, "fit": {"threads": args.threads}}
        for text in args.config:
            config = merged(config, yaml.safe_load(Path(text).read_text()))
        (place / "config.yaml").write_text(yaml.safe_dump(merged(config, VARIANTS[variant])))
        budget = ["--steps", str(args.steps)] if args.steps else ["--minutes", str(args.minutes)]
        depth = ["--depth", args.depth] if args.depth else []
        package(place / "train.log", "train", "contrast", "--bag", *args.bags, *depth, "--config", str(place / "config.yaml"), *budget,
                "--seed", str(seed), "--batch", str(args.batch), "--out", str(place / "model"), "--json", str(place / "train.json"))
        scores = score(place / "model", args.held, candidates=args.candidates, frames=args.frames, blank=variant == "positions",
                       turned=args.turned)
        write_atomically(file, as_json({"variant": variant, "seed": seed, "steps": json.loads((place / "train.json").read_text())["steps"],
                                        "scores": scores}))
    found: dict[str, Any] = json.loads(file.read_text())
    print(f"{place}: {found['steps']} steps, " + text_of(found["scores"]["all"]), flush=True)
    return found


def text_of(row: dict[str, Any]) -> str:
    """One line of scores."""
    found = f"top-1 {row['top1']:.3f}, top-5 {row['top5']:.3f} of {row['candidates']:.0f}"
    return f"{found} in {row['frames']} frames (exact places alone {row['nearest']:.3f}, chance {row['chance']:.4f})"


def main() -> None:
    """Prints a table and writes OUT/retrieval.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bags", nargs="+", default=[], help="drives to learn from")
    parser.add_argument("--held", nargs="+", required=True, help="drives to score on")
    parser.add_argument("--model", nargs="+", default=[], help="score these models of `train contrast` only")
    parser.add_argument("--out", required=True)
    parser.add_argument("--depth", help="a model of `train depth`, which the image side sees depth by (default: it learns to)")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--candidates", type=int, default=CANDIDATES)
    parser.add_argument("--frames", type=int, default=12, help="at most so many frames of each held drive")
    parser.add_argument("--turned", nargs="*", type=turn, default=[TURNED], metavar="DEG,M",
                        help="clouds turned and shifted by up to so much, as well")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--config", nargs="+", default=[], help="overrides for every run, see config/train/contrast.yaml")
    args = parser.parse_args()
    if args.model:
        for path in args.model:
            blank = bool(model.load(path).lineage["recipe"]["blank"])
            rows = score(Path(path), args.held, candidates=args.candidates, frames=args.frames, blank=blank, turned=args.turned)
            for drive, row in rows.items():
                print(f"{path} {drive}: {text_of(row)}" if row["frames"] else f"{path} {drive}: no frame with {args.candidates} targets")
        return
    runs = [done(args, variant, seed) for seed in args.seeds for variant in VARIANTS]
    for drive in runs[0]["scores"]:
        for variant in VARIANTS:
            found = [run["scores"][drive] for run in runs if run["variant"] == variant]
            if found[0]["frames"]:
                top1 = [row["top1"] for row in found]
                spread = statistics.stdev(top1) if len(top1) > 1 else 0.0
                print(f"{drive} {variant}: top-1 {statistics.mean(top1):.3f} +- {spread:.3f}, "
                      f"top-5 {statistics.mean(row['top5'] for row in found):.3f}, exact places alone {found[0]['nearest']:.3f}, "
                      f"{found[0]['frames']} frames")
    write_atomically(Path(args.out) / "retrieval.json", as_json({"name": "s3_retrieval", "results": runs, "candidates": args.candidates}))


if __name__ == "__main__":
    main()
