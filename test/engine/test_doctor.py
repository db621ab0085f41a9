"""doctor: what is there, what is to be done, and the figures of every engine; without ROS, torch or a GPU."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depth_perception.__main__ import main
from depth_perception.commands.doctor import environment, machine
from depth_perception.engine import onnx_runtime

ROOT = Path(__file__).resolve().parent.parent.parent


def lines(text):
    """subject -> (level, sentence) of what doctor has printed."""
    return {line[6:18].strip(): (line[:5].strip(), line[19:]) for line in text.splitlines() if not line.startswith("doctor")}


def gpu_report(model, folder, *, calls=1):
    """Exit code and JSON of `doctor --gpu`."""
    file = folder / "report.json"
    code = main(["doctor", "--gpu", "--model", str(model), "--calls", str(calls), "--engines", str(folder), "--json", str(file)])
    return code, json.loads(file.read_text())


@pytest.fixture
def cpu_only(no_cuda, monkeypatch):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    monkeypatch.setattr(machine, "driver", dict)


def test_a_machine_that_is_well(tiny_model, cpu_only, capsys):
    pytest.importorskip("rclpy")
    assert main(["doctor", "--model", str(tiny_model)]) == 0
    out = capsys.readouterr().out
    said = lines(out)
    assert said["python"][0] == said["ROS"][0] == "ok"
    assert said["ONNX Runtime"][1].endswith("for CPU")
    assert said["GPU"] == ("note", said["GPU"][1]) and "pip install cuda-bindings" in said["GPU"][1]
    assert said["tiny"][0] == "ok" and "pose: self-test on onnxruntime" in said["tiny"][1]
    assert out.endswith("doctor: all is well\n")


def test_what_is_to_be_done_is_said_and_counted(tiny_model, tmp_path, cpu_only, monkeypatch, capsys):
    copy = shutil.copytree(tiny_model, tmp_path / "copy")
    (copy / "selftest.npz").unlink()
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(tmp_path / "absent.xml"))
    monkeypatch.setattr(machine, "driver", lambda: {"name": "RTX 4090", "driver": "595.1", "capability": "8.9"})
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: object())
    assert main(["doctor", "--model", str(copy)]) == 1
    out = capsys.readouterr().out
    said = lines(out)
    assert said["copy"][0] == "todo" and "run `python -m depth_perception export" in said["copy"][1]
    assert said["DDS"][0] == "todo" and "absent.xml: no such file; unset it" in said["DDS"][1]
    assert said["GPU"][0] == "todo" and said["GPU"][1].startswith("RTX 4090, driver 595.1, but CUDA: ")
    assert out.endswith("doctor: 3 to do\n")


def test_without_ros_it_says_what_needs_it(tiny_model, cpu_only, monkeypatch, capsys):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    assert main(["doctor", "--model", str(tiny_model)]) == 1
    said = lines(capsys.readouterr().out)
    assert said["ROS"][0] == "todo" and "source a ROS 2 installation" in said["ROS"][1]
    assert "DDS" not in said


def test_gpu_measures_what_runs_and_says_why_the_rest_does_not(tiny_model, tmp_path, cpu_only, capsys):
    code, report = gpu_report(tiny_model, tmp_path, calls=7)
    assert code == 1
    trials = {(trial["network"], trial["device"]): trial for trial in report["trials"]}
    assert trials.keys() == {(network, device) for network in ("depth", "pose") for device in ("tensorrt", "cuda", "cpu")}
    for network in ("depth", "pose"):
        cpu = trials[network, "cpu"]
        assert (cpu["failed"], cpu["calls"], cpu["bound"]) == ("", 7, 2e-3)
        assert 0 < cpu["p50_ms"] <= cpu["p99_ms"] and cpu["difference"] < 1e-5
        assert trials[network, "tensorrt"]["failed"] and trials[network, "tensorrt"]["p50_ms"] is None
        assert "built without it" in trials[network, "cuda"]["failed"]
    assert report["gpu"] is None and "pip install cuda-bindings" in report["round_trip"]["failed"]
    assert report["versions"]["numpy"] and len(report["model"]["sha256"]["depth"]) == 64
    out = capsys.readouterr().out
    assert all(f"- {sentence}\n" in out for sentence in report["failed"])
    assert len(report["failed"]) == len(set(report["failed"]))
    reasons = f"doctor: {len(report['failed'])} reasons why not every engine drives here"
    assert out.endswith(f"{reasons}; please send {tmp_path / 'report.json'} back\n")


def test_gpu_writes_its_report_whatever_an_engine_throws(tiny_model, tmp_path, cpu_only, monkeypatch):
    from depth_perception.engine import tensorrt_package

    def load():
        raise OSError("libnvinfer.so.11: undefined symbol")

    monkeypatch.setattr(tensorrt_package, "load", load)
    failed = gpu_report(tiny_model, tmp_path)[1]["failed"]
    assert "internal error: OSError: libnvinfer.so.11: undefined symbol" in failed


def test_no_calls_is_refused(tiny_model, capsys):
    assert main(["doctor", "--gpu", "--model", f"{tiny_model}", "--calls", "0"]) == 2
    assert "--calls: wanted at least 1, got 0" in capsys.readouterr().err


def test_gpu_needs_no_more_than_a_lent_machine_has(tiny_model, tmp_path):
    """numpy and onnxruntime."""
    banned = ("rclpy", "torch", "cv2", "onnx", "psutil", "rosbags", "mcap", "scipy", "safetensors")
    code = f"import sys; sys.modules.update(dict.fromkeys({banned})); from depth_perception.__main__ import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "doctor", "--gpu", "--model", tiny_model, "--calls", "1", "--json", tmp_path / "report.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "report.json").is_file(), done.stdout


def test_gpu_measures_the_copies_too(tiny_model, tmp_path, cuda, monkeypatch, capsys):
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    report = gpu_report(tiny_model, tmp_path, calls=3)[1]
    assert report["gpu"] == {"name": "Double", "capability": "sm86", "memory_mib": 8192, "driver_cuda": "13.0"}
    assert report["round_trip"]["graph"] is True and report["round_trip"]["p50_ms"] > 0
    assert "an input of (1, 3, 32, 64) there and back: " in capsys.readouterr().out


def test_gpu_compares_and_times_the_kernels(tiny_model, tmp_path, cuda, monkeypatch, capsys):
    pytest.importorskip("cv2")
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    found = gpu_report(tiny_model, tmp_path)[1]["preparations"]
    assert [(each["rows"], each["columns"], each["dtype"]) for each in found] == [
        (375, 1242, "float32"), (375, 1242, "float16"), (1080, 1920, "float32"), (1080, 1920, "float16")
    ]
    for each in found:
        assert not each["failed"] and each["difference"] <= each["bound"] + 1e-3
        assert each["gpu_ms"] > 0 and each["cpu_ms"] > 0
    assert capsys.readouterr().out.count("prepared as float") == 4


def test_kernels_that_do_not_work_are_a_reason(tiny_model, tmp_path, cuda, monkeypatch):
    from cuda_double import BAD

    pytest.importorskip("cv2")
    monkeypatch.setattr(onnx_runtime, "providers", lambda: ["CPUExecutionProvider"])
    cuda.fails["nvrtcCreateProgram"] = BAD
    report = gpu_report(tiny_model, tmp_path)[1]
    assert report["preparations"][0]["failed"] in report["failed"]
    assert report["preparations"][0]["failed"].startswith("CUDA: nvrtcCreateProgram")


def test_copies_that_come_back_changed_are_said(tiny_model, tmp_path, cuda, monkeypatch):
    from cuda_double import CudaDouble

    real = CudaDouble.cudaMemcpyAsync
    monkeypatch.setattr(CudaDouble, "cudaMemcpyAsync", lambda self, *arguments: real(self, *arguments) if arguments[3] != 3 else (0,))
    assert "came back as another one" in gpu_report(tiny_model, tmp_path)[1]["round_trip"]["failed"]
