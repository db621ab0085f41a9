"""doctor: what is there, what is to be done, and the figures of every engine; without ROS, torch or a GPU."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from depth_perception.__main__ import main
from depth_perception.commands.doctor import clock, environment, machine, shared_memory
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
    monkeypatch.setattr(shared_memory, "LEAST_FREE_MB", 0)  # a container's own is 64 MB


def test_a_machine_that_is_well(tiny_model, cpu_only, capsys):
    pytest.importorskip("rclpy")
    pytest.importorskip("tf2_msgs")
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


# --- memory, clock, JSON -----------------------------------------------------------------------------------------------


def test_what_is_found_goes_into_a_file_as_well(tiny_model, tmp_path, cpu_only, capsys):
    file = tmp_path / "doctor.json"
    code = main(["doctor", "--model", str(tiny_model), "--json", str(file)])
    report = json.loads(file.read_text())
    printed = [line for line in capsys.readouterr().out.splitlines() if not line.startswith("doctor: ")]
    assert [f"{found['level']:5s} {found['subject']:12s} {found['says']}" for found in report["findings"]] == printed
    assert report["todo"] == sum(found["level"] == "todo" for found in report["findings"]) and code == (report["todo"] > 0)
    assert {"python", "ROS", "disk", "memory", "clock"} <= {found["subject"] for found in report["findings"]}
    assert report["versions"]["numpy"] and report["machine"]["cores"] >= 1


@pytest.fixture
def shm(tmp_path, monkeypatch):
    """A /dev/shm with two segments, of which the first is in use; `shm.free(bytes)` says how much is left."""
    import fcntl
    from types import SimpleNamespace

    for digit in "ab":
        (tmp_path / f"fastrtps_{digit * 16}").write_bytes(bytes(1_000_000))
        (tmp_path / f"fastrtps_{digit * 16}_el").touch()
    (tmp_path / "fastrtps_port7412").write_bytes(bytes(1000))
    (tmp_path / "somebody_else").write_bytes(bytes(1000))

    def free(count):
        monkeypatch.setattr(shared_memory.shutil, "disk_usage", lambda place: SimpleNamespace(free=count))

    with (tmp_path / f"fastrtps_{'a' * 16}_el").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield SimpleNamespace(path=tmp_path, free=free)


def test_only_segments_that_nobody_holds_are_stale(shm):
    assert [file.name for file in shared_memory.stale(shm.path)] == [f"fastrtps_{'b' * 16}"]


def test_little_shared_memory_is_to_be_done_and_dead_segments_say_how(shm):
    shm.free(100_000_000)
    ((level, _, says),) = shared_memory.findings(shm.path)
    assert level == "todo" and "100 MB of shared memory free" in says and "1 segments of 1 MB" in says and "`fastdds shm clean`" in says
    (shm.path / f"fastrtps_{'b' * 16}_el").unlink()
    assert "docker run --shm-size" in next(shared_memory.findings(shm.path))[2]
    shm.free(2e9)
    assert next(shared_memory.findings(shm.path))[0] == "ok"
    assert next(shared_memory.findings(shm.path / "absent"))[0] == "note"


def test_a_clock_that_was_never_set_is_to_be_done(monkeypatch):
    monkeypatch.setattr(clock.time, "time", lambda: 86_400.0)
    ((level, _, says),) = clock.findings()
    assert level == "todo" and says.startswith("it says 1970-01-02: set it")


@pytest.mark.parametrize(
    ("synchronised", "level", "words"), [(True, "ok", "synchronised"), (False, "note", "ptp4l"), (None, "note", "PTP")]
)
def test_a_clock_that_follows_nobody_is_said(monkeypatch, synchronised, level, words):
    monkeypatch.setattr(clock, "is_synchronised", lambda: synchronised)
    ((found, _, says),) = clock.findings()
    assert found == level and words in says


@pytest.mark.parametrize(("domain", "reach", "level", "words"), [
    ("", "", "ok", "ROS_DOMAIN_ID 0, the whole subnet"), ("7", "LOCALHOST", "ok", "7, this machine only"),
    ("200", "", "todo", "ROS_DOMAIN_ID=200: wanted 0 to 101"), ("x", "", "todo", "ROS_DOMAIN_ID=x"),
])  # fmt: skip
def test_the_domain_is_said_and_judged(monkeypatch, domain, reach, level, words):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", reach)
    monkeypatch.delenv("ROS_LOCALHOST_ONLY", raising=False)
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: object())
    ((found, _, says),) = environment._graph()
    assert found == level and words in says


def test_without_tf_messages_it_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    found = next(environment._graph())
    assert found.level == "todo" and "ros-$ROS_DISTRO-tf2-msgs" in found.says
