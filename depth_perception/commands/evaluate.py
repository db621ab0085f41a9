"""`evaluate {depth,odometry,bev,objects,markings}`: scores a model on bags with the very steps that drive."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "score a model on bags: depth, odometry, the bird's-eye view, objects or road markings"
EXAMPLE = "python -m depth_perception evaluate depth --bag drive.mcap --json scores.json"
WRITES = {"json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's flags."""
    parser.add_argument("what", choices=["depth", "odometry", "bev", "objects", "markings"])
    parser.add_argument("--bag", nargs="+", required=True, help="rosbag2 directories or .mcap files; markings: also folders with "
                        "images/ and masks/")
    parser.add_argument("--model", help="model directory (default: the shipped one)")
    parser.add_argument("--modality", nargs="+", choices=["both", "image", "cloud"], help="objects: which of the model's networks "
                        "(default: all it has)")
    parser.add_argument("--labels", metavar="TOPIC|DIR|FILE", help="objects: true boxes, a topic of the bag or KITTI label files (default: "
                        "/truth/boxes)")
    parser.add_argument("--mask-topic", metavar="TOPIC", help="markings: true masks in bags (default: /truth/markings)")
    parser.add_argument("--palette", metavar="YAML", help="markings: colours of masks in folders, see config/palettes/default.yaml")
    parser.add_argument("--reference", help="odometry: a KITTI or TUM pose file, a topic, PARENT:CHILD of TF, or kiss-icp")
    parser.add_argument("--truth", help="depth: score against this topic of true depth images instead of the LiDAR")
    parser.add_argument("--regions", help="depth: score the regions that this topic of images marks as hard, too (needs --truth)")
    parser.add_argument(
        "--align", choices=["none", "scale"], default="none", help="odometry: scale the estimate to the reference's length first"
    )
    parser.add_argument("--json", help="write the scores here")
    add_topic_arguments(parser)


def add_topic_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that name a bag's topics where they cannot be guessed."""
    parser.add_argument("--image-topic")
    parser.add_argument("--info-topic")
    parser.add_argument("--points-topic")
    parser.add_argument("--calibration", help="YAML with the camera's calibration where the bag has none")


def reader_options(args: argparse.Namespace) -> dict[str, Any]:
    """The topic flags as keyword arguments of `bag.frames`."""
    return {
        "image_topic": args.image_topic,
        "info_topic": args.info_topic,
        "points_topic": args.points_topic,
        "calibration": args.calibration,
    }


def run(args: argparse.Namespace) -> int:
    """Prints the scores; --json writes them."""
    from depth_perception import model as models
    from depth_perception.evaluation import offline
    from depth_perception.frame import BadInput
    from depth_perception.model import as_json, write_atomically

    if args.what != "depth" and (args.truth or args.regions):
        raise BadInput(f"--truth, --regions: `evaluate depth` takes them, `evaluate {args.what}` does not")
    if args.what != "odometry" and (args.reference or args.align != "none"):
        raise BadInput(f"--reference, --align: `evaluate odometry` takes them, `evaluate {args.what}` does not")
    if args.what != "objects" and (args.modality or args.labels):
        raise BadInput(f"--modality, --labels: `evaluate objects` takes them, `evaluate {args.what}` does not")
    if args.what != "markings" and (args.mask_topic or args.palette):
        raise BadInput(f"--mask-topic, --palette: `evaluate markings` takes them, `evaluate {args.what}` does not")
    model = models.load(args.model or models.shipped(args.what if args.what in ("objects", "markings") else "student"))
    if args.what == "odometry" and len(args.bag) > 1:
        raise BadInput("evaluate odometry: wanted one --bag, for a trajectory does not span several")
    options = reader_options(args)
    if args.what == "depth":
        result = offline.depth(args.bag, model, truth=args.truth, regions=args.regions, **options)
    elif args.what == "odometry":
        result = offline.odometry(args.bag[0], model, reference=args.reference, align=args.align == "scale", **options)
    elif args.what == "objects":
        from depth_perception.evaluation import objects_offline

        result = objects_offline.objects(args.bag, model, modalities=args.modality or (), labels=args.labels, **options)
    elif args.what == "markings":
        from depth_perception.evaluation import markings
        from depth_perception.systems.palette import read_palette

        result = markings.evaluate(args.bag, model, palette=args.palette and read_palette(args.palette),
                                   truth=args.mask_topic or markings.TRUTH, **options)
    else:
        result = offline.bev(args.bag, model, **options)
    print(as_json(result), end="")
    if args.json:
        from pathlib import Path

        write_atomically(Path(args.json), as_json(result))
    return 0
