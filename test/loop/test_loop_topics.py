"""The loop with bags of several LiDARs and CameraInfos: what it is told reaches every command, and none that does not take it."""

import json

import numpy as np
import pytest

from depth_perception.bag import Bag, Writer, guess_topics, messages
from depth_perception.frame import BadInput, Calibration, Scan
from depth_perception.loop import Plan, Store, stages
from depth_perception.loop.held import hold_out
from depth_perception.loop.parts import PARTS
from depth_perception.model import Model, save_manifest

CALIBRATION = Calibration(np.array([[40.0, 0, 32], [0, 40, 16], [0, 0, 1]]), 64, 32, "camera")
TOLD = {"image_topic": "/front_rgb", "info_topic": "/front_info", "points_topic": "/roof", "calibration": "/camera.yaml"}


@pytest.fixture
def car(tmp_path):
    with Writer(tmp_path / "car") as out:
        for k in range(20):
            stamp = 10**9 + k * 10**8
            for topic in ("/front_info", "/rear_info"):
                out.write(topic, messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
            for topic in ("/roof", "/bumper"):
                out.write(topic, messages.points(Scan(np.ones((5, 3), np.float32), stamp, frame_id="lidar")), stamp)
            out.write("/front_rgb", messages.image(np.zeros((32, 64, 3), np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            out.write("/truth/markings", messages.image(np.ones((32, 64), np.uint8), "mono8", stamp_ns=stamp, frame_id="camera"), stamp)
    return tmp_path / "car"


def test_a_stretch_leaves_no_choice(car, tmp_path):
    """It is scored without any of the topics being told."""
    end = Bag(hold_out(car, tmp_path / "end", share=0.5, info_topic="/front_info", points_topic="/roof"))
    assert sorted(end.topics) == ["/front_info", "/front_rgb", "/roof"] and guess_topics(end).camera_info == "/front_info"
    with pytest.raises(BadInput, match="--info-topic"):
        hold_out(car, tmp_path / "no", share=0.5, points_topic="/roof")


def test_a_calibration_file_and_images_alone_ask_for_no_topic(car, tmp_path):
    end = Bag(hold_out(car, tmp_path / "end", share=0.5, calibrated=True, scans=False, truth=PARTS["markings"].truth))
    assert sorted(end.topics) == ["/front_info", "/front_rgb", "/rear_info", "/truth/markings"]


@pytest.mark.parametrize(("task", "left_out"), [("depth", set()), ("markings", {"points_topic"})])
def test_training_is_told_what_it_takes(task, left_out, tmp_path, monkeypatch):
    from depth_perception.__main__ import main

    monkeypatch.setattr("depth_perception.commands.train.run", lambda args: said.update(vars(args)) or 0)
    said = {}
    base, store = tmp_path / "base", Store(tmp_path / "models")
    base.mkdir()
    save_manifest(Model(base, "depth", {}, 32, 64, 40.0))
    folder = store.runs / "a"
    folder.mkdir()

    def command(self, log, *words):
        assert main(list(words)) == 0
        (folder / "trained.json").write_text(json.dumps({}))

    monkeypatch.setattr(stages.Run, "_command", command)
    source = ["/labelled"] if task == "markings" else []
    plan = Plan(bags={"/a": []}, task=task, steps=3, source=source, **TOLD)
    stages.Run(store, folder, plan, lambda sentence: None)._train(["/a"], base)
    wanted = {name: None if name in left_out else [value] if name == "image_topic" else value for name, value in TOLD.items()}
    assert {name: said[name] for name in TOLD} == wanted


def test_the_plan_has_it_from_the_command_line(tmp_path, monkeypatch):
    import argparse

    from depth_perception.commands import loop
    from depth_perception.commands.loop.plan import plan
    from depth_perception.loop import found

    parser = argparse.ArgumentParser()
    loop.add_arguments(parser)
    monkeypatch.setattr(found, "bags", lambda paths: [tmp_path / "a.mcap"])
    (tmp_path / "a.mcap").write_bytes(b"")
    args = parser.parse_args(["--bag", "x", "--into", str(tmp_path / "m"), "--info-topic", "/front_info"])
    what, _ = plan(args, Store(tmp_path / "m"))
    assert what.info_topic == "/front_info"
