"""systems.odometry with a perfect pose network: the path comes out metric, in the body frame, with honest covariances."""

import numpy as np
import pytest
from worlds import CALIBRATION, T_BASE_CAMERA, frame

from depth_perception.frame import Calibration, Frame
from depth_perception.geometry import pose
from depth_perception.systems.network_input import focal_ratio
from depth_perception.systems.odometry import Odometry
from depth_perception.systems.scale import Scale

SIZES = {"height": 48, "width": 96, "canonical_focal_px": 30.0}
RATIO = focal_ratio(CALIBRATION, height=48, canonical_focal_px=30.0)
TENTH = 100_000_000


def coded(index):
    """An image that carries its index in its brightness, and which side is left in its last column."""
    image = np.full((96, 192, 3), 10 * index, np.uint8)
    image[:, 96:] += 4
    return image


def perfect(T_odom_base, *, wrong_by=1.0, bias=None):
    """A pose network that reads the two images' indices and answers with the true motion, in units of its own.

    It sees mirrored images as what they are, a mirrored world. bias is added to its answers, whatever it sees.
    """
    T_odom_camera = [T @ T_BASE_CAMERA for T in T_odom_base]

    def infer(image, neighbour):
        a, b = (round(float(min(x[..., 0].mean(), x[..., -1].mean())) * 25.5) for x in (image, neighbour))
        assert b == a + 1, "the earlier image comes first"
        mirror = np.diag([-1.0, 1, 1, 1]) if image[..., 0].mean() > image[..., -1].mean() else np.eye(4)
        T_b_a = mirror @ pose.inverse(T_odom_camera[b]) @ T_odom_camera[a] @ mirror
        answer = np.concatenate([pose.log_so3(T_b_a[:3, :3]), T_b_a[:3, 3] / RATIO / wrong_by])
        return {"pose": (answer if bias is None else answer + bias)[None].astype(np.float32)}

    return infer


def path(count):
    """A left-hand bend: 1 m and 3 degrees a step, in the body frame."""
    step = pose.from_rotation_vector(np.array([0, 0, np.deg2rad(3)]), np.array([1.0, 0.0, 0.0]))
    poses = [np.eye(4)]
    for _ in range(count - 1):
        poses.append(poses[-1] @ step)
    return poses


def run(infer, count, *, scale=1.0, sigma=0.02, config=None):
    system = Odometry(infer, **SIZES)
    return [system.step(frame(stamp_ns=i * TENTH, with_scan=False, image=coded(i)), Scale(scale, sigma)) for i in range(count)]


@pytest.mark.parametrize("scale", [1.0, 1.7])
def test_the_path_is_the_true_one_in_metres(scale):
    poses = path(12)
    outputs = run(perfect(poses, wrong_by=scale), 12, scale=scale)
    assert outputs[0] is None
    for output, truth in zip(outputs[1:], poses[1:], strict=True):
        np.testing.assert_allclose(output.T_odom_base, truth, atol=1e-4)
    last = outputs[-1]
    np.testing.assert_allclose(last.twist[3:], [0, 0, np.deg2rad(30)], atol=1e-4)
    assert np.linalg.norm(last.twist[:3]) == pytest.approx(10.0, rel=1e-4)
    assert last.base_frame == "base_link"
    assert last.elapsed_s == pytest.approx(0.1)


def test_covariances_are_covariances_and_grow_along_the_path():
    outputs = run(perfect(path(12)), 12)[1:]
    for output in outputs:
        for covariance in (output.pose_covariance, output.twist_covariance):
            np.testing.assert_allclose(covariance, covariance.T, atol=1e-12)
            assert np.linalg.eigvalsh(covariance).min() > 0
    traces = [np.trace(output.pose_covariance) for output in outputs]
    assert traces == sorted(traces)


def test_a_network_that_contradicts_itself_is_trusted_less():
    honest = run(perfect(path(6)), 6)[-1]
    biased = run(perfect(path(6), bias=np.array([0, 0.01, 0, 0.05, 0, 0])), 6)[-1]
    # A bias to the right stays to the right in the mirror image, so it cancels in the mean and shows in the residual.
    np.testing.assert_allclose(biased.T_odom_base[:3, 3], honest.T_odom_base[:3, 3], atol=0.02)
    assert biased.twist_covariance[1, 1] > 2 * honest.twist_covariance[1, 1]
    assert biased.twist_covariance[5, 5] > 2 * honest.twist_covariance[5, 5]


def test_doubt_in_the_scale_is_doubt_along_the_motion():
    sure, unsure = (run(perfect(path(3)), 3, sigma=sigma)[-1].twist_covariance for sigma in (0.01, 0.2))
    assert unsure[0, 0] - sure[0, 0] == pytest.approx((0.2**2 - 0.01**2) * 10.0**2, rel=0.02)
    assert unsure[1, 1] - sure[1, 1] < 0.05 * (unsure[0, 0] - sure[0, 0])


def test_a_gap_breaks_the_chain_and_the_next_pair_goes_on():
    system = Odometry(perfect(path(4)), **SIZES)
    stamps = [0, TENTH, 50 * TENTH, 51 * TENTH]
    outputs = [system.step(frame(stamp_ns=s, with_scan=False, image=coded(i)), Scale(1.0, 0.02)) for i, s in enumerate(stamps)]
    assert [output is None for output in outputs] == [True, False, True, False]
    # The unknown motion over the gap is not invented: two known steps of 1 m. But it is owned up to: 10 m/s for 4.9 s.
    assert outputs[3].pose_covariance[0, 0] > 45**2
    assert np.linalg.norm(outputs[3].T_odom_base[:3, 3]) == pytest.approx(2.0, rel=0.01)


def test_without_extrinsics_the_frame_says_so():
    alone = Calibration(CALIBRATION.K, CALIBRATION.width, CALIBRATION.height, "front_camera")
    system = Odometry(perfect(path(2)), **SIZES)
    outputs = [system.step(Frame(coded(i), i * TENTH, alone), Scale(1.0, 0.02)) for i in range(2)]
    assert outputs[1].base_frame == "front_camera_body"
    assert outputs[1].T_odom_base[0, 3] > 0.9
