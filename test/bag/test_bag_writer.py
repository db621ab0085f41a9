"""Bags of messages that we make: types that ROS knows, and a hash that is ROS's own."""

import pytest

from depth_perception.bag import TYPES, Bag, Writer, messages
from depth_perception.bag.writer import type_hash
from depth_perception.frame import BadInput


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
def test_what_is_written_comes_back_and_static_transforms_are_latched(tmp_path, storage):
    with Writer(tmp_path / "bag", storage=storage) as bag:
        bag.write("/word", messages.string("here"), 1)
        bag.write("/tf_static", messages.transforms([], stamp_ns=2), 2)
    read = Bag(tmp_path / "bag")
    assert read.topics == {"/tf_static": ("tf2_msgs/msg/TFMessage", 1), "/word": ("std_msgs/msg/String", 1)}
    assert read.latched == {"/tf_static"}
    assert [read.decode(kind, raw).data for _, kind, _, raw in read.messages(["/word"])] == ["here"]
    assert [file.name for file in tmp_path.iterdir()] == ["bag"]


def test_a_definition_gives_the_hash_that_ros_gives():
    """Written out, a definition known to ROS hashes to its own."""
    text, _ = TYPES.generate_msgdef("sensor_msgs/msg/PointCloud2", ros_version=2)
    assert type_hash("sensor_msgs/msg/PointCloud2", text) == TYPES.hash_rihs01("sensor_msgs/msg/PointCloud2")


def test_after_an_exception_nothing_is_left(tmp_path):
    with pytest.raises(RuntimeError), Writer(tmp_path / "bag") as bag:
        bag.write("/word", messages.string("here"), 1)
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_doors(tmp_path):
    (tmp_path / "file").write_text("no directory")
    with pytest.raises(BadInput, match="file/bag: a bag cannot be written there"), Writer(tmp_path / "file" / "bag"):
        pass
    with Writer(tmp_path / "bag") as bag:
        with pytest.raises(BadInput, match="/thing: message type nowhere_msgs/msg/Thing is not known"):
            bag.write_raw("/thing", "nowhere_msgs/msg/Thing", b"\0\1\0\0", 1)
        bag.write("/map", messages.string("here"), 1)
