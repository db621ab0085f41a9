"""`demo`: a drive (simulated, or a bag) through all nodes over DDS, with pictures and a report."""

from __future__ import annotations

import argparse

HELP = "the whole way on this machine: a drive, all nodes over DDS, summary, pictures, report"
EXAMPLE = "python -m depth_perception demo --bag drive.mcap --out out/demo"
WRITES = {"out": "directory", "view_file": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """A drive or a bag, and a folder."""
    from depth_perception.commands.drive import add_view_arguments

    parser.add_argument("--bag", help="rosbag2 directory or .mcap file (default: simulate a drive)")
    parser.add_argument("--seconds", type=float, default=8.0, help="length of the simulated drive")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulated drive")
    parser.add_argument("--out", default="out/demo")
    add_view_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Simulates if needed, then does what `drive --out --json` does."""
    import shutil
    from pathlib import Path

    from depth_perception.__main__ import main

    out = Path(args.out)
    bag = args.bag
    if bag is None:
        bag = str(out / "simulated_drive")
        shutil.rmtree(bag, ignore_errors=True)  # our own, of an earlier run
        code = main(["simulate", "--seconds", str(args.seconds), "--seed", str(args.seed), "--out", bag])
        if code:
            return code
    shown = ["--view"] * args.view + (["--view-port", str(args.view_port)] if args.view_port is not None else [])
    shown += ["--view-file", args.view_file] if args.view_file else []
    code = main(["drive", "--bag", bag, "--out", str(out), "--json", str(out / "summary.json"), *shown])
    if code == 0:
        print(f"\nSummary {out / 'summary.json'}, pictures and report in {out / 'report.html'}")
    return code
