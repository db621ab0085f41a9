"""The queue before the disk: nothing waits, nothing is lost in silence, and what was written is there whatever happens then."""

import errno
import os
import subprocess
import sys
import threading

import pytest
import yaml

from depth_perception.bag import Bag, messages
from depth_perception.frame import BadInput
from depth_perception.record import Config, Counts, Recording
from depth_perception.record.split_bag import SplitBag

STRING, SECOND = "std_msgs/msg/String", 10**9


def cdr(text: str) -> bytes:
    return bytes(messages.TYPES.serialize_cdr(messages.string(text), STRING))


def recorded(path) -> list[tuple[str, int, bytes]]:
    return [(topic, stamp, bytes(raw)) for topic, _, stamp, raw in Bag(path).messages()]


def stamps(path):
    return [stamp for _, stamp, _ in recorded(path)]


@pytest.fixture
def recording():
    """`recording(topics, **config)`; none outlives the test."""
    made = []

    def make(*topics, **config):
        made.append(Recording(Config(**{"disk_floor_gb": 0.0} | config), summary=lambda: {"said": "by the recorder"}))
        for topic in topics:
            made[-1].add_topic(topic, STRING, latched=topic == "/map")
        return made[-1]

    yield make
    for each in made:
        each.close(60)


class Gate:
    """A disk that takes no message until `opened` is set; `reached` says that one is being written."""

    def __init__(self, monkeypatch) -> None:
        self.opened, self.reached = threading.Event(), threading.Event()
        write = SplitBag.write

        def slow(bag, *message, **options):
            self.reached.set()
            assert self.opened.wait(60)
            write(bag, *message, **options)

        monkeypatch.setattr(SplitBag, "write", slow)


@pytest.fixture
def gate(monkeypatch):
    gate = Gate(monkeypatch)
    yield gate
    gate.opened.set()


def finished(recording, count):
    """Waits for so many finished bags; their paths."""
    for _ in range(6000):
        if len(recording.bags) >= count:
            return recording.bags
        threading.Event().wait(0.01)
    raise AssertionError(f"{len(recording.bags)} bags are finished, wanted {count}; {recording.error}")


def test_what_is_put_is_in_the_bag_in_order(tmp_path, recording):
    it = recording("/a", "/map")
    it.record(tmp_path / "bag")
    rows = [("/map" if i % 10 == 3 else "/a", 1000 + i, cdr(f"message {i}")) for i in range(300)]
    for topic, stamp, raw in rows:
        assert it.put(topic, raw, stamp)
    assert it.close(60)
    assert recorded(tmp_path / "bag") == rows
    assert it.counts == {"/a": Counts(270, 270), "/map": Counts(30, 30)}
    assert it.queued_bytes == 0
    assert it.written_bytes == sum(len(raw) for _, _, raw in rows)
    assert it.bags == [tmp_path / "bag"]
    assert Bag(tmp_path / "bag").latched == {"/map"}
    assert Bag(tmp_path / "bag").skipped == []
    values = yaml.safe_load((tmp_path / "bag" / "metadata.yaml").read_text())
    assert values["rosbag2_bagfile_information"]["custom_data"] == {"said": "by the recorder"}


def test_what_does_not_fit_is_dropped_and_counted(tmp_path, recording, gate):
    raw = cdr("x" * 333_320)
    it = recording("/a", "/b", queue_mb=1)
    it.record(tmp_path / "bag")
    assert len(raw) * 3 <= 10**6 < len(raw) * 4
    assert [it.put("/a", raw, stamp) for stamp in range(5)] == [True, True, True, False, False]
    assert it.put("/b", raw, 9) is False
    assert it.queued_bytes == 3 * len(raw)
    gate.opened.set()
    assert it.close(60)
    assert it.counts == {"/a": Counts(5, 3, 2), "/b": Counts(1, 0, 1)}
    assert recorded(tmp_path / "bag") == [("/a", stamp, raw) for stamp in range(3)]


def test_a_queue_that_the_time_does_not_allow_to_write_is_dropped_and_the_bag_whole(tmp_path, recording, gate):
    it = recording("/a")
    it.record(tmp_path / "bag")
    for stamp in range(5):
        it.put("/a", cdr("x"), stamp)
    assert gate.reached.wait(60)
    assert not it.close(0.05)
    assert it.error == f"{tmp_path / 'bag'}: the disk did not take what was waiting within 0.05 s"
    gate.opened.set()
    it._thread.join(60)
    assert it.counts["/a"] == Counts(5, 1, 4)
    assert recorded(tmp_path / "bag") == [("/a", 0, cdr("x"))]
    assert not it.put("/a", cdr("x"), 6)


def test_a_full_disk_is_said_what_was_written_stays_and_it_can_go_on_elsewhere(tmp_path, recording, monkeypatch):
    write = SplitBag.write

    def full(bag, channel, raw, stamp, **options):
        if stamp == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(bag, channel, raw, stamp, **options)
        bag.flush()

    monkeypatch.setattr(SplitBag, "write", full)
    it = recording("/a")
    it.record(tmp_path / "bag")
    for stamp in range(6):
        it.put("/a", cdr("x"), stamp)
    for _ in range(6000):
        if it.error:
            break
        threading.Event().wait(0.01)
    assert it.error == f"{tmp_path / 'bag'}: nothing more can be written (No space left on device)"
    assert it.counts["/a"] == Counts(6, 3, 3)
    bag = Bag(tmp_path / "bag")
    assert [stamp for *_, stamp, _ in bag.messages()] == [0, 1, 2]
    assert any("metadata.yaml is missing" in sentence for sentence in bag.skipped)
    assert not it.put("/a", cdr("lost"), 7)
    it.record(tmp_path / "elsewhere")
    assert it.put("/a", cdr("y"), 8)
    assert it.close(60)
    assert recorded(tmp_path / "elsewhere") == [("/a", 8, cdr("y"))]


def test_the_disks_floor_ends_the_bag_whole(tmp_path, recording, monkeypatch):
    free = [3 * 10**9]
    monkeypatch.setattr(SplitBag, "free", lambda bag: free[0])
    it = recording("/a", disk_floor_gb=2.0, flush_s=0.001)
    it.record(tmp_path / "bag")
    it.put("/a", cdr("before"), 1)
    while it.counts["/a"].written < 1:
        threading.Event().wait(0.001)
    free[0] = 1_990_000_000
    assert finished(it, 1) == [tmp_path / "bag"]
    while not it.error:
        threading.Event().wait(0.001)
    assert it.error == f"{tmp_path / 'bag'}: stopped before the disk is full: 1.99 GB are free, disk_floor_gb is 2"
    assert not it.put("/a", cdr("after"), 2)
    assert recorded(tmp_path / "bag") == [("/a", 1, cdr("before"))]
    assert Bag(tmp_path / "bag").skipped == []


def test_a_killed_process_leaves_what_it_wrote(tmp_path):
    code = (
        "import os, signal, sys, time\n"
        "from depth_perception.record import Config, Recording\n"
        "it = Recording(Config(flush_s=0.001))\n"
        f"it.add_topic('/a', '{STRING}')\n"
        "it.record(sys.argv[1])\n"
        f"for stamp in range(100): it.put('/a', bytes.fromhex('{cdr('x').hex()}'), stamp)\n"
        "while it.counts['/a'].written < 100 or any(it._bag._file.pending().values()): time.sleep(1e-3)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path / "bag")], timeout=60).returncode == -9
    assert recorded(tmp_path / "bag") == [("/a", stamp, cdr("x")) for stamp in range(100)]


def test_a_topic_may_change_its_type(tmp_path, recording):
    it = recording("/a")
    it.record(tmp_path / "bag")
    it.put("/a", cdr("x"), 1)
    it.add_topic("/a", "std_msgs/msg/Int32")
    it.put("/a", b"\0\1\0\0\7\0\0\0", 2)
    assert it.close(60)
    bag = Bag(tmp_path / "bag")
    assert [bag.decode(kind, raw).data for _, kind, _, raw in bag.messages()] == ["x", 7]


def test_a_snapshot_is_what_was_before_and_after_and_later_triggers_make_it_longer(tmp_path, recording):
    it = recording("/a", "/map", mode="snapshot", pre_roll_s=3.0, post_roll_s=2.0)
    it.put("/map", cdr("long ago"), 0)
    for i in range(1, 11):
        it.put("/a", cdr(f"{i}"), i * SECOND)
    assert it.path is None
    it.record(tmp_path / "one", until_ns=12 * SECOND)
    assert it.path == tmp_path / "one"
    it.put("/a", cdr("11"), 11 * SECOND)
    it.record(tmp_path / "not this", until_ns=13 * SECOND)
    for i in range(12, 30):
        it.put("/a", cdr(f"{i}"), i * SECOND)
    assert finished(it, 1) == [tmp_path / "one"]
    assert not (tmp_path / "not this").exists()
    assert [row for row in recorded(tmp_path / "one") if row[0] == "/a"] == [("/a", i * SECOND, cdr(f"{i}")) for i in range(8, 14)]
    assert [raw for topic, _, raw in recorded(tmp_path / "one") if topic == "/map"] == [cdr("long ago")]
    it.put("/a", cdr("30"), 30 * SECOND)
    it.record(tmp_path / "two", until_ns=31 * SECOND)
    it.advance(32 * SECOND)  # nothing comes any more, and yet it ends
    finished(it, 2)
    assert [row for row in recorded(tmp_path / "two") if row[0] == "/a"] == [("/a", i * SECOND, cdr(f"{i}")) for i in range(28, 31)]
    count = it.counts["/a"]
    assert (count.received, count.written, count.dropped) == (30, 9, 0)
    assert it.close(60)
    assert count.passed == 21
    assert it.queued_bytes == 0


def test_a_pre_roll_is_bounded_by_the_queue(tmp_path, recording):
    it = recording("/a", mode="snapshot", pre_roll_s=3600.0, queue_mb=1)
    for i in range(50):
        it.put("/a", cdr("x" * 100_000), i)
        assert it.queued_bytes <= 10**6
    it.record(tmp_path / "bag", until_ns=49)
    it.advance(60)
    finished(it, 1)
    assert stamps(tmp_path / "bag") == list(range(43, 50)), "the newest seven that fit into four fifths of it"
    assert it.counts["/a"] == Counts(50, 7, 0, 0, 43)


def test_stop_start_pause_and_split(tmp_path, recording):
    it = recording("/a", "/map")
    it.record(tmp_path / "one")
    it.put("/a", cdr("1"), 1)
    it.split()
    it.put("/a", cdr("2"), 2)
    it.paused = True
    assert not it.put("/a", cdr("3"), 3)
    assert it.put("/map", cdr("latched"), 4)
    it.paused = False
    it.put("/a", cdr("5"), 5)
    it.finish()
    finished(it, 1)
    it.put("/a", cdr("6"), 6)
    it.record(tmp_path / "two")
    it.put("/a", cdr("7"), 7)
    assert it.close(60)
    assert [(topic, stamp) for topic, stamp, _ in recorded(tmp_path / "one")] == [("/a", 1), ("/a", 2), ("/map", 4), ("/a", 5)]
    assert [stamps(tmp_path / "one" / f"one_{i}.mcap") for i in (0, 1)] == [[1], [2, 4, 5]]
    assert [(topic, stamp) for topic, stamp, _ in recorded(tmp_path / "two")] == [("/map", 7), ("/a", 7)]
    assert it.counts["/a"] == Counts(6, 4, 0, 0, 2)


def test_a_throttled_topic_keeps_its_rate(tmp_path, recording):
    it = recording("/a", "/b")
    it.throttle("/a", 10.0)
    it.record(tmp_path / "bag")
    for i in range(300):  # 30 Hz for 10 s, with jitter
        at = 10 * SECOND + i * SECOND // 30 + (i * 7919 % 11 - 5) * 10**6
        it.put("/a", cdr("x"), at)
        it.put("/b", cdr("x"), at)
    assert it.close(60)
    assert it.counts["/b"] == Counts(300, 300)
    assert 98 <= it.counts["/a"].written <= 101
    assert it.counts["/a"].throttled == 300 - it.counts["/a"].written
    with pytest.raises(BadInput, match="throttle of /a: wanted a rate in Hz, got 0"):
        it.throttle("/a", 0.0)


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"queue_mb": 0}, "config.queue_mb: wanted a number from 1 to 65536, got 0"),
        ({"flush_s": float("nan")}, "config.flush_s: wanted a number from 0.001 to 60, got nan"),
        ({"mode": "circular", "keep_gb": 5.0}, "split_mb: wanted at most half of keep_gb"),
    ],
)
def test_options_are_checked(wrong, sentence):
    with pytest.raises(BadInput, match=sentence):
        Config(**wrong)


def test_what_every_file_begins_with_is_remembered_even_when_there_was_no_room(tmp_path, recording, gate):
    it = recording("/a", "/map", queue_mb=1)
    it.record(tmp_path / "bag")
    big = cdr("x" * 900_000)
    assert it.put("/a", big, 1)
    assert gate.reached.wait(60)
    assert not it.put("/map", cdr("here" + "." * 200_000), 2), "no room"
    gate.opened.set()
    while it.counts["/a"].written < 1:
        threading.Event().wait(0.001)
    it.split()
    it.put("/a", cdr("next file"), 3)
    assert it.close(60)
    assert [topic for topic, *_ in recorded(tmp_path / "bag" / "bag_1.mcap")] == ["/map", "/a"]
    assert it.counts["/map"] == Counts(1, 0, 1)


def test_what_is_said_once_while_nothing_can_be_written_is_in_the_next_bag(tmp_path, recording, monkeypatch):
    monkeypatch.setattr(SplitBag, "free", lambda bag: 0)
    it = recording("/a", "/map", disk_floor_gb=1.0, flush_s=0.001)
    it.record(tmp_path / "bag")
    while not it.error:
        it.put("/a", cdr("x"), 1)
    for i in range(100):
        assert not it.put("/map", cdr(f"map {i}"), 2 + i)
    assert it.counts["/map"] == Counts(100, 0, 100)
    assert not it._missed, "nothing piles up while nothing is written"
    monkeypatch.setattr(SplitBag, "free", lambda bag: 10**12)
    it.record(tmp_path / "next")
    it.put("/a", cdr("y"), 200)
    assert it.close(60)
    assert recorded(tmp_path / "next") == [("/map", 200, cdr("map 99")), ("/a", 200, cdr("y"))]


def test_a_clock_that_goes_back_does_not_make_snapshots_empty(tmp_path, recording):
    it = recording("/a", mode="snapshot", pre_roll_s=5.0, post_roll_s=0.0)
    for i in range(100, 110):
        it.put("/a", cdr(f"{i}"), i * SECOND)
    for i in range(3):
        it.put("/a", cdr(f"{i}"), i * SECOND)
    it.record(tmp_path / "bag", until_ns=2 * SECOND)
    it.advance(3 * SECOND)
    finished(it, 1)
    assert stamps(tmp_path / "bag") == [0, SECOND, 2 * SECOND]


def test_a_short_pre_roll_is_said(recording):
    it = recording("/a", mode="snapshot", pre_roll_s=60.0, queue_mb=1)
    for i in range(20):
        it.put("/a", cdr("x" * 100_000), i * SECOND)
    assert it.short_roll_s == pytest.approx(8, abs=1)


def test_a_failed_chunk_is_counted_once(tmp_path, recording, monkeypatch):
    from depth_perception.record.mcap_file import McapFile

    flush = McapFile.flush

    def full(self):
        if self.counts and sum(self.counts.values()) >= 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        flush(self)

    monkeypatch.setattr(McapFile, "flush", full)
    it = recording("/a", chunk_mb=0.01, flush_s=60.0)  # the first message is flushed at once
    it.record(tmp_path / "bag")
    for stamp in range(3):
        it.put("/a", cdr("x" * 6000), stamp)
    while not it.error:
        threading.Event().wait(0.001)
    count = it.counts["/a"]
    assert (count.received, count.written + count.dropped) == (3, 3)
    assert count.written == len(recorded(tmp_path / "bag")) == 1, "what was flushed before the disk was full"
