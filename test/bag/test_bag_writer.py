"""Bags that are written where they will stay, topics that say how they are offered, and types that only their definition tells."""

import pytest
from rosbags import rosbag2
from rosbags.interfaces import QosDurability, QosReliability

from depth_perception.bag import TYPES, Bag, Writer, messages
from depth_perception.frame import BadInput

THING = "nowhere_msgs/msg/Thing"
DEFINITION = f"std_msgs/Header header\nint32 number\n{'=' * 80}\nMSG: std_msgs/Header\nbuiltin_interfaces/Time stamp\nstring frame_id\n" + (
    f"{'=' * 80}\nMSG: builtin_interfaces/Time\nint32 sec\nuint32 nanosec\n"
)
CDR = bytes.fromhex("00010000" "05000000" "06000000" "02000000" "6100" "0000" "2a000000")


def write(path, **options) -> None:
    with Writer(path, **options) as bag:
        bag.add_topic("/thing", THING, definition=DEFINITION, reliable=False)
        bag.add_topic("/map", "std_msgs/msg/String", latched=True)
        bag.write("/map", messages.string("here"), 1)
        bag.write_raw("/thing", THING, CDR, 2)


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_unknown_types_and_offers_come_back(tmp_path, storage, in_place):
    write(tmp_path / "bag", storage=storage, in_place=in_place)
    bag = Bag(tmp_path / "bag")
    assert bag.topics == {"/map": ("std_msgs/msg/String", 1), "/thing": (THING, 1)}
    assert bag.latched == {"/map"}
    (raw,) = [raw for *_, raw in bag.messages(["/thing"])]
    thing = bag.decode(THING, raw)
    assert (thing.header.stamp.sec, thing.header.stamp.nanosec, thing.header.frame_id, thing.number) == (5, 6, "a", 42)
    with rosbag2.Reader(tmp_path / "bag") as reader:
        offers = {connection.topic: connection.ext.offered_qos_profiles[0] for connection in reader.connections}
    assert (offers["/map"].durability, offers["/map"].reliability) == (QosDurability.TRANSIENT_LOCAL, QosReliability.RELIABLE)
    assert (offers["/thing"].durability, offers["/thing"].reliability) == (QosDurability.VOLATILE, QosReliability.BEST_EFFORT)
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]


def test_a_definition_gives_the_hash_that_ros_gives():
    """Written out, a definition known to ROS hashes to its own."""
    from depth_perception.bag.writer import _type_hash

    text, _ = TYPES.generate_msgdef("sensor_msgs/msg/PointCloud2", ros_version=2)
    assert _type_hash("sensor_msgs/msg/PointCloud2", text) == TYPES.hash_rihs01("sensor_msgs/msg/PointCloud2")


def test_in_place_leaves_what_was_flushed_after_an_exception(tmp_path):
    with pytest.raises(RuntimeError), Writer(tmp_path / "bag", in_place=True) as bag:
        bag.add_topic("/map", "std_msgs/msg/String", latched=True)
        bag.write("/map", messages.string("here"), 1)
        bag.flush()
        bag.write("/map", messages.string("there"), 2)
        raise RuntimeError
    bag = Bag(tmp_path / "bag")
    assert [bag.decode(kind, raw).data for _, kind, _, raw in bag.messages()] == ["here"]
    assert bag.latched == {"/map"}


def test_doors(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(BadInput, match="file/bag: a bag cannot be written there"), Writer(tmp_path / "file" / "bag", in_place=True):
        pass
    with Writer(tmp_path / "bag") as bag:
        with pytest.raises(BadInput, match="/thing: message type nowhere_msgs/msg/Thing is not known"):
            bag.add_topic("/thing", THING)
        with pytest.raises(BadInput, match="nowhere_msgs/msg/Thing: its definition cannot be read"):
            bag.add_topic("/thing", THING, definition="this is no definition\n")
        bag.write("/map", messages.string("here"), 1)
