"""Topics that are silent, crowded, of another type or QoS; transforms that are missing or loop: each named in one sentence, over DDS."""

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from cars import LINKS, START, TENTH, image_at, info_at, scan_at, static_tf
from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR

from depth_perception.geometry import camera, pose

FAST = "diagnostics.silence_s:=0.5"


def says(car, *words):
    """Waits until /diagnostics says all of it."""
    return car.until(lambda: all(word in car.observer.message for word in words) and car.observer.message, f"{words} in /diagnostics")


def test_a_topic_that_nobody_publishes_is_named(start_car):
    car = start_car(parameters=[FAST], topics=("image",))
    says(car, "no message on /image for", "though /observer publishes it: is it paused, or are large messages lost")
    car.send("image", image_at(1))
    says(car, "images come, but no CameraInfo on /camera_info", "no message on /camera_info for", ": nobody publishes it")
    assert car.observer.level == b"\x01"
    assert "nobody publishes it" in car.said(), "it is logged as well"


def test_a_topic_of_another_type_or_qos_is_named(start_car):
    from rclpy.qos import QoSProfile, ReliabilityPolicy
    from sensor_msgs.msg import CompressedImage, PointCloud2

    car = start_car(parameters=[FAST, "qos_overrides./points.subscription.reliability:=reliable"], topics=("camera_info",))
    car.observer.create_publisher(CompressedImage, "image", 10)
    car.observer.create_publisher(PointCloud2, "points", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    said = says(car, "no message on /image", "no message on /points for", "the QoS that /observer offers does not fit:")
    assert "/observer publishes it as sensor_msgs/msg/CompressedImage, not sensor_msgs/msg/Image" in said
    assert "Best effort publisher and reliable subscription" in said
    assert "a publisher of /points offers a QoS that does not fit (reliability)" in car.said()


def test_two_lidars_on_one_topic(car):
    car.send("/tf_static", static_tf([*LINKS, ("base_link", "rear", T_BASE_LIDAR)]))
    car.send("camera_info", info_at(1))
    i = iter(range(1, 10_000))

    def both():
        now = next(i)
        car.send("points", scan_at(now, "rear" if now % 2 else "lidar"))
        car.depth_of(now)
        return any("/points: messages of 'lidar' among those of 'rear'; one node takes one" in key for key in car.observer.status)

    car.until(both, "the second LiDAR to be named")
    assert int(car.observer.status["scale_inliers"]) > 50, "the first one goes on to give the scale"
    from sensor_msgs.msg import PointCloud2

    car.observer.create_publisher(PointCloud2, "points", 10)
    says(car, "2 publishers on /points: this node takes one sensor")


def test_two_cameras_calibrations_on_one_topic(car):
    """The other's focal length would make every second depth another one."""
    from sensor_msgs.msg import CameraInfo

    other = replace(CALIBRATION, K=CALIBRATION.K * [[2], [2], [1]], frame_id="rear")
    i, depths = iter(range(1, 10_000)), []

    def both():
        now = next(i)
        car.send("camera_info", info_at(now, other if len(depths) % 2 else CALIBRATION))
        depths.append(car.depth_of(now))
        return any("/camera_info: messages of 'rear' among those of 'camera'; one node takes one" in key for key in car.observer.status)

    car.until(both, "the second camera to be named")
    for depth in depths:
        np.testing.assert_allclose(depth, depths[0])
    car.observer.create_publisher(CameraInfo, "camera_info", 10)
    says(car, "2 publishers on /camera_info: this node takes one sensor")


def test_a_link_that_tf_lacks_is_named_and_a_loop_is_refused(car):
    i = iter(range(1, 10_000))

    def drives():
        now = next(i)
        car.send("camera_info", info_at(now))
        car.send("points", scan_at(now))
        return car.depth_of(now)

    drives()
    drives()
    says(car, "camera", "lidar", "TF does not connect")
    car.send("/tf_static", static_tf([("base_link", "camera", T_BASE_CAMERA)]))
    drives()
    car.send("/tf_static", static_tf([("camera", "base_link", pose.inverse(T_BASE_CAMERA))]))
    car.until(lambda: any("closes a loop" in key for key in car.observer.status), "the loop to be named")
    car.send("/tf_static", static_tf([("base_link", "lidar", T_BASE_LIDAR)]))
    car.until(lambda: (drives(), car.observer.message == "running")[1], "all to be well")
    assert int(car.observer.status["scale_inliers"]) > 50


def test_extrinsics_that_disagree_are_reported(start_car):
    off = pose.inverse(T_BASE_CAMERA) @ T_BASE_LIDAR
    off[0, 3] += 0.1
    values = [*off[:3, 3], *pose.quaternion_from_matrix(off[:3, :3])]
    car = start_car(parameters=[f"input.T_camera_lidar:=[{', '.join(f'{value:.9f}' for value in values)}]"]).until_listening()
    car.send("/tf_static", static_tf())
    i = iter(range(1, 10_000))

    def said():
        now = next(i)
        car.send("camera_info", info_at(now))
        car.send("points", scan_at(now))
        car.depth_of(now)
        return "input.T_camera_lidar" in car.observer.message

    car.until(said, "the disagreement")
    assert "10" in car.observer.message
    assert "cm" in car.observer.message


def test_a_camera_info_that_changes_size_in_flight(car):
    car.send("/tf_static", static_tf())
    for i in (1, 2):
        car.send("camera_info", info_at(i))
        car.send("points", scan_at(i))
        assert car.depth_of(i).shape == (96, 192)
    half = replace(CALIBRATION, K=camera.resize_K(CALIBRATION.K, from_size=(96, 192), to_size=(48, 96)), width=96, height=48)
    car.send("camera_info", info_at(3, half))
    images = iter(range(3, 1000))
    size = (48, 96, 3)
    # Topics have no order among them: an image or two may still meet the old calibration, and is skipped with a sentence.
    car.until(
        lambda: (
            car.send("image", image_at(next(images), size=size)),
            any(depth.shape == (48, 96) for depth in car.observer.kept("depth").values()),
        )[1],
        "depth of the new size",
    )
    now = next(images)
    car.send("points", scan_at(now))
    depth = car.depth_of(now, size=size)
    assert depth.shape == (48, 96)
    assert np.isfinite(depth).all()
    car.until(lambda: car.observer.trajectory and car.observer.trajectory[-1][0] == START + now * TENTH, "odometry goes on")
    car.until(lambda: START + now * TENTH in car.observer.cloud_stamps, "the cloud goes on")


def test_the_scan_offset_moves_scans_into_the_camera_s_time(start_car):
    """A LiDAR whose clock is 5 s behind: without the offset no scan is near any image."""
    car = start_car(parameters=["input.scan_offset_s:=5.0"]).until_listening()
    car.send("/tf_static", static_tf())
    images = iter(range(60, 1000))

    def scaled():
        now = next(images)
        car.send("camera_info", info_at(now))
        car.send("points", scan_at(now - 50))
        car.depth_of(now)
        return int(car.observer.status.get("scale_inliers", 0)) > 50

    car.until(scaled, "the scale to be found")


def test_a_distorted_camera_is_rectified_and_the_output_says_so(car):
    """A region of a distorting lens: depth has the region's size, and a CameraInfo of a pinhole camera."""
    from sensor_msgs.msg import CameraInfo

    said = []
    car.observer.create_subscription(CameraInfo, "depth/camera_info", said.append, 10)
    car.until(lambda: car.observer.count_subscribers("depth/camera_info") > 0, "somebody to listen")
    info = info_at(1)
    info.d = np.array([-0.2, 0.05, 0.001, -0.001, 0.0])
    info.width, info.height = 200, 110
    info.roi.x_offset, info.roi.y_offset, info.roi.width, info.roi.height = 8, 14, 192, 96
    car.send("camera_info", info)
    images = iter(range(1, 1000))
    car.until(lambda: (car.depth_of(next(images)), said)[1], "the CameraInfo of a depth image")
    wanted = CALIBRATION.K - np.array([[0, 0, 8], [0, 0, 14], [0, 0, 0]])
    np.testing.assert_allclose(np.reshape(said[-1].k, (3, 3)), wanted)
    assert not any(said[-1].d)
    assert (said[-1].width, said[-1].height) == (192, 96)
    assert car.depth_of(next(images)).shape == (96, 192)
