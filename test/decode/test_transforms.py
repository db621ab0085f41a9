"""decode.transforms: TF messages into a tree."""

from types import SimpleNamespace

import numpy as np
import pytest
from worlds import T_BASE_CAMERA, T_BASE_LIDAR

from depth_perception import decode
from depth_perception.bag import messages
from depth_perception.frame import BadInput
from depth_perception.geometry.pose import FrameTree


def test_a_bad_link_costs_none_of_the_others():
    good = messages.transforms([("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)], stamp_ns=1).transforms
    loop, nameless = (
        messages.transforms([link], stamp_ns=1).transforms[0] for link in (("camera", "base_link", np.eye(4)), ("", "imu", np.eye(4)))
    )
    tree = FrameTree()
    with pytest.raises(BadInput, match="closes a loop"):
        decode.transforms(SimpleNamespace(transforms=[good[0], loop, nameless, good[1]]), tree)
    assert np.allclose(tree.between("base_link", "lidar"), T_BASE_LIDAR)
    assert np.allclose(tree.between("base_link", "camera"), T_BASE_CAMERA)
    assert "imu" not in tree
