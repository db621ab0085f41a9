"""The recorder over real DDS: the bytes that were sent, whatever QoS they come with, and a bag that can be read however it ended."""

import json
import signal

import numpy as np
import pytest
import yaml
from rosbags import rosbag2

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from listening import Listener, Program, client_of, payload
from worlds import scan

from depth_perception.bag import Bag, Writer, messages

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 10
IMAGE, POINTS, STRING = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2", "std_msgs/msg/String"


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    """Images, scans and strings at 10 Hz, and TF static."""
    path = tmp_path_factory.mktemp("bags") / "small"
    rng = np.random.default_rng(0)
    with Writer(path) as bag:
        bag.write("/tf_static", messages.transforms([("base_link", "camera", np.eye(4))], stamp_ns=START), START)
        for i in range(COUNT):
            stamp = START + (i + 1) * TENTH
            pixels = rng.integers(0, 256, (480, 640, 3), np.uint8)
            bag.write("/camera/image", messages.image(pixels, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/lidar/points", messages.points(scan(stamp_ns=stamp)), stamp + 1)
            bag.write("/word", messages.string("x" * i), stamp + 2)
    return path


@pytest.fixture
def graph(tmp_path):
    """`start(name, *arguments)` and a listener that hears /diagnostics; at the end nobody is left."""
    programs = []

    def start(name, *arguments, **options):
        programs.append(Program(tmp_path, name, *arguments, **options))
        return programs[-1]

    listener = Listener()
    from diagnostic_msgs.msg import DiagnosticArray

    listener.hear(DiagnosticArray, "/diagnostics")
    yield start, listener
    listener.close()
    for program in programs:
        program.process.kill()
        program.process.wait()


def record(start, path, *parameters, **options):
    return start("recorder_node", "--ros-args", *(word for each in (f"path:={path}", *parameters) for word in ("-p", each)), **options)


def status(listener):
    """The recorder's last word: message, and key -> value."""
    from diagnostic_msgs.msg import DiagnosticArray
    from rclpy.serialization import deserialize_message

    for raw in reversed(listener.heard["/diagnostics"]):
        for status in deserialize_message(raw, DiagnosticArray).status:
            if status.name == "/recorder: recording":
                return status.message, {value.key: value.value for value in status.values}
    return "", {}


def count(listener, topic, what="written"):
    return int(status(listener)[1].get(f"{topic} {what}", 0))


def held(path, topic):
    return [bytes(raw) for *_, raw in Bag(path).messages([topic])]


def same(recorded, sent):
    return len(recorded) == len(sent) and all(payload(*pair) == pair[1] for pair in zip(recorded, sent, strict=True))


def test_what_is_played_is_recorded_in_the_bags_time(bag, graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "use_sim_time:=true", "exclude:=/rosout|/parameter_events|/clock|/diagnostics")
    listener.until(lambda: "waiting for /clock, use_sim_time is true" in status(listener)[0], recorder)
    player = start("player", "--bag", bag, "--clock", "--rate", 2, "--wait-for", "/camera/image", "/lidar/points", "/word")
    listener.until(lambda: player.process.poll() is not None, recorder)
    assert json.loads(player.said)["published"] == {"/camera/image": COUNT, "/lidar/points": COUNT, "/tf_static": 1, "/word": COUNT}
    listener.until(lambda: all(count(listener, topic) == COUNT for topic in ("/camera/image", "/lidar/points", "/word")), recorder)
    assert count(listener, "/camera/image", "dropped") == count(listener, "/camera/image", "lost") == 0
    assert float(status(listener)[1]["disk_free_gb"]) > 0
    assert recorder.end(signal.SIGTERM) == 0, "long after its publishers have gone"
    assert recorder.complained.strip().endswith(f"{tmp_path / 'new'}: {3 * COUNT + 1} messages of 4 topics written; not recorded: none")

    new, old = Bag(tmp_path / "new"), Bag(bag)
    assert new.skipped == []
    assert new.topics == old.topics
    assert new.latched == {"/tf_static"}
    for topic in old.topics:
        assert same(held(tmp_path / "new", topic), held(bag, topic)), topic
    stamps = [stamp for *_, stamp, _ in new.messages()]
    assert stamps == sorted(stamps)
    assert all(old.start_ns <= stamp <= old.end_ns for stamp in stamps), "not this machine's time"
    (tmp_path / "new").rename(tmp_path / "moved")
    assert Bag(tmp_path / "moved").topics == old.topics


def test_an_interrupt_in_the_middle_leaves_a_whole_bag(bag, graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/camera/image, word, /nothing]")
    start("player", "--bag", bag, "--loop", "--rate", 4, "--wait-for", "/camera/image", "/word")
    listener.until(lambda: count(listener, "/camera/image") > COUNT and count(listener, "/word") > COUNT, recorder)
    listener.until(lambda: "nobody publishes /nothing" in status(listener)[0], recorder)
    assert recorder.end(signal.SIGINT) == 0
    assert "Traceback" not in recorder.complained
    assert recorder.complained.count("/nothing") == 1
    new = Bag(tmp_path / "new")
    assert new.skipped == []
    assert sorted(new.topics) == ["/camera/image", "/word"]
    for topic in new.topics:
        recorded, sent = held(tmp_path / "new", topic), held(bag, topic)
        first = next(i for i, raw in enumerate(sent) if payload(recorded[0], raw) == raw)
        assert same(recorded, [sent[(first + i) % COUNT] for i in range(len(recorded))]), "every message, in order"


def test_after_a_kill_what_was_written_is_read(bag, graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/camera/image, /word]")
    start("player", "--bag", bag, "--loop", "--rate", 4, "--wait-for", "/camera/image", "/word")
    listener.until(lambda: count(listener, "/camera/image") > 0 and count(listener, "/word") > 0, recorder)
    images, words, seen = count(listener, "/camera/image"), count(listener, "/word"), len(listener.heard["/diagnostics"])
    # Two reports are more than a second, in which what was written then has reached the file.
    listener.until(lambda: len(listener.heard["/diagnostics"]) >= seen + 2, recorder)
    assert recorder.end(signal.SIGKILL) == -signal.SIGKILL
    new = Bag(tmp_path / "new")
    assert any("metadata.yaml is missing" in sentence for sentence in new.skipped)
    assert new.topics["/camera/image"][1] >= images
    assert new.topics["/word"][1] >= words
    sent = held(bag, "/camera/image")
    assert all(raw in sent for raw in held(tmp_path / "new", "/camera/image"))


def test_publishers_that_return_with_other_qos_are_recorded(graph, tmp_path):
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from std_msgs.msg import String

    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/word]")

    def say(text, *, before, **options):
        publisher = listener.node.create_publisher(String, "/word", QoSProfile(depth=10, **options))
        listener.until(lambda: publisher.get_subscription_count() == 1, recorder)
        publisher.publish(String(data=text))
        listener.until(lambda: count(listener, "/word") == before + 1, recorder)
        listener.node.destroy_publisher(publisher)

    say("reliable", before=0, reliability=ReliabilityPolicy.RELIABLE)
    say("best effort", before=1, reliability=ReliabilityPolicy.BEST_EFFORT)
    assert recorder.end(signal.SIGINT) == 0
    bag = Bag(tmp_path / "new")
    assert [bag.decode(kind, raw).data for _, kind, _, raw in bag.messages()] == ["reliable", "best effort"]


def test_a_type_that_is_not_installed_is_named_once(graph, tmp_path):
    from std_msgs.msg import String
    from stereo_msgs.msg import DisparityImage

    start, listener = graph
    hidden = tmp_path / "shadow" / "stereo_msgs"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").touch()
    recorder = record(start, tmp_path / "new", "topics:=[/disparity, /word]", env={"PYTHONPATH": str(hidden.parent)})
    listener.node.create_publisher(DisparityImage, "/disparity", 10)
    word = listener.node.create_publisher(String, "/word", 10)
    listener.until(lambda: word.get_subscription_count() == 1, recorder)
    word.publish(String(data="here"))
    listener.until(lambda: count(listener, "/word") == 1, recorder)
    assert recorder.end(signal.SIGINT) == 0
    assert recorder.complained.count("/disparity is stereo_msgs/msg/DisparityImage, which is not installed: not recorded") == 1
    assert list(Bag(tmp_path / "new").topics) == ["/word"]


def test_bad_input_is_one_sentence_and_leaves_nothing(graph, tmp_path):
    start, _ = graph
    (tmp_path / "there").mkdir()
    (tmp_path / "file").touch()
    wrong = {
        (f"path:={tmp_path / 'there'}",): f"{tmp_path / 'there'}: exists already, and a bag is never written over another",
        (f"path:={tmp_path / 'file' / 'new'}",): f"{tmp_path / 'file' / 'new'}: a bag cannot be written there (Not a directory)",
        (f"path:={tmp_path / 'new'}", "exclude:='('"): "exclude: '(' is no regular expression",
        (f"path:={tmp_path / 'new'}", "queue_mb:=0"): "queue_mb",
        (f"path:={tmp_path / 'new'}", "topics:=7"): "'topics'",
    }
    recorders = {
        parameters: start("recorder_node", "--ros-args", *(word for each in parameters for word in ("-p", each))) for parameters in wrong
    }
    for parameters, recorder in recorders.items():
        assert recorder.end() == 2, parameters
        (sentence,) = recorder.complained.splitlines()
        assert sentence.startswith("recorder_node: ")
        assert wrong[parameters] in sentence
    assert list((tmp_path / "there").iterdir()) == []
    assert not (tmp_path / "new").exists()


def test_parameters_are_described_and_fixed(graph, tmp_path):
    from rcl_interfaces.srv import DescribeParameters

    start, listener = graph
    recorder = record(start, tmp_path / "new")
    client = client_of(listener.node, DescribeParameters, "/recorder/describe_parameters", lambda met: listener.until(met, recorder))
    answer = client.call_async(DescribeParameters.Request(names=["path", "topics", "exclude", "queue_mb"]))
    listener.until(answer.done, recorder)
    for descriptor in answer.result().descriptors:
        assert descriptor.read_only
        assert descriptor.description.endswith("Cannot change while the node runs.")
    assert answer.result().descriptors[3].integer_range[0].to_value == 65536
    assert recorder.end(signal.SIGINT) == 0


def asked(listener, recorder, name, data=None):
    """(success, message) of a service of the recorder."""
    from std_srvs.srv import SetBool, Trigger

    kind = Trigger if data is None else SetBool
    client = client_of(listener.node, kind, f"/recorder/{name}", lambda met: listener.until(met, recorder))
    answer = client.call_async(kind.Request() if data is None else kind.Request(data=data))
    listener.until(answer.done, recorder)
    return answer.result().success, answer.result().message


def texts(path):
    bag = Bag(path)
    return [bag.decode(kind, raw).data for topic, kind, _, raw in bag.messages() if topic == "/word"]


class Speaker:
    """Says one word after another, each when the recorder has taken the one before."""

    def __init__(self, listener, recorder, topic="/word"):
        from std_msgs.msg import String

        self.topic, self.count, self._listener, self._recorder, self._type = topic, 0, listener, recorder, String
        self._publisher = listener.node.create_publisher(String, topic, 10)
        listener.until(lambda: self._publisher.get_subscription_count() == 1, recorder)

    def say(self, text):
        self.count += 1
        self._publisher.publish(self._type(data=text))
        self._listener.until(lambda: count(self._listener, self.topic, "received") == self.count, self._recorder)


def test_start_stop_pause_and_split_by_service(graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/word]", "compression:=lz4")
    speaker = Speaker(listener, recorder)
    speaker.say("one")
    assert asked(listener, recorder, "split") == (True, "the next message goes into the next file")
    speaker.say("two")
    assert asked(listener, recorder, "pause", True)[0]
    speaker.say("unheard")
    listener.until(lambda: status(listener)[1].get("state") == "paused", recorder)
    assert asked(listener, recorder, "pause", False)[0]
    speaker.say("three")
    assert asked(listener, recorder, "record", True) == (False, f"already recording into {tmp_path / 'new'}")
    assert asked(listener, recorder, "record", False) == (True, f"{tmp_path / 'new'} ends here")
    listener.until(lambda: (tmp_path / "new" / "metadata.yaml").exists() and status(listener)[1].get("state") == "waiting", recorder)
    assert asked(listener, recorder, "split") == (False, "nothing is being recorded")
    speaker.say("unheard, too")
    assert asked(listener, recorder, "record", True) == (True, f"recording into {tmp_path / 'new_2'}")
    speaker.say("four")
    assert asked(listener, recorder, "snapshot") == (False, "mode is continuous: snapshots are made with mode:=snapshot")
    assert recorder.end(signal.SIGINT) == 0
    assert [texts(tmp_path / "new" / f"new_{i}.mcap") for i in (0, 1)] == [["one"], ["two", "three"]]
    assert texts(tmp_path / "new_2") == ["four"]
    with rosbag2.Reader(tmp_path / "new_2") as reader:
        assert {connection.topic: connection.msgcount for connection in reader.connections} == {"/word": 1}
    said = yaml.safe_load((tmp_path / "new_2" / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["custom_data"]
    assert said["/word"] == "received 6, written 4, dropped 0, lost 0, gaps 0, not asked for 2"


def test_a_snapshot_by_service_by_a_message_and_by_motion(graph, tmp_path):
    from nav_msgs.msg import Odometry
    from std_msgs.msg import Empty

    start, listener = graph
    recorder = record(start, tmp_path / "shots", "topics:=[/word]", "mode:=snapshot", "pre_roll_s:=600.0", "post_roll_s:=0.0",
                      "triggers.topic:=/now", "triggers.speed_mps:=20.0", "triggers.motion_topic:=/odometry")
    listener.until(lambda: "nobody publishes /now, /odometry, which a trigger wants" in status(listener)[0], recorder)
    speaker = Speaker(listener, recorder)

    def shots():
        return sorted(file.parent.name for file in (tmp_path / "shots").glob("*/metadata.yaml"))

    def shot(number):
        listener.until(lambda: len(shots()) == number, recorder)
        (new,) = set(shots()) - seen
        seen.add(new)
        values = yaml.safe_load((tmp_path / "shots" / new / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
        return texts(tmp_path / "shots" / new), values["custom_data"]["snapshot"]

    seen = set()
    speaker.say("a")
    speaker.say("b")
    done, message = asked(listener, recorder, "snapshot")
    assert done and message.startswith(f"{tmp_path / 'shots'}/")
    assert shot(1) == (["a", "b"], "asked for")

    now = listener.node.create_publisher(Empty, "/now", 10)
    listener.until(lambda: now.get_subscription_count() == 1, recorder)
    speaker.say("c")
    now.publish(Empty())
    assert shot(2) == (["c"], "a message on /now")

    odometry = listener.node.create_publisher(Odometry, "/odometry", 10)
    listener.until(lambda: odometry.get_subscription_count() == 1, recorder)
    speaker.say("d")
    for speed in (10.0, 25.0, 25.0):
        message = Odometry()
        message.twist.twist.linear.x = speed
        odometry.publish(message)
    assert shot(3) == (["d"], "a speed of 25.00 m/s, at least 20")
    speaker.say("never asked for")
    assert recorder.end(signal.SIGINT) == 0
    assert len(shots()) == 3


def test_a_topic_that_stops_is_named_with_its_reason(graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/word]")
    speaker = Speaker(listener, recorder)
    for i in range(8):
        speaker.say(f"{i}")
    listener.until(lambda: "no message on /word for" in status(listener)[0] and "still offers it" in status(listener)[0], recorder)
    listener.node.destroy_publisher(speaker._publisher)
    listener.until(lambda: "nobody publishes it any more" in status(listener)[0], recorder)
    returned = Speaker(listener, recorder)
    returned.count = 8
    returned.say("back")
    listener.until(lambda: status(listener)[0] == "recording 1 topics", recorder)
    assert recorder.end(signal.SIGINT) == 0
    assert texts(tmp_path / "new") == [*map(str, range(8)), "back"]


def test_a_throttled_topic_and_a_bag_of_the_last_moments(graph, tmp_path):
    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/word, /all]", "throttle:=['/word=0.001']", "mode:=circular", "keep_gb:=0.01",
                      "split_mb:=2", "chunk_mb:=0.1")
    word, every = Speaker(listener, recorder), Speaker(listener, recorder, "/all")
    for i in range(30):
        word.say(f"{i}")
        every.say(f"{i:02d}" + "x" * 600_000)
    assert recorder.end(signal.SIGINT) == 0
    files = sorted(file.stat().st_size for file in (tmp_path / "new").glob("*.mcap"))
    assert sum(files) < 12_000_000
    bag = Bag(tmp_path / "new")
    kept = [bag.decode(kind, raw).data[:2] for _, kind, _, raw in bag.messages(["/all"])]
    assert kept == [f"{i:02d}" for i in range(30 - len(kept), 30)]
    assert len(kept) >= 10
    assert count(listener, "/word", "throttled") == 29
    assert bag.skipped == []


def test_the_verb_records_and_repairs(graph, tmp_path):
    from depth_perception.__main__ import main

    start, listener = graph
    arguments = ("--out", tmp_path / "new", "--topics", "/word", "--compression", "zstd", "--split-s", 1000)
    recorder = start("record", *arguments, is_verb=True)
    speaker = Speaker(listener, recorder)
    speaker.say("one")
    speaker.say("two")
    listener.until(lambda: count(listener, "/word") == 2, recorder)
    seen = len(listener.heard["/diagnostics"])
    listener.until(lambda: len(listener.heard["/diagnostics"]) >= seen + 2, recorder)
    assert recorder.end(signal.SIGKILL) == -signal.SIGKILL
    assert not (tmp_path / "new" / "metadata.yaml").exists()
    assert main(["record", "--repair", str(tmp_path / "new"), "--json", str(tmp_path / "done.json")]) == 0
    assert json.loads((tmp_path / "done.json").read_text())["messages"] == 2
    assert texts(tmp_path / "new") == ["one", "two"]
    assert Bag(tmp_path / "new").skipped == []


def test_a_publisher_that_returns_with_another_type_is_recorded(graph, tmp_path):
    from std_msgs.msg import Int32, String

    start, listener = graph
    recorder = record(start, tmp_path / "new", "topics:=[/word]")
    for kind, data in ((String, "text"), (Int32, 7)):
        publisher = listener.node.create_publisher(kind, "/word", 10)
        before = count(listener, "/word", "received")
        listener.until(lambda publisher=publisher: publisher.get_subscription_count() == 1, recorder)
        publisher.publish(kind(data=data))
        listener.until(lambda before=before: count(listener, "/word", "received") == before + 1, recorder)
        listener.node.destroy_publisher(publisher)
    assert recorder.end(signal.SIGINT) == 0
    bag = Bag(tmp_path / "new")
    assert [(kind, bag.decode(kind, raw).data) for _, kind, _, raw in bag.messages()] == [(STRING, "text"), ("std_msgs/msg/Int32", 7)]


def test_a_trigger_on_a_topic_of_another_type_is_named(graph, tmp_path):
    from std_msgs.msg import String

    start, listener = graph
    recorder = record(start, tmp_path / "shots", "mode:=snapshot", "triggers.speed_mps:=5.0", "triggers.motion_topic:=/word")
    word = listener.node.create_publisher(String, "/word", 10)
    listener.until(lambda: "/word is std_msgs/msg/String: a trigger wants Odometry or Imu there" in status(listener)[0], recorder)
    word.publish(String(data="no motion"))
    listener.until(lambda: count(listener, "/word", "received") >= 1, recorder)
    assert recorder.end(signal.SIGINT) == 0
