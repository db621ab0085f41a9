"""`export`: a trained model's networks as ONNX files that are proven to answer like the networks."""

from __future__ import annotations

import argparse

HELP = "write a trained model's ONNX files and self-test, compared with the networks"
EXAMPLE = "python -m depth_perception export --model out/student --precision fp32,fp16"
WRITES = {"out": "directory", "json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `export`."""
    from depth_perception.commands.evaluate import add_topic_arguments

    parser.add_argument("--model", required=True, metavar="DIR", help="a model directory with weights")
    parser.add_argument("--out", metavar="DIR", help="where to write (default: into the model itself)")
    parser.add_argument("--precision", default="fp32", metavar="P,P", help="fp32 (always written), fp16, int8: all that are to "
                        "be there, for what an earlier export left in others is removed")
    parser.add_argument("--size", metavar="WxH", help="input size, multiples of 32 (default: the model's own); another one needs --out")
    parser.add_argument("--bag", nargs="+", default=[], metavar="BAG", help="drives to calibrate int8 with, and to see what it "
                        "costs: at most 64 images, spread evenly over all of them")
    parser.add_argument("--json", metavar="PATH", help="write the result's numbers here")
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Exports and says how equal the files are."""
    import json
    from pathlib import Path

    from depth_perception import model
    from depth_perception.commands.evaluate import reader_options
    from depth_perception.export import export

    precisions = [word.strip() for word in args.precision.split(",")]
    exported = export(args.model, args.out, precisions=precisions, size=_size(args.size), bag=args.bag, reading=reader_options(args),
                      tell=print)
    result = exported.lineage["export"]
    if args.json:
        model.write_atomically(Path(args.json), json.dumps({"model": str(exported.path), **result}, indent=2) + "\n")
    for precision, networks in result["variants"].items():
        for name, found in networks.items():
            file = exported.onnx(name).with_suffix(".onnx" if precision == "fp32" else f".{precision}.onnx")
            print(f"{file}: {file.stat().st_size / 1e6:.2f} MB, differs from the network by {found['difference']:.1e}{_cost(found)}")
    return 0


def _cost(found: dict) -> str:
    """What INT8 costs, in words."""
    if "on_the_bag" not in found:
        return ""
    cost = found["on_the_bag"]
    worse = f", AbsRel {cost['abs_rel_fp32']:.4f} -> {cost['abs_rel']:.4f}" if "abs_rel" in cost else ""
    return f"; {len(found['convolutions'])} convolutions in INT8; on the bag {100 * cost['difference']:.2g} % off{worse}"


def _size(words: str | None) -> tuple[int, int] | None:
    """"640x192" -> (640, 192)."""
    from depth_perception.frame import BadInput

    if words is None:
        return None
    width, x, height = words.partition("x")
    if not (x and width.isascii() and width.isdecimal() and height.isascii() and height.isdecimal()):
        raise BadInput(f"--size: wanted WIDTHxHEIGHT such as 640x192, got {words!r}")
    return int(width), int(height)
