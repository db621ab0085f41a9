"""A bag through the drive node over real DDS: what arrives, to the byte."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR, scan

from depth_perception import bag as bags
from depth_perception import model as models
from depth_perception.bag import Writer, messages
from depth_perception.evaluation.offline import systems
from depth_perception.nodes.rehearsal import make_observer, rehearse
from depth_perception.systems.bev import BevOutput
from depth_perception.systems.depth import DepthOutput
from depth_perception.systems.odometry import OdometryOutput

START, TENTH, COUNT = 1_700_000_000_000_000_000, 100_000_000, 12
TOPICS = {"image": "/camera/image", "camera_info": "/camera/camera_info", "points": "/lidar/points"}


@pytest.fixture(scope="module")
def small_drive(tmp_path_factory):
    """A bag of a car that nears a wall; scans 30 ms before their image, CameraInfo just after it."""
    path = tmp_path_factory.mktemp("bags") / "small"
    rng = np.random.default_rng(0)
    with Writer(path) as bag:
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]
        bag.write("/tf_static", messages.transforms(links, stamp_ns=START), START)
        for i in range(COUNT):
            stamp = START + (i + 1) * TENTH
            bag.write("/lidar/points", messages.points(scan(25.0 - i, stamp_ns=stamp - 30_000_000)), stamp - 30_000_000)
            image = rng.integers(4 * i, 40 + 4 * i, (96, 192, 3), np.uint8)
            bag.write("/camera/image", messages.image(image, "bgr8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
    return path


@pytest.fixture(scope="module")
def rehearsal(small_drive, tiny_model, tmp_path_factory):
    """One rehearsal of the small drive: the observer and what was played."""
    observer = make_observer(tmp_path_factory.mktemp("kept"), keep_every=1)
    played = rehearse(observer, str(small_drive), TOPICS, model=str(tiny_model), rate=0.5)
    yield observer, played
    observer.destroy_node()


@pytest.fixture(scope="module")
def offline(small_drive, tiny_model):
    """The same drive through the same steps, without ROS."""
    drive = systems(models.load(tiny_model))
    return [output for frame in bags.FrameReader(small_drive, pairing="latest") for output in drive.step(frame)]


def test_every_image_is_answered(rehearsal):
    observer, played = rehearsal
    stamps = [START + (i + 1) * TENTH for i in range(COUNT)]
    assert played.missing == {}
    assert played.published == {"/camera/image": COUNT, "/camera/camera_info": COUNT, "/lidar/points": COUNT, "/tf_static": 1}
    assert played.cpu_share > 0, "twelve images cost something"
    assert observer.depth_stamps == stamps
    assert observer.cloud_stamps == stamps
    assert [stamp for stamp, _ in observer.trajectory] == stamps[1:]
    assert observer.status["dropped"] == "0"
    assert observer.status["skipped"] == "0"


def test_depth_over_dds_has_the_bytes_of_the_offline_step(rehearsal, offline):
    kept = rehearsal[0].kept("depth")
    outputs = [output for output in offline if isinstance(output, DepthOutput)]
    assert sorted(kept) == [output.stamp_ns for output in outputs]
    for output in outputs:
        assert np.asarray(kept[output.stamp_ns]).tobytes() == output.depth.tobytes()
    confidence = rehearsal[0].kept("confidence")
    assert all(np.asarray(confidence[output.stamp_ns]).tobytes() == output.confidence.tobytes() for output in outputs)


def test_the_scale_was_found_by_the_lidar(rehearsal, offline):
    """The tiny network says 5 m and a little everywhere; the wall and the road say otherwise."""
    scales = [output.scale for output in offline if isinstance(output, DepthOutput)]
    said = rehearsal[0].scales
    np.testing.assert_allclose([row["scale"] for row in said], [scale.value for scale in scales], rtol=1e-6)
    assert all(row["inliers"] > 50 for row in said)


def test_odometry_over_dds_is_the_offline_step_s(rehearsal, offline):
    outputs = [output for output in offline if isinstance(output, OdometryOutput)]
    trajectory = rehearsal[0].trajectory
    assert len(trajectory) == len(outputs) == COUNT - 1
    for (stamp, T), output in zip(trajectory, outputs, strict=True):
        assert stamp == output.stamp_ns
        np.testing.assert_allclose(T, output.T_odom_base, atol=1e-9)
    # The images grow brighter, which the tiny network takes for driving forward: x grows, in the body's axes.
    assert trajectory[-1][1][0, 3] > 0.5
    assert rehearsal[0].base_frame == "base_link"


def test_cloud_over_dds_has_the_bytes_of_the_offline_step(rehearsal, offline):
    kept, grids = rehearsal[0].kept("cloud"), rehearsal[0].kept("grid")
    for output in (output for output in offline if isinstance(output, BevOutput)):
        assert np.asarray(kept[output.stamp_ns]).tobytes() == output.points[:, :3].tobytes()
        assert np.asarray(grids[output.stamp_ns]).tobytes() == output.cells.tobytes()
        assert len(output.points) > 100


def test_latency_has_the_stages_of_the_contract(rehearsal):
    rows = rehearsal[0].latencies
    assert len(rows) == COUNT
    for row in rows:
        assert list(row)[:6] == ["decode", "pre", "engine", "post", "publish", "total"]
        assert row["total"] >= row["pre"] + row["engine"] + row["post"]
        assert row["bev_total"] > row["total"]


def test_the_driving_path_imports_no_torch(tiny_model):
    code = (
        "import json, sys; import depth_perception.nodes.perception, depth_perception.nodes.player, depth_perception.evaluation.offline;"
        "print(json.dumps([name for name in ('torch', 'onnx', 'open3d', 'matplotlib') if name in sys.modules]))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ))
    assert json.loads(said.stdout) == []
