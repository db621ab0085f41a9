"""`evaluate {depth,odometry,bev}`: scores a model on bags with the very steps that drive."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "score a model on bags: depth, odometry or the bird's-eye view"
EXAMPLE = "python -m depth_perception evaluate depth --bag drive.mcap --json scores.json"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's flags."""
    parser.add_argument("what", choices=["depth", "odometry", "bev"])
    parser.add_argument("--bag", nargs="+", required=True, help="rosbag2 directories or .mcap files")
    parser.add_argument("--model", help="model directory (default: the shipped student)")
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

    model = models.load(args.model or models.shipped())
    if args.what == "odometry" and len(args.bag) > 1:
        raise BadInput("evaluate odometry: wanted one --bag, for a trajectory does not span several")
    options = reader_options(args)
    if args.what == "depth":
        result = offline.depth(args.bag, model, truth=args.truth, regions=args.regions, **options)
    elif args.what == "odometry":
        result = offline.odometry(args.bag[0], model, reference=args.reference, align=args.align == "scale", **options)
    else:
        result = offline.bev(args.bag, model, **options)
    print(as_json(result), end="")
    if args.json:
        from pathlib import Path

        write_atomically(Path(args.json), as_json(result))
    return 0
