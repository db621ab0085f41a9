"""geometry.camera: what resizing, cropping and mirroring do to a known point's pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.geometry import camera

K = np.array([[100.0, 0, 31.5], [0, 110.0, 23.5], [0, 0, 1]])
POINT = np.array([[0.4, -0.3, 5.0]])


def pixel(K):
    return camera.project(K, POINT)[0][0]


@given(st.integers(8, 400), st.integers(8, 400))
def test_resizing_moves_a_pixel_with_its_centre(height, width):
    u, v = pixel(K)
    resized = pixel(camera.resize_K(K, from_size=(48, 64), to_size=(height, width)))
    np.testing.assert_allclose(resized, [(u + 0.5) * width / 64 - 0.5, (v + 0.5) * height / 48 - 0.5])


def test_crop_and_flip_move_the_pixel():
    u, v = pixel(K)
    np.testing.assert_allclose(pixel(camera.crop_K(K, left=7, top=3)), [u - 7, v - 3])
    mirrored = camera.project(camera.flip_K(K, width=64), POINT * [-1, 1, 1])[0][0]
    np.testing.assert_allclose(mirrored, [63 - u, v])


def test_rays_times_depth_project_back():
    rays = camera.rays(K, height=48, width=64)
    pixels, z = camera.project(K, (rays * 7.0).reshape(-1, 3))
    v, u = np.mgrid[:48, :64]
    np.testing.assert_allclose(pixels, np.stack([u.ravel(), v.ravel()], 1), atol=1e-4)
    np.testing.assert_allclose(z, 7.0)


def test_z_buffer_keeps_the_nearest_and_nothing_behind():
    points = np.array([[0, 0, 9.0], [0, 0, 4.0], [0, 0, -4.0], [100.0, 0, 1.0]], np.float32)
    centred = np.array([[10.0, 0, 2], [0, 10.0, 1], [0, 0, 1]])
    depth = camera.z_buffer(centred, points, height=3, width=5)
    assert depth[1, 2] == 4.0
    assert np.isnan(depth).sum() == 14
