"""bag.labels: true boxes from topics in any frame and from KITTI's files, in the body frame, and what is refused."""

import numpy as np
import pytest
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from depth_perception.bag import FrameReader, Writer, kitti_labels, messages
from depth_perception.bag.labels import labels
from depth_perception.bag.messages import TYPES
from depth_perception.frame import BadInput, Calibration
from depth_perception.geometry import pose
from depth_perception.geometry.boxes import Box3D

T_BASE_CAMERA = np.array([[0.0, 0, 1, 1.5], [-1, 0, 0, 0.1], [0, -1, 0, 1.6], [0, 0, 0, 1]])
CALIBRATION = Calibration(np.array([[100.0, 0, 63.5], [0, 100, 31.5], [0, 0, 1]]), 128, 64, T_base_camera=T_BASE_CAMERA)
STAMPS = (10**9, 2 * 10**9)
CAR = Box3D("car", 1.0, np.array([12.0, 1.0, 0.8]), np.array([4.0, 1.8, 1.5]), 0.3)
MAN = Box3D("pedestrian", 1.0, np.array([9.0, -2.0, 0.9]), np.array([0.6, 0.5, 1.8]), -2.0)
T_ODOM_BASE = pose.from_rotation_vector(np.array([0, 0, 0.7]), np.array([30.0, -4, 1]))


def equal(found, wanted, *, atol=1e-6):
    assert [box.label for box in found] == [box.label for box in wanted]
    for one, other in zip(found, wanted, strict=True):
        np.testing.assert_allclose(one.corners(), other.corners(), atol=atol)


def cube(box, frame_id, *, T=None, name=None, stamp=STAMPS[0], **fields):
    T_base_box = pose.from_rotation_vector(np.array([0, 0, box.yaw]), box.centre)
    at = T_base_box if T is None else T @ T_base_box
    said = {"header": messages.header(stamp, frame_id), "ns": name or box.label, "type": 1, "pose": messages.pose_of(at),
            "scale": messages.vector(box.size)}
    return messages.make("visualization_msgs/msg/Marker", **(said | fields))


def written(path, arrays=(), *, types=TYPES, topic="/boxes", moving=()):
    with Writer(path, types=types) as bag:
        bag.write("/tf_static", messages.transforms([("base_link", "camera", T_BASE_CAMERA)], stamp_ns=0), STAMPS[0])
        for stamp, link in moving:
            bag.write("/tf", messages.transforms([link], stamp_ns=stamp), stamp)
        for stamp in STAMPS:
            image = np.full((64, 128, 3), 80, np.uint8)
            bag.write("/camera/image", messages.image(image, "rgb8", stamp_ns=stamp, frame_id="camera"), stamp)
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp), stamp)
        for stamp, array in arrays:
            bag.write(topic, array, stamp)
    return FrameReader(path)


def markers(*cubes):
    return messages.make("visualization_msgs/msg/MarkerArray", markers=list(cubes))


def all_of(reader, source):
    found = labels(reader, source)
    return [found(frame, number) for number, frame in enumerate(reader)]


def test_markers_of_the_body_and_of_the_camera(tmp_path):
    text = cube(CAR, "base_link", type=9)
    gone = cube(CAR, "base_link", action=2)
    seen = cube(MAN, "camera", T=pose.inverse(T_BASE_CAMERA))
    array = markers(cube(CAR, "base_link", name="Van"), text, gone, seen, cube(CAR, "", name="Misc"))
    first, second = all_of(written(tmp_path / "bag", [(STAMPS[0], array)]), "/boxes")
    equal(first, [CAR, MAN])
    assert second is None


def test_an_empty_array_says_that_nothing_is_there(tmp_path):
    assert all_of(written(tmp_path / "bag", [(STAMPS[1], markers())]), "/boxes") == [None, ()]


def test_boxes_of_a_world_that_the_car_moves_in(tmp_path):
    later = T_ODOM_BASE @ pose.from_rotation_vector(np.array([0, 0, 0.2]), np.array([5.0, 0, 0]))
    arrays = [(stamp, markers(cube(CAR, "odom", T=T, stamp=stamp))) for stamp, T in zip(STAMPS, (T_ODOM_BASE, later), strict=True)]
    moving = [(stamp, ("odom", "base_link", T)) for stamp, T in zip(STAMPS, (T_ODOM_BASE, later), strict=True)]
    for found in all_of(written(tmp_path / "bag", arrays, moving=moving), "/boxes"):
        equal(found, [CAR])


def test_a_marker_that_is_no_box_tells_no_time(tmp_path):
    erase = messages.make("visualization_msgs/msg/Marker", header=messages.header(0, ""), action=3)
    first, second = all_of(written(tmp_path / "bag", [(STAMPS[0], markers(erase, cube(CAR, "base_link")))]), "/boxes")
    equal(first, [CAR])
    assert second is None


def test_a_broken_image_keeps_its_number_among_the_labels(tmp_path):
    """Files named by number: those after an image that cannot be used stay with their own images."""
    with Writer(tmp_path / "bag") as bag:
        bag.write("/tf_static", messages.transforms([("base_link", "camera", T_BASE_CAMERA)], stamp_ns=0), STAMPS[0])
        for k in range(3):
            image = np.full((64, 128, 3), 80, np.uint8)
            message = messages.image(image, "rgb8", stamp_ns=(k + 1) * 10**9, frame_id="camera")
            if k == 1:
                message.encoding = "unheard-of"
            bag.write("/camera/image", message, (k + 1) * 10**9)
            bag.write("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=(k + 1) * 10**9), (k + 1) * 10**9)
    for number, box in enumerate((CAR, MAN, MAN)):
        kitti_labels.write(tmp_path / "label_2" / f"{number:06}.txt", [box], CALIBRATION)
    first, last = all_of(FrameReader(tmp_path / "bag"), str(tmp_path / "label_2"))
    equal(first, [CAR], atol=1e-4)
    equal(last, [MAN], atol=1e-4)
    kitti_labels.write(tmp_path / "label_2" / "000001.txt", [CAR], CALIBRATION)
    _, last = all_of(FrameReader(tmp_path / "bag"), str(tmp_path / "label_2"))
    equal(last, [MAN], atol=1e-4)


VISION = {
    "vision_msgs/msg/ObjectHypothesis": "string class_id\nfloat64 score",
    "vision_msgs/msg/ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "vision_msgs/msg/BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "vision_msgs/msg/Detection3D":
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\nvision_msgs/BoundingBox3D bbox\nstring id",
    "vision_msgs/msg/Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
}


def test_detections_by_the_definition_that_the_bag_brings(tmp_path):
    store = get_typestore(Stores.ROS2_JAZZY)
    for name, text in VISION.items():
        store.register(get_types_from_msg(text, name))
    made = {name.rpartition("/")[2]: store.types[name] for name in VISION}
    T = pose.from_rotation_vector(np.array([0, 0, CAR.yaw]), CAR.centre)
    unsure = messages.make("geometry_msgs/msg/PoseWithCovariance", pose=messages.pose_of(np.eye(4)), covariance=np.zeros(36))
    said = [made["ObjectHypothesis"](name, score) for name, score in (("Truck", 0.2), ("Car", 0.7))]
    results = [made["ObjectHypothesisWithPose"](hypothesis, unsure) for hypothesis in said]
    bbox = made["BoundingBox3D"](messages.pose_of(T), messages.vector(CAR.size))
    # A detection without a frame of its own is in the array's.
    detection = made["Detection3D"](messages.header(0, ""), results, bbox, "7")
    array = made["Detection3DArray"](messages.header(STAMPS[0], "base_link"), [detection])
    found, _ = all_of(written(tmp_path / "bag", [(STAMPS[0], array)], types=store), "/boxes")
    equal(found, [CAR])
    assert found[0].score == pytest.approx(0.7)


@pytest.mark.parametrize("array, said", [
    (markers(cube(CAR, "base_link", name="Unicorn")), "labels /boxes: unknown class 'Unicorn'; known are car, van"),
    (markers(cube(CAR, "")), "TF does not connect base_link"),
    (markers(cube(CAR, "the_moon")), "TF does not connect .*the_moon"),
    (markers(cube(CAR, "base_link", scale=messages.vector((0, 1, 1)))), "sizes above 0 m")])
def test_topics_that_are_refused(tmp_path, array, said):
    with pytest.raises(BadInput, match=said):
        labels(written(tmp_path / "bag", [(STAMPS[0], array)]), "/boxes")


def test_no_such_topic(tmp_path):
    reader = written(tmp_path / "bag", [(STAMPS[0], markers())])
    with pytest.raises(BadInput, match=r"labels /cars: wanted a folder or file .* it has /boxes"):
        labels(reader, "/cars")
    with pytest.raises(BadInput, match="labels /truth/boxes: wanted"):
        labels(reader)


def test_kitti_files_there_and_back(tmp_path):
    behind = Box3D("car", 1.0, np.array([-9.0, 0, 1]), np.array([4.0, 2, 1.5]), 0.0)
    guess = Box3D("truck", 0.25, np.array([25.0, 3, 1.5]), np.array([8.0, 2.5, 3]), 3.1)
    assert kitti_labels.write(tmp_path / "label_2" / "000001.txt", [CAR, MAN, behind, guess], CALIBRATION) == 3
    found = kitti_labels.read(tmp_path / "label_2" / "000001.txt", CALIBRATION)
    equal(found, [CAR, MAN, guess], atol=1e-4)
    assert [box.score for box in found] == [1, 1, 0.25]
    # By number: the second image's.
    reader = written(tmp_path / "bag")
    first, second = all_of(reader, str(tmp_path))
    assert first is None
    equal(second, [CAR, MAN, guess], atol=1e-4)
    # By stamp, and empty: labelled, and nothing there.
    (tmp_path / "label_2" / f"{STAMPS[0]}.txt").write_text("")
    assert all_of(reader, str(tmp_path / "label_2"))[0] == ()


IGNORED = "DontCare -1 -1 -10 0 0 9 9 -1 -1 -1 -1000 -1000 -1000 -10"
# A car 20 m ahead, 2 m to the right, 1.65 m under the camera, pointing to the right (rotation_y 0) or away (-pi/2).
LINE = "Car 0.00 0 0.1 60 30 80 50 1.50 1.80 4.00 2.00 1.65 20.00 {turn}"


def test_what_a_kitti_line_means(tmp_path):
    file = tmp_path / "000000.txt"
    file.write_text("\n".join([LINE.format(turn="0.0"), LINE.format(turn=f"{-np.pi / 2:.9f}"), IGNORED]))
    right, away = kitti_labels.read(file, CALIBRATION)
    for box in (right, away):
        np.testing.assert_allclose(box.centre, [21.5, 0.1 - 2.0, 1.6 - 1.65 + 0.75])
        np.testing.assert_allclose(box.size, [4.0, 1.8, 1.5])
    assert right.yaw == pytest.approx(-np.pi / 2) and away.yaw == pytest.approx(0, abs=1e-8)


def test_labels_of_the_reference_camera(tmp_path):
    (tmp_path / "calib").mkdir()
    (tmp_path / "label_2").mkdir()
    (tmp_path / "calib" / "000000.txt").write_text("P0: 100 0 63.5 0 0 100 31.5 0 0 0 1 0\nP2: 100 0 63.5 6 0 100 31.5 0 0 0 1 0\n")
    (tmp_path / "label_2" / "000000.txt").write_text(LINE.format(turn="0"))
    first, _ = all_of(written(tmp_path / "bag"), str(tmp_path))
    np.testing.assert_allclose(first[0].centre, [21.5, 0.1 - 2.06, 0.7])
    (tmp_path / "calib" / "000000.txt").write_text("P0: 1 2 3\n")
    with pytest.raises(BadInput, match="wanted a KITTI calibration with P2"):
        all_of(FrameReader(tmp_path / "bag"), str(tmp_path))


def test_a_tracking_file(tmp_path):
    file = tmp_path / "0009.txt"
    line = LINE.format(turn="0")
    file.write_text(f"1 7 {line}\n1 8 {line.replace('Car', 'Cyclist')}\n0 -1 {IGNORED}\n")
    first, second = all_of(written(tmp_path / "bag"), str(file))
    assert first == () and [box.label for box in second] == ["car", "cyclist"]
    file.write_text(f"0 7 {line}\n")
    assert all_of(FrameReader(tmp_path / "bag"), str(file))[1] is None


@pytest.mark.parametrize("line, said", [
    ("Unicorn" + LINE[3:].format(turn=0), "line 1: unknown class 'Unicorn'"),
    ("Car 1 2 3", "wanted the 15 or 16 words of a KITTI label, got 4"),
    (LINE.format(turn="left"), "wanted numbers"),
    (LINE.format(turn="nan"), "wanted finite numbers"),
    (LINE.format(turn=0).replace("60 30 80 50", "600 30 680 50"), r"lies outside the 128x64 image"),
    (LINE.format(turn=0).replace("1.80 4.00", "1.80 -1"), "above 0 m")])
def test_lines_that_are_refused(tmp_path, line, said):
    file = tmp_path / "000000.txt"
    file.write_text(line)
    with pytest.raises(BadInput, match=said):
        kitti_labels.read(file, CALIBRATION)


def test_files_that_are_missing(tmp_path):
    (tmp_path / "empty").mkdir()
    reader = written(tmp_path / "bag")
    with pytest.raises(BadInput, match="named by stamp or number, there are none"):
        labels(reader, str(tmp_path / "empty"))
    with pytest.raises(BadInput, match=r"labels .*nothing: wanted a folder or file"):
        labels(reader, str(tmp_path / "nothing"))
    with pytest.raises(BadInput, match="cannot be read"):
        kitti_labels.read(tmp_path / "none.txt", CALIBRATION)
    nowhere = Calibration(CALIBRATION.K, 128, 64)
    (tmp_path / "a.txt").write_text(LINE.format(turn=0))
    with pytest.raises(BadInput, match="place on the body"):
        kitti_labels.read(tmp_path / "a.txt", nowhere)
