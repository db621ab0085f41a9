"""nodes.car_file: what a parameter file says of the cameras, and the sentences on one that is none."""

import pytest

from depth_perception.frame import BadInput
from depth_perception.nodes import car_file
from depth_perception.nodes.car_file import Camera


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- 1", "wanted ROS parameters"),
        ("a: [", "not YAML"),
        ("/**: {ros__parameters: {remap: {imag: /x}}}", "remap: wanted image, camera_info, points, got 'imag'"),
        ("/**: {ros__parameters: {remap: [1]}}", "remap: wanted topics of image"),
    ],
)
def test_a_file_that_is_no_car_is_one_sentence(tmp_path, text, sentence):
    file = tmp_path / "car.yaml"
    file.write_text(text)
    with pytest.raises(BadInput, match=sentence):
        car_file.cameras(file)


def test_a_parameter_file_without_topics_is_one_camera_of_any_topics(tmp_path):
    from depth_perception.model import share_directory

    (camera,) = car_file.cameras(share_directory() / "config" / "drive.yaml")
    assert camera == Camera(parameters=camera.parameters)


def test_what_is_said_of_the_drive_by_name_counts_more_than_what_is_said_of_all(tmp_path):
    file = tmp_path / "car.yaml"
    file.write_text("drive: {ros__parameters: {systems: depth, input: {compressed: true}}}\n"
                    "/**: {ros__parameters: {systems: depth bev, engine: ort, remap: {image: /image}}}\n"
                    "/front/drive: {ros__parameters: {systems: markings}}\n"
                    "/viewer: {ros__parameters: {systems: none}}\n")
    parameters = {"systems": "depth", "engine": "ort", "input.compressed": True}
    assert car_file.cameras(file) == [Camera(topics={"image": "/image"}, compressed=True, parameters=parameters)]
