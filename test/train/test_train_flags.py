"""A flag of another task is a mistake: it is named, and nothing is trained."""

import pytest

from depth_perception.__main__ import main


@pytest.mark.parametrize(("words", "sentence"), [
    (["contrast", "--bag", "x", "--source", "y"], "--source: is of `train markings`; `train contrast` does not take it"),
    (["contrast", "--bag", "x", "--profile"], "--profile: is of `train depth`, `train student`; `train contrast` does not take it"),
    (["markings", "--bag", "x", "--source", "y"], "--bag: is of `train depth`, `train student`, `train contrast`, `train objects`; "
                                                  "`train markings` does not take it"),
    (["depth", "--bag", "x", "--frames", "3"], "--frames: is of `train objects`; `train depth` does not take it"),
    (["objects", "--bag", "x", "--teacher", "y"], "--teacher: `train student` needs a model directory, and nothing else takes one, got y"),
])
def test_a_flag_of_another_task_is_named(words, sentence, tmp_path, capsys):
    assert main(["train", *words, "--steps", "1", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == f"train: {sentence}"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("words", "sentence"), [
    (["objects", "--truth", "/t"], "--truth, --regions: `evaluate depth` takes them, `evaluate objects` does not"),
    (["depth", "--align", "scale"], "--reference, --align: `evaluate odometry` takes them, `evaluate depth` does not"),
    (["bev", "--modality", "image"], "--modality, --labels: `evaluate objects` takes them, `evaluate bev` does not"),
])
def test_a_flag_of_another_evaluation_is_named(words, sentence, capsys):
    assert main(["evaluate", *words, "--bag", "x"]) == 2
    assert capsys.readouterr().err.strip() == f"evaluate: {sentence}"


@pytest.mark.parametrize("task", ["contrast", "objects", "markings"])
def test_what_learns_in_one_process_says_so_in_several(task, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["train", task, "--steps", "1", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == (
        f"train: torchrun: `train {task}` runs in one process, `train depth` and `train student` in several")
