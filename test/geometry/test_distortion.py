"""geometry.distortion: a spot where the textbook's formula puts it lands where the pinhole camera sees it, for every model and window."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.frame import BadInput
from depth_perception.geometry.distortion import Rectifier

WIDTH, HEIGHT = 640, 480
K = np.array([[400.0, 0, 325.0], [0, 410.0, 236.0], [0, 0, 1]])
P = np.array([[330.0, 0, 312.0, 0], [0, 350.0, 246.0, 0], [0, 0, 1, 0]])
POINTS = np.array([[0.0, 0.0, 1.0], [1.2, 0.6, 2.0], [-1.8, 0.3, 3.0], [0.5, -0.42, 1.0], [-2.0, -1.5, 5.0]])

POLYNOMIALS = {
    "plumb_bob 4": ("plumb_bob", (-0.28, 0.07, 0.002, -0.0015)),
    "plumb_bob": ("plumb_bob", (-0.28, 0.07, 0.002, -0.0015, 0.01)),
    "rational": ("rational_polynomial", (0.3, -0.1, 0.001, -0.002, 0.02, 0.6, -0.05, 0.03)),
    "thin prism": ("rational_polynomial", (0.3, -0.1, 0.001, -0.002, 0.02, 0.6, -0.05, 0.03, 0.004, -0.002, -0.003, 0.001)),
    "tilted": ("rational_polynomial", (0.3, -0.1, 0.001, -0.002, 0.02, 0.6, -0.05, 0.03, 0.004, -0.002, -0.003, 0.001, 0.03, -0.02)),
    "equidistant": ("equidistant", (0.06, -0.02, 0.01, -0.004)),
    "fisheye": ("fisheye", (-0.03, 0.01, -0.004, 0.001)),
}


def seen_by_the_lens(model, D, point):
    """(2,) on the plane z = 1, from the formulas of OpenCV's manual (polynomial) and of Kannala and Brandt (equidistant)."""
    x, y = point[0] / point[2], point[1] / point[2]
    r = np.hypot(x, y)
    if model in ("equidistant", "fisheye"):
        theta = np.arctan(r)
        theta_d = theta * (1 + D[0] * theta**2 + D[1] * theta**4 + D[2] * theta**6 + D[3] * theta**8)
        return np.array([x, y]) * (theta_d / r if r > 0 else 1.0)
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tau_x, tau_y = (*D, *[0.0] * (14 - len(D)))
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2) + s1 * r**2 + s2 * r**4
    bent_y = y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y + s3 * r**2 + s4 * r**4
    about_x = np.array([[1, 0, 0], [0, np.cos(tau_x), np.sin(tau_x)], [0, -np.sin(tau_x), np.cos(tau_x)]])
    about_y = np.array([[np.cos(tau_y), 0, -np.sin(tau_y)], [0, 1, 0], [np.sin(tau_y), 0, np.cos(tau_y)]])
    R = about_y @ about_x
    tilted = np.array([[R[2, 2], 0, -R[0, 2]], [0, R[2, 2], -R[1, 2]], [0, 0, 1]]) @ R @ np.array([bent_x, bent_y, 1.0])
    return tilted[:2] / tilted[2]


def info(model, D, *, P=P, K=K, width=WIDTH, height=HEIGHT, region=(0, 0, 0, 0), binning=(0, 0), do_rectify=False):
    roi = SimpleNamespace(x_offset=region[0], y_offset=region[1], width=region[2], height=region[3], do_rectify=do_rectify)
    return SimpleNamespace(width=width, height=height, k=K.ravel(), d=np.array(D, float), p=P.ravel(), distortion_model=model,
                           binning_x=binning[0], binning_y=binning[1], roi=roi)


def on_the_window(pixel, region, binning):
    """A pixel of the full sensor in the image that is sent; pixel centres lie at integers, a binned pixel is the mean of its own."""
    return (pixel - region[:2] + 0.5) / np.maximum(binning, 1) - 0.5


def spot(pixel, height, width):
    v, u = np.mgrid[:height, :width]
    light = 250 * np.exp(-((u - pixel[0]) ** 2 + (v - pixel[1]) ** 2) / (2 * 1.6**2))
    return np.repeat(light.astype(np.uint8)[..., None], 3, 2)


def centre_of(image):
    light = image[..., 0].astype(float)
    v, u = np.mgrid[:image.shape[0], :image.shape[1]]
    return np.array([(light * u).sum(), (light * v).sum()]) / light.sum()


def assert_spots_land(model, D, **window):
    rectify = Rectifier(info(model, D, **window))
    region, binning = np.array(window.get("region", (0, 0, 0, 0))), np.array(window.get("binning", (0, 0)))
    camera = window.get("P", P)[:, :3]
    tested = 0
    for point in POINTS:
        raw = on_the_window(K[:2, :2] @ seen_by_the_lens(model, D, point) + K[:2, 2], region, binning)
        straight = on_the_window(camera[:2, :2] @ (point[:2] / point[2]) + camera[:2, 2], region, binning)
        if not all(((at > 12) & (at < np.array([rectify.width, rectify.height]) - 12)).all() for at in (raw, straight)):
            continue
        rectified = rectify(spot(raw, rectify.height, rectify.width))
        np.testing.assert_allclose(centre_of(rectified), straight, atol=0.12)
        np.testing.assert_allclose(rectify.K[:2, :2] @ (point[:2] / point[2]) + rectify.K[:2, 2], straight, atol=1e-9)
        tested += 1
    assert tested >= 3


@pytest.mark.parametrize(("model", "D"), POLYNOMIALS.values(), ids=list(POLYNOMIALS))
def test_every_model_by_its_formula(model, D):
    assert_spots_land(model, D)


@pytest.mark.parametrize("name", ["plumb_bob", "tilted", "equidistant"])
@pytest.mark.parametrize("window", [
    {"region": (40, 30, 560, 420), "do_rectify": True}, {"region": (40, 30, 560, 420)}, {"binning": (2, 2)},
    {"region": (60, 20, 520, 440), "binning": (2, 2), "do_rectify": True}, {"binning": (2, 1)}, {"region": (0, 0, 640, 480)},
], ids=str)
def test_windows_of_the_sensor(name, window):
    assert_spots_land(*POLYNOMIALS[name], **window)


def test_without_P_the_rectified_camera_is_K():
    none = np.zeros((3, 4))
    assert_spots_land(*POLYNOMIALS["plumb_bob"], P=np.hstack([K, np.zeros((3, 1))]))
    rectify = Rectifier(info(*POLYNOMIALS["plumb_bob"], P=none))
    np.testing.assert_array_equal(rectify.K, K)


def test_a_region_may_leave_the_centre_out():
    rectify = Rectifier(info("plumb_bob", (), region=(0, 280, 640, 200)))
    np.testing.assert_array_equal(rectify.K, [[400, 0, 325], [0, 410, 236 - 280], [0, 0, 1]])
    assert (rectify.width, rectify.height, rectify.is_identity) == (640, 200, True)


@pytest.mark.parametrize(("changes", "said"), [
    ({"region": (0, 0, 100, 0)}, "a region with a width and a height"), ({"region": (8, 0, 0, 0)}, "a region with a width and a height"),
    ({"region": (600, 0, 100, 10)}, "leaves the 640x480 image"), ({"binning": (1000, 1)}, "leaves nothing"),
    ({"K": np.array([[400.0, 0, 725], [0, 410, 236], [0, 0, 1]])}, "lies outside the 640x480"),
])
def test_windows_that_are_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        Rectifier(info("plumb_bob", (-0.2, 0.0, 0, 0, 0), **changes))


@pytest.mark.parametrize(("model", "D"), [
    ("plumb_bob", (-0.3, 0.05, 0, 0, 0)),  # turns back at once, and comes again far out
    ("equidistant", (0.05, -0.02, -0.05, 0.0)),  # turns back at about 70 degrees
    ("rational_polynomial", (0.0, 0.0, 0.0, 0.0, 0.0, -0.2, 0.0, 0.0)),  # a pole
    ("equidistant", (0.0, 0.0, 0.0, 1e-9)),
    ("plumb_bob", (5.0, 50.0, 0, 0, 500.0)),  # numbers that no 16 bits hold
])
def test_beyond_the_lens_is_black_and_nothing_comes_twice(model, D):
    wide = np.array([[40.0, 0, 320, 0], [0, 40.0, 240, 0], [0, 0, 1, 0]])  # asks for 166 degrees
    rectify = Rectifier(info(model, D, P=wide))
    rng = np.random.default_rng(0)
    bright = rng.integers(100, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    rectified = rectify(bright)
    row = rectified[240, :, 0] > 0
    assert row[320]
    assert not row[[0, -1]].any()
    assert np.count_nonzero(np.diff(row.astype(int))) == 2, "one piece, no second picture beside it"
    # A line from the middle outwards is met in its own order: what the raw image has farther out is farther out.
    ramp = np.repeat(np.broadcast_to(np.clip(np.abs(np.arange(WIDTH) - K[0, 2]) / 1.5, 1, 255), (HEIGHT, WIDTH))[..., None], 3, 2)
    seen = rectify(ramp.astype(np.uint8))[240, 322:, 0].astype(int)
    inside = seen[:np.argmin(seen > 0) - 1]
    assert (np.diff(inside) >= 0).all()
    assert (seen[len(inside) + 1:] == 0).all()


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(["plumb_bob", "equidistant"]), st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), st.floats(1.0, 500.0))
def test_any_coefficients_give_an_image(model, D, focal):
    small = np.array([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]])
    wide = np.array([[focal, 0, 32, 0], [0, focal, 24, 0], [0, 0, 1, 0]])
    rectify = Rectifier(info(model, D, P=wide, K=small, width=64, height=48))
    assert rectify(np.full((48, 64, 3), 200, np.uint8)).shape == (48, 64, 3)


@pytest.mark.parametrize("name", ["plumb_bob", "equidistant"])
def test_a_mask_is_rectified_as_its_image_is(name):
    rectify = Rectifier(info(*POLYNOMIALS[name]))
    raw = np.zeros((rectify.height, rectify.width), np.uint8)
    raw[200:260, 100:180], raw[40:90, 400:520] = 4, 1
    straight = rectify.labels(raw)
    image = rectify((raw * 60)[..., None].repeat(3, 2))[..., 0]
    assert set(np.unique(straight)) == {0, 1, 4}, "labels are never mixed"
    assert (np.abs(straight.astype(int) * 60 - image) > 30).mean() < 0.005
    assert (straight != raw).mean() > 0.01
