"""`predict depth IMAGE...|DIR|BAG --out DIR`: depth files and pictures."""

from __future__ import annotations

import argparse

HELP = "depth of images, a folder of images, or a bag: NAME.npy in metres and a colour picture"
EXAMPLE = "python -m depth_perception predict depth photos/ --focal 721 --out out/depth"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The contract's flags."""
    from depth_perception.commands.evaluate import add_topic_arguments

    parser.add_argument("what", choices=["depth"])
    parser.add_argument("inputs", nargs="+", metavar="IMAGE|DIR|BAG")
    parser.add_argument("--out", required=True, help="folder for NAME.npy (float32, metres, NaN = none) and NAME.png")
    parser.add_argument("--model", help="model directory (default: the shipped student)")
    parser.add_argument(
        "--focal",
        type=float,
        help="focal length of plain images in pixels; without it the camera the network was trained for is assumed, and said",
    )
    add_topic_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Writes two files per image."""
    import io
    import sys
    from pathlib import Path

    import numpy as np
    from tqdm import tqdm

    from depth_perception import model as models
    from depth_perception.evaluation.offline import depth_system
    from depth_perception.frame import BadInput
    from depth_perception.report import pictures

    model = models.load(args.model or models.shipped())
    if args.focal is not None and not 0 < args.focal < 1e6:
        raise BadInput(f"--focal: wanted pixels, got {args.focal}")
    system = depth_system(model)
    out = Path(args.out)
    written: set[str] = set()
    drive = None
    for name, frame, source in tqdm(_frames(args, model), unit="image", disable=not sys.stderr.isatty()):
        # Images of a bag follow one another and share a scale; plain images do not.
        if source != drive:
            system.reset()
            drive = source
        files = [out / f"{name}.npy", out / f"{name}.png"]
        if name in written or source.resolve() in {file.resolve() for file in files}:
            raise BadInput(f"{source}: its result would overwrite {'an earlier one' if name in written else 'the image itself'} in {out}")
        depth = system.step(frame).depth
        buffer = io.BytesIO()
        np.save(buffer, depth)
        models.write_atomically(files[0], buffer.getvalue())
        pictures.save(files[1], pictures.colour_depth(depth))
        written.add(name)
    print(f"{len(written)} depth images in {out}")
    return 0


def _frames(args, model):  # type: ignore[no-untyped-def]
    """(name, Frame, where from) of every input: the stem of an image, the stamp in nanoseconds of a bag's frame."""
    import sys
    from pathlib import Path

    import cv2
    import numpy as np

    from depth_perception import bag
    from depth_perception.commands.evaluate import reader_options
    from depth_perception.frame import BadInput, Calibration, Frame

    suffixes = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".ppm", ".webp"}
    for given in args.inputs:
        path = Path(given)
        if not path.exists():
            raise BadInput(f"{path}: wanted an image, a folder or a bag, there is nothing")
        files = (
            [path]
            if path.suffix.lower() in suffixes
            else sorted(f for f in path.iterdir() if f.suffix.lower() in suffixes)
            if path.is_dir()
            else []
        )
        if not files:
            reader = bag.FrameReader(path, pairing="latest", **reader_options(args))
            for frame in reader:
                yield str(frame.stamp_ns), frame, path
            for sentence in reader.report():
                print(f"{path}: skipped {sentence}", file=sys.stderr)
            continue
        if args.focal is None:
            print(f"{path}: no --focal: metres hold for a camera like the one in training", file=sys.stderr)
        for file in files:
            image = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if image is None:
                raise BadInput(f"{file}: is no image that OpenCV can read")
            height, width = image.shape[:2]
            focal = args.focal or model.canonical_focal_px * height / model.height
            K = np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])
            yield file.stem, Frame(image[..., ::-1], 0, Calibration(K, width, height)), file
