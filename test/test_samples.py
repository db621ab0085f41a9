"""Training views: K stays exactly true under every crop, zoom and flip; batches repeat; windows are real windows."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.frame import BadInput, Calibration, Frame, Scan
from depth_perception.geometry import camera
from depth_perception.samples import Batches, Drives, SampleConfig, ahead, full_view, held_out, random_view, recolour

K = np.array([[150.0, 0, 99], [0, 150, 48], [0, 0, 1]])
SIZE = (100, 200)
STEP_NS = 100_000_000


def frames(count=5, *, step_ns=STEP_NS, size=SIZE, points=None):
    """Grey noise images; the LiDAR stands in the camera and sees 300 points."""
    rng = np.random.default_rng(0)
    cloud = np.stack([rng.uniform(-4, 4, 300), rng.uniform(-2, 2, 300), rng.uniform(5, 40, 300)], 1).astype(np.float32)
    calibration = Calibration(K, SIZE[1], SIZE[0], T_camera_lidar=np.eye(4))
    for i in range(count):
        scan = Scan(cloud if points is None else points, i * step_ns)
        yield Frame(rng.integers(0, 255, (*size, 3), np.uint8), i * step_ns, calibration, scan)


@given(seed=st.integers(0, 10_000), zoom=st.booleans())
@settings(max_examples=30, deadline=None)
def test_a_point_is_seen_where_K_says_after_any_crop_zoom_and_flip(seed, zoom):
    rng = np.random.default_rng(seed)
    view = random_view(rng, SIZE, SampleConfig(), height=64, width=128, zoom=zoom)
    point = np.array([[rng.uniform(-2, 2), rng.uniform(-1, 1), rng.uniform(8, 12)]], np.float32)
    (u, v), _ = (x[0] for x in camera.project(K, point))
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    blob = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * 4.0**2))
    seen = view.image(np.repeat(blob[..., None], 3, 2).astype(np.uint8))[..., 0].astype(float)

    mirrored = point * [-1, 1, 1] if view.flip else point
    (eu, ev), z = (a[0] for a in camera.project(view.K(K), mirrored))
    if not (12 < eu < 116 and 12 < ev < 52):
        return  # the blob is cut by the border: its centre is not its mean
    y, x = np.mgrid[:64, :128]
    near = seen * (np.hypot(x - eu, y - ev) < 11)
    assert abs((x * near).sum() / near.sum() - eu) < 0.15 and abs((y * near).sum() / near.sum() - ev) < 0.15
    depth = view.depth(point, K)
    assert depth[round(ev), round(eu)] == pytest.approx(z) and np.isfinite(depth).sum() == 1


def test_the_full_view_is_what_a_driving_car_shows():
    view = full_view(SIZE, height=64, width=96)
    assert np.allclose(view.K(K), camera.resize_K(K, from_size=SIZE, to_size=(64, 96)))


def test_views_stay_inside_the_source_and_zoom_only_when_asked():
    rng = np.random.default_rng(0)
    shares = {True: [], False: []}
    for zoom in shares:
        for _ in range(200):
            view = random_view(rng, SIZE, SampleConfig(), height=64, width=128, zoom=zoom)
            for scale, offset, target, source in zip(view.scale, view.offset, (128, 64), SIZE[::-1], strict=True):
                assert offset - 0.5 * scale + 0.5 >= -1e-6 and offset + (target - 0.5) * scale + 0.5 <= source + 1e-6
            shares[zoom].append(view.scale[1] * 64 / SIZE[0])
    assert min(shares[True]) < 0.65 and min(shares[False]) > 0.88


def test_the_nearest_point_wins_a_pixel():
    drives = Drives()
    drives.add(frames(3, points=np.array([[0, 0, 5], [0, 0, 30], [0, 0, 9]], np.float32)))
    drive = drives.drives[0]
    depth = full_view(drive.images[1].shape[:2], height=100, width=200).depth(drive.points[1], drive.K)
    assert depth[np.isfinite(depth)].tolist() == [5.0]


def test_windows_need_neighbours_and_a_scan():
    drives = Drives()
    drives.add(frames(5))
    assert drives.windows == [(0, 1), (0, 2), (0, 3)]
    drives.add(frames(4))
    assert drives.windows[3:] == [(1, 1), (1, 2)]
    for bad, said in ((frames(2), "2 images"), (iter(()), "0 images"), (frames(1), "1 images"), (frames(5, step_ns=10**9), "5 images"),
                      (frames(4, points=np.zeros((0, 3), np.float32)), "0 with LiDAR")):
        with pytest.raises(BadInput, match=said):
            drives.add(bad, name="bag x")
    assert len(drives.windows) == 5 and len(drives.drives) == 2


def test_a_lidar_that_shares_nothing_with_the_camera_is_said_with_its_reason():
    behind = np.array([[0, 0, -5.0]] * 9, np.float32)
    unplaced = (Frame(f.image, f.stamp_ns, Calibration(K, SIZE[1], SIZE[0]), f.scan) for f in frames(4))
    alone = (Frame(f.image, f.stamp_ns, f.calibration) for f in frames(4))
    for bad, said in ((frames(4, points=behind), "not one point of 4 scans falls into its image"), (unplaced, "transform between"),
                      (alone, "no scan was taken within reach of any image")):
        with pytest.raises(BadInput, match=f"bag x: the LiDAR and the camera have nothing in common.*{said}"):
            Drives().add(bad, name="bag x")


def test_video_alone_needs_no_lidar():
    drives = Drives(needs_scan=False)
    drives.add(Frame(f.image, f.stamp_ns, f.calibration) for f in frames(4))
    assert len(drives.windows) == 2
    batch = Batches(drives, height=32, width=64, batch=2, seed=0)(0, pairs=True)
    assert not batch["depth"].isfinite().any() and not batch["motions"].isfinite().all()


@pytest.mark.parametrize(("fx", "fy", "said"), [(0.5, 0.5, "179"), (1e6, 1e6, "0.01 degrees"), (400.0, 150.0, "same focal length")])
def test_an_absurd_K_is_named(fx, fy, said):
    wrong = Calibration(np.array([[fx, 0, 99], [0, fy, 48], [0, 0, 1]]), SIZE[1], SIZE[0], T_camera_lidar=np.eye(4))
    with pytest.raises(BadInput, match=f"bag x: K: .*({said})"):
        Drives().add((Frame(f.image, f.stamp_ns, wrong, f.scan) for f in frames(4)), name="bag x")


@given(count=st.integers(3, 60), share=st.floats(0, 0.5))
@settings(max_examples=40, deadline=None)
def test_held_out_stretches_are_whole_first_and_share_no_image_with_training(count, share):
    drives = Drives(SampleConfig(min_flow_px=0), validate=share)
    calibration = Calibration(np.array([[15.0, 0, 8], [0, 15, 4], [0, 0, 1]]), 16, 8, T_camera_lidar=np.eye(4))
    noise = np.random.default_rng(0).integers(0, 255, (8, 16, 3), np.uint8)
    drives.add(Frame(noise, i * STEP_NS, calibration, Scan(np.float32([[0, 0, 9]]), i * STEP_NS)) for i in range(count))
    held, trained = [i for _, i in drives.held_out], [i for _, i in drives.windows]
    if not held:
        assert int(share * (count - 2)) == 0 or count - 2 - int(share * (count - 2)) <= 2
    else:
        assert len(held) == int(share * (count - 2))
    assert held == list(range(1, 1 + len(held)))
    assert trained == list(range(held[-1] + 3 if held else 1, count - 1)) != []
    assert not {i + k for i in held for k in (-1, 0, 1)} & {i + k for i in trained for k in (-1, 0, 1)}


def test_every_drive_holds_out_its_own_and_they_come_as_a_driving_car_shows_them():
    drives = Drives(SampleConfig(flip=1.0, colour=1.0, pair_colour=1.0), validate=0.2)
    for _ in range(2):
        drives.add(frames(22))
    assert drives.held_out == [(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (1, 3), (1, 4)]
    made = list(held_out(drives, height=32, width=64, most=5))
    assert [len(data["image"]) for data in made] == [4, 1] and torch.equal(made[0]["image"], made[0]["target"])
    view = full_view(SIZE, height=32, width=64)
    assert np.allclose(made[0]["K"][0], view.K(K), atol=1e-4)
    shown = view.image(drives.drives[0].images[1]).transpose(2, 0, 1) / 255
    assert np.allclose(made[0]["image"][0], shown, atol=1e-6)


def scene(*, steps, dark=()):
    """A street of noise that is shifted by so many pixels from image to image; the images in `dark` are black."""
    rng = np.random.default_rng(0)
    wide = cv2.GaussianBlur(rng.integers(0, 255, (SIZE[0], 3 * SIZE[1], 3), np.uint8), (0, 0), 2)
    calibration = Calibration(K, SIZE[1], SIZE[0], T_camera_lidar=np.eye(4))
    cloud = np.stack([rng.uniform(-4, 4, 300), rng.uniform(-2, 2, 300), np.full(300, 10.0)], 1).astype(np.float32)
    for i, at in enumerate(np.cumsum([0, *steps])):
        image = np.zeros((*SIZE, 3), np.uint8) if i in dark else wide[:, at : at + SIZE[1]]
        yield Frame(image, i * STEP_NS, calibration, Scan(cloud, i * STEP_NS))


def test_standing_still_is_left_out_by_the_motion_that_the_lidar_tells():
    drives = Drives()
    drives.add(scene(steps=[3, 3, 0, 0, 0, 3]))  # 3 px at 10 m with f = 150 px: 0.2 m
    assert np.linalg.norm(drives.drives[0].motions[1][:3, 3]) == pytest.approx(0.2, rel=0.1)
    assert [i for _, i in drives.windows] == [1, 2, 5] and drives.dropped == {"standing still": 2}
    for options in ({"min_motion_m": 0.0}, {"min_motion_m": 0.05}):
        if options["min_motion_m"]:
            with pytest.raises(BadInput, match=r"bag x: the car stands still in all 4 windows"):
                Drives(SampleConfig(**options)).add(scene(steps=[0] * 5), name="bag x")
        else:
            every = Drives(SampleConfig(**options))
            every.add(scene(steps=[0] * 5))
            assert len(every.windows) == 4


def test_standing_still_is_left_out_by_the_images_alone_and_by_odometry_first():
    def blind(steps):
        return (Frame(f.image, f.stamp_ns, f.calibration) for f in scene(steps=steps))

    drives = Drives(needs_scan=False)
    drives.add(blind([3, 3, 0, 0, 0, 3]))
    assert [i for _, i in drives.windows] == [1, 2, 5]
    told = Drives(needs_scan=False)
    told.add(blind([3, 3, 0, 0, 0, 3]), travelled=lambda a, b: 0.2 if b <= 2 * STEP_NS else 0.0)
    assert [i for _, i in told.windows] == [1, 2] and told.drives[0].travelled_m[1:] == [0.2, 0.2, 0, 0, 0, 0]
    batch = Batches(told, height=32, width=64, batch=2, seed=0)(0, pairs=True)
    assert sorted(map(tuple, batch["travelled"].tolist())) == [(pytest.approx(0.2), 0.0), (pytest.approx(0.2), pytest.approx(0.2))]


def test_images_that_show_nothing_are_left_out():
    drives = Drives()
    drives.add(scene(steps=[3] * 9, dark=(4,)))
    assert [i for _, i in drives.windows] == [1, 2, 6, 7, 8] and drives.dropped == {"empty": 3}
    with pytest.raises(BadInput, match=r"bag x: the images show nothing .*in all 3 windows"):
        Drives().add(scene(steps=[3] * 4, dark=range(5)), name="bag x")


def test_cameras_of_other_sizes_learn_together():
    drives = Drives()
    drives.add(frames(5), name="a")
    other = np.array([[80.0, 0, 63], [0, 90, 30], [0, 0, 1]])
    small = Calibration(other, 128, 64, T_camera_lidar=np.eye(4))
    drives.add((Frame(f.image[:64, :128], f.stamp_ns, small, f.scan) for f in frames(5)), name="b")
    batch = Batches(drives, height=32, width=64, batch=6, seed=0)(0, pairs=True)
    assert batch["image"].shape == (6, 3, 32, 64)
    focal = {which: [] for which in (0, 1)}
    for (which, _), k in zip(Batches(drives, height=32, width=64, batch=6, seed=0).windows_of(0), batch["K"], strict=True):
        focal[which].append(float(k[1, 1]))
    assert len(focal[0]) == len(focal[1]) == 3  # one epoch sees every window of both
    assert min(focal[0]) >= 150 * 32 / 100 * 0.9 and min(focal[1]) >= 90 * 32 / 64 * 0.9
    words = Batches(drives, height=32, width=64, batch=6, seed=0).describe(0, range(6))
    assert words.count("a at ") == 1 and words.count("b at ") == 1 and "100000000, 200000000, 300000000 ns" in words


def test_storage_shrinks_large_images_and_keeps_K_true():
    drives = Drives(SampleConfig(storage_height=50))
    drives.add(frames(3))
    assert drives.drives[0].images[0].shape == (50, 100, 3)
    assert np.allclose(drives.drives[0].K, camera.resize_K(K, from_size=SIZE, to_size=(50, 100)))


def batches(seed=1, **config):
    drives = Drives(SampleConfig(**config))
    drives.add(frames(7))
    return Batches(drives, height=32, width=64, batch=3, seed=seed)


def test_a_batch_depends_on_seed_and_step_alone():
    a, b = batches(), batches()
    b(0, pairs=True)
    for step, pairs in ((4, True), (5, False)):
        one, two = a(step, pairs=pairs), b(step, pairs=pairs)
        assert one.keys() == two.keys() and all(torch.equal(one[k].nan_to_num(), two[k].nan_to_num()) for k in one)
    assert not torch.equal(batches(2)(4, pairs=False)["image"], a(4, pairs=False)["image"])


def test_shapes_and_that_targets_are_not_recoloured():
    x = batches(pair_colour=1.0)(0, pairs=True)
    assert {k: tuple(v.shape) for k, v in x.items()} == {
        "image": (3, 3, 32, 64), "K": (3, 3, 3), "depth": (3, 1, 32, 64),
        "neighbours": (3, 2, 3, 32, 64), "target": (3, 3, 32, 64), "others": (3, 2, 3, 32, 64),
        "motions": (3, 2, 4, 4), "travelled": (3, 2)}
    assert x["image"].min() >= 0 and x["image"].max() <= 1 and not torch.equal(x["image"], x["target"])
    plain = batches(pair_colour=0.0)(0, pairs=True)
    assert torch.equal(plain["image"], plain["target"]) and torch.equal(plain["neighbours"], plain["others"])
    assert set(batches()(0, pairs=False)) == {"image", "K", "depth"}


def test_every_window_comes_once_per_epoch():
    made = batches()
    epochs = [[made._window(e * 5 + i) for i in range(5)] for e in range(3)]
    assert [sorted(epoch) for epoch in epochs] == [[0, 1, 2, 3, 4]] * 3 and epochs[0] != epochs[1]


def test_a_window_shows_its_few_views_in_turn():
    made, shown = batches(views=2), {}
    for step in range(7):  # 21 draws of 5 windows: four epochs and one
        batch = made(step, pairs=False)
        for image, view in zip(batch["image"], batch["view"].tolist(), strict=True):
            shown.setdefault(tuple(view), []).append(image)
    assert set(shown) == {(0, i, view, 0) for _, i in made.drives.windows for view in (0, 1)}
    assert all(len(images) >= 2 and all(torch.equal(images[0], image) for image in images) for images in shown.values())
    assert not any(torch.equal(shown[0, i, 0, 0][0], shown[0, i, 1, 0][0]) for _, i in made.drives.windows)
    assert made(0, pairs=True)["view"][:, 3].tolist() == [1, 1, 1]
    assert not torch.equal(batches(2, views=2)(0, pairs=False)["image"], made(0, pairs=False)["image"])


@given(seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_recolouring_keeps_the_kind_of_image_and_gives_one_look_to_a_window(seed):
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    out = recolour(np.random.default_rng(seed), [image, image], SampleConfig(exposure=0, noise_share=0))
    assert [(x.shape, x.dtype) for x in out] == [(image.shape, np.uint8)] * 2
    assert (out[0] == out[1]).all()


def test_grey_is_grey():
    image = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    out = recolour(np.random.default_rng(0), [image], SampleConfig(grey=1, cast=0, noise_share=0))[0]
    assert (np.ptp(out.astype(int), axis=2) == 0).all()


def test_ahead_keeps_the_order_and_hands_over_errors():
    def make(step):
        if step == 6:
            raise BadInput("six")
        return {"x": torch.tensor(step)}

    made = ahead(make, 3)
    assert [int(next(made)["x"]) for _ in range(3)] == [3, 4, 5]
    with pytest.raises(BadInput, match="six"):
        next(made)
    stopped = ahead(lambda step: {"x": torch.tensor(step)}, 0)
    next(stopped)
    stopped.close()
