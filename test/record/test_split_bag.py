"""Files that end by size or time, each with calibration and static transforms of its own; and the oldest go when asked."""

import numpy as np
import pytest
import yaml
from rosbags import rosbag2
from rosbags.interfaces import QosDurability, QosReliability

from depth_perception.bag import TYPES, Bag, messages
from depth_perception.bag.writer import definition_of, type_hash
from depth_perception.frame import BadInput
from depth_perception.record import metadata
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel
from depth_perception.record.split_bag import SplitBag, Splits

SECOND = 10**9
INFO, TF, STRING = "sensor_msgs/msg/CameraInfo", "tf2_msgs/msg/TFMessage", "std_msgs/msg/String"
DEFINITION = f"std_msgs/Header header\nint32 number\n{'=' * 80}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" + (
    f"{'=' * 80}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)
CDR = bytes.fromhex("00010000" "05000000" "06000000" "02000000" "6100" "0000" "2a000000")


def channel(topic, type_name, *, reliable=True, latched=False, definition=None):
    text = definition or TYPES.generate_msgdef(type_name, ros_version=2)[0]
    return Channel(topic, type_name, text, metadata.as_yaml([metadata.profile(reliable=reliable, latched=latched)]))


def cdr(message):
    return bytes(TYPES.serialize_cdr(message, message.__msgtype__))


WORD = channel("/word", STRING)
STATIC = channel("/tf_static", TF, latched=True)
CAMERA = channel("/camera_info", INFO)
STANDS = [cdr(messages.transforms([("base", child, np.eye(4))], stamp_ns=1)) for child in ("camera", "lidar")]
INFOS = [cdr(messages.make(INFO, width=i)) for i in range(3)]


def word(i):
    return cdr(messages.string(f"word {i:05d}" + "x" * 500))


def stamps(path, topics=None):
    return [log_ns for *_, log_ns, _ in Bag(path).messages(topics)]


def test_each_file_stands_alone(tmp_path):
    bag = SplitBag(tmp_path / "bag", kept=Kept(), splits=Splits(seconds=2.0))
    for stand in STANDS:
        bag.write(STATIC, stand, 0, latched=True)
    for i in range(6):
        if i < 3:
            bag.write(CAMERA, INFOS[i], i * SECOND)
        bag.write(WORD, word(i), i * SECOND + 1)
    bag.close({"/word": "written 6"})
    files = sorted((tmp_path / "bag").glob("*.mcap"))
    assert [file.name for file in files] == ["bag_0.mcap", "bag_1.mcap", "bag_2.mcap"]
    for i, file in enumerate(files):
        part = Bag(file)
        assert [bytes(raw) for *_, raw in part.messages(["/tf_static"])] == STANDS
        assert [bytes(raw) for *_, raw in part.messages(["/camera_info"])] == [[INFOS[0], INFOS[1]], [INFOS[1], INFOS[2]], [INFOS[2]]][i]
        assert stamps(file, ["/word"]) == [2 * i * SECOND + 1, (2 * i + 1) * SECOND + 1]
        assert part.latched == {"/tf_static"}
        assert part.start_ns >= 2 * i * SECOND
    whole = Bag(tmp_path / "bag")
    assert whole.skipped == []
    assert [bytes(raw) for *_, raw in whole.messages(["/word"])] == [word(i) for i in range(6)]
    with rosbag2.Reader(tmp_path / "bag") as reader:  # by metadata.yaml
        assert reader.message_count == 6 + 3 * 2 + 3 + 2
        assert reader.duration == 5 * SECOND + 2
    values = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert values["custom_data"] == {"/word": "written 6"}
    assert [row["message_count"] for row in values["files"]] == [6, 6, 5]


def test_files_end_before_they_are_too_long_and_the_oldest_go(tmp_path):
    bag = SplitBag(tmp_path / "bag", kept=Kept(), splits=Splits(bytes=50_000, keep_bytes=200_000))
    bag.write(STATIC, STANDS[0], 0, latched=True)
    for i in range(2000):
        bag.write(WORD, word(i), i + 1)
        assert bag.size <= 200_000 + 50_000
    bag.close()
    sizes = [file.stat().st_size for file in (tmp_path / "bag").glob("*.mcap")]
    assert bag.forgotten > 10
    assert sum(sizes) <= 250_000
    words = [bytes(raw) for *_, raw in Bag(tmp_path / "bag").messages(["/word"])]
    assert words == [word(i) for i in range(2000 - len(words), 2000)], "the last ones, without a hole"
    assert len(words) * 540 > 120_000
    assert Bag(tmp_path / "bag").topics["/tf_static"][1] == len(sizes)
    assert Bag(tmp_path / "bag").skipped == []


def test_too_little_room_costs_old_files_first(tmp_path, monkeypatch):
    bag = SplitBag(tmp_path / "bag", kept=Kept(), splits=Splits(bytes=3000, keep_bytes=10**9, floor_bytes=1000))
    room = [900, 900, 2000]
    monkeypatch.setattr(SplitBag, "free", lambda bag: room.pop(0) if len(room) > 1 else room[0])
    for i in range(10):
        bag.write(WORD, word(i), i)
    assert bag.forgotten == 2
    bag.close()
    assert stamps(tmp_path / "bag") == list(range(8, 10))


def test_unknown_types_and_offers_come_back(tmp_path):
    thing = channel("/thing", "nowhere_msgs/msg/Thing", definition=DEFINITION, reliable=False)
    bag = SplitBag(tmp_path / "bag", kept=Kept())
    bag.write(STATIC, STANDS[0], 1, latched=True)
    bag.write(thing, CDR, 2)
    bag.close()
    read = Bag(tmp_path / "bag")
    (raw,) = [raw for *_, raw in read.messages(["/thing"])]
    decoded = read.decode("nowhere_msgs/msg/Thing", raw)
    assert (decoded.header.stamp.sec, decoded.header.stamp.nanosec, decoded.header.frame_id, decoded.number) == (5, 6, "a", 42)
    with rosbag2.Reader(tmp_path / "bag") as reader:
        offers = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
        hashes = {connection.topic: connection.digest for connection in reader.connections}
    assert (offers["/tf_static"].durability, offers["/tf_static"].reliability) == (QosDurability.TRANSIENT_LOCAL, QosReliability.RELIABLE)
    assert (offers["/thing"].durability, offers["/thing"].reliability) == (QosDurability.VOLATILE, QosReliability.BEST_EFFORT)
    assert hashes == {"/tf_static": TYPES.hash_rihs01(TF), "/thing": type_hash("nowhere_msgs/msg/Thing", DEFINITION)}


def test_what_is_kept_is_the_last_calibration_and_every_latched_message_once():
    kept = Kept()
    for stand in (*STANDS, STANDS[0]):
        kept.see(STATIC, stand, latched=True)
    for info in INFOS:
        kept.see(CAMERA, info, latched=False)
    kept.see(WORD, word(1), latched=False)
    assert list(kept) == [(STATIC, STANDS[1]), (STATIC, STANDS[0]), (CAMERA, INFOS[2])]
    for i in range(9):
        kept.see(channel("/map", STRING, latched=True), b"map %d" % i, latched=True)
    assert [said for each, said in kept if each.topic == "/map"] == [b"map 8"], "an old map is no map"
    for i in range(150):
        kept.see(STATIC, b"%d" % i, latched=True)
    assert [cdr for each, cdr in kept if each == STATIC] == [b"%d" % i for i in range(50, 150)]


def test_a_definition_that_cannot_be_read_is_refused():
    with pytest.raises(BadInput, match="/thing: message type nowhere_msgs/msg/Thing is not known"):
        definition_of("/thing", "nowhere_msgs/msg/Thing")
    with pytest.raises(BadInput, match="nowhere_msgs/msg/Thing: its definition cannot be read"):
        definition_of("/thing", "nowhere_msgs/msg/Thing", "this is no definition\n")


def test_nothing_is_written_over_another_bag(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInput, match="there: exists already, and a bag is never written over another"):
        SplitBag(tmp_path / "there", kept=Kept())
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"file/bag: a bag cannot be written there \(Not a directory\)"):
        SplitBag(tmp_path / "file" / "bag", kept=Kept())
