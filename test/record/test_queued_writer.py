"""The queue before the disk: nothing waits, nothing is lost in silence, and what was written is there whatever happens then."""

import errno
import os
import subprocess
import sys
import threading

import pytest

from depth_perception.bag import Bag, Writer, messages
from depth_perception.frame import BadInput
from depth_perception.record import Counts, QueuedWriter

STRING = "std_msgs/msg/String"


def cdr(text: str) -> bytes:
    return bytes(messages.TYPES.serialize_cdr(messages.string(text), STRING))


def recorded(path) -> list[tuple[str, int, bytes]]:
    return [(topic, stamp, bytes(raw)) for topic, _, stamp, raw in Bag(path).messages()]


class Gate:
    """A disk that takes no message until `opened` is set; `reached` says that one is being written."""

    def __init__(self, monkeypatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        write = Writer.write_raw

        def slow(writer, *message):
            self.reached.set()
            assert self.opened.wait(60)
            write(writer, *message)

        monkeypatch.setattr(Writer, "write_raw", slow)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def test_what_is_put_is_in_the_bag_in_order(tmp_path):
    writer = QueuedWriter(tmp_path / "bag")
    writer.add_topic("/a", STRING)
    writer.add_topic("/map", STRING, latched=True)
    rows = [("/map" if i % 10 == 3 else "/a", 1000 + i, cdr(f"message {i}")) for i in range(300)]
    for topic, stamp, raw in rows:
        assert writer.put(topic, raw, stamp)
    assert writer.close(60)
    assert recorded(tmp_path / "bag") == rows
    assert writer.counts == {"/a": Counts(270, 270, 0), "/map": Counts(30, 30, 0)}
    assert writer.queued_bytes == 0
    assert Bag(tmp_path / "bag").latched == {"/map"}
    assert Bag(tmp_path / "bag").skipped == []


def test_what_does_not_fit_is_dropped_and_counted(tmp_path, gate):
    raw = cdr("x" * 96)
    writer = QueuedWriter(tmp_path / "bag", queue_bytes=3 * len(raw))
    for topic in ("/a", "/b"):
        writer.add_topic(topic, STRING)
    assert [writer.put("/a", raw, stamp) for stamp in range(5)] == [True, True, True, False, False]
    assert writer.put("/b", raw, 9) is False
    assert writer.queued_bytes == 3 * len(raw)
    gate.opened.set()
    assert writer.close(60)
    assert writer.counts == {"/a": Counts(5, 3, 2), "/b": Counts(1, 0, 1)}
    assert recorded(tmp_path / "bag") == [("/a", stamp, raw) for stamp in range(3)]


def test_a_queue_that_the_time_does_not_allow_to_write_is_dropped_and_the_bag_whole(tmp_path, gate):
    writer = QueuedWriter(tmp_path / "bag")
    writer.add_topic("/a", STRING)
    for stamp in range(5):
        writer.put("/a", cdr("x"), stamp)
    assert gate.reached.wait(60)
    assert not writer.close(0.05)
    assert "within 0.05 s" in writer.error
    gate.opened.set()
    writer._thread.join(60)
    assert writer.counts["/a"] == Counts(5, 1, 4)
    assert recorded(tmp_path / "bag") == [("/a", 0, cdr("x"))]
    assert not writer.put("/a", cdr("x"), 6)


def test_a_full_disk_is_said_and_what_was_written_stays(tmp_path, monkeypatch):
    write = Writer.write_raw

    def full(writer, topic, type_name, raw, stamp):
        if stamp == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(writer, topic, type_name, raw, stamp)
        writer.flush()

    monkeypatch.setattr(Writer, "write_raw", full)
    writer = QueuedWriter(tmp_path / "bag")
    writer.add_topic("/a", STRING)
    for stamp in range(6):
        writer.put("/a", cdr("x"), stamp)
    assert not writer.close(60)
    assert writer.error == f"{tmp_path / 'bag'}: nothing more can be written (No space left on device)"
    assert writer.counts["/a"] == Counts(6, 3, 3)
    bag = Bag(tmp_path / "bag")
    assert [stamp for *_, stamp, _ in bag.messages()] == [0, 1, 2]
    assert any("metadata.yaml is missing" in sentence for sentence in bag.skipped)


def test_a_killed_process_leaves_what_it_wrote(tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from depth_perception.record import QueuedWriter\n"
        f"writer = QueuedWriter(sys.argv[1], flush_s=1e-3)\n"
        f"writer.add_topic('/a', '{STRING}')\n"
        f"for stamp in range(100): writer.put('/a', bytes.fromhex('{cdr('x').hex()}'), stamp)\n"
        "while writer.counts['/a'].written < 100: time.sleep(1e-3)\n"
        "with writer._writing: writer._bag.flush()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "bag")], timeout=60).returncode == -9
    assert recorded(tmp_path / "bag") == [("/a", stamp, cdr("x")) for stamp in range(100)]


def test_a_topic_may_change_its_type(tmp_path):
    writer = QueuedWriter(tmp_path / "bag")
    writer.add_topic("/a", STRING)
    writer.put("/a", cdr("x"), 1)
    writer.add_topic("/a", "std_msgs/msg/Int32")
    writer.put("/a", b"\0\1\0\0\7\0\0\0", 2)
    assert writer.close(60)
    bag = Bag(tmp_path / "bag")
    assert [bag.decode(kind, raw).data for _, kind, _, raw in bag.messages()] == ["x", 7]


@pytest.mark.parametrize("options", [{"queue_bytes": 0}, {"flush_s": 0.0}, {"flush_s": float("nan")}])
def test_options_are_checked(tmp_path, options):
    with pytest.raises(BadInput, match="recording: wanted"):
        QueuedWriter(tmp_path / "bag", **options)
    assert not (tmp_path / "bag").exists()
