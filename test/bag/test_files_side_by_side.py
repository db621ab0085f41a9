"""Bag over files that were recorded side by side: one order of log time, and no more files open than overlap."""

from pathlib import Path

import numpy as np
import pytest

from depth_perception.bag import Bag, FrameReader, Writer, messages, reader
from depth_perception.frame import Calibration, Scan
from depth_perception.geometry import pose

TENTH = 100_000_000
CAMERA = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "optical")
POINTS = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)


def write(folder: Path, name: str, rows, *, storage: str = "mcap") -> Path:
    """(topic, message, log time) rows as one more storage file of a directory."""
    apart = folder.parent / f"{folder.name}_{name}"
    with Writer(apart, storage=storage) as bag:
        for topic, message, log_ns in rows:
            bag.write(topic, message, log_ns)
    folder.mkdir(exist_ok=True)
    file = next(file for file in apart.iterdir() if file.suffix in (".mcap", ".db3"))
    return file.rename(folder / f"{name}{file.suffix}")


def camera(count: int):
    for i in range(1, count + 1):
        yield "/image", messages.image(np.zeros((48, 64, 3), np.uint8), "rgb8", stamp_ns=i * TENTH, frame_id="optical"), i * TENTH
        yield "/camera_info", messages.camera_info(CAMERA, stamp_ns=i * TENTH), i * TENTH


def lidar(count: int):
    yield "/tf_static", messages.transforms([("lidar", "optical", pose.from_rotation_vector(np.zeros(3), np.zeros(3)))], stamp_ns=0), 0
    for i in range(1, count + 1):
        yield "/points", messages.points(Scan(POINTS, i * TENTH - 10**7, frame_id="lidar")), i * TENTH - 10**7


def texts(words: str, log_ns):
    return [("/text", messages.string(word), each) for word, each in zip(words, log_ns, strict=True)]


def read(bag: Bag, **options) -> str:
    return "".join(bag.decode(type_name, raw).data for _, type_name, _, raw in bag.messages(**options))


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_camera_and_lidar_recorded_apart_are_one_drive(tmp_path, storage):
    write(tmp_path / "bag", "camera", camera(60), storage=storage)
    write(tmp_path / "bag", "lidar", lidar(60), storage=storage)
    times = [log_ns for _, _, log_ns, _ in Bag(tmp_path / "bag").messages()]
    assert times == sorted(times) and len(times) == 181
    for pairing in ("nearest", "latest"):
        frames = list(FrameReader(tmp_path / "bag", pairing=pairing))
        assert [frame.stamp_ns - frame.scan.stamp_ns for frame in frames if frame.scan] == [10**7] * 60


def test_files_one_after_the_other_are_played_as_they_are(tmp_path):
    write(tmp_path / "bag", "b_1", texts("abc", [1, 2, 4]))
    write(tmp_path / "bag", "b_2", texts("def", [4, 4, 7]))
    write(tmp_path / "bag", "b_10", texts("gh", [7, 9]))
    bag = Bag(tmp_path / "bag")
    assert read(bag) == "abcdefgh" and read(bag, start_ns=4) == "cdefgh" and read(bag, start_ns=8) == "h"


def test_one_file_within_another_and_equal_moments(tmp_path):
    write(tmp_path / "bag", "a", texts("adfi", [1, 4, 6, 9]))
    write(tmp_path / "bag", "b", texts("bceg", [2, 3, 5, 6]))
    write(tmp_path / "bag", "c", texts("hj", [8, 10]))
    assert read(Bag(tmp_path / "bag")) == "abcdefghij" and read(Bag(tmp_path / "bag"), start_ns=6) == "fghij"


def test_no_more_files_are_open_than_overlap(tmp_path, monkeypatch):
    """Splits whose ends cross by one message, as recorders with several writers leave them."""
    for part in range(6):
        write(tmp_path / "bag", f"b_{part}", texts("....", [10 * part, 10 * part + 3, 10 * part + 7, 10 * part + 11]))
    opened, most = set(), [0]
    honest = reader._File.messages

    def counted(self, topics, start_ns):
        opened.add(self.path)
        most[0] = max(most[0], len(opened))
        try:
            yield from honest(self, topics, start_ns)
        finally:
            opened.discard(self.path)

    monkeypatch.setattr(reader._File, "messages", counted)
    bag = Bag(tmp_path / "bag")
    times = [log_ns for _, _, log_ns, _ in bag.messages()]
    assert times == sorted(times) and len(times) == 24 and most == [2] and not opened
    for _ in bag.messages():
        break
    assert not opened, "who stops early leaves none open"
