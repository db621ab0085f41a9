"""What the loop proves and builds of a candidate that is better is really there afterwards, in every precision that was asked for."""

import pytest

pytest.importorskip("torch", reason="needs torch (make environment)")
pytest.importorskip("open3d", reason="needs open3d for the simulated drives (make environment)")

from variants import drive, trained, with_a_second_camera

from depth_perception import engine, model
from depth_perception.engine import tensorrt_package
from depth_perception.export import calibration
from depth_perception.loop import Plan, Store, stages


def quiet(sentence):
    pass


@pytest.fixture(scope="module")
def bags(tmp_path_factory):
    """Two drives of one car with two cameras and two LiDARs."""
    folder = tmp_path_factory.mktemp("drives")
    drive(folder / "plain")
    return [str(with_a_second_camera(folder / "plain", folder / name)) for name in ("a", "b")]


def test_all_precisions_are_there_at_once(tmp_path, bags):
    store = Store(tmp_path / "models")
    folder = store.runs / "a"
    folder.mkdir()
    trained(folder / "candidate")
    targets = ["sm86"] if tensorrt_package.packages() else []
    plan = Plan(bags=dict.fromkeys(bags), precisions=["fp16", "int8"], targets=targets, image_topic="/second/image",
                points_topic="/second/points")
    proof = stages.Run(store, folder, plan, quiet)._prove(bags)
    opened = model.load(folder / "candidate")
    assert set(proof["selftest"]) == set(opened.networks) == {"depth", "pose"}
    for name in opened.networks:
        for precision in ("fp32", "fp16", "int8"):
            proven = engine.load(opened, name, device="cpu", precision=precision)
            assert proven.proof.difference <= proven.proof.bound
        assert (opened.path / f"{name}.fp16.onnx").is_file() and (opened.path / f"{name}.int8.onnx").is_file()
    found = calibration.read(bags, height=opened.height, width=opened.width, canonical_focal_px=opened.canonical_focal_px,
                             reading={"image_topic": "/second/image", "points_topic": "/second/points"})
    assert opened.lineage["export"]["calibration"]["bags"] == ["a", "b"]
    assert opened.lineage["export"]["calibration"]["sha256"] == found.sha256, "of the camera that the loop was told"
    rows = {(row["network"], row["target"], row["precision"]) for row in proof["engines"]}
    assert rows == {(name, target, precision) for name in opened.networks for target in targets for precision in plan.precisions}
