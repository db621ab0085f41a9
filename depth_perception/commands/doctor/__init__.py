"""`doctor`: what this machine has and lacks for driving; with --gpu, every engine built, proven and timed on its GPU."""

from __future__ import annotations

import argparse

HELP = "check this machine: environment, models, engines; with --gpu, prove and time every engine on its GPU"
EXAMPLE = "python -m depth_perception doctor --gpu --json doctor_gpu.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `doctor`."""
    parser.add_argument("--gpu", action="store_true", help="build, prove and time the engines instead of checking the environment")
    parser.add_argument("--model", metavar="DIR", help="model directory (default: the shipped student)")
    parser.add_argument("--precision", metavar="P,P", help="with --gpu (default: fp32, and what the model has been exported in)")
    parser.add_argument("--calls", type=int, default=200, help="with --gpu: timed calls of each engine (default 200)")
    parser.add_argument("--engines", metavar="DIR", help="with --gpu: where built engines go (default: as compile)")
    parser.add_argument("--json", metavar="PATH", default="doctor_gpu.json", help="with --gpu: all figures, to send back")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: all is well; 1: something is to be done, and has been said."""
    from depth_perception.commands.doctor import environment, gpu

    return gpu.run(args) if args.gpu else environment.run(args)
