"""`predict {depth,objects,markings} IMAGE...|DIR|BAG --out DIR`: what a model says of images, as files and pictures."""

from __future__ import annotations

import argparse

HELP = "depth, objects or road markings of images, a folder of images, or a bag: as numbers, and as pictures"
EXAMPLE = "python -m depth_perception predict depth photos/ --focal 721 --out out/depth"
WRITES = {"out": "directory"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's flags."""
    from depth_perception.commands.evaluate import add_topic_arguments

    parser.add_argument("what", choices=["depth", "objects", "markings"])
    parser.add_argument("inputs", nargs="+", metavar="IMAGE|DIR|BAG")
    parser.add_argument("--out", required=True, help="folder for NAME.npy (depth: float32, metres, NaN = none) or NAME.json (objects), "
                        "and NAME.png; markings: NAME.png (class ids), NAME_overlay.png and NAME.json")
    parser.add_argument("--model", help="model directory (default: the shipped one)")
    parser.add_argument("--modality", choices=["auto", "both", "image", "cloud"], help="objects: what to find them in (default: auto)")
    parser.add_argument(
        "--focal",
        type=float,
        help="focal length of plain images in pixels; without it the camera the network was trained for is assumed, and said",
    )
    parser.add_argument("--map", metavar="MAP", help="markings of bags: judge them by this reference map, into OUT/defects.geojson")
    parser.add_argument("--depth-model", metavar="DIR", help="--map: model that sees what hides the road (default: the shipped student)")
    parser.add_argument("--poses", metavar="NAME", help="--map: topic of poses, or PARENT:CHILD of TF (default: the only one there is)")
    parser.add_argument("--frame", help="--map: name of the frame that the poses are in (default: as they say)")
    parser.add_argument("--compare", metavar="MODULE:FUNCTION", help="--map: what compares a marking with the map's (default: areas)")
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes two files per image."""
    from depth_perception import model as models
    from depth_perception.frame import BadInput

    if args.focal is not None and not 0 < args.focal < 1e6:
        raise BadInput(f"--focal: wanted pixels, got {args.focal}")
    if args.map and args.what != "markings":
        raise BadInput(f"--map: `predict markings` takes it, `predict {args.what}` does not")
    if args.what == "objects":
        return _objects(args, models.load(args.model or models.shipped("objects")))
    if args.what == "markings" and not args.modality:
        return _markings(args, models.load(args.model or models.shipped("markings")))
    if args.modality:
        raise BadInput(f"--modality: `predict objects` takes it, `predict {args.what}` does not")
    return _depth(args, models.load(args.model or models.shipped()))


def _depth(args, model):  # type: ignore[no-untyped-def]
    """Two files per image."""
    import io

    import numpy as np

    from depth_perception import model as models
    from depth_perception.evaluation.offline import depth_system
    from depth_perception.report import pictures

    system = depth_system(model)
    count = 0
    for files, frame, is_first in _taken(args, model, (".npy", ".png")):
        if is_first:
            system.reset()
        depth = system.step(frame).depth
        buffer = io.BytesIO()
        np.save(buffer, depth)
        models.write_atomically(files[0], buffer.getvalue())
        pictures.save(files[1], pictures.colour_depth(depth))
        count += 1
    print(f"{count} depth images in {args.out}")
    return 0


def _objects(args, model):  # type: ignore[no-untyped-def]
    """Three files per image that the model has an answer to; the others are counted, each reason said once."""
    import re
    import sys
    from collections import Counter

    from depth_perception.evaluation.objects_offline import objects_system
    from depth_perception.frame import BadInput
    from depth_perception.report import predicted_objects
    from depth_perception.systems.objects import Config

    system = objects_system(model, config=Config(modality=args.modality or "auto"))
    found: Counter[str] = Counter()
    count, refused = 0, 0
    reasons: dict[str, str] = {}  # without their numbers, for the age of a scan is no new reason -> the first one, as it was said
    for files, frame, is_first in _taken(args, model, predicted_objects.SUFFIXES):
        if is_first:
            system.reset()
        try:
            output = system.step(frame)
        except BadInput as reason:
            refused += 1
            if (kind := re.sub(r"[\d.]+", "", str(reason))) not in reasons:
                reasons[kind] = str(reason)
                print(f"{files[0].stem}: left out: {reason}", file=sys.stderr)
            continue
        for sentence in output.said:
            print(f"{files[0].stem}: {sentence}", file=sys.stderr)
        predicted_objects.write(files, frame, output)
        found.update(box.label for box in output.boxes)
        count += 1
    if refused and not count:
        raise BadInput(f"predict objects: none of {refused} images has an answer: {'; '.join(reasons.values())}")
    left_out = f"; {refused} left out" if refused else ""
    print(f"objects of {count} images in {args.out}: {', '.join(f'{n} {label}' for label, n in found.most_common()) or 'none'}{left_out}")
    return 0


def _markings(args, model):  # type: ignore[no-untyped-def]
    """Three files per image; with a map, what is missing."""
    from depth_perception import model as models
    from depth_perception.commands.evaluate import reader_options
    from depth_perception.evaluation import marking_passes
    from depth_perception.report import markings as pictures
    from depth_perception.systems import reference_map
    from depth_perception.systems.marking_verdicts import compare_named

    known = reference_map.read(args.map) if args.map else None
    sources = marking_passes.Sources(poses=args.poses, frame=args.frame)
    compare = compare_named(args.compare) if args.compare else None
    options = {}
    if known is not None:  # what cannot be judged is told before anything is written
        marking_passes.check(args.inputs, known, sources, **reader_options(args))
        options = {"depth_model": models.load(args.depth_model or models.shipped()), "markings_model": model, **reader_options(args)}
    system = marking_passes.markings_system(model)
    count = 0
    for files, frame, _ in _taken(args, model, (".png", "_overlay.png", ".json")):
        output = system.step(frame)
        pictures.save(files[0], output.mask)
        pictures.save(files[1], pictures.over_image(frame.image, output))
        models.write_atomically(files[2], models.as_json(marking_passes.as_numbers(output)))
        count += 1
    print(f"markings of {count} images in {args.out}")
    if known is not None:
        from pathlib import Path

        judged = marking_passes.judged(args.inputs, known, sources=sources, compare=compare, **options)
        models.write_atomically(Path(args.out) / "defects.geojson", judged.geojson)
        pictures.save(Path(args.out) / "defects.png", pictures.verdict_map(known.references, judged.verdicts))
        print(judged.summary)
    return 0


def _taken(args, model, suffixes):  # type: ignore[no-untyped-def]
    """(files to write, Frame, whether a drive begins with it) of every input; BadInput before anything is overwritten.

    Images of a bag follow one another and share a scale; plain images do not.
    """
    import sys
    from pathlib import Path

    from tqdm import tqdm

    from depth_perception.frame import BadInput

    out = Path(args.out)
    written: set[str] = set()
    drive = None
    for name, frame, source in tqdm(_frames(args, model), unit="image", disable=not sys.stderr.isatty()):
        files = [out / f"{name}{suffix}" for suffix in suffixes]
        if name in written or source.resolve() in {file.resolve() for file in files}:
            raise BadInput(f"{source}: its result would overwrite {'an earlier one' if name in written else 'the image itself'} in {out}")
        yield files, frame, source != drive
        drive = source
        written.add(name)


def _frames(args, model):  # type: ignore[no-untyped-def]
    """(name, Frame, where from) of every input: the stem of an image, the stamp in nanoseconds of a bag's frame."""
    import sys
    from pathlib import Path

    import cv2
    import numpy as np

    from depth_perception import bag
    from depth_perception.commands.evaluate import reader_options
    from depth_perception.frame import BadInput, Calibration, Frame
    from depth_perception.systems.markings_input import HORIZON
    from depth_perception.train.marked import calibration_of, uncalibrated

    def assumed(image: np.ndarray) -> Calibration:
        height, width = image.shape[:2]
        focal = args.focal or model.canonical_focal_px * height / model.height
        # Markings are learned and scored with the horizon there when nobody knows it.
        middle = HORIZON * height if args.what == "markings" else (height - 1) / 2
        return Calibration(np.array([[focal, 0, (width - 1) / 2], [0, focal, middle], [0, 0, 1]]), width, height)

    suffixes = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".webp"}
    for given in args.inputs:
        path = Path(given)
        if not path.exists():
            raise BadInput(f"{path}: wanted an image, a folder or a bag, there is nothing")
        files = (
            [path]
            if path.suffix.lower() in suffixes
            else sorted(f for f in (path / "images" if (path / "images").is_dir() else path).iterdir() if f.suffix.lower() in suffixes)
            if path.is_dir()
            else []
        )
        if not files:
            options = reader_options(args)
            try:
                reader = bag.FrameReader(path, pairing="latest", **options)
            except BadInput:
                if args.what != "markings" or options.get("calibration"):
                    raise
                # A camera at the roadside has no CameraInfo, and its roads are looked at as they are learned.
                for each, stamp_ns in uncalibrated(path, options.get("image_topic")):
                    yield str(stamp_ns), Frame(each.image, stamp_ns, assumed(each.image)), path
                continue
            for frame in reader:
                yield str(frame.stamp_ns), frame, path
            for sentence in reader.report():
                print(f"{path}: skipped {sentence}", file=sys.stderr)
            continue
        homes = [path, path.parent] if path.name == "images" else [path]
        known = next(filter(None, map(calibration_of, homes)), None) if path.is_dir() and args.what == "markings" else None
        if known is not None and args.focal is not None:
            raise BadInput(f"--focal: {path} has a calibration.yaml that says it")
        if args.focal is None and known is None:
            print(f"{path}: no --focal: metres hold for a camera like the one in training", file=sys.stderr)
        for file in files:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                raise BadInput(f"{file}: is no image that OpenCV can read")
            if known is not None and image.shape[:2] != (known.height, known.width):
                raise BadInput(f"{file}: is {image.shape[1]}x{image.shape[0]}, calibration.yaml says {known.width}x{known.height}")
            yield file.stem, Frame(image[..., ::-1], 0, known or assumed(image)), file
