"""What pretraining is worth when labels are few: camera, cloud and fusion model, pretrained and from scratch (S3 [0005]-[0010]).

    python -m bench.s3_labels --pretrained out/contrast --bags labelled_* --held held_* --minutes 3 --seeds 1 2 3 --out out/bench/s3_labels

--pretrained takes one model for all seeds, or one for each (bench.s3_retrieval leaves them in OUT/images_SEED/model). Every run is
`train objects` for the same time (--minutes, or --steps), on 6, 60 or 600 frames spread evenly over the bags, from the model of `train
contrast` or from nothing (with --depth also from that model of `train depth` alone), and is scored by `evaluate objects` on the held
drives. Printed: mAP by share and modality, mean over the seeds and their deviation, what pretraining adds, what fusion adds to the better
single model, and AP by class with the number of things that it was counted on: a class of ten says little, and mAP minds it as much as one
of five hundred. What --out already has is not done again, so a run that was cut off goes on.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import yaml

from bench.s2_hard_pixels import merged, package
from depth_perception.model import as_json, write_atomically

MODALITIES = ("image", "cloud", "both")
STARTS = ("scratch", "depth", "pretrained")


def done(args: argparse.Namespace, start: str, share: int, seed: int) -> dict[str, Any]:
    """Trains and scores the three models from one start, unless OUT has it."""
    place = Path(args.out) / f"{start}_{share}_{seed}"
    file = place / "result.json"
    if not file.is_file():
        place.mkdir(parents=True, exist_ok=True)
        config: dict[str, Any] = {"validate": 0.0, "fit": {"threads": args.threads}}  # few labels: none is held out, the last weights count
        for text in args.config:
            config = merged(config, yaml.safe_load(Path(text).read_text()))
        (place / "config.yaml").write_text(yaml.safe_dump(config))
        budget = ["--steps", str(args.steps)] if args.steps else ["--minutes", str(args.minutes)]
        init = {"scratch": [], "depth": ["--depth", str(args.depth)], "pretrained": ["--init", args.pretrained[seed]]}[start]
        package(place / "train.log", "train", "objects", "--bag", *args.bags, "--frames", str(share), *init, *budget, "--seed", str(seed),
                "--batch", str(args.batch), "--config", str(place / "config.yaml"), "--modality", *args.modality,
                "--out", str(place / "model"), "--json", str(place / "train.json"))
        package(place / "evaluate.log", "evaluate", "objects", "--bag", *args.held, "--model", str(place / "model"),
                "--json", str(place / "scores.json"))
        trained, scores = (json.loads((place / name).read_text()) for name in ("train.json", "scores.json"))
        found = {name: {key: row[key] for key in ("map", "map_iou_0.5", "centre_m", "frames", "truths")}
                 | {"per_class": {label: one["ap"] for label, one in row["per_class"].items()}}
                 for name, row in scores["per_modality"].items()}
        write_atomically(file, as_json({"start": start, "labelled": share, "seed": seed, "steps": trained["steps"],
                                        "minutes": trained["minutes"], "scores": found}))
        for left in (place / "model").glob("checkpoint*"):
            left.unlink()
    result: dict[str, Any] = json.loads(file.read_text())
    print(f"{place}: {result['steps']} steps, " + ", ".join(f"{name} {100 * row['map']:.1f}" for name, row in result["scores"].items()),
          flush=True)
    return result


def table(runs: list[dict[str, Any]], shares: list[int], modalities: list[str]) -> list[dict[str, Any]]:
    """One row per share and modality: mAP in percent, mean and deviation of every start, and what pretraining gains with the same seeds."""
    rows = []
    for share in shares:
        for name in modalities:
            by_start = {start: {run["seed"]: 100 * run["scores"][name]["map"] for run in runs
                                if (run["start"], run["labelled"]) == (start, share)} for start in STARTS}
            row: dict[str, Any] = {"labelled": share, "modality": name}
            for start, found in by_start.items():
                row[start] = statistics.mean(found.values()) if found else None
                row[f"{start}_deviation"] = statistics.stdev(found.values()) if len(found) > 1 else 0.0
            shared = sorted(set(by_start["scratch"]) & set(by_start["pretrained"]))
            row["gain"] = statistics.mean(by_start["pretrained"][seed] - by_start["scratch"][seed] for seed in shared) if shared else None
            rows.append(row)
    return rows


def printed(rows: list[dict[str, Any]]) -> None:
    """The table, and what fusion adds."""
    print("labelled  modality  " + "".join(f"{start:15s}" for start in STARTS) + "gain")
    for row in rows:
        cells = [f"{row[start]:5.1f} +- {row[f'{start}_deviation']:4.1f}" if row[start] is not None else "      -      "
                 for start in STARTS]
        gain = "    -" if row["gain"] is None else f"{row['gain']:+5.1f}"
        print(f"{row['labelled']:8d}  {row['modality']:8s}  {'  '.join(cells)}  {gain}")
    for share in dict.fromkeys(row["labelled"] for row in rows):
        found = {row["modality"]: row["pretrained"] for row in rows if row["labelled"] == share and row["pretrained"] is not None}
        if set(MODALITIES) <= set(found):
            gained = found["both"] - max(found["image"], found["cloud"])
            print(f"{share} labelled: fusion is {gained:+.1f} mAP from the better single model")


def by_class(runs: list[dict[str, Any]], shares: list[int], modalities: list[str]) -> list[dict[str, Any]]:
    """One row per share, modality and class: AP in percent of every start, mean over its seeds; None without runs."""
    rows = []
    for share in shares:
        for name in modalities:
            found = [(run["start"], run["scores"][name]["per_class"]) for run in runs if run["labelled"] == share]
            for label in found[0][1] if found else ():
                of = {start: [100 * classes[label] for made_from, classes in found if made_from == start] for start in STARTS}
                rows.append({"labelled": share, "modality": name, "class": label,
                             **{start: statistics.mean(values) if values else None for start, values in of.items()}})
    return rows


def printed_by_class(rows: list[dict[str, Any]], truths: dict[str, int]) -> None:
    """That, and on how many things each class was counted."""
    print("labelled  modality  class (truths)     " + "".join(f"{start:11s}" for start in STARTS))
    for row in rows:
        cells = "".join(f"{'-':>7s}    " if row[start] is None else f"{row[start]:7.1f}    " for start in STARTS)
        print(f"{row['labelled']:8d}  {row['modality']:8s}  {row['class']:10s} ({truths[row['class']]:5d}) {cells}")


def main() -> None:
    """Runs what is missing, prints the table, writes OUT/labels.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pretrained", required=True, nargs="+", metavar="DIR", help="a model of `train contrast`, or one for each seed")
    parser.add_argument("--depth", metavar="DIR", help="a model of `train depth`: a third start, from its depth alone")
    parser.add_argument("--bags", nargs="+", required=True, help="labelled drives to learn from")
    parser.add_argument("--held", nargs="+", required=True, help="labelled drives to score on")
    parser.add_argument("--out", required=True)
    parser.add_argument("--frames", nargs="+", type=int, default=[6, 60, 600], help="how many frames are labelled")
    parser.add_argument("--modality", nargs="+", default=list(MODALITIES), choices=MODALITIES)
    parser.add_argument("--minutes", type=float, default=3, help="of fine-tuning, for the models of all modalities together")
    parser.add_argument("--steps", type=int, help="the same number of steps for both starts instead")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--config", nargs="+", default=[], help="overrides for every run, see config/train/objects.yaml")
    args = parser.parse_args()
    if len(args.pretrained) not in (1, len(args.seeds)):
        parser.error(f"--pretrained: wanted one model or one for each of {len(args.seeds)} seeds, got {len(args.pretrained)}")
    args.pretrained = dict(zip(args.seeds, args.pretrained * len(args.seeds), strict=False))
    starts = [start for start in STARTS if start != "depth" or args.depth]
    runs = [done(args, start, share, seed) for seed in args.seeds for share in args.frames for start in starts]
    rows = table(runs, args.frames, args.modality)
    printed(rows)
    classes = by_class(runs, args.frames, args.modality)
    scored = json.loads((Path(args.out) / f"{runs[0]['start']}_{runs[0]['labelled']}_{runs[0]['seed']}" / "scores.json").read_text())
    truths = {label: one["truths"] for label, one in next(iter(scored["per_modality"].values()))["per_class"].items()}
    printed_by_class(classes, truths)
    write_atomically(Path(args.out) / "labels.json",
                     as_json({"name": "s3_labels", "results": rows, "by_class": classes, "truths": truths, "runs": runs}))


if __name__ == "__main__":
    main()
