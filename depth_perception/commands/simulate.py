"""Drives down a simulated street and writes the bag, with the truth."""

from __future__ import annotations

import argparse

HELP = "a simulated drive with exact truth, as a bag"
EXAMPLE = "python -m depth_perception simulate --seconds 10 --seed 1 --out drive_1"
WRITES = {"out": "directory"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """How long, which street, which camera."""
    parser.add_argument("--seconds", type=float, default=10.0, metavar="S", help="length of the drive (default 10)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="the same seed and options give the same bytes (default 0)")
    parser.add_argument("--out", required=True, metavar="BAG", help="directory of the new bag; must not exist")
    parser.add_argument("--width", type=int, default=1242, metavar="W", help="pixels (default 1242)")
    parser.add_argument("--height", type=int, default=375, metavar="H", help="pixels (default 375)")
    parser.add_argument("--rate", type=float, default=10.0, metavar="HZ", help="images and sweeps per second (default 10)")
    parser.add_argument("--lidar-columns", type=int, default=1024, metavar="N", help="LiDAR points per ring and turn (default 1024)")
    parser.add_argument("--lidar-rings", type=int, default=64, metavar="N", help="LiDAR rings (default 64)")
    parser.add_argument("--lidar-sweep", type=float, default=0.0, metavar="S", help="seconds of a turn, 0: all at once (default 0)")
    parser.add_argument(
        "--appearance",
        default="default",
        metavar="LOOK",
        help="default: a sunny street; varied: street, camera and light drawn from the seed; harsh: as that, by a poor camera",
    )
    parser.add_argument(
        "--setting", metavar="NAME", help="city, residential, suburb, country or highway (default: city, or drawn when varied)"
    )
    parser.add_argument(
        "--hard",
        default="",
        metavar="WORDS",
        help="what photometry fails on, some of moving,flicker,reflections,textureless; /truth/hard says which pixels (default: none)",
    )
    parser.add_argument(
        "--road",
        default="",
        metavar="WORDS",
        help="what has happened to it, some of worn,faded,wet,shadowed,patched; /truth/painted and /truth/wear say what is left "
        "(default: new)",
    )
    parser.add_argument(
        "--traffic",
        default="ordinary",
        metavar="KIND",
        help="ordinary; mixed: lorries, cyclists and people on foot in numbers; jam: queues in all lanes, lorries and buses "
        "close by, bridges and gantries above (default: ordinary)",
    )
    parser.add_argument("--camera-height", type=float, default=1.65, metavar="M",
                        help="metres above the ground (default 1.65; --appearance varied draws its own)")
    parser.add_argument("--no-truth", action="store_true", help="leave out /truth")


def run(args: argparse.Namespace) -> int:
    """Writes the bag; 0 when it is there."""
    from pathlib import Path

    from tqdm import tqdm

    from depth_perception.frame import BadInput
    from depth_perception.world import ageing
    from depth_perception.world.drive import Config, drive
    from depth_perception.world.hard import asked
    from depth_perception.world.recording import record
    from depth_perception.world.sensors import Camera, Lidar

    config = Config(
        seconds=args.seconds,
        seed=args.seed,
        rate=args.rate,
        camera=Camera(args.width, args.height, mount=args.camera_height),
        lidar=Lidar(rings=args.lidar_rings, columns=args.lidar_columns, sweep_s=args.lidar_sweep),
        appearance=args.appearance,
        setting=args.setting,
        hard=asked(args.hard),
        road=ageing.asked(args.road),
        traffic=args.traffic,
    )
    out = Path(args.out)
    if out.exists():
        raise BadInput(f"--out: wanted a new bag, but {out} exists")
    out.parent.mkdir(parents=True, exist_ok=True)
    count = record(out, tqdm(drive(config), total=config.frames, desc="driving", unit="frame", disable=None), truth=not args.no_truth)
    print(f"{out}: {count} frames")
    return 0
