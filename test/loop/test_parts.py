"""Objects and markings in the loop: what a stretch must hold, who judges, what learning and scoring are told. Commands are recorded."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from depth_perception.__main__ import main
from depth_perception.bag import Bag, Writer, messages
from depth_perception.frame import BadInput, Calibration
from depth_perception.loop import Plan, Store, run, stages
from depth_perception.loop.held import NothingSaid, hold_out, hold_out_folder
from depth_perception.loop.parts import PARTS
from depth_perception.model import Model, save_manifest

CALIBRATION = Calibration(np.array([[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]), 64, 32, "camera")


def drive(path, *, count=20, boxes=None, masks=None, info=True):
    """Images every 0.1 s; boxes, masks: topic of a labelled car, or of paint, in the frames of the second half alone."""
    with Writer(path) as out:
        for k in range(count):
            stamp = 10**9 + k * 10**8
            image = np.random.default_rng(k).integers(0, 255, (32, 64, 3), np.uint8)
            out.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            if info:
                out.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            if boxes:
                car = messages.make("visualization_msgs/msg/Marker", header=messages.header(stamp, "base_link"), ns="Car", type=1)
                out.write(boxes, messages.make("visualization_msgs/msg/MarkerArray", markers=[car] * (k >= count // 2)), stamp)
            if masks:
                mask = np.full((32, 64), k >= count // 2, np.uint8)
                out.write(masks, messages.image(mask, "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
    return path


def folder(path, count=10):
    for part in ("images", "masks"):
        (path / part).mkdir(parents=True)
        for k in range(count):
            cv2.imwrite(str(path / part / f"{k}.png"), np.full((32, 64), k, np.uint8))
    return path


def model_of(path, kind, networks):
    """A model directory of which nobody asks more than what it is."""
    path.mkdir()
    save_manifest(Model(path, kind, {name: {"class": "X", "config": {}, "inputs": {}, "outputs": {}} for name in networks}, 32, 64, 40.0))
    return path


@pytest.fixture
def night(tmp_path, monkeypatch):
    """`night(task, plan's fields)` -> outcome, what was run, and the run's folder; the candidate is as good as `scores` say."""

    def of(task, scores, *, bags, kind=None, networks=("image", "both"), **more):
        base = model_of(tmp_path / f"base {len(list(tmp_path.iterdir()))}", kind or PARTS[task].kind, networks)
        store = Store(tmp_path / "models")
        store.begin(base)
        said = []

        def command(self, log, *words):
            said.append([word if not Path(word).is_absolute() else Path(word).name for word in words])
            value = {}
            if words[0] == "train":
                model_of(self._candidate, kind or PARTS[task].kind, networks)
                said.append(yaml.safe_load((self._folder / "config.yaml").read_text()))
            else:
                value = scores(Path(words[words.index("--bag") + 1]).name, log.endswith("after"))
            Path(words[words.index("--json") + 1]).write_text(json.dumps(value))

        fit = {"problems": [], "fitness": {purpose: {"verdict": "yes", "reasons": []} for purpose in ("objects", "markings")}}
        monkeypatch.setattr(stages.inspection, "inspect", lambda *args, **options: fit)
        monkeypatch.setattr(stages.Run, "_command", command)
        monkeypatch.setattr(stages.Run, "_prove", lambda self, bags: {"selftest": {}, "engines": []})
        plan = Plan(bags={str(bag): [] for bag in bags}, task=task, min_gain=PARTS[task].min_gain, tolerance=PARTS[task].tolerance, **more)
        ((name, outcome),) = run(store, plan, tell=lambda sentence: None)
        return outcome, said, store.runs / name, store

    return of


def test_the_end_keeps_its_truth_at_the_usual_topic(tmp_path):
    truth = PARTS["objects"].truth
    end = Bag(hold_out(drive(tmp_path / "a", boxes="/hand/boxes", masks="/truth/markings"), tmp_path / "end", share=0.5, truth=truth,
                       truth_topic="/hand/boxes"))
    assert sorted(end.topics) == ["/camera/camera_info", "/camera/image", "/truth/boxes"]
    rows = list(end.messages(["/truth/boxes"]))
    assert len(rows) == len(list(end.messages(["/camera/image"]))) == 9
    assert all(len(end.decode(kind, raw).markers) == 1 for _, kind, _, raw in rows)
    marked = hold_out(tmp_path / "a", tmp_path / "marked", share=0.5, truth=PARTS["markings"].truth)
    assert sorted(Bag(marked).topics) == ["/camera/camera_info", "/camera/image", "/truth/markings"]


def test_a_stretch_of_which_nothing_is_said_judges_nobody(tmp_path):
    truth = PARTS["markings"].truth
    with pytest.raises(NothingSaid, match="a: has no masks of markings in /truth/markings"):
        hold_out(drive(tmp_path / "a"), tmp_path / "end", share=0.5, truth=truth)
    with pytest.raises(NothingSaid, match="a: has no labelled boxes in /camera/image"):
        hold_out(tmp_path / "a", tmp_path / "end", share=0.5, truth=PARTS["objects"].truth, truth_topic="/camera/image")
    bag = drive(tmp_path / "b", masks="/truth/m")
    with Writer(tmp_path / "bare") as out:
        for topic, kind, log_ns, raw in Bag(bag).messages():
            message = Bag(bag).decode(kind, raw)
            if topic == "/truth/m":
                message.data = np.zeros_like(message.data)
            out.write(topic, message, log_ns)
    with pytest.raises(NothingSaid, match=r"bare: wanted masks of markings of something in its last 50% \(1.0 s\), /truth/m has none"):
        hold_out(tmp_path / "bare", tmp_path / "end", share=0.5, truth=truth, truth_topic="/truth/m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "bare"]


def test_the_end_of_a_folder(tmp_path):
    source = folder(tmp_path / "f")
    (source / "calibration.yaml").write_text("c")
    end = hold_out_folder(source, tmp_path / "end", share=0.25)
    assert {str(file.relative_to(end)) for file in end.rglob("*.*")} == {
        "images/8.png", "images/9.png", "masks/8.png", "masks/9.png", "calibration.yaml"}
    with pytest.raises(BadInput, match="f: wanted at least one picture in its last 5%, it has 10 in all"):
        hold_out_folder(source, tmp_path / "none", share=0.05)


def test_objects_learn_from_labelled_drives_and_keep_every_sensor(night, tmp_path):
    good, bare = drive(tmp_path / "good", boxes="/boxes"), drive(tmp_path / "bare")

    def scores(stretch, after):
        return {"per_modality": {"image": {"map": 0.2 + 0.1 * after}, "both": {"map": 0.3 + 0.1 * after}}}

    outcome, said, folder, store = night("objects", scores, bags=[good, bare], labels="/boxes", held_share=0.5, steps=3)
    assert outcome.sentence == "0002 is current: on this run's drives mAP went from 0.2500 to 0.3500 (+10.0 points)"
    train, config, before, after = said
    assert train[:4] == ["train", "objects", "--bag", "good"]
    assert train[train.index("--modality"):][:5] == ["--modality", "image", "both", "--labels", "boxes"]
    assert config["frames"]["leave_end"] == 0.5
    assert before[:2] == after[:2] == ["evaluate", "objects"] and "--labels" not in before
    assert json.loads((folder / "held.json").read_text())["refused"] == {str(bare): f"{bare}: has no labelled boxes in /boxes"}
    facts = json.loads((store.current / "promotion.json").read_text())
    assert facts["refused"] == [f"{bare}: has no labelled boxes in /boxes"] and "judges" not in facts
    assert store.seen()[str(bare)]["said"].startswith("refused")
    (stretch,) = store.held.iterdir()
    assert "/truth/boxes" in Bag(stretch).topics


def test_objects_that_one_sensor_sees_worse_are_not_promoted(night, tmp_path):
    def scores(stretch, after):
        return {"per_modality": {"image": {"map": 0.2 - 0.05 * after}, "both": {"map": 0.3 + 0.2 * after}}}

    outcome, _, _, store = night("objects", scores, bags=[drive(tmp_path / "a", boxes="/truth/boxes")], held_share=0.5)
    assert outcome.kind == "not better" and "image mAP went from 0.2000 to 0.1500, allowed -2.0 points" in outcome.sentence
    assert store.current.name == "0001"


def paint(stretch, after):
    return {"miou": 0.5 + 0.1 * after, "paint": 0.5, "per_class": {}}


def test_new_drives_that_have_masks_judge_themselves(night, tmp_path):
    marked, bare, town = drive(tmp_path / "marked", masks="/truth/markings"), drive(tmp_path / "bare"), folder(tmp_path / "town")
    outcome, said, run_folder, store = night("markings", paint, bags=[marked, bare], networks=["markings"], source=[str(town)],
                                             held_share=0.5)
    assert outcome.sentence == "0002 is current: on this run's drives IoU went from 0.5000 to 0.6000 (+10.0 points)"
    assert said[0][:6] == ["train", "markings", "--source", "town", "--target", "marked"] and said[0][6] == "bare", "it teaches, too"
    assert said[1]["leave_end"] == 0.5
    held = json.loads((run_folder / "held.json").read_text())
    assert held["held"][str(bare)] is None and held["judges"] == {} and held["refused"] == {}
    assert len(list(store.held.iterdir())) == 1


def test_without_masks_the_sources_end_judges_and_is_kept_once(night, tmp_path):
    bare, town = drive(tmp_path / "bare"), folder(tmp_path / "town")
    street = drive(tmp_path / "street", masks="/truth/markings")
    for turn in (1, 2):
        outcome, said, _, store = night("markings", paint, bags=[bare], networks=["markings"], source=[str(street), str(town)],
                                        held_share=0.5, palette="/p/palette.yaml")
        assert outcome.sentence == (f"000{turn + 1} is current: on the labelled source's end IoU went from 0.5000 to 0.6000 (+10.0 points)")
        scored = [row for row in said if isinstance(row, list) and row[0] == "evaluate"]
        assert len(scored) == 4 and all(row[-2:] == ["--palette", "palette.yaml"] for row in scored)
        names = sorted(path.name[: path.name.rindex("-")] for path in store.held.iterdir())
        assert names == ["source-street", "source-town"]
        facts = json.loads((store.current / "promotion.json").read_text())
        assert set(facts["judges"].values()) == {"the labelled source's end"}


def test_a_labelled_set_judges_and_stays_where_it_is(night, tmp_path):
    bare, town = drive(tmp_path / "bare"), folder(tmp_path / "town")
    judge = drive(tmp_path / "judge", masks="/truth/hand")
    outcome, said, _, store = night("markings", paint, bags=[bare], networks=["markings"], source=[str(town)], score_on=[str(judge)],
                                    labels="/truth/hand", held_share=0.5)
    assert "on the labelled set IoU went" in outcome.sentence
    assert said[2][:4] == ["evaluate", "markings", "--bag", "judge"] and said[2][-2:] == ["--mask-topic", "hand"]
    assert judge.is_dir() and list(store.held.iterdir()) == []


def test_what_nobody_can_judge_is_not_even_learned(night, tmp_path):
    outcome, said, _, store = night("markings", paint, bags=[drive(tmp_path / "bare")], networks=["markings"],
                                    source=[str(folder(tmp_path / "town", count=3))], held_share=0.2)
    assert (outcome.kind, said, store.current.name) == ("failed", [], "0001")
    assert outcome.sentence.startswith("nobody can judge: ") and "town: wanted at least one picture in its last 20%" in outcome.sentence


def test_doors(tmp_path, capsys):
    drive(tmp_path / "a", masks="/truth/markings"), drive(tmp_path / "bare")
    (tmp_path / "p.yaml").write_text("zebra: 3")
    depth = model_of(tmp_path / "depth", "depth", ["depth"])
    begin = ["loop", "--bag", str(tmp_path / "bare"), "--into", str(tmp_path / "models"), "--task"]
    source = ["--source", str(tmp_path / "a")]
    for words, sentence in (
        (["markings"], "--source: `--task markings` needs labelled bags or folders, got none"),
        (["markings", "--source", str(tmp_path / "no")], "no: wanted a bag with masks, or a folder with images/ and masks/, nothing is"),
        (["markings", "--source", str(tmp_path / "bare")], "bare: has no masks of markings in /truth/markings"),
        (["markings", *source, "--labels", "/m"], "a: has no masks of markings in /m"),
        (["markings", *source, "--score-on", str(tmp_path / "a")], "a: nobody may learn from what judges, and it is a --source"),
        (["markings", *source, "--palette", str(tmp_path / "p.yaml")], "unknown class 'zebra'"),
        (["objects", *source], "--source: `--task objects` takes none"),
        (["depth", "--labels", "/m"], "--labels: `--task depth` takes none"),
        (["objects", "--init", str(depth)], "depth: `--task objects` wants a model of kind objects, it is of kind depth"),
    ):
        assert main([*begin, *words]) == 2, words
        (line,) = capsys.readouterr().err.splitlines()
        assert sentence in line
    Store(tmp_path / "models").begin(depth)
    assert main([*begin, "markings", *source]) == 2
    assert "0001: `--task markings` wants a model of kind markings, it is of kind depth" in capsys.readouterr().err


def test_who_teaches_or_judges_is_no_new_drive(tmp_path, capsys):
    drive(tmp_path / "drives" / "a", masks="/truth/markings")
    marked = model_of(tmp_path / "marked", "markings", ["markings"])
    words = ["loop", "--task", "markings", "--bag", str(tmp_path / "drives"), "--into", str(tmp_path / "models"), "--init", str(marked)]
    assert main([*words, "--source", str(tmp_path / "drives" / "a")]) == 3
    assert "no bag below" in capsys.readouterr().out
