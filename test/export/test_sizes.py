"""Any input size that is a multiple of 32: whole model directories whose metres stay metres."""

import cv2
import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from variants import TRIPLET, trained

from depth_perception import engine, model
from depth_perception.__main__ import main
from depth_perception.commands.export import _size
from depth_perception.export import export
from depth_perception.frame import BadInput, Calibration
from depth_perception.networks.student import PRESETS, Student, StudentConfig
from depth_perception.systems.network_input import focal_ratio


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """A model of 96x64 and its copy of 160x128."""
    folder = tmp_path_factory.mktemp("sized")
    networks = trained(folder / "m")
    return networks, export(folder / "m", folder / "large", size=(160, 128))


def images(height, width):
    """Two smooth images, the same scene at any size."""
    rng = np.random.default_rng(2)
    return [np.ascontiguousarray(cv2.resize(rng.random((4, 6, 3), np.float32), (width, height)).transpose(2, 0, 1)[None]) for _ in range(2)]


def test_a_copy_of_another_size_is_a_whole_model(sized):
    networks, large = sized
    opened = model.load(large.path)
    assert (opened.height, opened.width, opened.lineage["trained_size"]) == (128, 160, [96, 64])
    assert opened.networks["depth"]["inputs"]["image"] == [1, 3, 128, 160]
    assert opened.networks["depth"]["outputs"]["depth"] == [1, 1, 128, 160]
    assert opened.networks["pose"]["outputs"]["pose"] == [1, 6]
    proven = engine.load(opened, "depth", device="cpu")
    image = images(128, 160)[0]
    with torch.no_grad():
        wanted = networks["depth"](torch.from_numpy(image))[0].numpy()
    assert np.allclose(proven(image=image)["depth"], wanted, rtol=1e-4)
    assert np.load(large.path / "selftest.npz")["depth.0.in.image"].shape == (1, 3, 128, 160)


def test_a_pose_in_metres_is_the_same_from_any_size(sized):
    networks, large = sized
    calibration = Calibration(K=np.array([[300.0, 0, 320], [0, 300, 240], [0, 0, 1]]), width=640, height=480, frame_id="camera")
    poses = []
    for height, width, answers in ((64, 96, lambda a, b: networks["pose"](torch.from_numpy(a), torch.from_numpy(b)).detach().numpy()),
                                   (128, 160, lambda a, b: engine.load(large, "pose", device="cpu")(image=a, neighbour=b)["pose"])):
        ratio = focal_ratio(calibration, height=height, canonical_focal_px=large.canonical_focal_px)
        poses.append(answers(*images(height, width))[0] * np.array([1] * 3 + [ratio] * 3))
    for part in (slice(3), slice(3, 6)):
        assert np.linalg.norm(poses[0][part]) > 0
        assert np.linalg.norm(poses[1][part] - poses[0][part]) < 0.05 * np.linalg.norm(poses[0][part])


def test_a_triplet_of_another_size_is_the_network_on_shrunk_images_in_their_order(tmp_path):
    network = trained(tmp_path / "m", pose=TRIPLET)["pose"]
    large = export(tmp_path / "m", tmp_path / "large", size=(160, 128))
    proven = engine.load(large, "pose", device="cpu")
    assert proven.inputs == {name: [1, 3, 128, 160] for name in TRIPLET.inputs} and proven.outputs == {"pose": [1, 2, 6]}
    row = [np.random.default_rng(k).random((1, 3, 128, 160), np.float32) for k in range(3)]
    with torch.no_grad():
        small = [torch.nn.functional.interpolate(torch.from_numpy(image), size=(64, 96), mode="bilinear") for image in row]
        wanted = network(*small) * torch.tensor([1, 1, 1, 0.5, 0.5, 0.5])
    assert np.allclose(proven(**dict(zip(TRIPLET.inputs, row, strict=True)))["pose"], wanted, atol=1e-5 * float(wanted.abs().max()))


def test_a_copy_can_be_exported_again(sized, tmp_path):
    _, large = sized
    again = export(large.path, tmp_path / "again")
    back = export(large.path, tmp_path / "back", size=(96, 64))
    for copy, source in ((again, large.path), (back, large.path.parent / "m")):
        image, neighbour = images(copy.height, copy.width)
        pose = engine.load(copy, "pose", device="cpu")(image=image, neighbour=neighbour)["pose"]
        if source == large.path:
            assert np.array_equal(pose, engine.load(large, "pose", device="cpu")(image=image, neighbour=neighbour)["pose"])
        else:
            assert "Resize" not in {node.op_type for node in onnx.load(copy.onnx("pose")).graph.node}
    assert (back.height, back.width) == (64, 96)


def test_a_model_keeps_its_own_size_in_its_own_place(sized):
    own = sized[1].path.parent / "m"
    with pytest.raises(BadInput, match="is of 96x64; say with --out where"):
        export(own, size=(160, 128))
    with pytest.raises(BadInput, match="is of 96x64; say with --out where"):
        export(own, own, size=(160, 128))
    assert not (own / "depth.onnx").exists()


@pytest.mark.parametrize("words", ["640x190", "600x192", "0x64", "640", "640x", "x192", "-64x64", "64x64x64", "6e2x192", "²x192"])
def test_a_bad_size_is_one_sentence(sized, words, capsys, tmp_path):
    own = sized[1].path.parent / "m"
    assert main(["export", "--model", str(own), "--out", str(tmp_path / "out"), f"--size={words}"]) == 2
    error = capsys.readouterr().err
    assert "--size: wanted WIDTHxHEIGHT" in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@given(st.integers(0, 5000), st.integers(0, 5000))
@settings(max_examples=30, deadline=None)
def test_sizes_are_read_as_they_are_written(width, height):
    assert _size(f"{width}x{height}") == (width, height)


def test_widths_by_name():
    counts = {name: sum(p.numel() for p in Student(StudentConfig(channels=channels)).parameters()) for name, channels in PRESETS.items()}
    assert counts == {"nano": 242407, "small": 453879, "base": 1089783, "claim": 916991}
    assert max(counts.values()) <= 1.2e6 and StudentConfig().channels == PRESETS["claim"]
    with torch.no_grad():
        for channels in PRESETS.values():
            assert Student(StudentConfig(channels=channels)).eval()(torch.rand(1, 3, 32, 64))[0].shape == (1, 1, 32, 64)
