"""A hand-made drive: a car swings through a yard of textured boxes, with camera, LiDAR and odometry; and bags of it, right or wrong."""

import cv2
import numpy as np
import pytest

from depth_perception.bag import Writer, messages
from depth_perception.frame import Calibration, Scan
from depth_perception.geometry import camera, pose

START = 1_700_000_000_000_000_000
WIDTH, HEIGHT, RATE, SECONDS = 360, 120, 10, 6
K = np.array([[180.0, 0, 179.5], [0, 180, 59.5], [0, 0, 1]])
T_BASE_CAMERA = np.array([[0, 0, 1.0, 1.0], [-1, 0, 0, 0], [0, -1, 0, 1.6], [0, 0, 0, 1]])
T_BASE_LIDAR = np.array([[1.0, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 1, 1.9], [0, 0, 0, 1]])


def heading(t):
    """Radians at t seconds: swings by 14 degrees in three seconds, and a little faster too."""
    return 0.25 * np.sin(2 * np.pi * t / 3) + 0.1 * np.sin(2 * np.pi * t / 1.7)


def T_world_base(t):
    """(4, 4) at t seconds: 4 m/s, always ahead."""
    at = np.linspace(0, t, 200)
    speeds = (4 * way(heading(at)) for way in (np.cos, np.sin))
    x, y = (((v[1:] + v[:-1]) / 2 * np.diff(at)).sum() for v in speeds)
    return pose.from_rotation_vector(np.array([0, 0, heading(t)]), np.array([x, y, 0]))


class Yard:
    """Boxes on a plain, in a hall of 60 m: what a ray meets first, and how bright it is there."""

    def __init__(self):
        rng = np.random.default_rng(5)
        low = np.stack([rng.uniform(4, 60, 24), rng.choice([-1, 1], 24) * rng.uniform(5, 14, 24), np.zeros(24)], 1)
        size = np.stack([rng.uniform(0.5, 3, 24), rng.uniform(0.5, 3, 24), rng.uniform(1, 5, 24)], 1)
        self.low, self.high = low, low + size
        self.shade = rng.uniform(20, 235, 24)
        noise = cv2.GaussianBlur(rng.uniform(-1, 1, (256, 256)).astype(np.float32), (0, 0), 1.0)
        self.texture = noise / noise.std() * 14

    def cast(self, T_world, rays):
        """(N, 3) directions in a sensor's frame -> distances along them (inf: sky) and grey levels."""
        origin, directions = T_world[:3, 3].astype(np.float32), (rays @ T_world[:3, :3].T).astype(np.float32)
        directions = np.where(np.abs(directions) < 1e-9, 1e-9, directions)
        ends = (np.where(directions > 0, [100, 60, 9], [-40, -60, 0]) - origin) / directions
        far, shade = ends.min(1), np.where(ends.argmin(1) == 2, np.where(directions[:, 2] > 0, 220.0, 95.0), 160.0)
        for low, high, own in zip(self.low, self.high, self.shade, strict=True):
            a, b = (low - origin) / directions, (high - origin) / directions
            near, leave = np.minimum(a, b).max(1), np.maximum(a, b).min(1)
            hit = (near < leave) & (near > 0) & (near < far)
            far, shade = np.where(hit, near, far), np.where(hit, own, shade)
        at = origin + directions * far[:, None]
        i, j = (np.floor(v * 8).astype(int) % 256 for v in (at[:, 0] + 0.37 * at[:, 2], at[:, 1] + 0.71 * at[:, 2]))
        return far, shade + self.texture[i, j] * np.minimum(1.0, 12 / np.maximum(far, 1))


@pytest.fixture(scope="session")
def moments():
    """[(stamp, image, points in the LiDAR's frame, T_odom_base)]."""
    yard, out = Yard(), []
    pixels = camera.rays(K, height=HEIGHT, width=WIDTH).reshape(-1, 3)
    up, around = np.meshgrid(np.deg2rad(np.linspace(-16, 8, 20)), np.linspace(-np.pi, np.pi, 600, endpoint=False), indexing="ij")
    beams = np.stack([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)], -1).reshape(-1, 3)
    for k in range(RATE * SECONDS):
        T = T_world_base(k / RATE)
        _, grey = yard.cast(T @ T_BASE_CAMERA, pixels)
        image = cv2.GaussianBlur(grey.reshape(HEIGHT, WIDTH).astype(np.float32), (0, 0), 0.6)  # as a lens does
        far, _ = yard.cast(T @ T_BASE_LIDAR, beams)
        points = (beams * far[:, None])[far < 80].astype(np.float32)
        out.append((START + k * 10**9 // RATE, np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, 2), points, T))
    return out


@pytest.fixture
def write(tmp_path, moments):
    """Writes a bag of the drive, wrong in one way or another, and gives its path.

    K_factor: CameraInfo's focal length; size_factor: its width; turn_deg: of the LiDAR in TF; scans_late_ns, odometry_late_ns: stamps
    that are later than the moment; images: (index, image) -> image; stamps: (index, stamp) -> header stamp of the images; without:
    topics left out; silent: topic -> indices without it; count: moments; every: one of so many.
    """
    T_camera_lidar = pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR

    def write(name="bag", *, K_factor=1.0, size_factor=1, turn_deg=0.0, scans_late_ns=0, odometry_late_ns=0, images=None, stamps=None,
              without=(), silent=None, count=10**6, every=1):
        turned = pose.from_rotation_vector(np.deg2rad([0, turn_deg, 0]), np.zeros(3)) @ T_camera_lidar
        said = K * np.array([[K_factor, 1, 1], [1, K_factor, 1], [1, 1, 1]])
        calibration = Calibration(said, WIDTH * size_factor, HEIGHT, "camera")
        links = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_CAMERA @ turned)]
        with Writer(tmp_path / name) as bag:
            if "/tf_static" not in without:
                bag.write("/tf_static", messages.transforms(links, stamp_ns=START), START)
            for k, (stamp, image, points, T) in enumerate(moments[:count:every]):
                shown = images(k, image) if images else image
                header = stamps(k, stamp) if stamps else stamp
                for topic, message in (
                    ("/points", messages.points(Scan(points, stamp + scans_late_ns, frame_id="lidar"))),
                    ("/camera/image", messages.image(shown, "rgb8", stamp_ns=header, frame_id="camera")),
                    ("/camera/camera_info", messages.camera_info(calibration, stamp_ns=header)),
                    ("/odom", messages.odometry(T, stamp_ns=stamp + odometry_late_ns)),
                ):
                    if topic not in without and k not in (silent or {}).get(topic, ()):
                        bag.write(topic, message, stamp)
        return tmp_path / name

    return write
