"""Nothing is kept of a frame that has gone: a node runs for months."""

import os
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")
pytest.importorskip("onnx")

import growing
from cars import START, TENTH, image_at, info_at, scan_at, static_tf
from worlds import CALIBRATION, SIZE

from depth_perception import decode
from depth_perception.engine import Engine
from depth_perception.frame import Frame
from depth_perception.nodes import encode
from depth_perception.systems.bev import Bev
from depth_perception.systems.depth import Depth, DepthOutput
from depth_perception.systems.drive import Drive
from depth_perception.systems.odometry import Odometry, OdometryOutput

# A number kept of every frame is 32 bytes, and 8 in the list that keeps it.
MOST_BYTES_A_FRAME = 16


def check(grown, frames):
    too_much = {file: size / frames for file, size in grown.items() if size > MOST_BYTES_A_FRAME * frames}
    assert not too_much, f"bytes that are kept of every frame: {too_much}"


@pytest.fixture
def tracing():
    growing.started()
    yield
    tracemalloc.stop()


def grown_by(step, *, warm_up, frames):
    """What `step(i)` makes grow when it has been called `warm_up` times already."""
    for i in range(warm_up):
        step(i)
    before = growing.snapshot()
    for i in range(warm_up, warm_up + frames):
        step(i)
    return growing.growth(before, growing.snapshot())


def systems(tiny_model):
    """step(i): tenth number i, from the messages of the sensors to those of the systems."""
    depth, pose = (Engine(tiny_model / f"{name}.onnx", threads=1, device="cpu") for name in ("depth", "pose"))
    sizes = {"height": 32, "width": 64, "canonical_focal_px": 40.0}
    drive = Drive(Depth(depth, **sizes), odometry=Odometry(pose, **sizes), bev=Bev())
    pairing = decode.Pairing(150_000_000)
    texture = np.random.default_rng(0).integers(0, 255, (*SIZE, 3), np.uint8)

    def step(i):
        pairing.add(decode.scan(scan_at(i)))
        message = image_at(i)
        message.data = np.roll(texture, i % 7, axis=1).reshape(-1)
        image = decode.Rectifier(info_at(i))(decode.image(message))
        stamp = decode.stamp_ns(message.header)
        said = 0
        for output in drive.step(Frame(image, stamp, CALIBRATION, pairing.newest_before(stamp))):
            said += 1
            if isinstance(output, DepthOutput):
                encode.depth_image(output), encode.confidence_image(output), encode.camera_info(output.calibration, output.stamp_ns)
            elif isinstance(output, OdometryOutput):
                encode.odometry(output, "odom"), encode.transform(output, "odom")
            else:
                encode.cloud(output), encode.occupancy_grid(output)
        assert said == (3 if i else 2)

    return step


def test_from_bytes_to_messages_nothing_grows(tiny_model, tracing):
    check(grown_by(systems(tiny_model), warm_up=14, frames=42), 42)


def test_a_system_that_keeps_one_number_of_every_frame_is_found(tiny_model, tracing, monkeypatch):
    """What the measure is worth: the stamps are kept in a list, by a line of ours."""
    step, kept, real = systems(tiny_model), [], decode.Pairing.newest_before
    kept_by = compile("def leaky(self, stamp_ns):\n    kept.append(stamp_ns + 1)\n    return real(self, stamp_ns)\n",
                      f"{growing.OURS}/decode/leaky.py", "exec")
    names = {"kept": kept, "real": real}
    exec(kept_by, names)
    monkeypatch.setattr(decode.Pairing, "newest_before", names["leaky"])
    grown = grown_by(step, warm_up=5, frames=15)
    assert len(kept) == 20
    with pytest.raises(AssertionError, match=r"decode/leaky\.py"):
        check(grown, 15)


def test_an_array_that_numpy_allocates_counts_for_the_line_that_keeps_it(tracing):
    kept = []
    before = growing.snapshot()
    for _ in range(50):
        kept.append(np.zeros(1000, np.uint8))
    grown = growing.growth(before, growing.snapshot(), within=os.path.dirname(__file__))
    assert 50 * 1000 < grown["test_steady_state.py"] < 50 * 1500
    kept.clear()
    assert growing.growth(before, growing.snapshot(), within=os.path.dirname(__file__))["test_steady_state.py"] < 5000


def test_a_node_that_drives_does_not_grow(start_car, tmp_path):
    """Everything it publishes is listened to: /diagnostics, depth, odometry and bird's-eye view."""
    wanted = tmp_path / "wanted"
    os.mkfifo(wanted)
    car = start_car(program=growing.program(wanted)).until_listening()
    car.send("/tf_static", static_tf())

    def drive(numbers):
        for i in numbers:
            car.send("camera_info", info_at(i))
            car.send("points", scan_at(i))
            car.send("image", image_at(i, grey=20 + i % 2))
            car.until(lambda: car.observer.depth_stamps[-1:] == [START + i * TENTH], f"the depth of image {i}")  # noqa: B023

    def snapshot(name, frames):
        """Between two frames, when a report has gone out in which the last one is counted."""
        car.until(lambda: car.observer.status.get("frames") == str(frames), "a report on all frames")
        with wanted.open("w") as fifo:
            fifo.write(f"{tmp_path / name}\n")
        car.until((tmp_path / name).is_file, "a snapshot")
        return tracemalloc.Snapshot.load(str(tmp_path / name))

    drive(range(105))  # the last hundred latencies are kept
    before = snapshot("before", 105)
    drive(range(105, 155))
    check(growing.growth(before, snapshot("after", 155)), 50)
    assert car.observer.status["skipped"] == "0"
    assert len(car.observer.cloud_stamps) == 155
