"""model: a directory that is one, and all the ways not to be one."""

import json

import pytest

from depth_perception import model
from depth_perception.frame import BadInput


def test_what_is_saved_is_loaded(tmp_path):
    wanted = model.Model(tmp_path, "depth", {"depth": {"class": "student", "config": {"expansion": 2}}}, 128, 416, 240.0, {"seed": 3})
    model.save_manifest(wanted)
    assert model.load(tmp_path) == wanted


@pytest.mark.parametrize(("content", "sentence"), [
    (None, "no manifest.json"), ("{", "cannot be read"), ("[]", "cannot be read"), ('{"format": 99}', "format 99"),
    (json.dumps({"format": 1}), "cannot be read: KeyError"),
])
def test_a_directory_that_is_no_model(tmp_path, content, sentence):
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(BadInput, match=sentence):
        model.load(tmp_path)


def test_a_file_and_nothing_are_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="found a file"):
        model.load(tmp_path / "file")
    with pytest.raises(BadInput, match="found nothing"):
        model.load(tmp_path / "absent")


def test_what_the_system_keeps_from_us_is_a_sentence(tmp_path, monkeypatch):
    (tmp_path / "manifest.json").write_text("{}")

    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched, pytest.raises(BadInput, match="cannot be read: Permission denied"):
        patched.setattr(model.Path, "read_text", refused)
        model.load(tmp_path)
    with pytest.raises(BadInput, match="cannot be read: File name too long"):
        model.load(tmp_path / ("x" * 300))


def test_a_network_that_is_not_there(tmp_path):
    opened = model.Model(tmp_path, "depth", {"depth": {}}, 128, 416, 240.0)
    with pytest.raises(BadInput, match="no 'pose'"):
        opened.onnx("pose")
    with pytest.raises(BadInput, match=r"depth\.onnx is missing; run"):
        opened.onnx("depth")


def test_a_directory_is_written_whole_or_not_at_all(tmp_path):
    target = tmp_path / "model"
    with model.written_directory(target) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), model.written_directory(target) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (target / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
