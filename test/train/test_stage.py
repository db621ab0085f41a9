"""A model takes the last one's place when it is whole, and never a part of it."""

import errno

import pytest

from depth_perception.frame import BadInput
from depth_perception.train.stage import staged

OLD = {"manifest.json": "old", "depth.safetensors": "old", "depth.onnx": "old", "selftest.npz": "old", "mine.txt": "mine"}


@pytest.fixture
def out(tmp_path):
    for name, text in OLD.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def contents(folder):
    return {str(file.relative_to(folder)): file.read_text() for file in folder.rglob("*") if file.is_file()}


def test_the_new_takes_the_place_of_the_old_and_what_belonged_to_the_old_goes(out):
    with staged(out) as stage:
        for name in ("manifest.json", "depth.safetensors"):
            (stage / name).write_text("new")
        (stage / "report").mkdir()
        (stage / "report" / "index.html").write_text("page")
        assert contents(out)["manifest.json"] == "old"
    assert contents(out) == {"manifest.json": "new", "depth.safetensors": "new", "report/index.html": "page", "mine.txt": "mine"}


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), RuntimeError("bug"), KeyboardInterrupt()])
def test_whatever_ends_it_early_leaves_the_old(out, error):
    said = BadInput if isinstance(error, OSError) else type(error)
    with pytest.raises(said, match="disk is full.*as it was" if said is BadInput else None), staged(out) as stage:
        (stage / "manifest.json").write_text("new")
        raise error
    assert contents(out) == OLD


def test_what_a_killed_run_left_is_cleared(out):
    (out / ".new.abc").mkdir()
    (out / ".new.abc" / "manifest.json").write_text("half")
    with staged(out) as stage:
        (stage / "manifest.json").write_text("new")
    assert not list(out.glob(".new.*")) and contents(out)["manifest.json"] == "new"


def test_a_place_where_nothing_can_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="cannot be written"), staged(tmp_path / "file" / "model"):
        pass
