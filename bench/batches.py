"""From a bag to training batches: our reader against the loop that a tutorial would write, and where a training step's time goes.

    python -m bench.batches [--bag BAG] [--rounds 3] [--epochs 100] [--train-steps 20] [--out out/bench]

The plain loop reads with rosbags, takes images and clouds from their bytes with numpy, resizes with cv2, projects the scan nearest in time,
and stacks; and so again in every epoch. Ours reads the bag once, keeps small images and the points inside each view, measures on the way
how the camera moved from image to image (which the plain loop does not: its batches hold less), and cuts batches out of memory from then
on. Both give the same images, neighbours, sparse depth and K, which is checked on every batch; both take turns, a round each. Of a noisy
machine the smallest time says the most.

An epoch: every window (previous, current, next image) once. Rows: `plain`, an epoch of the loop; `decode`, our frames alone; `read`, our
first pass, with decoding and motions; `cut`, an epoch out of memory; `augmented`, the same as training has it, randomly cropped, mirrored
and recoloured. `ratio`: how many times as long the plain loop takes in the first epoch, in later ones, and in all of --epochs; and after
how many epochs the first pass has paid off so far that ours are four times ahead altogether.

A training step's parts are those of `train depth --profile`.

JSON: --out/batches.json. The exit code is 1 when batches differ, or the ratio of later epochs is below 4.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from rosbags.rosbag2 import Reader
from rosbags.typesys import Stores, get_typestore
from torch import Tensor

from bench.image_size import image_size
from depth_perception.bag import FrameReader
from depth_perception.frame import BadInput, Calibration
from depth_perception.memory import keep_freed_memory
from depth_perception.samples import Batches, Drives, SampleConfig, held_out

WANTED = 4.0
HELD_OUT = 0.9  # these windows come in their order and as they are: what a plain loop gives
CONFIG = SampleConfig(max_points=10**9)  # a random choice of the points would be no parity
# Bilinear weights of fixed point differ by rounding; a return on the edge between two pixels falls into either.
MOST_GREY, LEAST_SAME_DEPTH = 3 / 255, 0.995
Batch = dict[str, Tensor]


# --- the tutorial ------------------------------------------------------------------------------------------------------------------------


def plain(bag: str, *, topics: tuple[str, str], calibration: Calibration, height: int, width: int, batch: int, windows: int
          ) -> Iterator[Batch]:
    """One epoch: the first so many windows, batch by batch. topics: of images and clouds."""
    images, clouds = [], []
    store = get_typestore(Stores.ROS2_JAZZY)
    lines = min(calibration.height, CONFIG.storage_height)
    storage = (round(calibration.width * lines / calibration.height), lines)
    with Reader(bag) as reader:
        connections = [connection for connection in reader.connections if connection.topic in topics]
        for connection, _, raw in reader.messages(connections):
            message: Any = store.deserialize_cdr(raw, connection.msgtype)
            stamp = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
            if connection.topic == topics[0]:
                image = message.data.reshape(message.height, message.width, 3)
                image = cv2.cvtColor(image, cv2.COLOR_BGR2RGB) if message.encoding == "bgr8" else image
                image = cv2.resize(image, storage, interpolation=cv2.INTER_AREA)
                images.append((stamp, cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)))
            else:
                layout = np.dtype({"names": ["x", "y", "z"], "formats": [np.float32] * 3, "itemsize": message.point_step,
                                   "offsets": [field.offset for name in "xyz" for field in message.fields if field.name == name]})
                cloud: Any = np.frombuffer(message.data, layout)
                clouds.append((stamp, np.stack([cloud["x"], cloud["y"], cloud["z"]], 1)))
    K = scaled(calibration.K, calibration.width, calibration.height, width, height)
    for first in range(1, windows + 1, batch):
        places = range(first, min(first + batch, windows + 1))
        depths = []
        for i in places:
            _, points = min(clouds, key=lambda cloud: abs(cloud[0] - images[i][0]))
            depths.append(sparse_depth(points[np.isfinite(points).all(1)], calibration.T_camera_lidar, K, height=height, width=width))
        stack = np.stack([np.stack([images[i][1], images[i - 1][1], images[i + 1][1]]) for i in places])
        seen = torch.from_numpy(stack.transpose(0, 1, 4, 2, 3).astype(np.float32) / 255)
        yield {"image": seen[:, 0], "neighbours": seen[:, 1:], "depth": torch.from_numpy(np.stack(depths)[:, None]),
               "K": torch.from_numpy(np.stack([K] * len(places)).astype(np.float32))}


def scaled(K: np.ndarray, from_width: int, from_height: int, width: int, height: int) -> np.ndarray:
    """K of a resized image; pixel centres at whole numbers."""
    out = np.array(K, np.float64)
    for row, ratio in ((0, width / from_width), (1, height / from_height)):
        out[row] *= ratio
        out[row, 2] = (K[row, 2] + 0.5) * ratio - 0.5
    return out


def sparse_depth(points: np.ndarray, T_camera_lidar: np.ndarray | None, K: np.ndarray, *, height: int, width: int) -> np.ndarray:
    """(N, 3) of a scan -> (height, width) float32 metres, the nearest in each pixel, NaN = none."""
    assert T_camera_lidar is not None
    points = points @ T_camera_lidar[:3, :3].T.astype(np.float32) + T_camera_lidar[:3, 3].astype(np.float32)
    points = points[points[:, 2] > 0.5]
    points = points[np.argsort(-points[:, 2])]
    u, v = np.rint((points[:, :2] / points[:, 2:]) * [K[0, 0], K[1, 1]] + [K[0, 2], K[1, 2]]).astype(int).T
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    out = np.full((height, width), np.nan, np.float32)
    out[v[inside], u[inside]] = points[inside, 2]
    return out


# --- the race ----------------------------------------------------------------------------------------------------------------------------


def differences(ours: Batch, theirs: Batch) -> dict[str, float]:
    """Between two batches: the largest of images (0..1) and K (pixels), and the share of depth pixels that are the same, NaN or metres."""
    a, b = ours["depth"], theirs["depth"]
    same = (torch.isnan(a) & torch.isnan(b)) | torch.isclose(a, b, rtol=1e-4)
    return {"image": float(max((ours[name] - theirs[name]).abs().max() for name in ("image", "neighbours"))),
            "K": float((ours["K"] - theirs["K"]).abs().max()), "same_depth": float(same.float().mean())}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """How long it takes: seconds by the clock and of all cores."""
    began, busy = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - busy


def race(bag: str, *, height: int, width: int, batch: int, rounds: int, epochs: int) -> dict[str, Any]:
    """{"results": a row for each part, "ratio", "differences"}; see above."""
    def read() -> Drives:
        drives = Drives(CONFIG, validate=HELD_OUT)
        drives.add(FrameReader(bag, pairing="nearest"), name=Path(bag).name)
        return drives

    reader = FrameReader(bag, pairing="nearest")
    topics = (reader.topics.image, reader.topics.points)
    def cut() -> Iterator[Batch]:
        return held_out(drives, height=height, width=width, most=windows, batch=batch)

    def looped() -> Iterator[Batch]:
        return plain(bag, topics=topics, calibration=reader.calibration, height=height, width=width, batch=batch, windows=windows)

    drives = read()
    windows = len(drives.held_out)
    if not windows:
        raise BadInput(f"--bag: wanted a longer drive, {bag} has {len(drives.windows)} windows")
    found = [differences(a, b) for a, b in zip(cut(), looped(), strict=True)]
    augmented = Batches(drives, height=height, width=width, batch=batch, seed=0)
    drives.windows = drives.held_out  # training's batches of the same windows
    seconds: dict[str, list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for name, work in {"plain": lambda: deque(looped(), maxlen=0), "read": read, "cut": lambda: deque(cut(), maxlen=0),
                           "augmented": lambda: [augmented(step, pairs=True) and None for step in range(len(found))],
                           "decode": lambda: deque(FrameReader(bag, pairing="nearest"), maxlen=0)}.items():
            seconds.setdefault(name, []).append(timed(work))
    least = {name: [min(each[k] for each in taken) for k in (0, 1)] for name, taken in seconds.items()}
    plain_s, read_s, cut_s = (least[name][0] for name in ("plain", "read", "cut"))
    row = {"windows": windows, "batches": len(found)}
    return {
        "results": [row | {"who": name, "epoch_s": round(wall, 4), "cpu_s": round(cpu, 4),
                           "ms_per_batch": round(wall / len(found) * 1e3, 2)}
                    for name, (wall, cpu) in least.items()],
        "ratio": {"first_epoch": round(plain_s / (read_s + cut_s), 2), "later_epochs": round(plain_s / cut_s, 2),
                  "later_epochs_augmented": round(plain_s / least["augmented"][0], 2),
                  f"{epochs}_epochs": round(epochs * plain_s / (read_s + epochs * cut_s), 2),
                  "epochs_until_4": int(np.ceil(WANTED * read_s / (plain_s - WANTED * cut_s))) if plain_s > WANTED * cut_s else None},
        "differences": {"image": max(each["image"] for each in found), "K": max(each["K"] for each in found),
                        "same_depth": min(each["same_depth"] for each in found)},
    }


def verdict(made: dict[str, Any]) -> dict[str, bool]:
    """What was wanted, and whether it held."""
    found = made["differences"]
    return {"the batches are the same": found["image"] <= MOST_GREY and found["K"] < 1e-3 and found["same_depth"] >= LEAST_SAME_DEPTH,
            f"at least {WANTED:g} times as fast once the bag is read": made["ratio"]["later_epochs"] >= WANTED}


def step_parts(bag: str, *, steps: int, batch: int) -> dict[str, Any]:
    """A training step's parts; see train.profile."""
    from depth_perception.train import profile
    from depth_perception.train.depth_config import Config

    return profile.profile([bag], config=Config(), batch=batch, steps=steps)


def main() -> int:
    """Runs, prints, writes the JSON. 0: everything that was wanted held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bag", help="default: a simulated drive, made under --out")
    parser.add_argument("--size", type=image_size, default="416x128", metavar="WxH")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=100, help="of a training, for the ratio altogether")
    parser.add_argument("--train-steps", type=int, default=20, help="0: leave the training step out")
    parser.add_argument("--out", default="out/bench")
    args = parser.parse_args()
    from bench.soak import simulated
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report.bench import machine

    keep_freed_memory()  # as training does
    out = Path(args.out)
    bag = args.bag or simulated(out)
    width, height = (int(side) for side in args.size.split("x"))
    made: dict[str, Any] = {"name": "batches", **machine(), "bag": Path(bag).name, "size": args.size, "batch": args.batch}
    made |= race(bag, height=height, width=width, batch=args.batch, rounds=args.rounds, epochs=args.epochs)
    made["verdict"] = verdict(made)
    print("who        s an epoch  of all cores  ms a batch")
    for row in made["results"]:
        print("{who:10s} {epoch_s:10.3f} {cpu_s:13.3f} {ms_per_batch:11.2f}".format(**row))
    print("plain / ours: " + ", ".join(f"{name} {value}" for name, value in made["ratio"].items()))
    if args.train_steps:
        made["training_step"] = parts = step_parts(bag, steps=args.train_steps, batch=args.batch)
        print(f"training step {parts['step_ms']:g} ms, its batch {parts['loader_ms']:g} ms by the loader: {parts['shares']}")
    write_atomically(out / "batches.json", as_json(made))
    for name, held in made["verdict"].items():
        print(f"{'held' if held else 'NOT HELD'}: {name}")
    print(f"written to {out / 'batches.json'}")
    return int(not all(made["verdict"].values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(f"batches: {error}", file=sys.stderr)
        sys.exit(2)
