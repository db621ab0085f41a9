"""`train markings`: road markings learned from labelled roads and from unlabelled ones of another domain."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only `train markings` takes."""
    group = parser.add_argument_group("train markings")
    group.add_argument("--source", nargs="+", metavar="LABELLED", help="bags with masks, or folders with images/ and masks/")
    group.add_argument("--target", nargs="+", default=[], metavar="BAG|DIR", help="bags or folders of images without labels")
    group.add_argument("--mode", choices=["siamese", "copy", "source"], help="how the target's branch learns (default: siamese)")
    group.add_argument("--palette", metavar="YAML", help="colours of masks in folders, see config/palettes/default.yaml")
    group.add_argument("--mask-topic", metavar="TOPIC", help="masks in bags (default: /truth/markings)")


def run(args: argparse.Namespace) -> int:
    """Trains and exports."""
    import dataclasses

    from depth_perception import model as models
    from depth_perception.commands.train import tell
    from depth_perception.export import export
    from depth_perception.frame import BadInput
    from depth_perception.systems.palette import read_palette
    from depth_perception.train import markings
    from depth_perception.train.marked import TRUTH
    from depth_perception.train.overrides import from_yaml

    if not args.source:
        raise BadInput("--source: `train markings` needs labelled bags or folders, got none")
    if args.batch < 2:
        raise BadInput(f"--batch: wanted at least 2 (batch norm), got {args.batch}")
    if len(args.image_topic) > 1:
        raise BadInput(f"--image-topic: `train markings` takes one, got {len(args.image_topic)}")
    config = markings.Config()
    if args.config is not None:
        config = from_yaml(config, args.config)
    if args.mode:
        config = dataclasses.replace(config, mode=args.mode)
    exported: list[models.Model] = []

    def finish(stage: Path, history: markings.History) -> None:
        exported.append(export(stage, tell=print))

    out = Path(args.out)
    history = markings.train(
        args.source, args.target, out, config=config, budget=markings.Budget(args.steps, args.minutes), batch=args.batch, seed=args.seed,
        init=args.init, resume=args.resume, command=args.command_line, palette=args.palette and read_palette(args.palette),
        truth=args.mask_topic or TRUTH, image_topic=args.image_topic[0] if args.image_topic else None, info_topic=args.info_topic,
        calibration=args.calibration, then=finish)
    tell(args, history, exported[0])
    return 0
