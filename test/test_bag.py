"""bag: what is written comes back, whatever the storage; cut and damaged files; topics; frames in constant memory."""

import hashlib
import shutil
import tracemalloc
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcap.writer import CompressionType
from mcap.writer import Writer as McapWriter
from rosbags import rosbag2

from depth_perception.bag import TYPES, Bag, FrameReader, Topics, Writer, frames, guess_topics, messages
from depth_perception.bag.salvage import zstd
from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.geometry import pose

START = 1_700_000_000_000_000_000
PERIOD = 100_000_000
CAMERA = Calibration(np.array([[100.0, 0, 31], [0, 100, 23], [0, 0, 1]]), 64, 48, "optical")
T_BASE_LIDAR = pose.from_rotation_vector(np.zeros(3), np.array([1.0, 0.0, 1.8]))
T_LIDAR_OPTICAL = pose.from_quaternion(np.array([0.1, 0.2, -0.3]), np.array([-0.5, 0.5, -0.5, 0.5]))


def pixels(index: int) -> np.ndarray:
    return np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8)


def scan_at(stamp_ns: int) -> Scan:
    points = np.random.default_rng(stamp_ns % 2**32).normal(size=(20, 3)).astype(np.float32)
    return Scan(points, stamp_ns, intensity=np.arange(20, dtype=np.float32), frame_id="lidar")


def drive(count: int = 5, *, scan_offset_ns: int = -20_000_000):
    """(topic, message, stamp) of a small drive: static TF, then image, info and scan at 10 Hz, in the order of their stamps."""
    links = [("base_link", "lidar", T_BASE_LIDAR), ("lidar", "optical", T_LIDAR_OPTICAL)]
    yield "/tf_static", messages.transforms(links, stamp_ns=START), START
    rows = []
    for index in range(count):
        stamp = START + PERIOD * (index + 1)
        rows.append(("/cam/image_raw", messages.image(pixels(index), "rgb8", stamp_ns=stamp, frame_id="optical"), stamp))
        rows.append(("/cam/camera_info", messages.camera_info(CAMERA, stamp_ns=stamp), stamp))
        rows.append(("/points", messages.points(scan_at(stamp + scan_offset_ns)), stamp + scan_offset_ns))
    yield from sorted(rows, key=lambda row: row[2])


def write(path, rows=None, **options) -> Path:
    with Writer(path, **options) as bag:
        for topic, message, stamp in drive() if rows is None else rows:
            bag.write(topic, message, stamp)
    return path


def write_with_rosbags(path, *, mode: str, storage: str) -> Path:
    plugin = rosbag2.StoragePlugin.MCAP if storage == "mcap" else rosbag2.StoragePlugin.SQLITE3
    writer = rosbag2.Writer(path, version=9, storage_plugin=plugin)
    writer.set_compression(rosbag2.CompressionMode[mode], rosbag2.CompressionFormat.ZSTD)
    with writer:
        connections = {}
        for topic, message, stamp in drive():
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPES)
            writer.write(connections[topic], stamp, TYPES.serialize_cdr(message, message.__msgtype__))
    return path


def write_mcap(path, *, compression=CompressionType.NONE, chunk_size: int = 20_000, use_chunking: bool = True, rows=None) -> Path:
    """A bare mcap by the mcap library: its own chunks and compression."""
    with path.open("wb") as file:
        writer = McapWriter(file, chunk_size=chunk_size, compression=compression, use_chunking=use_chunking)
        writer.start(profile="ros2", library="test")
        channels = {}
        for topic, message, stamp in drive() if rows is None else rows:
            kind = message.__msgtype__
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", TYPES.generate_msgdef(kind, ros_version=2)[0].encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema)
            writer.add_message(channels[topic], stamp, bytes(TYPES.serialize_cdr(message, kind)), stamp)
        writer.finish()
    return path


def assert_is_the_drive(path, count: int = 5) -> None:
    reader = FrameReader(path)
    came = list(reader)
    assert len(came) == count
    for index, frame in enumerate(came):
        assert frame.stamp_ns == START + PERIOD * (index + 1)
        np.testing.assert_array_equal(frame.image, pixels(index))
        np.testing.assert_array_equal(frame.scan.points, scan_at(frame.stamp_ns - 20_000_000).points)
    np.testing.assert_allclose(frame.calibration.T_base_camera, T_BASE_LIDAR @ T_LIDAR_OPTICAL, atol=1e-12)
    np.testing.assert_allclose(frame.calibration.T_camera_lidar, pose.inverse(T_LIDAR_OPTICAL), atol=1e-12)
    assert not reader.skipped


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_round_trip(tmp_path, storage):
    path = write(tmp_path / "bag", storage=storage)
    assert_is_the_drive(path)
    assert_is_the_drive(next(path.glob("bag.*")))  # the bare file
    bag = Bag(path)
    assert bag.topics["/points"] == ("sensor_msgs/msg/PointCloud2", 5)
    assert (bag.start_ns, bag.end_ns, bag.skipped) == (START, START + 5 * PERIOD, [])


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_same_input_same_bytes(tmp_path, storage):
    def digest(path):
        return [(file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in sorted(path.iterdir())]

    assert digest(write(tmp_path / "a" / "one", storage=storage)) == digest(write(tmp_path / "b" / "another", storage=storage))


def test_nothing_is_left_of_a_bag_that_failed(tmp_path):
    def half():
        yield from list(drive())[:3]
        raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        write(tmp_path / "bag", half())
    assert list(tmp_path.iterdir()) == []
    write(tmp_path / "bag")
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]
    with pytest.raises(BadInput, match="exists already"):
        write(tmp_path / "bag")
    with pytest.raises(BadInput, match="storage"):
        Writer(tmp_path / "other", storage="tape")


@pytest.mark.parametrize(("storage", "mode"), [("mcap", "FILE"), ("mcap", "MESSAGE"), ("mcap", "STORAGE"), ("sqlite3", "FILE"),
                                               ("sqlite3", "MESSAGE")])
def test_rosbag2_compression(tmp_path, storage, mode):
    assert_is_the_drive(write_with_rosbags(tmp_path / "bag", mode=mode, storage=storage))


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("use_chunking", [True, False])
def test_mcap_chunk_compression(tmp_path, compression, use_chunking):
    assert_is_the_drive(write_mcap(tmp_path / "bag.mcap", compression=compression, use_chunking=use_chunking))


def test_lz4_file(tmp_path):
    path = write(tmp_path / "bag")
    file = path / "bag.mcap"
    (path / "bag.mcap.lz4").write_bytes(lz4.frame.compress(file.read_bytes()))
    file.unlink()
    assert_is_the_drive(path)


def test_split_files_without_metadata(tmp_path):
    rows = list(drive(12))
    folder = tmp_path / "bag"
    folder.mkdir()
    for part in range(12):  # part 10 comes after part 9, not after part 1
        written = write(tmp_path / f"part{part}", rows[part * 3 + (part > 0):part * 3 + 4])
        shutil.move(written / "bag.mcap", folder / f"bag_{part}.mcap")
    assert_is_the_drive(folder, 12)
    bag = Bag(folder)
    assert "metadata.yaml is missing" in bag.skipped[0]
    stamps = [stamp for _, _, stamp, _ in bag.messages()]
    assert stamps == sorted(stamps)
    assert len(stamps) == 37
    late = [stamp for _, _, stamp, _ in bag.messages(["/cam/image_raw"], start_ns=START + 11 * PERIOD)]
    assert late == [START + 11 * PERIOD, START + 12 * PERIOD]


def test_a_missing_split_file_is_said(tmp_path):
    path = write(tmp_path / "bag")
    (path / "metadata.yaml").write_text((path / "metadata.yaml").read_text().replace("- bag.mcap", "- bag.mcap\n  - bag_1.mcap"))
    bag = Bag(path)
    assert bag.skipped == ["bag_1.mcap: listed in metadata.yaml, but not there"]


@pytest.mark.parametrize("compression", list(CompressionType))
def test_a_cut_mcap_gives_what_is_whole(tmp_path, compression):
    whole = write_mcap(tmp_path / "whole.mcap", compression=compression)
    content, all_messages = whole.read_bytes(), list(Bag(whole).messages())
    counts = []
    for cut in [3, 8, 60, *np.linspace(100, len(content) - 1, 25).astype(int)]:
        path = tmp_path / "cut.mcap"
        path.write_bytes(content[:cut])
        try:
            bag = Bag(path)
        except BadInput as refused:
            assert str(path) in str(refused)
            counts.append(0)
            continue
        came = list(bag.messages())
        assert came == all_messages[:len(came)]
        assert sum(count for _, count in bag.topics.values()) == len(came)
        assert bag.skipped and "cut.mcap" in bag.skipped[0]
        counts.append(len(came))
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == len(all_messages)
    # Of a cut chunk, what could be decompressed counts: single messages without compression, its blocks otherwise.
    assert len(set(counts)) >= (8 if compression is CompressionType.NONE else 4)


def test_frames_of_a_cut_mcap(tmp_path):
    content = write_mcap(tmp_path / "whole.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(content[:len(content) // 2])
    reader = FrameReader(tmp_path / "cut.mcap")
    came = list(reader)
    assert 1 <= len(came) < 5
    np.testing.assert_array_equal(came[0].image, pixels(0))
    assert "cut at byte" in reader.report()[0]


def test_a_damaged_chunk_costs_only_itself(tmp_path):
    path = write_mcap(tmp_path / "bag.mcap", compression=CompressionType.ZSTD)
    whole = list(Bag(path).messages())
    content = bytearray(path.read_bytes())
    middle = content.index(zstd.compress(b"")[:4], len(content) // 4)
    content[middle + 40:middle + 400] = bytes(360)
    path.write_bytes(content)
    bag = Bag(path)
    came = list(bag.messages())
    assert set(came) < set(whole)
    assert came[-1] == whole[-1]
    assert any("damaged" in sentence for sentence in bag.skipped)


@pytest.fixture(scope="module")
def whole_mcap(tmp_path_factory) -> Path:
    return write_mcap(tmp_path_factory.mktemp("whole") / "bag.mcap", rows=list(drive(2)), compression=CompressionType.LZ4)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_damaged_mcap_never_raises_anything_else(tmp_path, whole_mcap, data):
    content = bytearray(whole_mcap.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.mcap"
    path.write_bytes(content)
    try:
        for frame in frames(path):
            assert frame.image.shape == (48, 64, 3)
    except BadInput as refused:
        assert str(refused)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=60), st.sampled_from(["sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"]))
def test_random_bytes_are_no_message(whole_mcap, raw, type_name):
    bag = Bag(whole_mcap)
    try:
        assert bag.decode(type_name, raw).__msgtype__ == type_name
    except BadInput as refused:
        assert type_name in str(refused)


def test_what_is_no_bag_is_said(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "none.mcap").write_bytes(b"")
    (tmp_path / "text.mcap").write_text("not a bag at all")
    (tmp_path / "text.db3").write_text("not a bag at all")
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    write(tmp_path / "silent", [])
    for name, said in (("missing", "nothing is there"), ("empty", "no .mcap or .db3"), ("none.mcap", "no message"), ("text.mcap", "mcap"),
                       ("text.db3", "text.db3"), ("old.bag", "ROS 1"), ("silent", "empty recording")):
        with pytest.raises(BadInput, match=said) as refused:
            Bag(tmp_path / name)
        assert str(tmp_path / name) in str(refused.value)


def test_a_type_that_only_the_bag_knows(tmp_path):
    path = tmp_path / "bag.mcap"
    with path.open("wb") as file:
        writer = McapWriter(file)
        writer.start(profile="ros2", library="test")
        speed = writer.register_channel("/speed", "cdr", writer.register_schema("car/msg/Speed", "ros2msg", b"float32 value\nstring unit"))
        text = writer.register_channel("/text", "cdr", writer.register_schema("std_msgs/msg/String", "ros2msg", b"uint32 data"))
        writer.add_message(speed, 1, b"\x00\x01\x00\x00" + np.float32(2.5).tobytes() + b"\x04\x00\x00\x00m/s\x00", 1)
        writer.add_message(text, 2, b"\x00\x01\x00\x00\x07\x00\x00\x00", 2)
        writer.finish()
    bag = Bag(path)
    first, second = (bag.decode(type_name, raw) for _, type_name, _, raw in bag.messages())
    assert (first.value, first.unit) == (2.5, "m/s")
    assert second.data == 7  # as the bag defines it, not as this release does
    with pytest.raises(BadInput, match="car/msg/Unknown is neither known nor defined"):
        bag.decode("car/msg/Unknown", b"")


def image_row(topic, *, encoding="rgb8", stamp=START):
    array = {"rgb8": np.zeros((48, 64, 3), np.uint8), "32FC1": np.ones((48, 64), np.float32)}[encoding]
    return topic, messages.image(array, encoding, stamp_ns=stamp, frame_id="optical"), stamp


def info_row(topic, stamp=START):
    return topic, messages.camera_info(CAMERA, stamp_ns=stamp), stamp


def test_topics_are_guessed(tmp_path):
    compressed = messages.compressed_image(b"", "jpeg", stamp_ns=START, frame_id="optical")
    rows = [image_row("/front/image"), image_row("/truth/image"), image_row("/depth/image", encoding="32FC1"),
            info_row("/truth/camera_info"), image_row("/depth_camera/image", encoding="32FC1"), info_row("/depth_camera/camera_info"),
            info_row("/front/camera_info"),
            ("/front/image/compressed", compressed, START), ("/bev/points", messages.points(scan_at(START)), START)]
    bag = Bag(write(tmp_path / "bag", rows))
    assert guess_topics(bag) == Topics("/front/image", "/front/camera_info", None)
    assert guess_topics(bag, image_topic="/front/image/compressed").camera_info == "/front/camera_info"
    assert guess_topics(bag, points_topic="/bev/points").points == "/bev/points"
    with pytest.raises(BadInput, match=r"--points-topic.*got /nowhere; there is /bev/points"):
        guess_topics(bag, points_topic="/nowhere")


def test_several_candidates_are_listed(tmp_path):
    rows = [image_row("/left/image"), image_row("/right/image"), ("/roof", messages.points(scan_at(START)), START),
            ("/bumper", messages.points(scan_at(START)), START), info_row("/a/camera_info"), info_row("/b/camera_info")]
    bag = Bag(write(tmp_path / "bag", rows))
    with pytest.raises(BadInput, match=r"several camera topics: /left/image, /right/image; say which with --image-topic"):
        guess_topics(bag)
    with pytest.raises(BadInput, match=r"/a/camera_info, /b/camera_info; say which with --info-topic"):
        guess_topics(bag, image_topic="/left/image")
    with pytest.raises(BadInput, match=r"/bumper, /roof; say which with --points-topic"):
        guess_topics(bag, image_topic="/left/image", info_topic="/a/camera_info")
    with pytest.raises(BadInput, match=r"no camera topic among /points \(sensor_msgs/msg/PointCloud2\)"):
        guess_topics(Bag(write(tmp_path / "blind", [("/points", messages.points(scan_at(START)), START)])))


def offsets_ms(path, **options):
    return [None if frame.scan is None else (frame.scan.stamp_ns - frame.stamp_ns) // 1_000_000 for frame in frames(path, **options)]


def test_pairing_while_driving_and_while_learning(tmp_path):
    before, after = write(tmp_path / "before"), write(tmp_path / "after", drive(scan_offset_ns=30_000_000))
    assert offsets_ms(before) == [-20] * 5
    assert offsets_ms(before, pairing="nearest") == [-20] * 5
    assert offsets_ms(after) == [None, -70, -70, -70, -70]
    assert offsets_ms(after, pairing="nearest") == [30] * 5
    assert offsets_ms(after, max_delay_ns=50_000_000) == [None] * 5
    assert offsets_ms(after, pairing="nearest", max_delay_ns=10_000_000) == [None] * 5
    with pytest.raises(BadInput, match="pairing"):
        FrameReader(before, pairing="best")


def test_nearest_does_not_wait_for_a_scan_that_never_comes(tmp_path):
    rows = [row for row in drive(40) if row[0] != "/points" or row[2] < START + 3 * PERIOD]
    assert offsets_ms(write(tmp_path / "bag", rows), pairing="nearest") == [-20, -20, -20, -120, *[None] * 36]


def test_the_info_may_come_after_its_image(tmp_path):
    rows = [row for row in drive() if row[0] != "/cam/camera_info"] + [info_row("/cam/camera_info", START + 9 * PERIOD)]
    assert len(list(frames(write(tmp_path / "bag", rows)))) == 5


def test_bad_messages_are_counted_and_the_rest_is_read(tmp_path):
    rows = list(drive(8))
    images = [index for index, row in enumerate(rows) if row[0] == "/cam/image_raw"]

    def swap(index, message):
        topic, _, stamp = rows[index]
        rows[index] = (topic, message, stamp)

    swap(images[1], messages.image(np.zeros((48, 64, 2), np.uint8), "8UC2", stamp_ns=rows[images[1]][2], frame_id="optical"))
    swap(images[2], messages.image(np.zeros((24, 64, 3), np.uint8), "rgb8", stamp_ns=rows[images[2]][2], frame_id="optical"))
    swap(images[3], messages.image(pixels(0), "rgb8", stamp_ns=rows[images[0]][2], frame_id="optical"))
    scans = [index for index, row in enumerate(rows) if row[0] == "/points"]
    swap(scans[4], messages.make("sensor_msgs/msg/PointCloud2", header=messages.header(rows[scans[4]][2], "lidar")))
    infos = [index for index, row in enumerate(rows) if row[0] == "/cam/camera_info"]
    swap(infos[5], messages.make("sensor_msgs/msg/CameraInfo"))
    reader = FrameReader(write(tmp_path / "bag", rows))
    assert [round((frame.stamp_ns - START) / PERIOD) for frame in reader] == [1, 5, 6, 7, 8]
    assert sum(reader.skipped.values()) == 5
    said = "\n".join(reader.report())
    for part in ("8UC2", "its camera info says 64x48, got 64x24", "not later than the one before", "wanted fields x, y, z, got none",
                 "got 0x0"):
        assert part in said
    assert len(list(reader)) == 5
    assert sum(reader.skipped.values()) == 5  # counted anew


def test_time_that_jumps_back_begins_again(tmp_path):
    rows = [*drive(15), *((topic, message, START + 16 * PERIOD + index) for index, (topic, message, _) in enumerate(drive(3)))]
    reader = FrameReader(write(tmp_path / "bag", rows))
    assert len(list(reader)) == 18
    assert list(reader.skipped.values()) == [1]
    assert "jumped back" in reader.report()[0]


def test_no_frame_at_all_is_bad_input(tmp_path):
    rows = [row for row in drive() if row[0] != "/cam/image_raw"]
    rows.append(("/cam/image_raw", messages.image(np.zeros((48, 64, 2), np.uint8), "8UC2", stamp_ns=START, frame_id="optical"), START))
    with pytest.raises(BadInput, match=r"no frame could be read from /cam/image_raw: .*8UC2"):
        list(frames(write(tmp_path / "bag", rows)))
    with pytest.raises(BadInput, match="give a calibration file"):
        frames(write(tmp_path / "blind", [row for row in drive() if row[0] != "/cam/camera_info"]))
    zero = messages.make("sensor_msgs/msg/CameraInfo")
    with pytest.raises(BadInput, match=r"/cam/camera_info: camera info: wanted the image's size"):
        frames(write(tmp_path / "zero", [row if row[0] != "/cam/camera_info" else (row[0], zero, row[2]) for row in drive()]))


def test_calibration_file_instead_of_the_bags_own(tmp_path):
    yaml = tmp_path / "car.yaml"
    yaml.write_text("width: 64\nheight: 48\nK: [90, 0, 31, 0, 90, 23, 0, 0, 1]\nD: [-0.2, 0, 0, 0, 0]\n")
    path = write(tmp_path / "bag", [row for row in drive() if row[0] != "/cam/camera_info"])
    reader = FrameReader(path, calibration=yaml)
    came = list(reader)
    assert came[0].calibration.K[0, 0] == 90
    assert came[0].calibration.T_camera_lidar is None
    assert not np.array_equal(came[0].image, pixels(0))  # rectified


def test_a_calibration_file_that_disagrees_with_the_bag_is_said(tmp_path):
    path, yaml = write(tmp_path / "bag"), tmp_path / "car.yaml"
    text = ("width: 64\nheight: 48\nK: [100, 0, 31, 0, 100, 23, 0, 0, 1]\ncamera_frame: optical\ntf:\n"
            "  - {parent: base_link, child: lidar, translation: [1, 0, 1.8], rotation: [0, 0, 0, 1]}\n"
            "  - {parent: lidar, child: optical, translation: [0.1, 0.2, -0.3], rotation: [-0.5, 0.5, -0.5, 0.5]}\n")
    yaml.write_text(text)
    assert FrameReader(path, calibration=yaml).disagreements == []
    yaml.write_text(text.replace("[0.1, 0.2, -0.3]", "[0.1, 0.2, -0.2]").replace("K: [100", "K: [110"))
    reader = FrameReader(path, calibration=yaml)
    K_differs, base, lidar = reader.report()
    assert "K: CameraInfo (fx 100.0" in K_differs
    assert "T_base_camera: TF and what was given differ by 10.0 cm and 0.00 degrees" in base
    assert "T_camera_lidar: TF and what was given differ by 10.0 cm" in lidar
    assert reader.disagreements == reader.report()
    assert next(iter(reader)).calibration.K[0, 0] == 110
    blind = write(tmp_path / "blind", [row for row in drive() if row[0] != "/cam/camera_info"])
    assert FrameReader(blind, calibration=yaml).report() == [base, lidar]
    yaml.write_text(text.replace("base_link", "chassis"))  # another body frame: nothing to compare
    assert FrameReader(path, calibration=yaml).disagreements == []


def test_a_camera_that_changes_its_size_in_flight(tmp_path):
    rows = list(drive(2))
    half = Calibration(np.array([[50.0, 0, 15], [0, 50, 11], [0, 0, 1]]), 32, 24, "optical")
    for index in range(3):
        stamp = START + PERIOD * (10 + index)
        rows.append(("/cam/camera_info", messages.camera_info(half if index < 2 else CAMERA, stamp_ns=stamp), stamp - 1))
        rows.append(("/cam/image_raw", messages.image(pixels(9)[:24, :32], "rgb8", stamp_ns=stamp, frame_id="optical"), stamp))
    reader = FrameReader(write(tmp_path / "bag", rows))
    assert [(frame.image.shape[1], frame.calibration.width, frame.calibration.K[0, 0]) for frame in reader] == [
        (64, 64, 100), (64, 64, 100), (32, 32, 50), (32, 32, 50)]
    assert list(reader.skipped) == ["/cam/image_raw: image: its camera info says 64x48, got 32x24"]


@pytest.mark.parametrize("pairing", ["latest", "nearest"])
def test_a_fixed_offset_makes_the_lidar_s_clock_the_camera_s(tmp_path, pairing):
    path = write(tmp_path / "bag", drive(scan_offset_ns=30_000_000))
    plain = [frame.scan for frame in FrameReader(path, pairing=pairing)]
    moved = [frame.scan for frame in FrameReader(path, pairing=pairing, scan_offset_s=-0.03)]
    stamps = [START + PERIOD * (index + 1) for index in range(5)]
    if pairing == "nearest":
        assert [scan.stamp_ns for scan in plain] == [stamp + 30_000_000 for stamp in stamps]
        assert [scan.stamp_ns for scan in moved] == stamps
        np.testing.assert_array_equal(moved[2].points, plain[2].points)
        half = FrameReader(write(tmp_path / "late", drive(scan_offset_ns=450_000_000)), pairing=pairing, scan_offset_s=-0.45)
        assert [frame.scan.stamp_ns for frame in half] == stamps
    else:  # while driving, a scan that arrives 30 ms after its image waits for the next one
        assert moved[0] is None
        assert [scan.stamp_ns for scan in moved[1:]] == stamps[:-1]
        assert [scan.stamp_ns for scan in plain[1:]] == [stamp + 30_000_000 for stamp in stamps[:-1]]
    with pytest.raises(BadInput, match="scan_offset_s: wanted seconds"):
        FrameReader(path, scan_offset_s=float("nan"))


def test_missing_transforms_are_none(tmp_path):
    frame = next(frames(write(tmp_path / "bag", [row for row in drive() if row[0] != "/tf_static"])))
    assert (frame.calibration.T_base_camera, frame.calibration.T_camera_lidar) == (None, None)
    np.testing.assert_array_equal(frame.image, pixels(0))


@pytest.mark.parametrize("pairing", ["latest", "nearest"])
def test_memory_does_not_grow_with_the_bag(tmp_path, pairing):
    def peak(count):
        reader = FrameReader(write(tmp_path / f"{count}", drive(count)), pairing=pairing)
        tracemalloc.start()
        read = sum(1 for _ in reader)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert read == count
        return most

    peak(3)  # what the first reading imports and caches
    assert peak(700) < peak(250) + 500_000  # 450 more images are 4.1 MB


def test_messages_of_every_builder_come_back(tmp_path):
    T = T_BASE_LIDAR @ T_LIDAR_OPTICAL
    rows = [("/odom", messages.odometry(T, stamp_ns=START, linear=(1, 2, 3), angular=(4, 5, 6), twist_covariance=np.eye(6)), START),
            ("/pose", messages.pose_stamped(T, stamp_ns=START, frame_id="map"), START), ("/text", messages.string("schön"), START),
            ("/imu", messages.imu(stamp_ns=START, frame_id="imu", angular_velocity=(0, 0, 1), linear_acceleration=(0, 0, 9.8)), START),
            ("/marker", messages.make("visualization_msgs/msg/MarkerArray"), START)]
    bag = Bag(write(tmp_path / "bag", rows))
    came = {topic: bag.decode(type_name, raw) for topic, type_name, _, raw in bag.messages()}
    odometry = came["/odom"]
    assert (odometry.header.frame_id, odometry.child_frame_id) == ("odom", "base_link")
    assert (odometry.twist.twist.linear.y, odometry.twist.covariance[7]) == (2, 1)
    q, p = odometry.pose.pose.orientation, odometry.pose.pose.position
    np.testing.assert_allclose(pose.from_quaternion(np.array([p.x, p.y, p.z]), np.array([q.x, q.y, q.z, q.w])), T, atol=1e-12)
    assert (came["/text"].data, came["/imu"].linear_acceleration.z, came["/imu"].orientation_covariance[0]) == ("schön", 9.8, -1)
    assert came["/marker"].markers == []
    with pytest.raises(BadInput, match="no field 'dat', it has data"):
        messages.make("std_msgs/msg/String", dat="x")
    with pytest.raises(BadInput, match="rgb8 wants 3 channels"):
        messages.image(np.zeros((4, 4), np.uint8), "rgb8", stamp_ns=0, frame_id="camera")


def test_real_drive(kitti_bag):
    reader = FrameReader(kitti_bag)
    came = 0
    for frame in reader:
        came += 1
        assert frame.image.shape == (375, 1242, 3)
        assert 100_000 < len(frame.scan.points) < 130_000
        assert -20_000_000 < frame.scan.stamp_ns - frame.stamp_ns < 0
    assert came == 51
    assert not reader.report()
    # The camera stands above and before the rear axle and looks ahead.
    np.testing.assert_allclose(frame.calibration.T_base_camera[:3, 2], [1, 0, 0], atol=0.02)
