"""The processes of the chain: the camera's bytes, the tutorial's conversions, and two real rows over DDS."""

import json

import numpy as np
import pytest
from rclpy.serialization import deserialize_message
from sensor_msgs.msg import Image, PointCloud2

from bench import chain, chain_publisher
from bench.tutorial import depth_node
from depth_perception import decode
from depth_perception.nodes.encode import array_of


class Taken:
    """A publisher that keeps a copy of what it is given."""

    def __init__(self):
        self.sent = []

    def publish(self, raw):
        self.sent.append(bytes(bytearray(raw)))


def test_a_message_is_sent_with_the_stamp_of_the_moment_and_else_unchanged():
    taken = Taken()
    message = chain_publisher.image(64, 32)
    stamped = chain_publisher.Stamped(message, taken)
    for stamp_ns in (1_700_000_000_123_456_789, 1_700_000_001_000_000_001):
        stamped.send(stamp_ns)
    first, second = (deserialize_message(raw, Image) for raw in taken.sent)
    assert (first.header.stamp.sec, first.header.stamp.nanosec) == (1_700_000_000, 123_456_789)
    assert decode.stamp_ns(second.header) == 1_700_000_001_000_000_001
    assert first.data == message.data and (first.width, first.height, first.encoding) == (64, 32, "bgr8")


def test_two_messages_do_not_share_their_bytes():
    taken = Taken()
    one, other = (chain_publisher.Stamped(chain_publisher.camera_info(64, 32), taken) for _ in range(2))
    one.send(1_000_000_007)
    other.send(5_000_000_000)
    one.send(2_000_000_000)
    assert [raw[4] for raw in taken.sent] == [1, 5, 2]


def test_the_cloud_is_one_that_the_node_reads():
    message = deserialize_message(chain_publisher.serialize_message(chain_publisher.cloud(5000)), PointCloud2)
    message.header.stamp.sec = 1
    scan = decode.scan(message)
    assert scan.points.shape[0] == 5000
    assert scan.points[:, 2].min() == pytest.approx(-1.7, abs=0.01)  # the ground


@pytest.mark.parametrize("rate", [10, 30, 60])
def test_clouds_meet_the_images_in_every_phase_within_a_row(rate):
    moments = [due for due, tick in chain_publisher.course(rate=rate, images=18 * rate, clouds=True) if tick is None]
    phases = np.array(moments) * rate % 1
    assert set(np.floor(10 * phases).astype(int)) == set(range(10))


@pytest.mark.parametrize("rate", [1, 4, 30])
def test_clouds_come_at_about_10_hz_whatever_the_images_rate_is(rate):
    moments = list(chain_publisher.course(rate=rate, images=20 * rate, clouds=True))
    assert moments == sorted(moments, key=lambda moment: moment[0])
    assert [tick for _, tick in moments if tick is not None] == list(range(20 * rate))
    clouds = [due for due, tick in moments if tick is None]
    assert len(clouds) == pytest.approx((20 - 1.4 / rate) * chain_publisher.CLOUD_HZ, rel=0.03)
    assert np.diff(clouds) == pytest.approx(chain_publisher.CLOUD_PERIOD_S)
    assert all(tick is not None for _, tick in chain_publisher.course(rate=rate, images=20, clouds=False))


def test_the_tutorial_sees_rgb_and_answers_in_metres():
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    message = Image(height=6, width=8, encoding="bgr8", step=24, data=array_of(pixels))
    assert np.array_equal(depth_node.from_message(message), pixels[:, :, ::-1])
    metres = np.linspace(1, 50, 48, dtype=np.float32).reshape(6, 8)
    for assign in (False, True):
        answer = depth_node.to_message(metres, assign=assign)
        assert (answer.height, answer.width, answer.encoding, answer.step) == (6, 8, "32FC1", 32)
        assert np.array_equal(np.frombuffer(bytes(answer.data), np.float32).reshape(6, 8), metres)


def test_a_row_of_ours_and_one_of_the_tutorials_over_dds(tmp_path, capsys):
    words = ["--rates", "30", "--sizes", "96x64", "--seconds", "1", "--who", "ours", "tutorial_profile", "--out", str(tmp_path)]
    assert chain.main(words) == 0, capsys.readouterr().err
    found = json.loads((tmp_path / "chain.json").read_text())
    assert found["name"] == "chain" and {"machine", "versions", "commit"} <= set(found)
    assert [row["who"] for row in found["results"]] == ["ours", "tutorial_profile"]
    for row in found["results"]:
        assert (row["rate_hz"], row["size"]) == (30.0, "96x64")
        assert row["frames"] + row["missed"] == 30 and 0 <= row["drops"] < row["frames"]
        assert 0 < row["overhead_ms"]["p50"] < row["whole_ms"]["p99"] and row["engine_ms"]["p50"] > 0
        assert {"decode", "pre", "engine", "post", "publish", "total", "in_and_out"} <= set(row["stages_ms"])
        assert ("between_threads" in row["stages_ms"]) == (row["who"] == "ours")
        assert row["stages_ms"]["in_and_out"]["p50"] > 0
        assert set(row["cpu_seconds"]) == set(row["rss_mb"]) == {"listener", "node", "publisher"}
    assert [row["who"] for row in found["with_clouds"]] == ["ours", "tutorial_profile"]
    assert all(row["clouds"] and row["overhead_ms"]["p50"] > 0 for row in found["with_clouds"])
    assert found["with_clouds"][0]["stages_ms"]["scan"]["p50"] > 0 and "scan" not in found["results"][0]["stages_ms"]
    assert [(row["who"], row["size"]) for row in found["transport"]] == [
        ("default", "96x64"), ("profile", "96x64"), ("default", "120000 points"), ("profile", "120000 points")]
    assert all(row["whole_ms"]["p50"] > 0 for row in found["transport"])
    assert all(8 <= row["frames"] + row["missed"] <= 11 for row in found["transport"][2:])  # a second of them
