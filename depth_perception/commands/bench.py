"""`bench`: a whole drive through all nodes on this machine, measured; wherever the package is installed.

What one image costs beside a plain rclpy node, at several rates and sizes, is `python -m bench.chain` in the repository (docs/latency.md):
the nodes that it compares with are no part of the package.
"""

from __future__ import annotations

import argparse

HELP = "measure latency, start-up time, drops and memory of the whole drive; JSON under --out"
EXAMPLE = "python -m depth_perception bench --out out/bench"
WRITES = {"out": "directory"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long, on what."""
    parser.add_argument("--out", default="out/bench")
    parser.add_argument("--bag", help="drive to play (default: simulate one)")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of the simulated drive")
    parser.add_argument("--repeats", type=int, default=3, help="runs; every figure is given for each")
    parser.add_argument("--model", help="model directory (default: the shipped student)")


def run(args: argparse.Namespace) -> int:
    """Plays the drive `repeats` times through all nodes and writes drive.json."""
    from pathlib import Path

    from depth_perception.__main__ import main
    from depth_perception.frame import BadInput
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report import bench

    if args.repeats < 1:
        raise BadInput(f"--repeats: wanted at least 1, got {args.repeats}")
    out = Path(args.out)
    bag = args.bag
    if bag is None:
        bag = str(out / f"simulated_{args.seconds:g}s")
        if not Path(bag).exists() and (
            code := main(["simulate", "--seconds", str(args.seconds), "--seed", "3", "--no-truth", "--out", bag])
        ):
            return code
    machine = bench.machine()  # before the runs: what else the machine was doing
    results = [bench.drive(bag, args.model) for _ in range(args.repeats)]
    write_atomically(out / "drive.json", as_json({"name": "drive", **machine, "bag": Path(bag).name, "results": results}))
    print(bench.table(results))
    print(f"written to {out / 'drive.json'}; what an image costs beside a plain rclpy node: python -m bench.chain, in the repository")
    return 0
