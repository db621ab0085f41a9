"""What a bag holds, what is wrong with it, and what it is fit for."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.frame import Frame

HELP = "what a bag holds, what is wrong with it, and which training, evaluation or driving it is fit for"
EXAMPLE = "python -m depth_perception inspect drive.mcap --html drive.html"
WRITES = {"json": "file", "html": "file"}

_QUICK_FRAMES = 200


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bag, the topics where a guess is not enough, how much to look at, and where to write the findings."""
    parser.add_argument("bag", nargs="?", help="rosbag2 directory, .mcap or .db3 file")
    parser.add_argument("--bag", dest="bag_option", metavar="BAG", help="the same as an option")
    parser.add_argument("--image-topic", metavar="TOPIC", help="the camera (default: the only one)")
    parser.add_argument("--info-topic", metavar="TOPIC", help="its CameraInfo (default: the one beside it)")
    parser.add_argument("--points-topic", metavar="TOPIC", help="the LiDAR (default: the only one)")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file instead of CameraInfo and TF")
    parser.add_argument("--odometry", metavar="NAME", help="the car's motion: a topic, or PARENT:CHILD of TF (default: the only one)")
    parser.add_argument("--frames", type=int, metavar="N", help="decode at most so many images, spread over the bag (default 1000)")
    parser.add_argument("--quick", action="store_true",
                        help=f"the same as --frames {_QUICK_FRAMES}; the times of all messages are read anyway")
    parser.add_argument("--json", metavar="PATH", help="write the findings to this file as well")
    parser.add_argument("--html", metavar="PATH", help="write a page with pictures to this file as well")


def run(args: argparse.Namespace) -> int:
    """Prints the findings; 0 as long as the bag can be opened."""
    from tqdm import tqdm

    from depth_perception.frame import BadInput
    from depth_perception.inspection import Config
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report import inspection as shown

    path = args.bag or args.bag_option
    if not path:
        raise BadInput("bag: wanted a rosbag2 directory, an .mcap or a .db3 file, got none")
    frames = args.frames if args.frames is not None else _QUICK_FRAMES if args.quick else Config.frames
    album: list[Frame] = []
    findings = inspect(path, config=Config(frames=frames), image_topic=args.image_topic, info_topic=args.info_topic, progress=tqdm,
                       points_topic=args.points_topic, calibration=args.calibration, odometry=args.odometry,
                       album=album if args.html else None)
    print(shown.as_text(findings))
    if args.json:
        write_atomically(Path(args.json), as_json(findings) + "\n")
    if args.html:
        shown.write(Path(args.html), findings, album)
    return 0


def inspect(path: str | Path, **options: Any) -> dict[str, Any]:
    """As `inspection.inspect`."""
    from depth_perception.inspection import inspect as look

    return look(path, **options)
