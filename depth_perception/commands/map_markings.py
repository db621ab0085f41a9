"""`map-markings --bag BAG... --out MAP`: the first reference map, from drives down a street whose markings are good."""

from __future__ import annotations

import argparse

HELP = "a reference map of a street's markings, from good drives down it, for finding what is missing later"
EXAMPLE = "python -m depth_perception map-markings --bag morning evening --out map.geojson"
WRITES = {"out": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which drives, and where their masks, depth and poses come from."""
    from depth_perception.commands.evaluate import add_topic_arguments

    parser.add_argument("--bag", nargs="+", required=True, help="rosbag2 directories or .mcap files, all with poses in one frame")
    parser.add_argument("--out", required=True, metavar="MAP", help="GeoJSON file to write")
    add_source_arguments(parser)
    add_origin_argument(parser)
    parser.add_argument("--least-views", type=int, default=2, metavar="N", help="map only what N images saw (default 2)")
    add_topic_arguments(parser)


def add_source_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that say where masks, depth and poses of a bag come from."""
    parser.add_argument("--model", help="model of `train markings` (default: the shipped one)")
    parser.add_argument("--masks", metavar="TOPIC", help="masks of this topic (mono8 class ids, as /truth/markings) instead of a model's")
    parser.add_argument("--depth-model", metavar="DIR", help="model that sees what hides the road (default: the shipped student)")
    parser.add_argument("--depth", metavar="TOPIC", help="depth images of this topic (as /truth/depth) instead of a model's")
    parser.add_argument("--poses", metavar="NAME", help="topic of odometry or poses, or PARENT:CHILD of TF (default: its only one)")
    parser.add_argument("--frame", help="name of the frame that the poses are in, and the map will be (default: as they say)")


def add_origin_argument(parser: argparse.ArgumentParser) -> None:
    """The flag that places a local frame on Earth."""
    parser.add_argument("--origin", type=float, nargs=3, metavar=("LAT", "LON", "HEADING"),
                        help="where that frame's zero lies and where its x axis points (degrees; clockwise from north): write WGS84")


def sources(args: argparse.Namespace):  # type: ignore[no-untyped-def]
    """What `evaluation.marking_passes.passed` wants to know: sources and models."""
    from depth_perception import model as models
    from depth_perception.evaluation.marking_passes import Sources

    chosen = Sources(args.masks, args.depth, args.poses, args.frame)
    return {
        "sources": chosen,
        "markings_model": None if args.masks else models.load(args.model or models.shipped("markings")),
        "depth_model": None if args.depth else models.load(args.depth_model or models.shipped()),
    }


def run(args: argparse.Namespace) -> int:
    """Writes the map."""
    from pathlib import Path

    from depth_perception.commands.evaluate import reader_options
    from depth_perception.evaluation.marking_passes import passed
    from depth_perception.frame import BadInput
    from depth_perception.model import write_atomically
    from depth_perception.systems.marking_map import Config, MarkingMap
    from depth_perception.systems.reference_map import Origin, to_json

    options = sources(args)
    origin = Origin(*args.origin) if args.origin else None
    frames = {options["sources"].of(path)[1]: path for path in args.bag}
    if len(frames) > 1:
        said = ", ".join(f"those of {path} in {frame!r}" for frame, path in frames.items())
        raise BadInput(f"map-markings: wanted poses in one frame, got {said}; --frame names it where they are one")
    (frame,) = frames
    built = MarkingMap(Config(least_views=args.least_views))
    for number, path in enumerate(args.bag):
        if number:
            built.new_pass()
        before = built.images
        for _, seen, pose in passed(path, **options, **reader_options(args)):
            if pose is not None:
                built.add(seen, pose.T_map_base)
        print(f"{path}: {built.images - before} images mapped")
    references = built.references()
    if not references:
        raise BadInput(f"map-markings: {', '.join(args.bag)}: no marking was seen by {args.least_views} images or more with a pose")
    write_atomically(Path(args.out), to_json(frame, references, origin=origin, on_earth=origin is not None))
    print(f"{args.out}: {len(references)} markings")
    return 0
