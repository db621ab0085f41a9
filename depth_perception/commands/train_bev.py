"""`train contrast` and `train objects`: what is learned from above, first without labels, then with a few."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.train import contrast, objects

TASKS = ("contrast", "objects")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only these two take."""
    parser.add_argument("--depth", metavar="DIR", help="contrast, objects: a model of `train depth` to see depth by (default: learn it)")
    group = parser.add_argument_group("train objects", "--init takes a model of train contrast or of train objects")
    group.add_argument("--modality", nargs="+", choices=["image", "cloud", "both"], help="the models to learn, side by side (default: all)")
    group.add_argument("--labels", metavar="TOPIC|DIR|FILE", help="boxes: a topic of the bags or KITTI label files (default: /truth/boxes)")
    group.add_argument("--frames", type=int, metavar="N", help="learn from so many labelled frames only, spread evenly")


def run(args: argparse.Namespace) -> int:
    """Trains, exports, writes the report."""
    import dataclasses

    from depth_perception import model as models
    from depth_perception.commands.train import page, tell
    from depth_perception.export import export
    from depth_perception.frame import BadInput
    from depth_perception.train import contrast, objects
    from depth_perception.train.history import Budget, History
    from depth_perception.train.overrides import from_yaml

    if not args.bag:
        raise BadInput(f"--bag: `train {args.task}` needs bags, got none")
    if args.batch < 2:
        raise BadInput(f"--batch: wanted at least 2 (batch norm), got {args.batch}")
    if args.task == "contrast" and (args.modality or args.labels or args.frames is not None):
        raise BadInput("--modality, --labels, --frames: `train objects` takes them, `train contrast` learns without labels")
    exported: list[models.Model] = []
    drawn = {"contrast": _draw_pairs, "objects": _draw_objects}

    def finish(stage: Path, history: History) -> None:
        exported.append(export(stage, tell=print))
        page(stage, exported[0], history, args.command_line)

    out = Path(args.out)
    how: dict[str, Any] = {
        "budget": Budget(args.steps, args.minutes), "batch": args.batch, "seed": args.seed, "init": args.init, "depth": args.depth,
        "resume": args.resume, "command": args.command_line, "then": finish, "draw": drawn[args.task], "topics": args.image_topic,
        "info_topic": args.info_topic, "points_topic": args.points_topic, "calibration": args.calibration}
    if args.task == "contrast":
        config = contrast.Config()
        history = contrast.train(args.bag, out, config=from_yaml(config, args.config) if args.config else config, **how)
    else:
        asked = from_yaml(objects.Config(), args.config) if args.config else objects.Config()
        if args.modality:
            asked = dataclasses.replace(asked, modalities=tuple(args.modality))
        history = objects.train(args.bag, out, config=asked, labels=args.labels, frames=args.frames, **how)
    tell(args, history, exported[0])
    return 0


def _draw_pairs(folder: Path, shown: contrast.Shown) -> None:
    """pairs.png: targets of the image beside those of the cloud, features.png: what both sides see from above."""
    import numpy as np

    from depth_perception.report import objects, pictures

    pictures.save(folder / "pairs.png", objects.pairs_picture(shown.image, shown.pixels, shown.points, shown.at, shown.grid,
                                                              right=shown.right))
    sides = [objects.features_picture(each) for each in (shown.from_image, shown.from_cloud)]
    pictures.save(folder / "features.png", np.concatenate(sides, 1))


def _draw_objects(folder: Path, shown: objects.Shown) -> None:
    """objects_MODALITY_camera.png and objects_MODALITY_cloud.png: what each model finds, and the labels."""
    from depth_perception.report import objects, pictures

    for name, found in shown.found.items():
        pictures.save(folder / f"objects_{name}_camera.png", objects.over_camera(shown.image, shown.calibration, found, true=shown.true))
        pictures.save(folder / f"objects_{name}_cloud.png", objects.over_cloud(shown.points, found, shown.grid, true=shown.true))
