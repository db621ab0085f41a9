"""What S4's cross-domain loss is worth: source-only against `copy` and `siamese`, at equal steps, scored on a domain without labels.

    for i in 0 1 2 3 4 5 6 7 8 9; do
      drive() { python -m depth_perception simulate --seconds 7 --rate 1 --width 624 --height 188 --lidar-rings 1 --lidar-columns 8 "$@"; }
      drive --seed 70$i --out road/source_$i
      drive --seed 80$i --out road/target_$i --appearance harsh --road worn,faded,wet,shadowed,patched
      drive --seed 90$i --out road/held_$i --appearance harsh --road worn,faded,wet,shadowed,patched
    done
    python -m bench.s4_markings --source road/source_* --target road/target_* --held road/held_* --steps 400 --seeds 1 2 3 --out out/s4

Every variant is `train markings` with the same pictures, the same steps, the same recolouring of the source and the same seeds, from
nothing or from the same --init (best a longer training in mode `source`).
`statistics` is siamese without its loss: what the target's batch statistics do alone; `apart` compares paint with paint, and in `taught` a
mean teacher names the target's pixels as well; `oracle` is given the target's labels: what can be reached. --real: folders of images/ and
masks/ that are scored too, paint against no paint. Printed and in OUT/table.json: means over the seeds and their deviation, and
the mean change in points against source-only with the same seed. A run that OUT has already is not done again, so a bench that was cut
off goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from depth_perception import model
from depth_perception.evaluation.markings import evaluate
from depth_perception.model import as_json, write_atomically

VARIANTS: dict[str, dict[str, Any]] = {
    "source": {"mode": "source"},
    "statistics": {"mode": "siamese", "mmd": 0.0},
    "copy": {"mode": "copy"},
    "siamese": {"mode": "siamese"},
    "apart": {"mode": "siamese", "apart": True},
    "taught": {"mode": "siamese", "apart": True, "pseudo": 1.0, "teacher": 0.99, "views": {"target_look": 0.7}},
    "oracle": {"mode": "source"},
}
USUAL = ("source", "statistics", "copy", "siamese")


def done(args: argparse.Namespace, variant: str, seed: int) -> dict[str, Any]:
    """Trains and scores one variant, unless OUT has it: {"variant", "seed", "steps", "minutes", "held", "real"}."""
    place = Path(args.out) / f"{variant}_{seed}"
    place.mkdir(parents=True, exist_ok=True)
    file = place / "scores.json"
    found: dict[str, Any] = json.loads(file.read_text()) if file.is_file() else {}
    if not found:
        config: dict[str, Any] = yaml.safe_load(Path(args.config).read_text()) if args.config else {}
        words = VARIANTS[variant]
        config = config | words | {"fit": config.get("fit", {}) | {"threads": args.threads},
                                   "views": config.get("views", {}) | words.get("views", {})}
        labels = [*args.source, *(args.target if variant == "oracle" else ())]
        (place / "config.yaml").write_text(yaml.safe_dump(config))
        train(place / "train.log", "--source", *labels, "--target", *args.target, "--config", str(place / "config.yaml"),
              "--steps", str(args.steps), "--batch", str(args.batch), "--seed", str(seed), "--out", str(place / "model"),
              "--json", str(place / "train.json"), *(["--init", args.init] if args.init else []))
        trained = json.loads((place / "train.json").read_text())
        found = {"variant": variant, "seed": seed, "steps": trained["steps"], "minutes": trained["minutes"]}
    for name, paths in (("held", args.held), ("real", args.real)):
        if paths and name not in found:
            found[name] = evaluate(paths, model.load(place / "model"), threads=args.threads)
            write_atomically(file, as_json(found))
    print(f"{place}: {found['steps']} steps, mIoU {found['held']['miou']:.3f}, paint {found['held']['paint']:.3f}"
          + (f", real paint {found['real']['paint']:.3f}" if "real" in found else ""), flush=True)
    return found


def train(log: Path, *arguments: str) -> None:
    """`train markings` in a process of its own; what it says goes to a file."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")]))}
    with log.open("w") as file:
        code = subprocess.call([sys.executable, "-m", "depth_perception", "train", "markings", *arguments], stdout=file,
                               stderr=subprocess.STDOUT, env=environment)
    if code:
        raise SystemExit(f"train markings ended with {code}:\n{log.read_text()[-2000:]}")


def table(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a variant: by score the mean over the seeds, their deviation, and the mean change against source-only with the same seed."""
    def scores(run: dict[str, Any]) -> dict[str, float]:
        out = {"miou": run["held"]["miou"], "paint": run["held"]["paint"], "ece": run["held"]["ece"]}
        out |= {name: iou for name, iou in run["held"]["per_class"].items() if name != "background"}
        return out | ({"real paint": run["real"]["paint"]} if "real" in run else {})

    plain = {run["seed"]: scores(run) for run in runs if run["variant"] == "source"}
    rows = []
    for variant in dict.fromkeys(run["variant"] for run in runs):
        mine = [run for run in runs if run["variant"] == variant]
        row: dict[str, Any] = {"variant": variant, "seeds": [run["seed"] for run in mine], "steps": [run["steps"] for run in mine]}
        for name in scores(mine[0]):
            values = [scores(run)[name] for run in mine]
            changes = [scores(run)[name] - plain[run["seed"]][name] for run in mine if run["seed"] in plain]
            row[name] = {"mean": float(np.mean(values)), "deviation": float(np.std(values)), "values": values,
                         "change": float(np.mean(changes)) if changes else None}
        rows.append(row)
    return rows


def text(rows: list[dict[str, Any]]) -> str:
    """The table, scores in hundredths."""
    names = [name for name in rows[0] if isinstance(rows[0][name], dict)]
    lines = [" " * 11 + "".join(f"{name:>20s}" for name in names)]
    for row in rows:
        cells = []
        for name in names:
            cell, change = row[name], ""
            if row["variant"] != "source" and cell["change"] is not None:
                change = f" ({100 * cell['change']:+.1f})"
            cells.append(f"{100 * cell['mean']:.1f} ±{100 * cell['deviation']:.1f}{change}".rjust(20))
        lines.append(f"{row['variant']:11s}" + "".join(cells))
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    """Runs what is missing and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", nargs="+", required=True)
    parser.add_argument("--target", nargs="+", required=True)
    parser.add_argument("--held", nargs="+", required=True, help="labelled drives of the target's domain")
    parser.add_argument("--real", nargs="+", default=[], help="folders with images/ and masks/")
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(USUAL))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--config", help="YAML over the defaults of `train markings`, for every variant")
    parser.add_argument("--init", help="start all of them from this model: the minutes go into what differs")
    parser.add_argument("--out", required=True)
    args = parser.parse_args(argv)
    runs = [done(args, variant, seed) for seed in args.seeds for variant in args.variants]
    rows = table(runs)
    write_atomically(Path(args.out) / "table.json", as_json(rows))
    print(text(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
