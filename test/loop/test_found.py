"""Bags in whatever folders they lie, each once; those that somebody is still writing are left for the next time."""

import os

import pytest

from depth_perception.bag import Bag, Writer, messages
from depth_perception.frame import BadInput
from depth_perception.loop import found
from depth_perception.loop.held import hold_out


def bag(path, count=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with Writer(path) as out:
        for i in range(count):
            out.write("/word", messages.string(f"{i}"), i)
    return path


def test_every_bag_below_is_found_once(tmp_path):
    a, b = bag(tmp_path / "monday" / "a"), bag(tmp_path / "tuesday" / "deep" / "b")
    bare = tmp_path / "bare"
    bare.mkdir()
    for name in ("x.mcap", "y.mcap"):
        (bare / name).write_bytes(next(a.glob("*.mcap")).read_bytes())
    split = tmp_path / "split"
    split.mkdir()
    for name in ("split_0.mcap", "split_1.mcap"):
        (split / name).write_bytes(next(a.glob("*.mcap")).read_bytes())
    (tmp_path / "notes.txt").touch()
    wanted = sorted([a, b, bare / "x.mcap", bare / "y.mcap", split])
    assert found.bags([tmp_path]) == wanted
    assert found.bags([tmp_path, a, bare / "x.mcap"]) == wanted
    assert found.bags([a]) == [a]


def test_files_and_folders_side_by_side_packed_or_linked(tmp_path):
    """A drive's folder may hold bags, bare recordings of any packing, and links to other disks, also in a circle."""
    disk, elsewhere = tmp_path / "disk", tmp_path / "elsewhere"
    a, b = bag(disk / "a"), bag(elsewhere / "b")
    for name in ("x.mcap", "x.mcap.zst", "y.mcap.zstd", "z.db3.lz4", "notes.zst"):
        (disk / name).touch()
    (disk / "linked").symlink_to(elsewhere)
    (disk / "again").symlink_to(b)
    (elsewhere / "circle").symlink_to(disk)
    packed = disk / "packed"
    packed.mkdir()
    for name in ("packed_0.mcap.zstd", "packed_1.mcap.zstd"):
        (packed / name).touch()
    wanted = sorted([a, b, packed, disk / "x.mcap", disk / "y.mcap.zstd", disk / "z.db3.lz4"])
    assert found.bags([disk]) == wanted
    assert found.bags([disk, b, disk / "y.mcap.zstd", elsewhere]) == wanted


def test_what_changed_is_another_bag(tmp_path):
    path = bag(tmp_path / "a")
    before = found.identity(path)
    assert found.identity(path) == before
    file = next(path.glob("*.mcap"))
    os.utime(file, ns=(1, 1))
    assert found.identity(path) != before


def test_an_open_recording_is_left_alone(tmp_path):
    path = bag(tmp_path / "a")
    assert not found.is_being_recorded(path)
    (path / "metadata.yaml").unlink()
    assert found.is_being_recorded(path)
    assert not found.is_being_recorded(path, now_s=max(file.stat().st_mtime for file in path.iterdir()) + 61), "it was killed"
    assert not found.is_being_recorded(path, now_s=max(file.stat().st_mtime for file in path.iterdir()) - 61), "its clock was ahead"


def test_doors(tmp_path):
    with pytest.raises(BadInput, match=r"--bag .*nowhere: wanted bags or a directory of them, but nothing is there"):
        found.bags([tmp_path / "nowhere"])
    (tmp_path / "a.txt").touch()
    with pytest.raises(BadInput, match="wanted a rosbag2 directory"):
        found.bags([tmp_path / "a.txt"])


def test_tf_static_is_owed_to_the_end_whatever_its_recorder_says(tmp_path, monkeypatch):
    import runpy
    from pathlib import Path

    write_bag = runpy.run_path(str(Path(__file__).parents[1] / "train" / "test_killed_training.py"))["write_bag"]
    whole = write_bag(tmp_path / "whole")

    class Volatile(Bag):
        def __init__(self, path):
            super().__init__(path)
            self.latched = set()

    monkeypatch.setattr("depth_perception.loop.held.Bag", Volatile)
    end = Bag(hold_out(whole, tmp_path / "end", share=0.1))
    assert end.latched == {"/tf_static"}
    assert len(list(end.messages(["/tf_static"]))) == 1


def test_the_end_of_a_drive_is_a_bag_of_its_own(tmp_path):
    import runpy
    from pathlib import Path

    write_bag = runpy.run_path(str(Path(__file__).parents[1] / "train" / "test_killed_training.py"))["write_bag"]
    whole = write_bag(tmp_path / "whole")
    end = hold_out(whole, tmp_path / "end", share=0.1)
    old, new = Bag(whole), Bag(end)
    assert (new.skipped, new.latched) == ([], {"/tf_static"})
    # The bag lasts 2.5 s from TF static at 0: its last tenth, less a tenth of that, begins at 2.275 s.
    wanted = [(topic, log_ns, bytes(raw)) for topic, _, log_ns, raw in old.messages(["/image", "/points"]) if log_ns >= 2_275_000_000]
    assert [(topic, log_ns, bytes(raw)) for topic, _, log_ns, raw in new.messages(["/image", "/points"])] == wanted
    assert len(wanted) == 6
    assert [bytes(raw) for *_, raw in new.messages(["/tf_static"])] == [bytes(raw) for *_, raw in old.messages(["/tf_static"])]
    assert new.topics["/camera_info"][1] == 3 + 1, "and the one before"
    with pytest.raises(BadInput, match=r"whole: wanted at least three images in its last 1% \(0.0 s\), got 1"):
        hold_out(whole, tmp_path / "short", share=0.01)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["end", "whole"]
