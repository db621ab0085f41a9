"""A bag that its recorder could not finish becomes whole, with everything that could be read; or stays exactly as it was."""

import shutil

import pytest
import yaml
from rosbags import rosbag2

from depth_perception.bag import TYPES, Bag, messages
from depth_perception.frame import BadInput
from depth_perception.record import metadata, repair
from depth_perception.record.kept import Kept
from depth_perception.record.mcap_file import Channel, McapFile
from depth_perception.record.split_bag import SplitBag, Splits

STRING = "std_msgs/msg/String"
WORD = Channel("/word", STRING, TYPES.generate_msgdef(STRING, ros_version=2)[0],
               metadata.as_yaml([metadata.profile(reliable=False, latched=True, depth=7)]))


def word(i):
    return bytes(TYPES.serialize_cdr(messages.string(f"word {i}"), STRING))


@pytest.fixture
def killed(tmp_path):
    """Three files, the last one of 7 messages without its end; no metadata.yaml."""
    bag = SplitBag(tmp_path / "bag", kept=Kept(), splits=Splits(seconds=10e-9), compression="lz4")
    for i in range(27):
        bag.write(WORD, word(i), i)
        if i == 24:
            bag.flush()
    bag.flush()
    bag.abandon()
    return tmp_path / "bag"


def words(path):
    bag = Bag(path)
    return [(stamp, bag.decode(kind, raw).data) for _, kind, stamp, raw in bag.messages()], bag.skipped


def test_everything_that_was_written_is_in_the_repaired_bag(killed):
    told = []
    done = repair(killed, progress=told.append)
    assert (done.files, done.messages, told) == (["bag_2.mcap"], 27, ["bag_2.mcap"])
    assert [sentence for sentence in done.lost if "index is missing" in sentence] == done.lost
    assert words(killed) == ([(i, f"word {i}") for i in range(27)], [])
    assert b"lz4" in (killed / "bag_2.mcap").read_bytes(), "as it was recorded"
    with rosbag2.Reader(killed) as reader:  # by metadata.yaml and indexes
        assert (reader.message_count, reader.start_time, reader.end_time) == (27, 0, 27)
        (connection,) = reader.connections
        assert connection.digest == TYPES.hash_rihs01(STRING)
        (offer,) = connection.ext.offered_qos_profiles
        assert (offer.depth, offer.reliability.name, offer.durability.name) == (7, "BEST_EFFORT", "TRANSIENT_LOCAL")
    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    assert repair(killed).files == []
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before, "doing it twice is doing it once"


def test_a_file_that_was_cut_inside_a_chunk(killed):
    file = killed / "bag_2.mcap"
    file.write_bytes(file.read_bytes()[:-60])
    done = repair(killed)
    assert 25 <= done.messages < 27
    assert words(killed) == ([(i, f"word {i}") for i in range(done.messages)], [])


def test_a_whole_file_that_is_damaged_inside_gives_up_what_is_damaged(tmp_path):
    file = McapFile(tmp_path / "bare.mcap")
    for i in range(9):
        file.write(WORD, i, word(i) + b"." * 100)
        if i % 3 == 2:
            file.flush()
    file.close()
    raw = bytearray((tmp_path / "bare.mcap").read_bytes())
    raw[raw.index(b"word 4")] ^= 1
    (tmp_path / "bare.mcap").write_bytes(raw)
    done = repair(tmp_path / "bare.mcap")
    assert done.messages == 6
    assert any("its checksum is wrong" in sentence for sentence in done.lost)
    with rosbag2.Reader(tmp_path / "bare.mcap") as reader:
        assert [stamp for _, stamp, _ in reader.messages()] == [0, 1, 2, 6, 7, 8]
    assert not (tmp_path / "metadata.yaml").exists()


def test_a_file_in_which_no_message_came_stays_and_is_said(killed):
    McapFile(killed / "bag_3.mcap").abandon()
    done = repair(killed)
    assert done.messages == 27
    assert "bag_3.mcap: no message in it, left as it is" in done.lost
    listed = yaml.safe_load((killed / "metadata.yaml").read_text())["rosbag2_bagfile_information"]["relative_file_paths"]
    assert listed == ["bag_0.mcap", "bag_1.mcap", "bag_2.mcap"]


def test_without_room_the_bag_is_as_it_was(killed, monkeypatch):
    def full(self, pieces):
        raise OSError(28, "No space left on device")

    before = {file.name: file.read_bytes() for file in killed.iterdir()}
    monkeypatch.setattr(McapFile, "_write", full)
    with pytest.raises(BadInput, match=r"copy cannot be written \(No space left on device\); the file is as it was"):
        repair(killed)
    assert {file.name: file.read_bytes() for file in killed.iterdir()} == before


def test_a_bag_that_is_still_being_recorded_is_left_alone(tmp_path):
    bag = SplitBag(tmp_path / "bag", kept=Kept())
    bag.write(WORD, word(0), 0)
    with pytest.raises(BadInput, match=r"bag_0.mcap: is still being recorded; end the recorder first"):
        repair(tmp_path / "bag")
    bag.write(WORD, word(1), 1)
    bag.close({"/word": "written 2"})
    before = (tmp_path / "bag" / "metadata.yaml").read_bytes()
    assert repair(tmp_path / "bag").files == []
    assert (tmp_path / "bag" / "metadata.yaml").read_bytes() == before, "a whole bag keeps what it says of itself"


def test_doors(tmp_path, killed):
    with pytest.raises(BadInput, match="wanted a bag to repair, but nothing is there"):
        repair(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="wanted a bag of mcap files to repair, and there is none in it"):
        repair(tmp_path / "empty")
    (tmp_path / "text.mcap").write_text("this is no mcap file")
    with pytest.raises(BadInput, match="no message in it can be read"):
        repair(tmp_path / "text.mcap")
    assert (tmp_path / "text.mcap").read_text() == "this is no mcap file"
    shutil.rmtree(killed)
