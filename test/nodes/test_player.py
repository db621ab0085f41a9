"""The player over real DDS: the bag's bytes in the bag's order, its time, its latched topics, and a quick end whenever it is told."""

import json
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from listening import Listener, Program, payload

from depth_perception import decode
from depth_perception.bag import TYPES, Bag, messages
from depth_perception.geometry.pose import FrameTree
from depth_perception.record import metadata
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel
from depth_perception.record.split_bag import SplitBag

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 10
LINKS = [("base_link", "camera"), ("base_link", "lidar"), ("lidar", "imu")]
STRING, THING = "std_msgs/msg/String", "nowhere_msgs/msg/Thing"


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Images and strings at 10 Hz, three messages of TF static, a latched text, and a type that nobody has installed."""
    path = tmp_path_factory.mktemp("bags") / "small"
    rng = np.random.default_rng(0)
    bag = SplitBag(path, kept=Kept())

    def write(topic, message, stamp, *, latched=False):
        kind = message.__msgtype__
        offers = metadata.as_yaml([metadata.profile(reliable=True, latched=True)]) if latched else ""
        channel = Channel(topic, kind, TYPES.generate_msgdef(kind, ros_version=2)[0], offers)
        bag.write(channel, bytes(TYPES.serialize_cdr(message, kind)), stamp)

    for i, (parent, child) in enumerate(LINKS):
        write("/tf_static", messages.transforms([(parent, child, np.eye(4))], stamp_ns=START), START + i, latched=True)
    write("/robot_description", messages.string("a car"), START + 10, latched=True)
    bag.write(Channel("/thing", THING, "int32 number\n"), b"\0\1\0\0\7\0\0\0", START + 11)
    for i in range(COUNT):
        stamp = START + (i + 1) * TENTH
        pixels = rng.integers(0, 256, (48, 64, 3), np.uint8)
        write("/camera/image", messages.image(pixels, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
        write("/word", messages.string("x" * i), stamp + 1)
    bag.close()
    return path


@pytest.fixture
def listener():
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture
def play(tmp_path):
    """Starts the player; at the end none is left."""
    players = []

    def start(*arguments):
        players.append(Program(tmp_path, "player", *arguments))
        return players[-1]

    yield start
    for player in players:
        player.process.kill()
        player.process.wait()


def sent(bag, topic):
    return [bytes(raw) for *_, raw in Bag(bag).messages([topic])]


def clock_ns(raw):
    sec, nanosec = np.frombuffer(raw[4:12], "<u4")
    return int(sec) * 10**9 + int(nanosec)


def children(raw):
    tree = FrameTree()
    from rclpy.serialization import deserialize_message
    from tf2_msgs.msg import TFMessage

    message = deserialize_message(raw, TFMessage)
    decode.transforms(message, tree)
    return [(link.header.frame_id, link.child_frame_id) for link in message.transforms]


def test_the_bytes_the_order_and_the_time_of_the_bag(bag, listener, play):
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    images, words = listener.hear(Image, "/camera/image", reliable=False), listener.hear(String, "/word")
    clock = listener.hear(Clock, "/clock")
    player = play("--bag", bag, "--rate", 2, "--clock", 200, "--wait-for", "/camera/image", "/word")
    listener.until(lambda: clock and clock_ns(clock[-1]) >= START + COUNT * TENTH + 1 and len(images) == len(words) == COUNT, player)
    assert player.end() == 0
    assert images == sent(bag, "/camera/image")
    assert [payload(*pair) for pair in zip(words, sent(bag, "/word"), strict=True)] == sent(bag, "/word")

    times = [clock_ns(raw) for raw in clock]
    assert times == sorted(times)
    assert (times[0], times[-1]) == (START + 10, START + COUNT * TENTH + 1), "from the first message to the last one"
    assert len(set(times)) > 4 * COUNT, "time runs between the messages too"

    said = json.loads(player.said)
    assert said == {
        "published": {"/camera/image": COUNT, "/robot_description": 1, "/tf_static": 1, "/word": COUNT},
        "missing": {"/thing": THING},
    }
    assert player.complained.count("/thing (nowhere_msgs/msg/Thing)") == 1


def test_who_comes_late_gets_what_is_latched_and_an_interrupt_ends_it(bag, listener, play):
    from sensor_msgs.msg import Image
    from std_msgs.msg import String
    from tf2_msgs.msg import TFMessage

    images = listener.hear(Image, "/camera/image")
    player = play("--bag", bag, "--loop", "--rate", 20, "--topics", "/camera/image", "/robot_description")
    listener.until(lambda: len(images) > 2 * COUNT, player)
    assert images[: 2 * COUNT].count(images[0]) >= 2, "it begins again at the end"
    static = listener.hear(TFMessage, "/tf_static", latched=True)
    description = listener.hear(String, "/robot_description", latched=True)
    listener.until(lambda: static and description, player)
    assert children(static[0]) == LINKS, "all links in one message"
    assert payload(description[0], sent(bag, "/robot_description")[0]) == sent(bag, "/robot_description")[0]
    assert player.end(signal.SIGINT) == 0
    assert "Traceback" not in player.complained


def test_a_part_under_another_name_stamped_now(bag, listener, play):
    from sensor_msgs.msg import Image
    from std_msgs.msg import String

    images, words = listener.hear(Image, "/front/image"), listener.hear(String, "/word")
    player = play(
        *("--bag", bag, "--start-offset", 0.25, "--duration", 0.35, "--exclude", "/robot_.*", "--stamp-now", "--wait-for", "/camera/image"),
        *("--wait-for", "/camera/image", "/word", "--ros-args", "-r", "/camera/image:=/front/image"),
        *("-r", "__node:=replay", "-p", "use_sim_time:=true"),
    )
    listener.until(lambda: len(images) == len(words) == 3, player)
    assert player.end() == 0
    assert json.loads(player.said)["published"] == {"/camera/image": 3, "/tf_static": 1, "/word": 3}
    wanted = sent(bag, "/camera/image")[3:6]
    assert [raw[12:] for raw in images] == [raw[12:] for raw in wanted]
    assert all(int.from_bytes(raw[4:8], "little") > START // 10**9 for raw in images)
    wanted = sent(bag, "/word")[3:6]
    assert [payload(*pair) for pair in zip(words, wanted, strict=True)] == wanted, "what has no header has no stamp to change"


def test_a_signal_while_it_waits_ends_it(bag, listener, play):
    from rosgraph_msgs.msg import Clock

    clock = listener.hear(Clock, "/clock")
    player = play("--bag", bag, "--clock", "--wait-for", "/word")
    listener.until(lambda: len(clock) > 2, player)
    assert {clock_ns(raw) for raw in clock} == {START + 10}, "time stands still until somebody listens"
    assert player.end(signal.SIGTERM) == 0
    assert json.loads(player.said)["published"]["/word"] == 0
    assert "Traceback" not in player.complained


def test_bad_input_is_one_sentence(bag, play, tmp_path):
    (tmp_path / "text.mcap").write_text("no bag")
    wrong = {
        ("--bag", tmp_path / "nothing"): "nothing: wanted a bag, but nothing is there",
        ("--bag", tmp_path / "text.mcap"): "does not begin as an mcap file",
        ("--bag", bag, "--topics", "/lidar"): "has no topic /lidar to play",
        ("--bag", bag, "--rate", "0"): "--rate: wanted a number from 0.001 to 1e6, got 0",
        ("--bag", bag, "--exclude", "("): "is no regular expression",
        ("--bag", bag, "--start-offset", "60"): "nothing to play",
        ("--bag", bag, "--wait-for", "/thing"): "/thing is not among the topics played",
        ("--bag", bag, "--wait-for", "/word", "--wait-timeout", "0"): "nobody subscribed to /word within 0 s",
        ("--bag", bag, "--ros-args", "-r", "wrong"): "Couldn't parse remap rule",
    }
    players = {arguments: play(*arguments) for arguments in wrong}
    for arguments, player in players.items():
        assert player.end() == 2, arguments
        assert wrong[arguments] in player.complained
        assert "Traceback" not in player.complained
        assert player.complained.splitlines()[-1].startswith("player: ")


def test_what_a_bag_holds_as_json(bag, play):
    player = play("--bag", bag, "--list")
    assert player.end() == 0
    said = json.loads(player.said)
    assert (said["image"], said["compressed"], said["camera_info"], said["points"]) == ("/camera/image", False, None, None)
    assert said["topics"]["/word"] == [STRING, COUNT]
