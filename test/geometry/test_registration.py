"""Camera motion from measured points that are followed through two images, in a made world."""

import cv2
import numpy as np

from depth_perception.geometry import camera, pose
from depth_perception.geometry.registration import camera_motion

K = np.array([[300.0, 0, 160], [0, 310, 60], [0, 0, 1]])
HEIGHT, WIDTH = 120, 320


def wall_seen(T_camera_start: np.ndarray) -> np.ndarray:
    """A slanted wall of smoothed noise: z = 10 + 0.3 x in the first camera's frame, seen after a motion."""
    noise = np.random.default_rng(0).integers(0, 255, (1200, 1600)).astype(np.uint8)
    paint = cv2.GaussianBlur(noise, (0, 0), 2.0)
    paint = cv2.normalize(paint, None, 0, 255, cv2.NORM_MINMAX)
    metre = 80.0  # pixels of paint
    # paint pixel -> wall point -> camera -> image pixel: one homography
    wall = np.array([[1 / metre, 0, -10], [0, 1 / metre, -7.5], [0.3 / metre, 0, 10 - 3.0]])
    H = K @ (T_camera_start[:3, :3] @ wall + np.outer(T_camera_start[:3, 3], [0, 0, 1]))
    return cv2.warpPerspective(paint, H, (WIDTH, HEIGHT))


def points() -> np.ndarray:
    """Measured points of the wall, first camera."""
    v, u = np.mgrid[2 : HEIGHT - 2 : 3, 2 : WIDTH - 2 : 3]
    x, y = (u - 160) / 300, (v - 60) / 310
    z = 10 / (1 - 0.3 * x)
    return np.stack([x * z, y * z, z], -1).reshape(-1, 3).astype(np.float32)


def test_a_known_motion_is_found_in_metres():
    T = pose.from_rotation_vector(np.array([0.004, -0.012, 0.006]), np.array([0.06, -0.02, -0.8]))
    found = camera_motion(wall_seen(np.eye(4)), wall_seen(T), points(), K)
    error = pose.inverse(T) @ found
    assert np.linalg.norm(error[:3, 3]) < 0.03 and np.linalg.norm(pose.log_so3(error[:3, :3])) < 0.002
    assert (found == camera_motion(wall_seen(np.eye(4)), wall_seen(T), points(), K)).all()


def test_the_points_do_lie_on_the_wall():
    assert np.allclose(points()[:, 2], 10 + 0.3 * points()[:, 0], atol=1e-4)
    assert camera.project(K, points())[0].min() > 0


def test_nothing_to_follow_is_no_answer():
    image = wall_seen(np.eye(4))
    flat = np.full_like(image, 128)
    assert camera_motion(flat, flat, points(), K) is None
    assert camera_motion(image, flat, points(), K) is None
    assert camera_motion(image, image, points()[:20], K) is None
