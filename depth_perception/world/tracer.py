"""Rays against the street: one fixed scene, and a small one of what moves, rebuilt for every moment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d as o3d

from depth_perception.world.mesh import Material, Mesh
from depth_perception.world.points import Points


@dataclass(frozen=True, eq=False)
class Hits:
    """What N rays met. t: (N,) float32 in units of the ray's direction, inf = nothing; the rest only for the M rays that hit.

    index: (M,) which rays; points, coords: (M, 3); normal: (M, 3) unit, towards the ray's origin; material, style: (M,);
    moving: (M,) bool, on a triangle that `Tracer.move` called in motion.
    """

    t: np.ndarray
    index: np.ndarray
    points: np.ndarray
    coords: np.ndarray
    normal: np.ndarray
    material: np.ndarray
    style: np.ndarray
    moving: np.ndarray

    def seen(self, direction: np.ndarray, pixel: float) -> Points:
        """The hits as surface points; direction: (N, 3) of all rays, `pixel`: angle of one ray, radians."""
        d = direction[self.index]
        n = np.sqrt(np.einsum("ij,ij->i", d, d))
        graze = np.abs(np.einsum("ij,ij->i", d, self.normal)) / n
        return Points(
            self.points,
            self.coords,
            self.normal,
            self.material,
            self.style,
            (self.t[self.index] * n * pixel).astype(np.float32),
            graze.astype(np.float32),
        )


class Tracer:
    """Casts rays into a fixed mesh and whatever `move` has set. Empty where neither is hit."""

    def __init__(self, fixed: Mesh) -> None:
        self._layers = [_layer(fixed)]
        self._in_motion = np.zeros(0, bool)

    def move(self, moving: Mesh | None, in_motion: np.ndarray | None = None) -> None:
        """Replaces what moves; in_motion: (T,) bool, which of its triangles do so right now (None: all)."""
        self._layers[1:] = [_layer(moving)] if moving is not None else []
        if moving is not None:
            self._in_motion = np.ones(len(moving.triangles), bool) if in_motion is None else in_motion

    def cast(self, origin: np.ndarray, direction: np.ndarray) -> Hits:
        """origin: (3,), or (N, 3) one for each; direction: (N, 3), any length; world frame, metres."""
        n = len(direction)
        rays = np.empty((n, 6), np.float32)
        rays[:, :3], rays[:, 3:] = origin, direction
        tensor = o3d.core.Tensor.from_numpy(rays)
        t = np.full(n, np.inf, np.float32)
        layer, primitive, uv = np.zeros(n, np.uint8), np.zeros(n, np.uint32), np.zeros((n, 2), np.float32)
        for k, (scene, _, _) in enumerate(self._layers):
            answer = scene.cast_rays(tensor)
            t_k = answer["t_hit"].numpy()
            if k == 0:
                t, primitive, uv = t_k.copy(), answer["primitive_ids"].numpy().copy(), answer["primitive_uvs"].numpy().copy()
            else:
                near = t_k < t
                t[near], layer[near] = t_k[near], k
                primitive[near], uv[near] = answer["primitive_ids"].numpy()[near], answer["primitive_uvs"].numpy()[near]
        index = np.flatnonzero(np.isfinite(t))
        m = len(index)
        coords, normal = np.empty((m, 3), np.float32), np.empty((m, 3), np.float32)
        material, style, moves = np.empty(m, np.uint8), np.empty(m, np.int32), np.zeros(m, bool)
        for k, (_, mesh, normals) in enumerate(self._layers):
            on = np.flatnonzero(layer[index] == k)
            which = primitive[index[on]]
            corners = mesh.triangles[which]
            b, c = uv[index[on], :1], uv[index[on], 1:]
            coords[on] = mesh.coords[corners[:, 0]] * (1 - b - c) + mesh.coords[corners[:, 1]] * b + mesh.coords[corners[:, 2]] * c
            normal[on] = normals[which]
            material[on], style[on] = mesh.material[which], mesh.style[which]
            if k > 0:
                moves[on] = self._in_motion[which]
        leaf = material == Material.LEAF
        # A crown is shaded as the ball that it fills, not as the loose leaves that it is made of.
        round_ = coords[leaf] / np.maximum(np.linalg.norm(coords[leaf], axis=1, keepdims=True), 1e-6)
        d = direction[index]
        normal *= -np.sign(np.einsum("ij,ij->i", normal, d))[:, None]
        bent = 0.35 * normal[leaf] + 0.65 * round_ + np.float32([0, 0, 0.15])
        normal[leaf] = bent / np.maximum(np.linalg.norm(bent, axis=1, keepdims=True), 1e-6)
        drum = np.flatnonzero(material == Material.DRUM)
        normal[drum] = _rounded(normal[drum], coords[drum])
        points = np.broadcast_to(np.asarray(origin, np.float32), (n, 3))[index] + t[index, None] * d
        return Hits(t, index, points, coords, normal, material, style, moves)

    def blocked(self, points: np.ndarray, direction: np.ndarray, reach: float) -> np.ndarray:
        """(N,) bool: whether something stands within `reach` metres of (N, 3) points in (N, 3) or (3,) unit directions."""
        rays = np.empty((len(points), 6), np.float32)
        rays[:, :3], rays[:, 3:] = points, direction
        tensor = o3d.core.Tensor.from_numpy(rays)
        out = np.zeros(len(points), bool)
        for scene, _, _ in self._layers:
            out |= scene.test_occlusions(tensor, tnear=0.0, tfar=reach).numpy()
        return out


def _rounded(normal: np.ndarray, coords: np.ndarray) -> np.ndarray:
    """(N, 3) normals of a lying drum's facets -> of the round drum: how far they look up follows from the height above its foot."""
    up = np.clip(2 * coords[:, 1] / np.maximum(coords[:, 2], 1e-3) - 1, -1, 1)
    level = normal[:, :2] / np.maximum(np.linalg.norm(normal[:, :2], axis=1, keepdims=True), 1e-6)
    return np.c_[level * np.sqrt(1 - up * up)[:, None], up].astype(np.float32)


def _layer(mesh: Mesh) -> tuple[o3d.t.geometry.RaycastingScene, Mesh, np.ndarray]:
    """A scene, its mesh, and the (T, 3) unit normals of the mesh."""
    scene = o3d.t.geometry.RaycastingScene()
    scene.add_triangles(
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.vertices, np.float32)),
        o3d.core.Tensor.from_numpy(np.ascontiguousarray(mesh.triangles, np.uint32)),
    )
    a, b, c = (mesh.vertices[mesh.triangles[:, k]] for k in range(3))
    normals = np.cross(b - a, c - a)
    return scene, mesh, normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
