"""`drive --bag B`: a bag through all nodes over DDS, and the summary of what came out."""

from __future__ import annotations

import argparse
from typing import Any

HELP = "play a bag through all nodes over DDS and say what came out, how fast and how well"
EXAMPLE = "python -m depth_perception drive --bag drive.mcap --json summary.json"
WRITES = {"out": "directory", "json": "file", "view_file": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's flags."""
    from depth_perception.commands.evaluate import add_topic_arguments

    parser.add_argument("--bag", required=True, help="rosbag2 directory or .mcap file")
    parser.add_argument("--config", metavar="YAML", help="the car's file, as setup-car writes it: topics, calibration, parameters")
    parser.add_argument("--model", help="model directory (default: the shipped student)")
    parser.add_argument("--systems", nargs="+", metavar="SYSTEM",
                        help="some of depth, odometry, bev, objects and markings (default: depth odometry bev)")
    parser.add_argument("--objects-model", metavar="DIR", help="model of `train objects` (none is shipped)")
    parser.add_argument("--markings-model", metavar="DIR", help="model of `train markings` (default: the shipped one)")
    parser.add_argument("--rate", type=float, default=1.0, help="speed of playing (default 1: as recorded)")
    parser.add_argument("--reference", help="poses to score the odometry with (default: found in the bag, if it has just one)")
    parser.add_argument("--out", help="folder for pictures and a report")
    parser.add_argument("--json", help="write the summary here")
    parser.add_argument("--no-metrics", action="store_true", help="do not score, only drive")
    add_view_arguments(parser)
    add_topic_arguments(parser)


def add_view_arguments(parser: argparse.ArgumentParser) -> None:
    """How a drive is shown while it lasts; `demo` has them, too."""
    parser.add_argument("--view", action="store_true", help="show it in a browser, until Ctrl-C")
    parser.add_argument("--view-port", type=int, metavar="PORT", help="show it on 127.0.0.1:PORT (0: any free port), and open no browser")
    parser.add_argument("--view-file", metavar="FILE.rrd", default="", help="write what a view shows into a file, as well or instead")


def run(args: argparse.Namespace) -> int:
    """Drives, scores, writes."""
    from pathlib import Path

    from depth_perception.commands.evaluate import reader_options
    from depth_perception.frame import BadInput
    from depth_perception.model import as_json, write_atomically
    from depth_perception.nodes.viewing import View, Viewing
    from depth_perception.report.drive import rehearse_and_score

    if not 0 < args.rate < 1000:
        raise BadInput(f"--rate: wanted a positive speed, got {args.rate}")
    args.car = _follow_car_file(args) if args.config else {}
    args.systems = args.systems or str(args.car.get("systems") or "depth odometry bev").split()
    view = None
    if args.view or args.view_port is not None or args.view_file:
        serve = args.view or args.view_port is not None
        view = View(serve=serve, port=args.view_port or 0, browser=args.view_port is None, file=args.view_file)
    with Viewing(view) as viewing:
        reading = reader_options(args) | {
            name: args.car[f"input.{name}"] for name in ("base_frame", "scan_offset_s") if args.car.get(f"input.{name}")
        }
        text = as_json(rehearse_and_score(args, reading, viewing))
        print(text, end="", flush=True)
        if args.json:
            write_atomically(Path(args.json), text)
        viewing.keep()
    return 0


def _follow_car_file(args: argparse.Namespace) -> dict[str, Any]:
    """What the car's file says, where no flag says otherwise; its parameters by name. Raises BadInput."""
    from depth_perception.frame import BadInput
    from depth_perception.nodes.car_file import cameras

    camera, *others = cameras(args.config)
    if others or camera.namespace:
        names = ", ".join(each.namespace for each in (camera, *others))
        raise BadInput(f"--config: {args.config} is of the cameras {names}; a bag is driven by one, whose file has no namespaces")
    told = [name for name in ("input.T_base_camera", "input.T_camera_lidar") if camera.parameters.get(name)]
    if told and (args.out or not args.no_metrics):
        raise BadInput(f"--config: {told[0]}: scores and pictures want it from TF or --calibration; or give --no-metrics and no --out")
    args.image_topic = args.image_topic or camera.topics.get("image")
    args.info_topic = args.info_topic or camera.topics.get("camera_info")
    args.points_topic = args.points_topic or camera.topics.get("points")
    args.calibration = args.calibration or camera.calibration or None
    args.model = args.model or camera.parameters.get("model")
    args.objects_model = args.objects_model or camera.parameters.get("objects.model")
    args.markings_model = args.markings_model or camera.parameters.get("markings.model")
    return camera.parameters
