"""`doctor`: what this machine has and lacks for driving, each line ok, note or todo; with --gpu, every engine tried."""

from __future__ import annotations

import argparse

HELP = "check this machine: environment, ROS, DDS, GPU, models, disk, memory, clock; with --gpu, prove and time every engine on its GPU"
EXAMPLE = "python -m depth_perception doctor --json doctor.json"
WRITES = {"engines": "directory", "json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `doctor`."""
    parser.add_argument("--gpu", action="store_true", help="build, prove and time the engines instead of checking the environment")
    parser.add_argument("--model", metavar="DIR", help="model directory (default: the shipped student)")
    parser.add_argument("--precision", metavar="P,P", help="with --gpu (default: fp32, and what the model has been exported in)")
    parser.add_argument("--calls", type=int, default=200, help="with --gpu: timed calls of each engine (default 200)")
    parser.add_argument("--engines", metavar="DIR", help="with --gpu: where built engines go (default: as compile)")
    parser.add_argument("--json", metavar="PATH", help="write what was found to this file (with --gpu: doctor_gpu.json, to send back)")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: all is well; 1: something is to be done, and has been said."""
    from depth_perception.commands.doctor import environment, gpu

    return gpu.run(args) if args.gpu else environment.run(args)
