"""Voxel-density alignment of S2 (claims 5-7): two views of one scene put as many points into each voxel.

All points are (B, 3, N) in the camera frame of image t. Points outside the grid leave both counts [recon].

Trap: claim 6's count is piecewise constant, so its gradient is zero everywhere. `splat` shares a point among the eight voxels
around it and is learned with; the hard count stays as a metric, and in the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

import torch
from torch import Tensor

from depth_perception.frame import BadInput
from depth_perception.losses.agreement import disagreement
from depth_perception.losses.constant import vector
from depth_perception.losses.motion import inverse, move
from depth_perception.losses.reconstruction import points, project
from depth_perception.losses.reduce import mean as batch_mean

UNITS = ("relative", "metres", "perspective")


@dataclass(frozen=True)
class VoxelGrid:
    """The box that is divided into voxels: its corner (x0, y0, z0), a voxel's sides (sx, sy, sz), and how many (nx, ny, nz).

    unit: "relative" counts lengths in the image's harmonic mean depth (about 10 m in a street). "metres" are the network's canonical
    ones. Trap: in metres, learning without a scale finds that a smaller world, in fewer voxels, has less to disagree about.
    Trap: in either, a bare wall that nothing else holds flies away: what has left the grid disagrees about nothing. "perspective" voxels
    are cells of (x / z, y / z, log(z / mean)): no depth leaves such a grid, and the same relative error costs much the same anywhere.
    """

    start: tuple[float, ...] = (-2.0, -0.8, 0.0)
    size: tuple[float, ...] = (0.1, 0.1, 0.2)
    count: tuple[int, ...] = (40, 12, 25)
    unit: str = "relative"

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise BadInput(f"density_grid.unit: wanted one of {', '.join(UNITS)}, got {self.unit!r}")
        for name, least in (("start", None), ("size", 0), ("count", 0)):
            values = getattr(self, name)
            if len(values) != 3 or (least is not None and min(values) <= least):
                raise BadInput(f"density_grid.{name}: wanted three {'' if least is None else 'positive '}numbers, got {values}")
            if not all(map(isfinite, values)) or (name == "count" and any(value != int(value) for value in values)):
                raise BadInput(f"density_grid.{name}: wanted three {'whole' if name == 'count' else 'finite'} numbers, got {values}")
        if self.unit != "relative" and self.size == VoxelGrid.size:  # a box of 4 m by 5 m, in which nobody would miss the street
            such = {"metres": "start [-20, -8, 0], size [1, 1, 2]", "perspective": "start [-1.2, -0.4, -3], size [0.1, 0.1, 0.15]"}
            raise BadInput(f"density_grid: unit {self.unit} wants start and size of its own, such as {such[self.unit]}")

    @property
    def voxels(self) -> int:
        """nx ny nz."""
        return self.count[0] * self.count[1] * self.count[2]


def index(xyz: Tensor, grid: VoxelGrid) -> tuple[Tensor, Tensor]:
    """v(P) = ix + nx iy + nx ny iz with i = floor((x - x0) / s), claim 6 [recon order].

    (B, 3, N) -> (B, N) int64, and (B, N) bool: true inside the grid (v is 0 where false).
    """
    cell = _cells(xyz, grid).floor()
    within = ((cell >= 0) & (cell < _column(grid.count, cell))).all(1)
    nx, ny, _ = grid.count
    x, y, z = torch.where(within.unsqueeze(1), cell, torch.zeros_like(cell)).long().unbind(1)
    return x + nx * (y + ny * z), within


def literal_count(v: Tensor, voxels: int) -> Tensor:
    """c_i = n - || sign|v - i| ||_1, as claim 6 has it: (n,) indices -> (voxels,). Equal to a bincount; it takes n * voxels steps."""
    i = torch.arange(voxels, dtype=v.dtype, device=v.device)
    return len(v) - (v[None, :] - i[:, None]).abs().sign().sum(1)


def hard_count(xyz: Tensor, grid: VoxelGrid, weight: Tensor | None = None) -> Tensor:
    """Claim 6's counts in n steps. (B, 3, N) -> (B, voxels); weight (B, N): what each point counts, one where None."""
    v, within = index(xyz, grid)
    return xyz.new_zeros(len(xyz), grid.voxels).scatter_add_(1, v, _counted(within, weight, xyz))


def splat(xyz: Tensor, grid: VoxelGrid, weight: Tensor | None = None) -> Tensor:
    """Trilinear counts: a point inside the grid shares its one among the eight nearest voxel centres. Shapes as of `hard_count`."""
    _, within = index(xyz, grid)
    count = _column(grid.count, xyz)
    centre = torch.minimum((_cells(xyz, grid) - 0.5).clamp(min=0), count - 1)
    low = centre.detach().floor().nan_to_num(0.0)  # what is no number goes on as one, in its share, and is found out by its loss
    share = centre - low
    low, high = low.long(), torch.minimum(low + 1, count - 1).long()
    nx, ny, _ = grid.count
    places, shares = [], []
    counted = _counted(within, weight, xyz)
    for corner in range(8):
        ends = [(high[:, a], share[:, a]) if corner >> a & 1 else (low[:, a], 1 - share[:, a]) for a in range(3)]
        (x, wx), (y, wy), (z, wz) = ends
        places.append(x + nx * (y + ny * z))
        shares.append(counted * wx * wy * wz)
    return xyz.new_zeros(len(xyz), grid.voxels).scatter_add(1, torch.cat(places, 1), torch.cat(shares, 1))


def density(count: Tensor, *, eps: float) -> Tensor:
    """rho = c / n + eps, n the points that were counted: (B, voxels) -> (B, voxels)."""
    return count / count.sum(1, keepdim=True).clamp(min=1) + eps


def divergence(rho: Tensor, other: Tensor) -> Tensor:
    """KL(rho || other) (claim 7): (B, voxels) twice -> (B,)."""
    return (rho * (rho / other).log()).sum(1)


def alignment(*, depth: Tensor, neighbour_depth: Tensor, K: Tensor, T_neighbour_image: Tensor, grid: VoxelGrid | None = None,
              eps: float = 1e-4, literal: bool = False, hard: bool = False, contrary: float = 1.0) -> Tensor:
    """L_vd = KL(rho_t || rho_{t+m -> t}), mean over the batch (claims 5 and 7; direction [recon]). A scalar.

    T_neighbour_image maps points of t into t+m, as the photometric loss needs it; here t+m's cloud moves into t, by its inverse.
    literal: every point counts one, as the text has it. Trap: then even the truth costs something, since each camera has a margin that
    the other does not see, and sees what it is nearer to with more pixels. By default only points that both cameras see are counted,
    a moved one as often as it covers pixels of t: (its depth in t+m / its depth in t)^2.
    contrary: a pixel counts only where the two depths contradict each other by no more than this (losses.agreement): what moves by itself
    is in two places and no error, what one view hides is in one. 1 counts all; `literal` does so too.
    hard: by the hard count, a metric without gradients. Pairs of which one view has no point in the grid are left out.
    Trap: it must teach both depths. A bare wall along the road may stand anywhere without a contradiction, and to move it in both views
    costs nothing; but each view alone is pulled, hard, to where the other one has it by the least error of the motion. Where one alone is
    taught, it is a network that chases itself: walls drift away, or close in, with every step.

    Args:
        depth, neighbour_depth: (B, 1, H, W) of t and of t+m, same unit as the translation.
        K: (B, 3, 3), pixels of this size.
    """
    grid = grid or VoxelGrid()
    size = depth.shape[2:]
    ours, theirs = points(depth, K), points(neighbour_depth, K)
    moved = move(inverse(T_neighbour_image), theirs)
    weights: list[Tensor | None] = [None, None]
    if not literal:
        with torch.no_grad():
            larger = (theirs[:, 2] / moved[:, 2].clamp(min=1e-3)).square().clamp(max=4)
            weights = [_seen(move(T_neighbour_image, ours), K, size).to(K.dtype), _seen(moved, K, size) * larger]
            if contrary < 1:
                back = inverse(T_neighbour_image)
                for side, (one, other, T) in enumerate(((depth, neighbour_depth, T_neighbour_image), (neighbour_depth, depth, back))):
                    found, _ = disagreement(depth=one, neighbour_depth=other, K=K, T_neighbour_image=T)
                    weights[side] = weights[side] * (found <= contrary).flatten(1)
    if grid.unit != "metres":
        mean = 1 / (1 / depth).mean((2, 3))[..., None]
        if grid.unit == "perspective":
            mean = mean.detach()  # it says where cells begin; through a relative length one must learn, or a smaller world is better
        ours, moved = ours / mean, moved / mean
    if grid.unit == "perspective":
        ours, moved = _perspective(ours), _perspective(moved)
    count = hard_count if hard else splat
    mine, others = (count(xyz, grid, weight) for xyz, weight in zip((ours, moved), weights, strict=True))
    # A divergence compares densities of the same mass: a view that has no point in the grid has none, and would look like agreement.
    filled = ~((mine.sum(1) < 1) | (others.sum(1) < 1))
    return batch_mean(divergence(density(mine, eps=eps), density(others, eps=eps)), filled)


def _perspective(xyz: Tensor) -> Tensor:
    """(x / z, y / z, log z), (B, 3, N). A point behind the camera, which the other one alone sees, has no place and no weight."""
    z = xyz[:, 2:].clamp(min=1e-3)
    return torch.cat([xyz[:, :2] / z, z.log()], 1)


def _seen(xyz: Tensor, K: Tensor, size: torch.Size) -> Tensor:
    """(B, N) bool: which points lie in the picture of a camera in whose frame they are."""
    pixels, front = project(K, xyz)
    last = _column((size[1] - 1, size[0] - 1), pixels)
    return (front & ((pixels >= -0.5) & (pixels <= last + 0.5)).all(1, keepdim=True))[:, 0]


def _counted(within: Tensor, weight: Tensor | None, like: Tensor) -> Tensor:
    return within.to(like.dtype) if weight is None else within * weight


def _cells(xyz: Tensor, grid: VoxelGrid) -> Tensor:
    return (xyz - _column(grid.start, xyz)) / _column(grid.size, xyz)


def _column(values: tuple[float, ...], like: Tensor) -> Tensor:
    return vector(values, like).view(1, -1, 1)
