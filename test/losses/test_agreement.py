"""Two views' depths: what stands agrees, what drives does not."""

import numpy as np
import street
import torch

from depth_perception.geometry import cross_view
from depth_perception.losses.agreement import disagreement
from depth_perception.losses.motion import motion

T_NEXT_HERE = motion(torch.tensor([[0, 0.01, 0, 0.05, 0, -1.0]], dtype=torch.float64))


def contrary(here, following, T=T_NEXT_HERE):
    return disagreement(depth=here, neighbour_depth=following, K=street.K, T_neighbour_image=T)


def test_it_says_what_a_driving_car_is_told():
    """geometry.cross_view, without torch, wherever both see the point."""
    here, following = street.depth(torch.eye(4, dtype=torch.float64)[None]), street.depth(T_NEXT_HERE)
    contradiction, inside = contrary(here, following)
    seen, other = (depth[0, 0].numpy().astype(np.float32) for depth in (here, following))
    there = cross_view.disagreement(seen, other, street.K[0].numpy(), T_NEXT_HERE[0].numpy())
    both = np.isfinite(there) & inside[0, 0].numpy()
    assert both.mean() > 0.5
    np.testing.assert_allclose(there[both], contradiction[0, 0].numpy()[both], atol=0.01)


def test_only_what_moved_and_what_is_hidden_disagrees():
    here = street.depth(torch.eye(4, dtype=torch.float64)[None])
    standing, inside = contrary(here, street.depth(T_NEXT_HERE))
    seen = standing[inside]
    assert (seen < 0.02).double().mean() > 0.93 and 0.5 < inside.double().mean() < 1  # the rest: edges of the boxes
    assert standing[~inside].max() == 0
    # the first box, 12 m ahead, drives three metres on meanwhile
    (near, far), *others = street.BOXES
    driven = ((near[0], near[1], near[2] + 3), (far[0], far[1], far[2] + 3))
    moved, _ = contrary(here, street.depth(T_NEXT_HERE, boxes=(driven, *others)))
    box = ((here > 11.9) & (here < 12.1))[0, 0]
    box[: street.HEIGHT // 2] = False  # its front, not the walls beside it
    box[:, :70] = box[:, 110:] = False
    assert box.sum() > 100
    assert moved[0, 0][box].median() > 3 / (2 * 11 + 3) - 0.02 and standing[0, 0][box].median() < 0.01
    assert (moved - standing)[0, 0][:, 150:].abs().max() < 1e-9  # elsewhere nothing changed


def test_the_pose_has_a_direction():
    here, following = street.depth(torch.eye(4, dtype=torch.float64)[None]), street.depth(T_NEXT_HERE)
    right, _ = contrary(here, following)
    back, _ = contrary(here, following, torch.linalg.inv(T_NEXT_HERE))
    assert back.mean() > 3 * right.mean()
    assert right.min() >= 0 and back.max() <= 1


def test_by_hand():
    k = torch.tensor([[[4.0, 0, 1.5], [0, 4.0, 1.5], [0, 0, 1]]])
    still = torch.eye(4)[None]
    six, two = torch.full((1, 1, 4, 4), 6.0), torch.full((1, 1, 4, 4), 2.0)
    out, inside = disagreement(depth=six, neighbour_depth=two, K=k, T_neighbour_image=still)
    assert torch.allclose(out, torch.tensor(0.5)) and inside.all()
