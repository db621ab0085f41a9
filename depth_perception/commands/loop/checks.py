"""What a night would fail by is said before it begins."""

from __future__ import annotations

import argparse


def check(args: argparse.Namespace) -> None:
    """BadInput for whatever a night would fail by, before it begins."""
    import math

    from depth_perception import decode, model
    from depth_perception.engine import tensorrt_package
    from depth_perception.engine.tensorrt_build import PRECISIONS
    from depth_perception.frame import BadInput
    from depth_perception.loop.parts import PARTS

    if not args.bag:
        raise BadInput("--bag: wanted bags or a directory of them, got none")
    if (args.task == "student") != (args.teacher is not None):
        raise BadInput("--teacher: `--task student` needs a model directory, and nothing else takes one")
    check_labelled(args)
    for name, least, most in (("held_share", 0.01, 0.9), ("min_gain", 0.0, 1.0), ("tolerance", 0.0, 1.0)):
        if (value := getattr(args, name)) is not None and not least <= value <= most:
            raise BadInput(f"--{name.replace('_', '-')}: wanted a share from {least:g} to {most:g}, got {value}")
    for name, count in (("batch", 2), ("keep", 2), ("keep_held", 1), ("steps", 1)):
        if (value := getattr(args, name)) is not None and value < count:
            raise BadInput(f"--{name.replace('_', '-')}: wanted at least {count}, got {value}")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise BadInput(f"--minutes: wanted a positive number, got {args.minutes}")
    if args.teacher is not None:
        model.load(args.teacher)
    if args.calibration is not None:
        decode.read_calibration(args.calibration)
    if args.config is not None:
        from importlib import import_module

        from depth_perception.train.overrides import from_yaml

        from_yaml(import_module(f"depth_perception.train.{args.task}").Config(), args.config)
    for precision in words("precision", args.precision):
        if precision not in PRECISIONS:
            raise BadInput(f"--precision: wanted some of {','.join(PRECISIONS)}, got {precision!r}")
        if precision == "int8" and PARTS[args.task].kind != "depth":
            raise BadInput(f"--precision: `--task {args.task}` takes fp32 and fp16, got int8, which only models of depth have")
    for target in words("target", args.target) if args.target is not None else []:
        tensorrt_package.load().capability(target)


def check_labelled(args: argparse.Namespace) -> None:
    """Who teaches, and who judges: labelled ones that are there, and none of them both."""
    from pathlib import Path

    from depth_perception.bag import Bag
    from depth_perception.frame import BadInput
    from depth_perception.loop.held import is_folder, labelled_topic
    from depth_perception.loop.parts import PARTS

    part = PARTS[args.task]
    for name, wanted in (("labels", part.truth is not None), ("source", part.by_source), ("score_on", part.by_source),
                         ("palette", part.by_source)):
        if getattr(args, name) and not wanted:
            raise BadInput(f"--{name.replace('_', '-')}: `--task {args.task}` takes none")
    if not part.by_source:
        return
    assert part.truth is not None
    if not args.source:
        raise BadInput(f"--source: `--task {args.task}` needs labelled bags or folders, got none")
    for name in ("source", "score_on"):
        for path in getattr(args, name):
            if not Path(path).exists():
                raise BadInput(f"--{name.replace('_', '-')} {path}: wanted a bag with masks, or a folder with images/ and masks/, "
                               "nothing is there")
            if not is_folder(path):
                labelled_topic(Bag(path), part.truth, args.labels)
    if both := paths(args.source) & paths(args.score_on):
        raise BadInput(f"--score-on {sorted(both)[0]}: nobody may learn from what judges, and it is a --source")
    if args.palette is not None:
        from depth_perception.systems.palette import read_palette

        read_palette(args.palette)


def paths(given: list[str]) -> set[str]:
    """Absolute, links followed, as `found.bags` has them."""
    from pathlib import Path

    return {str(Path(path).resolve()) for path in given}


def words(name: str, text: str) -> list[str]:
    """"sm86, SM89" -> ["sm86", "sm89"]."""
    from depth_perception.frame import BadInput

    found = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    if not found:
        raise BadInput(f"--{name}: wanted one or more words with commas between, got {text!r}")
    return found
