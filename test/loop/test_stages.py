"""Whatever goes wrong in a run is an outcome; its bags get another chance, and old stretches never stop it."""

import argparse
import dataclasses
import json
import shutil
from pathlib import Path

import pytest

from depth_perception import model
from depth_perception.__main__ import main
from depth_perception.bag import Writer, messages
from depth_perception.commands import export
from depth_perception.engine import tensorrt_package
from depth_perception.loop import Outcome, Plan, Store, run, stages


@pytest.fixture
def store(tiny_model, tmp_path):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    return store


def quiet(sentence):
    pass


def begun(store, name, plan):
    """A run that was cut off."""
    folder = store.runs / name
    folder.mkdir()
    (folder / "plan.json").write_text(plan if isinstance(plan, str) else model.as_json(dataclasses.asdict(plan)))
    return folder


def bag(path):
    with Writer(path) as out:
        out.write("/word", messages.string("a"), 1)
    return path


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyError("problems"), TypeError("None"), ValueError("x")])
def test_whatever_fails_is_an_outcome(store, monkeypatch, error):
    def fails(*args, **kwargs):
        raise error

    monkeypatch.setattr(stages.inspection, "inspect", fails)
    ((name, outcome),) = run(store, Plan(bags={"/a": [["a", 1, 2]]}), tell=quiet)
    assert outcome.kind == "failed" and type(error).__name__ in outcome.sentence
    assert json.loads((store.runs / name / "outcome.json").read_text())["kind"] == "failed"
    assert store.seen()["/a"]["failed"] == 1
    assert run(store, None, tell=quiet) == [], "it is closed"


@pytest.mark.parametrize("plan", ["{", "[]", '{"bags": {}, "colour": 3}', '{"bags": 3}', "{}"])
def test_a_plan_that_cannot_be_read_is_closed(store, plan):
    folder = begun(store, "a", plan)
    ((name, outcome),) = run(store, None, tell=quiet)
    assert (name, outcome.kind) == ("a", "failed")
    assert outcome.sentence.startswith(f"{folder / 'plan.json'} cannot be read (")
    assert run(store, None, tell=quiet) == []


def test_a_bag_that_failed_is_tried_three_times(tiny_model, tmp_path, monkeypatch, capsys):
    def fails(*args, **kwargs):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(stages.inspection, "inspect", fails)
    bag(tmp_path / "drives" / "a")
    words = ["loop", "--bag", str(tmp_path / "drives"), "--into", str(tmp_path / "models"), "--init", str(tiny_model)]
    assert [main(words) for _ in range(4)] == [6, 6, 6, 3]
    assert "1 failed 3 times and are left alone until --again" in capsys.readouterr().out
    assert main([*words, "--again"]) == 6


def test_what_grew_since_it_was_planned_is_new(store):
    begun(store, "earlier", Plan(bags={"/a": [["a", 1, 2]], "/b": [["b", 1, 2]]}))
    done = run(store, Plan(bags={"/a": [["a", 2, 3]], "/b": [["b", 1, 2]]}), tell=quiet)
    assert len(done) == 2
    assert json.loads((store.runs / done[1][0] / "plan.json").read_text())["bags"] == {"/a": [["a", 2, 3]]}


def test_a_run_that_was_promoted_and_rolled_back_stays_so(store, tiny_model):
    begun(store, "a", Plan(bags={"/a": []}))
    store.promote(tiny_model, {"run": "a"}, move=False)
    store.rollback()
    ((_, outcome),) = run(store, None, tell=quiet)
    assert outcome == Outcome("rolled back", "0002, which this run had promoted before it was cut off, is no longer current")
    assert store.current.name == "0001"
    assert store.seen()["/a"]["failed"] == 0


def test_stretches_bring_their_calibration_and_old_ones_may_break(store, tmp_path, monkeypatch):
    """Scored: with the calibration beside it; left out: an earlier one that the current model cannot be scored on."""
    (store.held / "old").mkdir()
    (store.held / "broken").mkdir()
    (store.held / "old.yaml").touch()
    folder = begun(store, "a", Plan(bags={"/a": []}))
    (folder / "held" / "a-0").mkdir(parents=True)
    (folder / "held" / "a-0.yaml").write_text("of a")
    said = []

    def command(self, log, *words):
        place = Path(words[words.index("--bag") + 1])
        if place.name == "broken":
            raise stages._Stop("failed", "it cannot be read", 2)
        said.append((place.name, words[words.index("--calibration") + 1] if "--calibration" in words else None))
        Path(words[words.index("--json") + 1]).write_text("{}")

    monkeypatch.setattr(stages.Run, "_command", command)
    one = stages.Run(store, folder, Plan(bags={"/a": []}, most_held=2), quiet)
    held = {"/a": "loop/runs/a/held/a-0"}
    scored = one._score(held, store.current)
    assert [(row["name"], row["new"]) for row in scored["stretches"]] == [("a-0", True), ("old", False)]
    assert scored["left_out"] == {"broken": "it cannot be read"}
    assert said == 2 * [("a-0", str(folder / "held" / "a-0.yaml"))] + 2 * [("old", str(store.held / "old.yaml"))]
    one._keep_held(held)
    assert sorted(path.name for path in store.held.iterdir()) == ["broken", "old", "old.yaml"], "the newest by name"
    monkeypatch.setattr(stages.Run, "_stretches", lambda self: [])
    broken = folder / "held" / "broken"
    broken.mkdir()
    with pytest.raises(stages._Stop, match="it cannot be read"):
        one._score({"/a": "loop/runs/a/held/broken"}, store.current)


TOLD = {"image_topic": "/left", "points_topic": "/roof", "calibration": "/camera.yaml"}


@pytest.mark.parametrize(("precisions", "wanted"), [
    (["fp32"], []),
    (["fp16"], [{"precision": "fp16", "bag": []} | dict.fromkeys(TOLD)]),
    (["fp32", "fp16"], [{"precision": "fp32,fp16", "bag": []} | dict.fromkeys(TOLD)]),
    (["int8"], [{"precision": "int8", "bag": ["/a", "/b"]} | TOLD]),
    (["fp16", "int8"], [{"precision": "fp16,int8", "bag": ["/a", "/b"]} | TOLD]),
])
def test_one_export_makes_all_precisions_and_bags_are_for_int8(store, tiny_model, monkeypatch, precisions, wanted):
    """As the parser of `export` itself understands its command line."""
    lines = []
    monkeypatch.setattr(stages.Run, "_command", lambda self, log, *words: lines.append(words))
    folder = begun(store, "a", plan := Plan(bags={"/a": [], "/b": []}, precisions=precisions, **TOLD))
    shutil.copytree(tiny_model, folder / "candidate")
    said = stages.Run(store, folder, plan, quiet)._prove(["/a", "/b"])
    assert set(said["selftest"]) == {"depth", "pose"}
    parser = argparse.ArgumentParser()
    export.add_arguments(parser)
    asked = [vars(parser.parse_args(words[1:])) for words in lines]
    assert [words[0] for words in lines] == ["export"] * len(wanted)
    assert [{name: each[name] for name in ("precision", "bag", *TOLD)} for each in asked] == wanted
    assert all(each["model"] == str(folder / "candidate") and each["out"] is None and each["info_topic"] is None for each in asked)


def test_what_the_loop_was_not_told_is_not_told_to_export(store, tiny_model, monkeypatch):
    lines = []
    monkeypatch.setattr(stages.Run, "_command", lambda self, log, *words: lines.append(words))
    folder = begun(store, "a", plan := Plan(bags={"/a": []}, precisions=["int8"]))
    shutil.copytree(tiny_model, folder / "candidate")
    stages.Run(store, folder, plan, quiet)._prove(["/a"])
    assert lines == [("export", "--model", str(folder / "candidate"), "--precision", "int8", "--bag", "/a")]


def test_bad_arguments_are_said_before_anything_begins(tiny_model, tmp_path, capsys):
    bag(tmp_path / "a")
    yaml = tmp_path / "bad.yaml"
    yaml.write_text("colour: 3")
    begin = ["loop", "--bag", str(tmp_path / "a"), "--into", str(tmp_path / "models"), "--init", str(tiny_model)]
    for words, sentence in (
        (["--calibration", str(yaml)], "bad.yaml"),
        (["--calibration", str(tmp_path / "none.yaml")], "none.yaml"),
        (["--task", "student", "--teacher", str(tmp_path)], "is not a model directory"),
        (["--precision", "fp32,fp12"], "--precision: wanted some of fp32,fp16,int8, got 'fp12'"),
        (["--precision", ","], "--precision: wanted one or more words"),
        (["--task", "objects", "--precision", "fp16,int8"], "`--task objects` takes fp32 and fp16, got int8"),
        (["--keep", "1"], "--keep: wanted at least 2, got 1"),
        (["--keep-held", "0"], "--keep-held: wanted at least 1, got 0"),
        (["--batch", "1"], "--batch: wanted at least 2, got 1"),
        (["--steps", "0"], "--steps: wanted at least 1, got 0"),
        (["--minutes", "0"], "--minutes: wanted a positive number, got 0.0"),
        (["--minutes", "nan"], "--minutes: wanted a positive number, got nan"),
        (["--target", "sm1"], "got 'sm1'" if tensorrt_package.packages() else "TensorRT: no package of it is installed here"),
    ):
        assert main([*begin, *words]) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
    pytest.importorskip("torch", reason="needs torch (make environment)")
    for path in (yaml, tmp_path / "none.yaml"):
        assert main([*begin, "--config", str(path)]) == 2
        assert path.name in capsys.readouterr().err
    assert not (tmp_path / "models").exists()
