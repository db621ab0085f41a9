"""FP16 and INT8 variants: types that stand in the graph, answers within their bounds, ranges from the bag alone; else nothing."""

import json
from itertools import zip_longest

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from variants import TRIPLET, drive, trained

from depth_perception import engine, model
from depth_perception.__main__ import main
from depth_perception.bag import FrameReader
from depth_perception.engine.selftest import BOUNDS
from depth_perception.export import calibration, export, int8
from depth_perception.frame import BadInput
from depth_perception.systems.network_input import prepare


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    return drive(tmp_path_factory.mktemp("drives") / "drive")


@pytest.fixture(scope="module")
def exported(tmp_path_factory, bag):
    """A model in all precisions, and the arrays that the quantiser was shown."""
    folder, shown = tmp_path_factory.mktemp("typed"), []
    trained(folder / "m")
    with pytest.MonkeyPatch.context() as patch:
        quantise = int8.quantize_static

        def watched(source, file, reader, **options):
            seen = []
            while (arrays := reader.get_next()) is not None:
                seen.append(arrays)
            shown.append(seen)
            quantise(source, file, int8._Reader(seen), **options)

        patch.setattr(int8, "quantize_static", watched)
        return export(folder / "m", precisions=("fp16", "int8"), bag=bag), shown


def weights(file):
    return {weight.name: weight for weight in onnx.load(file).graph.initializer}


@pytest.mark.parametrize("name", ["depth", "pose"])
def test_a_half_graph_has_its_types_in_it(exported, name):
    graph = onnx.load(exported[0].path / f"{name}.fp16.onnx").graph
    onnx.checker.check_model(onnx.load(exported[0].path / f"{name}.fp16.onnx"), full_check=True)
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    kinds = {weight.name: weight.data_type for weight in graph.initializer}
    convs = [node for node in graph.node if node.op_type == "Conv"]
    full = [node for node in convs if kinds[node.input[1]] == TensorProto.FLOAT]
    assert full == convs[-1:], "all convolutions but the head are float16"
    casts = [node for node in graph.node if node.op_type == "Cast"]
    assert len(casts) <= 3, "one in for each image, one out"


def test_every_variant_passes_the_self_test_of_its_precision(exported):
    opened = model.load(exported[0].path)
    for name in opened.networks:
        for precision in ("fp32", "fp16", "int8"):
            proven = engine.load(opened, name, device="cpu", precision=precision)
            assert 0 <= proven.proof.difference <= proven.proof.bound == BOUNDS[precision] and proven.proof.frames == 3
            found = opened.lineage["export"]["variants"][precision][name]
            assert found["difference"] == pytest.approx(proven.proof.difference, rel=1e-2, abs=1e-6)


def test_the_manifest_says_what_was_written(exported):
    opened = model.load(exported[0].path)
    words = opened.lineage["export"]
    assert set(words["variants"]) == {"fp32", "fp16", "int8"} and words["variants"]["fp32"]["depth"]["difference"] < 1e-5
    for precision, networks in words["variants"].items():
        for name, found in networks.items():
            suffix = "" if precision == "fp32" else f".{precision}"
            assert found["sha256"] == model.sha256(opened.path / f"{name}{suffix}.onnx")
            if precision == "int8":
                assert found["sha256_cpu"] == model.sha256(opened.path / f"{name}.int8.cpu.onnx")
                assert len(found["convolutions"]) >= 4 and found["on_the_bag"]["frames"] == 9
    assert words["sha256"]["depth"] == words["variants"]["fp32"]["depth"]["sha256"]
    cost = words["variants"]["int8"]["depth"]["on_the_bag"]
    assert cost["abs_rel_loss"] == pytest.approx(cost["abs_rel"] / cost["abs_rel_fp32"] - 1) and cost["abs_rel_loss"] <= 0.02
    assert words["calibration"]["bags"] == ["drive"] and words["calibration"]["frames"] == 10 and len(words["calibration"]["sha256"]) == 64


def test_the_quantiser_saw_images_of_the_bag_and_nothing_else(exported, bag):
    images = [prepare(frame.image, height=64, width=96) for frame in FrameReader(bag)]
    depth, pose = exported[1]
    assert len(depth) == len(pose) == 10
    for k, (one, pair) in enumerate(zip(depth, pose, strict=True)):  # every other image; the others score
        assert list(one) == ["image"] and np.array_equal(one["image"], images[2 * k + 1])
        assert list(pair) == ["image", "neighbour"]  # in the order of time, as when driving
        assert np.array_equal(pair["image"], images[2 * k]) and np.array_equal(pair["neighbour"], images[2 * k + 1])


def test_int8_is_symmetric_with_weights_per_channel(exported):
    for name in ("depth", "pose"):
        file = exported[0].path / f"{name}.int8.onnx"
        graph, found = onnx.load(file).graph, weights(file)
        rounds = [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]
        zeros = [numpy_helper.to_array(found[node.input[2]]) for node in rounds]
        assert rounds and all(zero.dtype == np.int8 and not zero.any() for zero in zeros)
        rounded = {node.output[0]: node for node in graph.node if node.op_type == "DequantizeLinear" and node.input[0] in found}
        convs = [node for node in graph.node if node.op_type == "Conv" and node.input[1] in rounded]
        for conv in convs:
            weight = rounded[conv.input[1]]
            assert found[weight.input[0]].data_type == TensorProto.INT8
            assert list(found[weight.input[1]].dims) == [found[weight.input[0]].dims[0]]
            assert found[conv.input[2]].data_type == TensorProto.FLOAT, "TensorRT takes no rounded bias"
        assert len(convs) == len(exported[0].lineage["export"]["variants"]["int8"][name]["convolutions"])


def test_both_int8_forms_are_the_same_numbers(exported, bag):
    frames = calibration.read(bag, height=64, width=96, canonical_focal_px=240.0).scoring
    for name in ("depth", "pose"):
        one, other = (engine.Engine(exported[0].path / f"{name}.{form}.onnx", device="cpu") for form in ("int8", "int8.cpu"))
        zero = {numpy_helper.to_array(w).dtype.name for w in weights(exported[0].path / f"{name}.int8.cpu.onnx").values()}
        assert "uint8" in zero
        for seen in frames[:3]:
            arrays = seen.inputs(one.inputs)
            (a,), (b,) = one(**arrays).values(), other(**arrays).values()
            assert np.abs(a - b).max() <= 0.01 * np.abs(a).max()  # kernels sum in other orders, and then a value may round the other way


@pytest.mark.parametrize(("bounds", "sentence"), [({"most_difference": 1e-9}, "depth.int8.onnx: differs by"),
                                                  ({"most_loss": -1.0}, r"depth.int8.onnx: AbsRel on the bag's LiDAR is worse by")])
def test_int8_that_costs_too_much_is_refused_and_leaves_nothing(tmp_path, bag, bounds, sentence):
    trained(tmp_path / "m")
    before = {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()}
    with pytest.raises(BadInput, match=f"{sentence}.* nothing was written"):
        export(tmp_path / "m", precisions=("int8",), bag=bag, **bounds)
    assert {file.name: file.read_bytes() for file in (tmp_path / "m").iterdir()} == before
    assert [file.name for file in tmp_path.iterdir()] == ["m"]


def test_a_later_export_leaves_no_variant_of_other_weights(tmp_path):
    trained(tmp_path / "m")
    export(tmp_path / "m", precisions=("fp16",))
    assert (tmp_path / "m" / "depth.fp16.onnx").is_file()
    assert set(export(tmp_path / "m").lineage["export"]["variants"]) == {"fp32"}
    assert not list((tmp_path / "m").glob("*.fp16.onnx"))


def test_what_an_earlier_export_left_is_removed_aloud(tmp_path, bag, capsys):
    trained(tmp_path / "m")
    command = ["export", "--model", str(tmp_path / "m"), "--precision"]
    assert main([*command, "int8", "--bag", str(bag)]) == 0
    assert "removed" not in capsys.readouterr().out
    assert main([*command, "fp16"]) == 0
    assert ("removed depth.int8.onnx, depth.int8.cpu.onnx, pose.int8.onnx, pose.int8.cpu.onnx of an earlier export; to have several "
            "precisions, name all of them in one --precision\n") in capsys.readouterr().out
    assert sorted(file.name for file in (tmp_path / "m").glob("depth*.onnx")) == ["depth.fp16.onnx", "depth.onnx"]
    assert main([*command, "fp16"]) == 0
    assert "removed" not in capsys.readouterr().out


def test_what_cannot_be_calibrated_with_is_said_in_a_sentence(tmp_path, bag, capsys, monkeypatch):
    trained(tmp_path / "m")
    for options, sentence in {
        "--precision int8": "--bag: wanted a bag to calibrate int8 with",
        f"--precision fp16 --bag {bag}": "--bag: is read for --precision int8 only",
        "--image-topic /camera/image": "--image-topic: is read for --precision int8 only",
        "--precision fp16 --calibration camera.yaml": "--calibration: is read for --precision int8 only",
        "--precision fp8": "--precision: wanted some of fp32,fp16,int8, got 'fp8'",
    }.items():
        assert main(["export", "--model", str(tmp_path / "m"), *options.split()]) == 2
        assert sentence in capsys.readouterr().err
    monkeypatch.setattr(calibration, "_LEAST", 50)
    with pytest.raises(BadInput, match="wanted at least 51 images to calibrate INT8 with, got 20"):
        export(tmp_path / "m", precisions=("int8",), bag=bag)
    assert not list((tmp_path / "m").glob("*.onnx"))


def test_the_command_says_what_it_wrote(tmp_path, bag, capsys):
    trained(tmp_path / "m")
    command = ["export", "--model", str(tmp_path / "m"), "--precision", "fp16,int8", "--bag", str(bag), "--json", str(tmp_path / "e.json")]
    assert main(command) == 0
    said = capsys.readouterr().out
    assert "convolutions in INT8; on the bag" in said and "AbsRel" in said and "depth.fp16.onnx" in said
    assert json.loads((tmp_path / "e.json").read_text())["variants"]["int8"]["pose"]["on_the_bag"]["frames"] == 9


def test_a_triplet_is_calibrated_with_three_images_in_a_row(tmp_path, bag, monkeypatch):
    images = [prepare(frame.image, height=64, width=96) for frame in FrameReader(bag)]
    sizes = {"height": 64, "width": 96, "canonical_focal_px": 240.0, "images": 3}
    for most, every in ((64, 1), (5, 4)):  # every image, and every fourth with the two before it
        monkeypatch.setattr(calibration, "_MOST", most)
        monkeypatch.setattr(calibration, "_LEAST", 4)
        found = calibration.read(bag, **sizes)
        in_turns = [seen for pair in zip_longest(found.ranging, found.scoring) for seen in pair if seen]
        rows = [seen.inputs(TRIPLET.inputs) for seen in in_turns]
        places = [i for i in range(2, 20) if i % every == 0]
        assert len(rows) == len(places)
        for i, row in zip(places, rows, strict=True):
            assert all(np.array_equal(a, b) for a, b in zip(row.values(), images[i - 2 : i + 1], strict=True))
    monkeypatch.setattr(calibration, "_LEAST", 50)
    with pytest.raises(BadInput, match="wanted at least 52 images to calibrate INT8 with, got"):
        calibration.read(bag, **sizes)


def test_every_engine_takes_a_triplet(tmp_path, bag):
    network = trained(tmp_path / "m", pose=TRIPLET)["pose"]
    exported = export(tmp_path / "m", precisions=("fp16", "int8"), bag=bag)
    shown = [seen.inputs(TRIPLET.inputs) for seen in calibration.read(bag, height=64, width=96, canonical_focal_px=240.0, images=3).scoring]
    for precision in ("fp32", "fp16", "int8"):
        proven = engine.load(exported, "pose", device="cpu", precision=precision)
        assert list(proven.inputs) == ["before", "image", "neighbour"] and proven.outputs == {"pose": [1, 2, 6]}
        for row in shown:
            with torch.no_grad():
                wanted = network(*(torch.from_numpy(row[name]) for name in TRIPLET.inputs)).numpy()
            assert np.abs(proven(**row)["pose"] - wanted).max() <= BOUNDS[precision] * np.abs(wanted).max()
    assert exported.lineage["export"]["variants"]["int8"]["pose"]["on_the_bag"]["frames"] == 9


def test_tensorrt_builds_a_triplet(tmp_path):
    loaded = tensorrt()
    from depth_perception.engine import tensorrt_build

    trained(tmp_path / "m", pose=TRIPLET)
    built = tensorrt_build.build(export(tmp_path / "m").onnx("pose"), package=loaded, capability="sm89", precision="fp32")
    assert len(built.engine) > 1000


def tensorrt():
    """The TensorRT package; skips where there is none."""
    package = pytest.importorskip("depth_perception.engine.tensorrt_package")
    try:
        return package.load()
    except BadInput as missing:
        pytest.skip(str(missing))


def test_tensorrt_takes_every_variant(exported):
    loaded = tensorrt()
    from depth_perception.engine import tensorrt_build

    for name in ("depth", "pose"):
        for precision in ("fp16", "int8"):
            file = exported[0].path / f"{name}.{precision}.onnx"
            built = tensorrt_build.build(file, package=loaded, capability="sm89", precision=precision)
            assert len(built.engine) > 1000 and built.onnx_sha256 == model.sha256(file)
            with pytest.raises(BadInput):  # the types are the graph's own
                tensorrt_build.build(file, package=loaded, capability="sm89", precision="fp32")
