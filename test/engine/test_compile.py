"""`compile` with the real builder: every shipped model for two kinds of GPU, the key, the cache, sentences."""

from __future__ import annotations

import json
import re
import shutil
from enum import Enum
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception import model as models
from depth_perception.__main__ import main
from depth_perception.commands.compile import Talk
from depth_perception.engine import cache, compiled, tensorrt_build, tensorrt_package
from depth_perception.frame import BadInput

onnx = pytest.importorskip("onnx")
RTX = tensorrt_package.Package("tensorrt_rtx", "1.7", SimpleNamespace(ComputeCapability=Enum("C", ["SM86", "SM89"])), None)


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "copy")


@pytest.fixture
def builder():
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (requirements/learn.txt)")
    return tensorrt_package.load("tensorrt_rtx")


@pytest.fixture(scope="module")
def pose(tmp_path_factory):
    """A model of the shipped pose network alone, with its ONNX as a graph to edit."""
    shipped = models.load(models.shipped())
    folder = tmp_path_factory.mktemp("pose")
    models.save_manifest(models.Model(folder, "depth", {"pose": shipped.networks["pose"]}, shipped.height, shipped.width, 1.0))
    return models.load(folder), onnx.load(shipped.onnx("pose"))


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_a_changed_weight_of_the_same_shape_always_changes_the_key(pose, data):
    model, graph = pose
    weights = [tensor for tensor in graph.graph.initializer if tensor.raw_data]
    tensor = data.draw(st.sampled_from(range(len(weights))), label="initializer")
    bit = data.draw(st.integers(0, 8 * len(weights[tensor].raw_data) - 1), label="bit")

    def key():
        onnx.save(graph, model.path / "pose.onnx")
        return compiled.key(model, "pose", package=RTX, capability="sm86")

    before, whole = key(), weights[tensor].raw_data
    try:
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        weights[tensor].raw_data = bytes(changed)
        after = key()
    finally:
        weights[tensor].raw_data = whole
    assert after.shapes == before.shapes == {"image": [1, 3, 128, 416], "neighbour": [1, 3, 128, 416]}
    assert after.digest() != before.digest()
    assert key() == before


def test_a_retrained_model_never_gets_the_old_engine(copy, builder):
    model = models.load(copy)
    old = compiled.compiled(model, "depth", package=builder, capability="sm86")
    assert old.entry.engine.parent == copy / "engines"
    graph = onnx.load(copy / "depth.onnx")
    five = next(tensor for tensor in graph.graph.initializer if tensor.name == "five")
    five.CopyFrom(onnx.numpy_helper.from_array(np.float32(6.0), "five"))
    onnx.save(graph, copy / "depth.onnx")
    key = compiled.key(model, "depth", package=builder, capability="sm86")
    with pytest.raises(BadInput, match=r"none of depth for sm86 in fp32 by tensorrt_rtx .* has another ONNX file"):
        cache.find(copy / "engines", key)
    new = compiled.compiled(model, "depth", package=builder, capability="sm86")
    assert new.built and new.entry.engine != old.entry.engine and new.entry.content != old.entry.content


def test_a_model_that_changes_while_it_is_built_is_not_kept(copy, builder):
    model, real = models.load(copy), tensorrt_build.build

    def build(file, **options):
        (copy / "depth.onnx").write_bytes((copy / "pose.onnx").read_bytes())
        return real(file, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tensorrt_build, "build", build)
        with pytest.raises(BadInput, match="the ONNX file of depth was replaced while it was compiled"):
            compiled.compiled(model, "depth", package=builder, capability="sm86")
    assert list((copy / "engines").iterdir()) == []


def test_a_damaged_engine_is_built_again_and_said(copy, builder, capsys):
    command = ["compile", "--model", str(copy), "--target", "sm86"]
    assert main(command) == 0
    engine = next((copy / "engines").glob("depth.*.engine"))
    whole = engine.read_bytes()
    engine.write_bytes(whole[:-1])
    capsys.readouterr()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"rebuilt: engine {engine}: wanted {len(whole)} bytes as its manifest says, it has {len(whole) - 1}" in said
    assert [line.split()[-1] for line in said.splitlines() if " sm86 " in line] == ["built", "cached"]


@pytest.mark.parametrize("name", ["student", "s1"])
def test_every_shipped_model_compiles_for_two_kinds_of_gpu(name, builder, tmp_path, capsys):
    command = ["compile", "--model", str(models.shipped(name)), "--target", "sm86,sm89", "--out", str(tmp_path / "engines"),
               "--json", str(tmp_path / "j.json")]
    assert main(command) == 0
    model, result = models.load(models.shipped(name)), json.loads((tmp_path / "j.json").read_text())
    rows = {(row["network"], row["target"]): row for row in result["engines"]}
    assert rows.keys() == {(network, target) for network in model.networks for target in ("sm86", "sm89")}
    assert len({row["engine_sha256"] for row in rows.values()}) == len(rows)
    for (network, target), row in rows.items():
        assert row["state"] == "built" and row["MB"] > 1
        entry = cache.find(tmp_path / "engines", compiled.key(model, network, package=builder, capability=target))
        facts = entry.manifest
        assert (str(entry.engine), facts["engine_bytes"]) == (row["engine"], len(entry.content))
        assert facts["onnx_sha256"] == models.sha256(model.onnx(network))
        assert facts["shapes"] == model.networks[network]["inputs"]
        assert {"build_seconds", "built", "commit", "by"} <= facts.keys()
        layers = json.loads(entry.engine.with_suffix(".layers.json").read_text())
        assert layers["types"]["CONVOLUTION"] > 5
    capsys.readouterr()
    assert main(command) == 0
    assert [line.split()[-1] for line in capsys.readouterr().out.splitlines() if " sm8" in line] == ["cached"] * 4


def test_force_and_prune(copy, builder, tmp_path):
    command = ["compile", "--model", str(copy), "--target", "sm86", "--json", str(tmp_path / "j.json")]
    assert main(command) == 0
    assert main([*command, "--force"]) == 0
    assert {row["state"] for row in json.loads((tmp_path / "j.json").read_text())["engines"]} == {"built"}
    stale = cache.Key("depth", "0" * 64, "tensorrt_rtx", "1", "sm86", "fp32", {})
    for k in range(cache.OTHERS + 2):
        cache.put(copy / "engines", cache.Key(**{**stale.__dict__, "version": f"1.{k}"}), b"engine", {})
    assert main([*command, "--prune"]) == 0
    assert len(json.loads((tmp_path / "j.json").read_text())["pruned"]) == 4
    assert main(command) == 0
    assert {row["state"] for row in json.loads((tmp_path / "j.json").read_text())["engines"]} == {"cached"}


def test_bad_arguments_are_one_sentence_before_anything_is_built(copy, builder, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    wrong = {
        "--target sm99": "target: tensorrt_rtx .* builds for sm75, .* or this-gpu; got 'sm99'",
        "--target ,": "--target: wanted one or more words",
        "--target sm86 --precision fp8": "precision: wanted one of fp32, fp16, int8, got 'fp8'",
        "--target sm86 --precision fp32,int8": r"depth\.int8\.onnx is missing; run `python .* export .* --precision int8 --bag BAG`",
        "--package trt": "package: wanted one of tensorrt_rtx, tensorrt, got 'trt'",
        f"--target sm86 --out {tmp_path / 'file'}": "--out: .*file: wanted a directory, it is a file",
        f"--target sm86 --model {tmp_path / 'file'}": "wanted a model directory",
    }
    for words, sentence in wrong.items():
        assert main(["compile", "--model", str(copy), *words.split()]) == 2, words
        said = capsys.readouterr().err
        assert len(said.splitlines()) == 1 and "Traceback" not in said
        assert re.search(sentence, said), said
    assert not (copy / "engines").exists()


def test_a_read_only_model_s_engines_go_to_the_user_s_cache(copy, builder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (copy / "engines").write_text("a file: nothing can be written below it")
    done = compiled.compiled(models.load(copy), "depth", package=builder, capability="sm86")
    assert done.built and done.entry.engine.parent == tmp_path / "cache" / "depth_perception" / "engines"
    assert not compiled.compiled(models.load(copy), "depth", package=builder, capability="sm86").built


def test_engines_that_came_with_a_read_only_model_are_found(copy, builder, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert compiled.compiled(models.load(copy), "depth", package=builder, capability="sm86").built
    monkeypatch.setattr(cache, "writable", lambda places: places[1])
    done = compiled.compiled(models.load(copy), "depth", package=builder, capability="sm86")
    assert (done.built, done.entry.engine.parent) == (False, copy / "engines")


def test_an_int8_engine_s_key_holds_its_calibration(copy):
    shutil.copy(copy / "depth.onnx", copy / "depth.int8.onnx")
    keys = []
    for sha in ("1" * 64, "2" * 64):
        models.save_manifest(models.Model(copy, "depth", {"depth": {}}, 32, 64, 40.0, {"export": {"calibration": {"sha256": sha}}}))
        keys.append(compiled.key(models.load(copy), "depth", package=RTX, capability="sm86", precision="int8"))
    assert [key.calibration for key in keys] == ["1" * 64, "2" * 64] and keys[0].digest() != keys[1].digest()
    assert compiled.key(models.load(copy), "depth", package=RTX, capability="sm86").calibration == ""


def test_a_long_build_says_so_every_five_seconds(capsys):
    with Talk("depth sm86 fp32") as talk:
        for seconds in (0.1, 4.9, 5.1, 6.0, 10.2, 14.9):
            talk.building("Timing tactics", seconds)
        talk.waiting()
    assert capsys.readouterr().err.splitlines() == [
        "depth sm86 fp32: building, 5 s: Timing tactics", "depth sm86 fp32: building, 10 s: Timing tactics",
        "depth sm86 fp32: another process builds it, waiting"]
