"""Where results go: what cannot be written is said before the work, and nothing is made by asking."""

import os

import pytest

from depth_perception import writable
from depth_perception.frame import BadInput


def test_what_is_there_and_what_can_be_made_pass(tmp_path):
    (tmp_path / "file").write_text("mine")
    writable.file("--json", tmp_path / "file")
    writable.file("--json", tmp_path / "new" / "file.json")
    writable.directory("--out", tmp_path)
    writable.directory("--out", tmp_path / "a" / "b")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "mine"


def test_relative_names_are_of_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    writable.directory("--out", "a/b")
    writable.file("--json", "scores.json")
    (tmp_path / "a").write_text("")
    with pytest.raises(BadInput, match=r"^--out: a/b cannot be written: a is no directory$"):
        writable.directory("--out", "a/b")


@pytest.mark.parametrize("check", [writable.directory, writable.file])
@pytest.mark.parametrize("name", ["file/x", "file/x/y", "nowhere/x"])
def test_below_what_is_no_directory_nothing_can_be_made(tmp_path, check, name):
    (tmp_path / "file").write_text("")
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent" / "folder")
    with pytest.raises(BadInput, match=f"--out: {tmp_path / name} cannot be written: {tmp_path / name.split('/')[0]} is no directory"):
        check("--out", tmp_path / name)


def test_a_link_to_a_directory_is_one(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    writable.directory("--out", tmp_path / "link")
    writable.directory("--out", tmp_path / "link" / "x")


def test_the_other_kind_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match=f"--out: {tmp_path / 'file'}: wanted a directory, it is a file"):
        writable.directory("--out", tmp_path / "file")
    with pytest.raises(BadInput, match=f"--json: {tmp_path}: wanted a file to write, it is a directory"):
        writable.file("--json", tmp_path)


def test_a_folder_that_may_not_be_changed_is_refused(tmp_path, monkeypatch):
    asked = []

    def access(path, mode, **_):
        asked.append((path, mode))
        return False

    monkeypatch.setattr(os, "access", access)  # root may write everywhere
    with pytest.raises(BadInput, match=f"--out: {tmp_path / 'a' / 'b'} cannot be written: nothing may be made in {tmp_path}"):
        writable.directory("--out", tmp_path / "a" / "b")
    assert asked == [(tmp_path, os.W_OK | os.X_OK)]
