"""`record`: topics into a bag, until Ctrl-C; `record --repair BAG`: finishes what a killed recorder left."""

from __future__ import annotations

import argparse
import os
import sys

HELP = "record topics into a bag, the last gigabytes of them, or snapshots; or repair a bag that was not finished"
EXAMPLE = "python -m depth_perception record --out drive --topics /camera/image_raw /camera/camera_info /lidar/points /tf /tf_static"
WRITES = {"out": "directory", "json": "file"}

# Flag -> parameter of recorder_node; the node checks the values.
_PARAMETERS = {"mode": "mode", "compression": "compression", "split_mb": "split_mb", "split_s": "split_s", "keep_gb": "keep_gb",
               "pre_roll": "pre_roll_s", "post_roll": "post_roll_s", "queue_mb": "queue_mb", "disk_floor_gb": "disk_floor_gb",
               "exclude": "exclude", "seconds": "duration_s"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to record, how, and how long."""
    parser.add_argument("--out", metavar="BAG", help="directory of the new bag, or of the snapshots (default: drive_ and the time)")
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", default=[], help="what to record (default: every topic)")
    parser.add_argument("--exclude", metavar="REGEX", help="topics that are not recorded")
    parser.add_argument("--throttle", nargs="+", metavar="TOPIC=HZ", default=[], help="no more than so many messages a second of a topic")
    parser.add_argument("--mode", choices=["continuous", "circular", "snapshot"], help="everything (default), the last --keep-gb, or what "
                        "is around each call of ~/snapshot")
    parser.add_argument("--compression", choices=["none", "lz4", "zstd"], help="of the bag's chunks (default none)")
    parser.add_argument("--seconds", type=float, metavar="S", help="end after so long (default: with Ctrl-C)")
    parser.add_argument("--split-mb", type=int, metavar="MB", help="size of a file of the bag (default 4000; 0: one file)")
    parser.add_argument("--split-s", type=float, metavar="S", help="duration of a file of the bag (default: none)")
    parser.add_argument("--keep-gb", type=float, metavar="GB", help="circular: so much is kept (default 50)")
    parser.add_argument("--pre-roll", type=float, metavar="S", help="snapshot: seconds before (default 10)")
    parser.add_argument("--post-roll", type=float, metavar="S", help="snapshot: seconds after (default 5)")
    parser.add_argument("--queue-mb", type=int, metavar="MB", help="what may wait for the disk, in memory (default 256)")
    parser.add_argument("--disk-floor-gb", type=float, metavar="GB", help="stop when less is free (default 1)")
    parser.add_argument("--set", nargs="+", metavar="NAME=VALUE", default=[], help="any other parameter of recorder_node, such as "
                        "triggers.speed_mps=20.0")
    parser.add_argument("--use-sim-time", action="store_true", help="log at /clock's time")
    parser.add_argument("--repair", metavar="BAG", help="finish this bag instead: a new index for its open files, and metadata.yaml")
    parser.add_argument("--json", metavar="PATH", help="with --repair: write what was done to this file as well")


def run(args: argparse.Namespace) -> int:
    """Becomes the recorder node; or repairs, 0 when the bag is whole."""
    from depth_perception.frame import BadInput

    if args.repair:
        return _repair(args)
    if args.json:
        raise BadInput("--json: goes with --repair")
    values = {"path": args.out, "end_on_error": True} | {name: getattr(args, flag) for flag, name in _PARAMETERS.items()}
    words = [f"{name}:={_yaml(value)}" for name, value in values.items() if value is not None]
    lists = {"topics": args.topics, "throttle": args.throttle}
    words += [f"{name}:=[{', '.join(map(_yaml, given))}]" for name, given in lists.items() if given]
    for text in args.set:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise BadInput(f"--set: wanted NAME=VALUE, got {text!r}")
        words.append(f"{name}:={value}")
    words += ["use_sim_time:=true"] * args.use_sim_time

    from depth_perception.nodes import transport

    parameters = [part for word in words for part in ("-p", word)]
    command = [sys.executable, "-m", "depth_perception.nodes.recorder_node", "--ros-args", *parameters]
    sys.stdout.flush()
    os.execve(sys.executable, command, transport.environment(loopback=False))  # signals are then the node's own


def _yaml(value: object) -> str:
    import json

    return json.dumps(value)


def _repair(args: argparse.Namespace) -> int:
    from pathlib import Path

    from depth_perception.model import as_json, write_atomically
    from depth_perception.record import repair

    done = repair(args.repair, progress=lambda name: print(f"{name}: reading what is whole", file=sys.stderr))
    print(f"{args.repair}: {done.messages} messages; written anew: {', '.join(done.files) or 'nothing'}")
    for sentence in done.lost:
        print(f"  {sentence}")
    if args.json:
        write_atomically(Path(args.json), as_json({"bag": args.repair, "files": done.files, "messages": done.messages, "lost": done.lost}))
    return 0
