"""A file that anybody's mcap reader takes, checksums and index included; and of a cut one, everything that was flushed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags import rosbag2

from depth_perception.bag import TYPES, Bag
from depth_perception.record import metadata as metadata_yaml
from depth_perception.record.mcap_file import COMPRESSORS, Channel, McapFile

STRING = Channel("/a", "std_msgs/msg/String", "string data\n")
POINTS = Channel("/p", "sensor_msgs/msg/PointCloud2", TYPES.generate_msgdef("sensor_msgs/msg/PointCloud2", ros_version=2)[0],
                 metadata_yaml.as_yaml([metadata_yaml.profile(reliable=False, latched=True, depth=3)]))


def written(path, rows, *, metadata=None, **options):
    file = McapFile(path, **options)
    for channel, log_ns, cdr in rows:
        file.write(channel, log_ns, cdr)
    file.close(metadata)
    return file


def read(path):
    return [(topic, log_ns, bytes(raw)) for topic, _, log_ns, raw in Bag(path).messages()]


def rows_of(count, sizes=(5, 40_000, 1)):
    return [(STRING if i % 2 else POINTS, 100 + i, bytes([i % 256]) * sizes[i % len(sizes)]) for i in range(count)]


@pytest.mark.parametrize("compression", list(COMPRESSORS))
def test_what_is_written_is_read_by_two_other_readers(tmp_path, compression):
    mcap = pytest.importorskip("mcap.reader", reason="needs the mcap package, which comes with kitti2mcap")
    if compression == "zstd":
        pytest.importorskip("zstandard", reason="the mcap package reads zstd by it")
    rows = rows_of(50)
    file = written(tmp_path / "f.mcap", rows, compression=compression, chunk_bytes=100_000, metadata={"recording": {"/a": "written 25"}})
    assert file.size == (tmp_path / "f.mcap").stat().st_size
    wanted = [(channel.topic, log_ns, cdr) for channel, log_ns, cdr in rows]
    with (tmp_path / "f.mcap").open("rb") as stream:
        reader = mcap.make_reader(stream, validate_crcs=True)
        assert [(channel.topic, message.log_time, message.data) for _, channel, message in reader.iter_messages()] == wanted
        summary = reader.get_summary()
        assert (summary.statistics.message_count, summary.statistics.chunk_count, summary.statistics.metadata_count) == (50, 6, 1)
        assert (summary.statistics.message_start_time, summary.statistics.message_end_time) == (100, 149)
        assert {index.compression for index in summary.chunk_indexes} == {"" if compression == "none" else compression}
        offers = {channel.topic: channel.metadata["offered_qos_profiles"] for channel in summary.channels.values()}
        assert offers == {"/a": "", "/p": POINTS.qos}
        assert [(record.name, record.metadata) for record in reader.iter_metadata()] == [("recording", {"/a": "written 25"})]
    with rosbag2.Reader(tmp_path / "f.mcap") as reader:
        assert [(connection.topic, log_ns, bytes(raw)) for connection, log_ns, raw in reader.messages()] == wanted
    assert read(tmp_path / "f.mcap") == wanted


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from([STRING, POINTS]), st.integers(0, 2**62), st.binary(max_size=300).map(b"\0\1\0\0".__add__)),
                  min_size=1, max_size=30),
    compression=st.sampled_from(list(COMPRESSORS)),
    chunk_bytes=st.integers(1, 2000),
)
def test_any_messages_come_back_in_the_order_of_time(tmp_path_factory, rows, compression, chunk_bytes):
    path = tmp_path_factory.mktemp("any") / "f.mcap"
    written(path, rows, compression=compression, chunk_bytes=chunk_bytes)
    wanted = [(channel.topic, log_ns, cdr) for channel, log_ns, cdr in rows]
    assert sorted(read(path)) == sorted(wanted)
    assert [log_ns for _, log_ns, _ in read(path)] == sorted(log_ns for _, log_ns, _ in wanted)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
@pytest.mark.parametrize("compression", list(COMPRESSORS))
def test_cut_at_any_byte_every_chunk_before_is_read(tmp_path_factory, compression, data):
    path = tmp_path_factory.mktemp("cut") / "f.mcap"
    rows = rows_of(20, sizes=(5, 400, 1))
    file = McapFile(path, compression=compression)
    ends = []
    for i, (channel, log_ns, cdr) in enumerate(rows):
        file.write(channel, log_ns, cdr)
        if i % 4 == 3:
            file.flush()
            ends.append(path.stat().st_size)
    file.close()
    at = data.draw(st.integers(ends[0], path.stat().st_size - 1))
    path.write_bytes(path.read_bytes()[:at])
    safe = 4 * sum(end <= at for end in ends)
    seen = read(path)
    assert len(seen) >= safe
    assert seen == [(channel.topic, log_ns, cdr) for channel, log_ns, cdr in rows[: len(seen)]]


def test_a_flipped_bit_costs_one_chunk(tmp_path):
    rows = rows_of(9, sizes=(50,))
    path = tmp_path / "f.mcap"
    file = McapFile(path)
    for i, row in enumerate(rows):
        file.write(*row)
        if i % 3 == 2:
            file.flush()
    file.close()
    raw = bytearray(path.read_bytes())
    raw[raw.index(rows[4][2])] ^= 1
    path.write_bytes(raw[: len(raw) - 100])  # without its index it is read record by record
    bag = Bag(path)
    assert [log_ns for *_, log_ns, _ in bag.messages()] == [100, 101, 102, 106, 107, 108]
    assert any("its checksum is wrong" in sentence for sentence in bag.skipped)


def test_a_file_is_never_written_over(tmp_path):
    (tmp_path / "f.mcap").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        McapFile(tmp_path / "f.mcap")
    assert (tmp_path / "f.mcap").read_bytes() == b"mine"
