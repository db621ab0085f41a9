"""The recorder over real DDS: the bytes that were sent, whatever QoS they come with, and a bag that can be read however it ended."""

import json
import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from listening import Listener, Program, payload
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
    listener.until(lambda: status(listener)[0] == "waiting for /clock, use_sim_time is true", recorder)
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
    listener.until(lambda: status(listener)[0] == "nobody publishes /nothing", recorder)
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
    client = listener.node.create_client(DescribeParameters, "/recorder/describe_parameters")
    listener.until(client.service_is_ready, recorder)
    answer = client.call_async(DescribeParameters.Request(names=["path", "topics", "exclude", "queue_mb"]))
    listener.until(answer.done, recorder)
    for descriptor in answer.result().descriptors:
        assert descriptor.read_only
        assert descriptor.description.endswith("Cannot change while the node runs.")
    assert answer.result().descriptors[3].integer_range[0].to_value == 65536
    assert recorder.end(signal.SIGINT) == 0
