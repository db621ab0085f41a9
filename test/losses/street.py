"""A street with exact depth: a road, two walls and three boxes, seen from anywhere."""

import torch
from torch import Tensor

from depth_perception.losses.reconstruction import rays

HEIGHT, WIDTH = 64, 208
K = torch.tensor([[[120.0, 0, 103.5], [0, 120, 31.5], [0, 0, 1]]], dtype=torch.float64)
BOXES = (((-2.0, 0.2, 12.0), (0.0, 1.6, 16.0)), ((2.5, 0.0, 18.0), (4.5, 1.6, 23.0)), ((-6.0, -2.0, 25.0), (-3.5, 1.6, 30.0)))


def depth(T_camera_world: Tensor, *, boxes=BOXES) -> Tensor:
    """(1, 4, 4) -> (1, 1, HEIGHT, WIDTH) metres, 90 where there is sky. The road lies 1.6 m below, the walls 7 m to each side."""
    T_world_camera = torch.linalg.inv(T_camera_world[0])
    d = T_world_camera[:3, :3] @ rays(K, height=HEIGHT, width=WIDTH)[0]
    o = T_world_camera[:3, 3:]
    z = torch.full((d.shape[1],), 90.0, dtype=torch.float64)

    def hit(at: Tensor, where: Tensor) -> Tensor:
        return torch.where(where & (at > 0.1) & (at < z), at, z)

    z = hit((1.6 - o[1]) / d[1], d[1] > 1e-6)
    for x in (-7.0, 7.0):
        at = (x - o[0]) / d[0]
        y = o[1] + at * d[1]
        z = hit(at, (y < 1.6) & (y > -4))
    for ends in boxes:
        one, two = ((torch.tensor(end, dtype=torch.float64)[:, None] - o) / d for end in ends)
        enter, leave = torch.minimum(one, two).amax(0), torch.maximum(one, two).amin(0)
        z = hit(enter, enter < leave)
    return z.view(1, 1, HEIGHT, WIDTH)
