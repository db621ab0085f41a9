"""A pose network that sees three images (S5, [0084]), through the drive node over real DDS."""

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("torch")
pytest.importorskip("tf2_msgs", reason="needs tf2_msgs, which the environment builds where cmake and g++ are")

from test_drive import COUNT, TOPICS, small_drive  # noqa: F401

from depth_perception import bag as bags
from depth_perception.evaluation.offline import systems
from depth_perception.export import export
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.nodes.rehearsal import make_observer, rehearse
from depth_perception.systems.odometry import OdometryOutput
from depth_perception.train import depth as recipe
from depth_perception.train.fit import History


def test_the_path_is_that_of_the_bag_from_the_third_image_on(small_drive, tmp_path):  # noqa: F811
    config = recipe.Config(height=32, width=64, student=StudentConfig(channels=(4,) * 5), pose=PoseNetConfig("triplet", (4,) * 5))
    recipe.write(recipe.new_networks(config).eval(), tmp_path / "m", config, History(rows=[{"step": 1, "distance": 1.0}]), {})
    triplet = export(tmp_path / "m")

    drive = systems(triplet)
    frames = bags.FrameReader(small_drive, pairing="latest")
    outputs = [next((each for each in drive.step(frame) if isinstance(each, OdometryOutput)), None) for frame in frames]
    assert [output is None for output in outputs] == [True, True] + [False] * (COUNT - 2)
    (tmp_path / "kept").mkdir()
    observer = make_observer(tmp_path / "kept", keep_every=1)
    try:
        rehearse(observer, str(small_drive), TOPICS, model=str(triplet.path), rate=0.5)
        assert [stamp for stamp, _ in observer.trajectory] == [output.stamp_ns for output in outputs[2:]]
        for (_, T_odom_base), output in zip(observer.trajectory, outputs[2:], strict=True):
            np.testing.assert_allclose(T_odom_base, output.T_odom_base, atol=1e-9)
    finally:
        observer.destroy_node()
