"""Frames and batches of S3: what belongs together stays together, whatever is turned, mirrored and shifted."""

import numpy as np
import pytest
import street_from_above as street
import torch
from street_from_above import GRID

from depth_perception.frame import BadInput
from depth_perception.geometry import boxes, pillars, pose
from depth_perception.networks import placed
from depth_perception.networks.placed import at
from depth_perception.samples import SampleConfig, View
from depth_perception.samples.bev_batches import MIRROR, MIRROR_CAMERA, BevBatches, BevSampleConfig, Layout, held_out, made, measured
from depth_perception.samples.bev_frames import BevFrameConfig, BevFrames, turn
from depth_perception.samples.targets import TargetConfig

DEPTHS = tuple(np.geomspace(2, 30, 24))
LAYOUT = Layout(64, 128, 80.0, DEPTHS, 8, GRID)
PLAIN = SampleConfig(colour=0.0, zoom=0.7)


def read(**options):
    frames = BevFrames(BevFrameConfig(), **options)
    frames.add(street.frames(), labels=street.boxes if options.get("labelled") else None)
    return frames


@pytest.fixture(scope="module")
def frames():
    return read()


def looks(frames, config, **wanted):
    return BevBatches(frames.frames, LAYOUT, config, batch=4, seed=3, **wanted)


def test_pairs_stay_true_under_every_augmentation(frames):
    config = BevSampleConfig(turn_deg=15, shift_m=1, apart_deg=15, apart_m=1, jitter_deg=0, jitter_m=0, thin=0.0, targets=32, view=PLAIN)
    batches = looks(frames, config, pairs=True)
    flips = set()
    for step in range(3):
        data = batches(step)
        real = data["target"] >= 0
        assert real.sum() > 40 and 0.15 < data["hidden"].mean() < 0.45
        assert torch.equal(torch.nn.functional.max_pool2d(data["hidden"], 4), torch.nn.functional.avg_pool2d(data["hidden"], 4)), "blocks"
        flips |= {bool(image[0, 5, 0] > image[0, 5, -1]) for image in data["image"]}
        # The cloud's side: a return lies where the target is said to be.
        assert (at(data["pillars"][:, :1], data["at_cloud"])[..., 0][real] > 0).all()
        cells = GRID.coarser(2)
        for k in range(4):
            column, row = ((data["at_cloud"][k, real[k]] + 1) * torch.tensor([cells.columns, cells.rows]) / 2).long().T
            assert torch.equal(row * cells.columns + column + k * (cells.outside + 1), data["target"][k, real[k]])
            assert len(set(data["target"][k, real[k]].tolist())) == int(real[k].sum()), "one target a cell"
        # The image's side: the column of its map that is read there shows a target; the features say which ones have any.
        polar = data["polar"].permute(0, 3, 1, 2)
        across = at(polar, data["at_image"])[..., 0]
        inside = real & (across.abs() < 0.9)
        column = ((across + 1) * 8).long().clamp(0, 15)
        has = torch.stack([data["at_targets"][k, 0].amax(0)[column[k]] for k in range(4)])
        assert inside.sum() > 20 and has[inside].mean() > 0.9
    assert flips == {True, False}, "mirrored images were among them"


@pytest.mark.parametrize("flip", [False, True])
def test_what_polar_reads_for_a_target_is_its_own_column(frames, flip):
    """Red is the column of the source image: the column that polar names for a target has the red of its own pixel, mirrored or not."""
    frame = frames.frames[0]
    view = View((1.2, 1.2), (20.0, 10.0), flip, 64, 128)
    body = turn(0.2, x=1.0, y=-0.5) @ (MIRROR if flip else np.eye(4))
    T = body @ frame.T_base_camera @ (MIRROR_CAMERA if flip else np.eye(4))
    seen = made(frame, LAYOUT, image=view.image(frame.image), K=view.K(frame.K), body=body, cloud=body, T_body_camera=T, shaken=T,
                points=frame.points)
    where = pose.transform(body, frame.at)
    row, column = GRID.coarser(2).places(where)
    places = torch.from_numpy(np.column_stack([2 * column / 16 - 1, 2 * row / 16 - 1]).astype(np.float32))[None]
    across = at(torch.from_numpy(seen["polar"]).permute(2, 0, 1)[None], places)[0, :, 0].numpy()
    inside = (np.abs(across) < 0.95) & (where[:, 0] > 8)
    u = np.rint((across[inside] + 1) * 64 - 0.5).astype(int)
    red = seen["image"][32, u, 0].astype(float)
    assert inside.sum() > 100 and np.median(np.abs(red - frame.pixels[inside, 0])) < 3


def test_a_target_lies_on_the_ray_of_its_pixel(frames):
    config = BevSampleConfig(turn_deg=15, shift_m=1, jitter_deg=0, jitter_m=0, thin=0.0, targets=32, view=PLAIN)
    for step in range(3):
        data = looks(frames, config, pairs=True)(step)
        real = data["target"] >= 0
        where = placed.metres(data["at_image"], GRID)[real]
        origin, step_, road = data["ray"][real].split([2, 2, 1], 1)
        metres = ((where - origin) * step_).sum(1) / step_.square().sum(1)  # canonical, along the ray
        assert real.sum() > 40 and metres.min() > 1
        assert (origin + metres[:, None] * step_ - where).norm(dim=1).max() < 0.02
        # The road is met there or behind it, where anything stands on it; where the target is the road, there.
        nearer = road[:, 0] - metres
        assert (nearer > -0.05 * metres).all() and (nearer.abs() < 0.05 * metres).sum() > 8 and road.max() <= LAYOUT.depths[-1]
        # And as deep as the returns of its feature say, some of which lie nearer and others farther.
        depth = at(data["depth"], data["at_pixel"])[real]
        known = depth.sum(1) > 0.9
        told = (depth / depth.sum(1, keepdim=True).clamp(min=1e-6)) @ torch.tensor(LAYOUT.depths, dtype=torch.float32)
        assert known.sum() > 10 and (metres / told)[known].log().median().abs() < 0.1


def test_measured_shares_are_those_of_the_returns_in_each_feature():
    K = np.array([[80.0, 0, 63.5], [0, 80, 31.5], [0, 0, 1]])
    depths = np.array([4.0, 8.0, 16.0])
    points = np.array([[0.01, 0.01, 4.1], [0.01, 0.01, 3.9], [0.01, 0.01, 15.0], [0.01, 0.01, 200.0], [-50.0, 0, 8.0], [0, 0, -4.0]])
    shares = measured(points, K, depths, height=64, width=128, stride=8)
    assert shares.shape == (3, 8, 16) and shares[:, 4, 8].tolist() == pytest.approx([2 / 3, 0, 1 / 3])
    assert shares.sum() == pytest.approx(1)


def test_labels_turn_with_the_body(frames):
    labelled = read(labelled=True)
    assert [box.label for box in labelled.frames[0].labels] == ["car", "pedestrian", "car"] and labelled.frames[0].around
    config = BevSampleConfig(turn_deg=10, shift_m=1, jitter_deg=0, jitter_m=0, thin=0.0, view=PLAIN)
    data = looks(labelled, config, labels=True)(0)
    coarse, mirrored = GRID.coarser(2), set()
    for k in range(4):
        cells = np.flatnonzero(data["centres"][k].numpy().ravel())
        assert len(cells) == 2 and (data["heat"][k, 0] == 1).sum() == 1 and (data["heat"][k, 2] == 1).sum() == 1
        values = data["boxes"][k].numpy().reshape(boxes.CHANNELS, -1)[:, cells].T
        centres, sizes, yaw = boxes.decode(cells, values, coarse)
        car = int(sizes[:, 0].argmax())
        assert np.allclose(sizes[car], street.CAR.size, atol=1e-3) and abs(centres[car, 2] - 0.75) < 0.05
        between = np.linalg.norm(street.CAR.centre[:2] - street.WALKER.centre[:2])
        assert abs(np.linalg.norm(centres[0, :2] - centres[1, :2]) - between) < 1e-3
        # The cloud shows them there: pillars higher than a metre in the car's own cell.
        row, column = (int(p[0]) for p in GRID.places(centres[[car]]))
        assert data["pillars"][k, 2, row, column] > 0.5
        (dx, dy), c, s = centres[1 - car, :2] - centres[car, :2], np.cos(yaw[car]), np.sin(yaw[car])
        mirrored.add(bool(dx * s > dy * c))
        assert abs(abs(dx * s - dy * c) - 2.16) < 0.01  # how far beside its way the car sees the walker
    assert mirrored == {True, False}
    assert (data["known"] == 1).all() and (data["in_view"].mean((1, 2, 3)) > 0.1).all() and (data["in_view"].mean((1, 2, 3)) < 0.9).all()


def test_the_same_step_gives_the_same_batch(frames):
    config = BevSampleConfig(targets=8)
    one, two = (looks(frames, config, pairs=True)(5) for _ in range(2))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    other = looks(frames, config, pairs=True)(6)
    assert not torch.equal(one["image"], other["image"])
    assert "frames at" in looks(frames, config).describe(0, [0, 1])


def test_held_out_frames_are_seen_as_a_car_sees_them(frames):
    data = next(held_out(frames.frames, LAYOUT, most=2, pairs=16, apart_m=1.0))
    frame = frames.frames[0]
    assert np.allclose(data["pillars"][0], pillars.pillars(frame.points, GRID, ground=frame.ground), atol=1e-5)
    real = data["target"][0] >= 0
    metres = (data["at_cloud"][0, real] + 1) / 2 * torch.tensor([25.6, 25.6]) + torch.tensor([0.0, -12.8])
    apart = torch.cdist(metres, metres) + 9 * torch.eye(int(real.sum()))
    assert real.sum() > 8 and apart.min() > 0.99 and torch.equal(data["at_cloud"], data["at_image"])


def test_a_camera_that_looks_aside_sees_the_same_from_above(frames):
    aside = BevFrames(BevFrameConfig())
    aside.add(street.frames(turned_deg=90.0))
    ahead, left = frames.frames[0], aside.frames[0]
    assert np.allclose(left.T_base_camera, ahead.T_base_camera, atol=1e-6)
    a, b = (pillars.pillars(each.points, GRID, ground=each.ground) for each in (ahead, left))
    assert np.mean(a[0] > 0) > 0.3 and np.mean((a[0] > 0) == (b[0] > 0)) > 0.97


def test_few_frames_are_spread_evenly_and_held_out_ones_stay_apart():
    frames = read(validate=0.25)
    assert [len(frames.held_out), len(frames.frames)] == [2, 4]
    frames.fewer(2)
    assert [frame.stamp_ns // 10**8 for frame in frames.frames] == [5, 7]
    with pytest.raises(BadInput, match="--frames: wanted 1 to 2"):
        frames.fewer(3)


def bare():
    """The street, and nothing in its images."""
    for frame in street.frames(3):
        yield type(frame)(np.full_like(frame.image, 90), frame.stamp_ns, frame.calibration, frame.scan)


@pytest.mark.parametrize(("drive", "said"), [
    (lambda: street.frames(3, scan=False), "none of 3 has them: no LiDAR scan"),
    (lambda: street.frames(3, cloud=np.array([[-5.0, 0, 0]] * 9, np.float32)), "no return of the LiDAR in the image"),
    (bare, "no target points: no corners"),
    (list, "no frame at all"),
])
def test_a_drive_that_teaches_nothing_is_named_with_its_reason(drive, said):
    frames = BevFrames(BevFrameConfig(targets=TargetConfig(quality=0.05)))
    with pytest.raises(BadInput, match="street 7: wanted frames") as raised:
        frames.add(drive(), name="street 7")
    assert said in str(raised.value) and not frames.frames


def test_labels_of_the_image_alone_tell_nothing_of_what_is_beside_it():
    frames = BevFrames(BevFrameConfig(), labelled=True)
    frames.add(street.frames(), labels=lambda frame, number: (street.CAR,))
    data = looks(frames, BevSampleConfig(), labels=True)(0)
    assert not frames.frames[0].around and torch.equal(data["known"], data["in_view"])


def test_a_car_that_the_images_edge_cuts_is_no_label_beside_the_image():
    cut = boxes.Box3D("car", 1.0, np.array([6.0, 4.8, 0.75]), np.array([4.0, 1.8, 1.5]), 0.0)
    assert not boxes.in_view(cut, street.calibration())
    frames = BevFrames(BevFrameConfig(min_returns=0), labelled=True)
    frames.add(street.frames(), labels=lambda frame, number: (street.CAR, cut))
    data = looks(frames, BevSampleConfig(), labels=True)(0)
    assert len(frames.frames[0].labels) == 2 and not frames.frames[0].around
    assert torch.equal(data["known"], data["in_view"]) and data["known"].min() == 0


def test_labels_without_a_scan_are_kept_for_the_image_and_stand_on_the_road():
    frames = BevFrames(BevFrameConfig(), labelled=True, scans=False)
    low = np.array([0, 0, -0.9])
    lowered = [boxes.Box3D(box.label, 1.0, box.centre + low, box.size, box.yaw) for box in (street.CAR, street.WALKER)]
    drive = [*street.frames(2, scan=False), *street.frames(3, cloud=street.returns() + low.astype(np.float32))]
    frames.add(drive, labels=lambda frame, number: lowered)
    assert len(frames.frames) == 5 and not frames.dropped
    blind, seeing = frames.frames[0], frames.frames[4]
    assert len(blind.points) == 0 and len(blind.labels) == 2 and len(seeing.points) > 5000 and len(seeing.pixels) == 0
    assert blind.ground[2] == pytest.approx(-0.9) and seeing.ground[2] == pytest.approx(-0.9, abs=0.03)
    config = BevSampleConfig(turn_deg=0, shift_m=0, jitter_deg=0, jitter_m=0, view=PLAIN)
    batches = BevBatches([blind, seeing], LAYOUT, config, batch=2, seed=0, labels=True)
    data = {batches.frame_of(k): {name: value[k] for name, value in batches(0).items()} for k in range(2)}
    assert data[0]["depth"].sum() == 0 < data[1]["depth"].sum(), "a scan alone teaches depth"
    heights = [data[i]["boxes"][2][data[i]["centres"][0] > 0] for i in range(2)]
    assert len(heights[0]) == 2 and torch.allclose(*(each.sort().values for each in heights), atol=0.05)
    with pytest.raises(BadInput, match=r"no LiDAR scan .the models of a cloud, and of both, need one; that of the image, --modality image"):
        BevFrames(BevFrameConfig(), labelled=True).add(street.frames(scan=False), labels=street.boxes)


def test_labels_need_no_corners():
    frames = BevFrames(BevFrameConfig(targets=TargetConfig(quality=0.05)), labelled=True)
    frames.add(bare(), labels=street.boxes)
    assert len(frames.frames) == 3 and len(frames.frames[0].labels) == 3


@pytest.mark.parametrize("turned", [(0.0, 0.0), (15.0, 5.0)])
def test_a_held_out_frame_has_all_the_targets_that_were_asked_for(turned):
    """Targets that share a cell, that the view does not show or that lie on an edge are left out before so many are chosen, not after."""
    few = BevFrames(BevFrameConfig(targets=TargetConfig(corners=1500, quality=0.002, apart_px=3, region_px=20)))
    few.add(street.frames(1))
    layout = Layout(64, 128, 80.0, DEPTHS, 8, GRID)
    apart = 0.8  # of two in a cell of 1.6 m
    most = int((next(held_out(few.frames, layout, most=1, pairs=999, apart_m=apart, turned=turned))["target"] >= 0).sum())
    assert most > 40
    for count in (most // 2, most // 2 + 7):
        data = next(held_out(few.frames, layout, most=1, pairs=count, apart_m=apart, turned=turned))
        real = data["target"][0] >= 0
        assert int(real.sum()) == count and len(set(data["target"][0].tolist())) == count
        metres = (data["at_cloud"][0, real] + 1) / 2 * 25.6
        assert (torch.cdist(metres, metres) + 9 * torch.eye(count)).min() > apart - 0.01


def test_labels_that_no_image_shows_are_named():
    frames = BevFrames(BevFrameConfig(), labelled=True)
    with pytest.raises(BadInput, match="all 8 lie outside the image"):
        frames.add(street.frames(), name="street 7", labels=lambda frame, number: (street.BEHIND,))
    with pytest.raises(BadInput, match="none of 8 has them: no labels"):
        frames.add(street.frames(), name="street 7", labels=lambda frame, number: None)
