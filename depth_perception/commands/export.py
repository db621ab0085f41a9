"""`export`: a trained model's networks as ONNX files that are proven to answer like the networks."""

from __future__ import annotations

import argparse

HELP = "write a trained model's ONNX files and self-test, compared with the networks"
EXAMPLE = "python -m depth_perception export --model out/student"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `export`."""
    parser.add_argument("--model", required=True, metavar="DIR", help="a model directory with weights")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: into the model itself)")
    parser.add_argument("--json", metavar="PATH", help="write the result's numbers here")


def run(args: argparse.Namespace) -> int:
    """Exports and says how equal the files are."""
    import json
    from pathlib import Path

    from depth_perception import model
    from depth_perception.export import export

    exported = export(args.model, args.out)
    result = exported.lineage["export"]
    if args.json:
        model.write_atomically(Path(args.json), json.dumps({"model": str(exported.path), **result}, indent=2) + "\n")
    for name in exported.networks:
        file = exported.onnx(name)
        print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, differs from the network by {result['largest_difference'][name]:.1e}")
    return 0
