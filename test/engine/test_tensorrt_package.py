"""The adapter over NVIDIA's two packages: which is there, for which GPUs it builds."""

from __future__ import annotations

from enum import Enum
from types import SimpleNamespace

import pytest

from depth_perception.engine import cuda, tensorrt_package
from depth_perception.frame import BadInput

RTX = SimpleNamespace(__version__="1.7.1.116", ComputeCapability=Enum("ComputeCapability", ["NONE", "CURRENT", "SM120", "SM86", "SM89"]))
PLAIN = SimpleNamespace(__version__="10.3.0")


def package(module):
    return tensorrt_package.Package("tensorrt_rtx" if module is RTX else "tensorrt", module.__version__, module, None)


@pytest.fixture
def this_gpu(monkeypatch):
    """Says which GPU is here."""

    def is_here(capability):
        monkeypatch.setattr(cuda, "this_gpu", lambda: SimpleNamespace(capability=capability))

    return is_here


def test_rtx_builds_ahead_of_time():
    assert package(RTX).compute_capabilities() == ["sm86", "sm89", "sm120"]
    assert package(RTX).capability("sm89") == "sm89"
    with pytest.raises(BadInput, match=r"builds for sm86, sm89, sm120 or this-gpu; got 'sm99'"):
        package(RTX).capability("sm99")


def test_this_gpu_is_named_by_its_kind(this_gpu):
    this_gpu("sm86")
    assert package(RTX).capability("this-gpu") == "sm86"
    this_gpu("sm90")
    with pytest.raises(BadInput, match=r"got 'this-gpu' \(sm90\)"):
        package(RTX).capability("this-gpu")


def test_plain_tensorrt_builds_for_the_gpu_it_runs_on(this_gpu):
    this_gpu("sm87")
    assert package(PLAIN).compute_capabilities() == []
    assert package(PLAIN).capability("this-gpu") == package(PLAIN).capability("sm87") == "sm87"
    with pytest.raises(BadInput, match=r"tensorrt 10\.3\.0 builds for this-gpu, which is sm87; got 'sm89'"):
        package(PLAIN).capability("sm89")


def test_without_a_gpu_this_gpu_is_one_sentence(monkeypatch):
    def none():
        raise BadInput("CUDA: no GPU on this machine")

    monkeypatch.setattr(cuda, "this_gpu", none)
    with pytest.raises(BadInput, match=r"wants a GPU \(CUDA: no GPU on this machine\); for other GPUs name one of sm86, sm89, sm120"):
        package(RTX).capability("this-gpu")
    with pytest.raises(BadInput, match="builds only on the GPU that will drive"):
        package(PLAIN).capability("sm87")


@pytest.mark.parametrize(("installed", "asked", "sentence"), [
    ([], None, "TensorRT: no package of it is installed here: pip install"),
    (["tensorrt_rtx"], "tensorrt", "TensorRT: tensorrt is not installed here: pip install"),
    (["tensorrt_rtx"], "trt", "package: wanted one of tensorrt_rtx, tensorrt, got 'trt'"),
])
def test_what_is_not_there(monkeypatch, installed, asked, sentence):
    monkeypatch.setattr(tensorrt_package, "packages", lambda: installed)
    with pytest.raises(BadInput, match=sentence):
        tensorrt_package.load.__wrapped__(asked)


def test_too_old_or_broken(monkeypatch):
    monkeypatch.setattr(tensorrt_package, "packages", lambda: ["tensorrt"])
    monkeypatch.setattr(tensorrt_package, "_imported", lambda name: SimpleNamespace(__version__="8.5.2.2"))
    with pytest.raises(BadInput, match=r"wanted tensorrt 10\.0 or newer, 8\.5\.2\.2 is installed"):
        tensorrt_package.load.__wrapped__()

    def broken(name):
        raise ImportError("libnvinfer.so.10: cannot open shared object file")

    monkeypatch.setattr(tensorrt_package, "_imported", broken)
    with pytest.raises(BadInput, match=r"tensorrt is installed but does not import: libnvinfer\.so\.10"):
        tensorrt_package.load.__wrapped__()


def test_the_real_one():
    pytest.importorskip("tensorrt_rtx", reason="needs tensorrt-rtx (requirements/learn.txt)")
    loaded = tensorrt_package.load("tensorrt_rtx")
    assert "tensorrt_rtx" in tensorrt_package.packages()
    assert {"sm86", "sm89"} <= set(loaded.compute_capabilities())
    assert loaded.version == loaded.module.__version__
    assert tensorrt_package.load("tensorrt_rtx") is loaded, "one logger per process"
