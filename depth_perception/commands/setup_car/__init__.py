"""`setup-car`: drive.yaml for a car, from what a bag of it holds or from what is on its graph now; and what is missing, in sentences."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

HELP = "write drive.yaml for your car from a bag or the running car, check its calibration, say what is missing"
EXAMPLE = "python -m depth_perception setup-car drive.mcap --out drive.yaml"
WRITES = {"out": "file", "json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The car, where to write, and the topics where the choice is not the right one."""
    parser.add_argument("bag", nargs="?", help="rosbag2 directory, .mcap or .db3 file of a drive")
    parser.add_argument("--bag", dest="bag_flag", metavar="BAG", help="the same, as other commands take it")
    parser.add_argument("--live", action="store_true", help="listen to the running car instead")
    parser.add_argument("--seconds", type=float, default=5.0, metavar="S", help="with --live: for how long (default 5)")
    parser.add_argument("--out", default="drive.yaml", metavar="YAML", help="the file for the car (default drive.yaml)")
    parser.add_argument("--force", action="store_true", help="write over a file that is there")
    parser.add_argument("--image-topic", nargs="+", metavar="TOPIC", help="the camera, or the cameras (default: all that see colour)")
    parser.add_argument("--info-topic", metavar="TOPIC", help="CameraInfo of the one camera (default: the one beside it)")
    parser.add_argument("--points-topic", metavar="TOPIC", help="the LiDAR (default: the largest cloud that TF connects with the camera)")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file of the one camera, instead of CameraInfo and TF")
    parser.add_argument("--json", metavar="PATH", help="write what was found to this file as well")


def run(args: argparse.Namespace) -> int:
    """Exit code 0: the file is written and all is well; 1: it is written, and something is to be done, and has been said."""
    import tempfile

    from depth_perception.bag import Bag
    from depth_perception.frame import BadInput

    out = Path(args.out)
    if args.bag and args.bag_flag:
        raise BadInput(f"setup-car: wanted one bag, got {args.bag} and {args.bag_flag}")
    args.bag = args.bag or args.bag_flag
    if bool(args.bag) == args.live:
        raise BadInput("setup-car: wanted a bag, or --live" + (", got both" if args.live else ", got neither"))
    if not 1 <= args.seconds <= 60:
        raise BadInput(f"--seconds: wanted 1 to 60, got {args.seconds:g}")
    if out.exists() and not args.force:
        raise BadInput(f"--out: {out} is there already; give another name, or --force")
    if not args.live:
        return _write(args, out, Bag(args.bag), {})
    from depth_perception.nodes.transport import environment

    os.environ.update(environment(loopback=False))  # before rclpy is imported
    from depth_perception.nodes.listen import listen

    with tempfile.TemporaryDirectory(prefix="setup_car_") as folder:
        path, silent = listen(Path(folder), seconds=args.seconds)
        try:
            bag = Bag(path)
        except BadInput:
            domain = os.environ.get("ROS_DOMAIN_ID", "0")
            said = f"; {', '.join(silent)} are offered, but nothing arrives (docs/nodes.md, fastdds.xml)" if silent else ""
            raise BadInput(f"--live: nothing came within {args.seconds:g} s in domain {domain}{said or ': is the car running?'}") from None
        return _write(args, out, bag, silent)


def _write(args: argparse.Namespace, out: Path, bag: object, silent: dict[str, str]) -> int:
    """Fits the cameras, prints what was found, writes the file."""
    from depth_perception.commands.doctor.environment import Finding
    from depth_perception.commands.setup_car.fitting import fit
    from depth_perception.model import as_json, write_atomically
    from depth_perception.nodes import car_file

    general, fitted = fit(bag, args)  # type: ignore[arg-type]
    lost = "offered by {}, but nothing came: large messages need config/fastdds.xml on both ends"
    general += [Finding("todo", "silent", f"{topic}: {lost.format(name)}") for topic, name in silent.items()]
    rows = [("", finding) for finding in general]
    for each in fitted:
        rows += [(each.camera.namespace, finding) for finding in each.findings]
    for namespace, finding in rows:
        place = f"/{namespace}: " if namespace else ""
        print(f"{finding.level:5s} {finding.subject:12s} {place}{finding.says}", flush=True)
    todo = [f"{f'/{namespace}: ' if namespace else ''}{finding.says}" for namespace, finding in rows if finding.level == "todo"]
    write_atomically(out, car_file.written([(each.camera, each.lines) for each in fitted], head=_head(args, out, fitted, todo)))
    if args.json:
        cameras = [vars(camera) for camera in car_file.cameras(out)]  # as its readers see them
        findings = [{"camera": namespace, **finding._asdict()} for namespace, finding in rows]
        write_atomically(Path(args.json), as_json({"out": str(out), "cameras": cameras, "findings": findings}))
    print(f"{out}: {len(fitted)} camera{'s' * (len(fitted) > 1)}; ros2 launch depth_perception drive.launch.py params_file:={out}")
    print(f"setup-car: {len(todo)} to do" if todo else "setup-car: all is well")
    return 1 if todo else 0


def _head(args: argparse.Namespace, out: Path, fitted: list, todo: list[str]) -> list[str]:  # type: ignore[type-arg]
    """The comment that begins the file: how to drive with it, and what is to be done."""
    source = "--live" if args.live else args.bag
    head = [f"This car, as `python -m depth_perception setup-car {source}` found it. Everything else has its default: docs/parameters.md",
            f"  ros2 launch depth_perception drive.launch.py params_file:={out}"]
    head += [f"  ros2 run depth_perception drive --ros-args --params-file {out} {' '.join(each.camera.ros_arguments)}" for each in fitted]
    return head + (["To be done:", *(f"  - {sentence}" for sentence in todo)] if todo else [])
