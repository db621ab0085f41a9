"""evaluation.depth: beams that fit the scale never score it; regions are scored with the frame's scale."""

import argparse
import json

import numpy as np
import pytest
from worlds import CALIBRATION, SIZE, frame, true_depth

from depth_perception import model
from depth_perception.bag import Writer, messages
from depth_perception.evaluation import offline
from depth_perception.evaluation.depth import REGIONS, DepthScore, split_beams
from depth_perception.frame import BadInput
from depth_perception.systems.depth import Depth
from depth_perception.systems.drive import Drive
from depth_perception.train.metrics import valid_depth


def test_beams_are_parted_without_loss():
    whole = frame()
    even, odd = split_beams(whole)
    assert len(even.scan.points) + len(odd.scan.points) == len(whole.scan.points)
    both = np.vstack([even.scan.points, odd.scan.points])
    np.testing.assert_array_equal(both[np.lexsort(both.T)], whole.scan.points[np.lexsort(whole.scan.points.T)])
    assert min(len(even.scan.points), len(odd.scan.points)) > 1000


def perfect_but(scale):
    answer = (true_depth() / scale)[None, None]
    return Drive(Depth(lambda image: {"depth": answer}, height=96, width=192, canonical_focal_px=120.0))


def test_a_perfect_network_of_half_the_scale():
    score = DepthScore()
    score.add(frame(), perfect_but(2.0))
    result = score.result()
    assert result["metric"]["abs_rel"] == pytest.approx(0.5, abs=0.01)
    assert result["median_scaled"]["abs_rel"] < 0.01
    assert result["online_scaled"]["abs_rel"] < 0.01
    assert (result["frames"], result["points"] > 500) == (1, True)


def test_without_a_scan_nothing_is_scored():
    score = DepthScore()
    assert score.add(frame(with_scan=False), perfect_but(1.0)) is None
    assert score.result()["frames"] == 0


def bits_and_estimates():
    """A truth of 20 m, a tenth of it moving, where the estimate is half as far again; a fifth is flicker, the rest exact."""
    truth, bits = np.full((100, 100), 20.0, np.float32), np.zeros((100, 100), np.uint8)
    bits[60:66, 10:90], bits[70:82, 10:90] = REGIONS["moving"], REGIONS["flicker"] | REGIONS["textureless"]
    return truth, bits, np.where(bits == REGIONS["moving"], truth * 1.5, truth)


def test_regions_take_the_scale_of_the_whole_frame():
    truth, bits, estimate = bits_and_estimates()
    score = DepthScore()
    score.add_truth(estimate / 2, truth, bits)
    regions = score.result()["regions"]
    assert regions["moving"]["metric"]["abs_rel"] == pytest.approx(0.25)
    assert regions["moving"]["median_scaled"]["abs_rel"] == pytest.approx(0.5), "its own median would have hidden the error"
    assert regions["flicker"] == regions["textureless"] and regions["flicker"]["median_scaled"]["abs_rel"] == pytest.approx(0)
    assert regions["hard"]["points"] == 18 * 80 and regions["hard"]["median_scaled"]["abs_rel"] == pytest.approx(0.5 / 3, abs=1e-5)
    assert regions["easy"]["metric"]["abs_rel"] == pytest.approx(0.5)
    assert regions["hard"]["points"] + regions["easy"]["points"] == score.result()["points"]
    assert regions["hard"]["share"] + regions["easy"]["share"] == pytest.approx(1.0, abs=1e-5)
    assert regions["reflecting"] == {"share": 0.0, "points": 0, "frames": 0}


def test_the_union_of_regions_scores_as_the_frame_does():
    truth, bits, estimate = bits_and_estimates()
    score = DepthScore()
    score.add_truth(estimate / 2, truth, np.ones_like(bits))
    result = score.result()
    assert result["regions"]["hard"]["metric"] == result["metric"]
    assert result["regions"]["moving"]["median_scaled"] == result["median_scaled"]


def test_frames_weigh_what_a_region_fills_of_them():
    truth, bits, estimate = bits_and_estimates()
    few = np.zeros_like(bits)
    few[60:61, 10:50] = 1
    score = DepthScore()
    score.add_truth(estimate, truth, bits)
    score.add_truth(truth, truth, few)
    assert score.result()["regions"]["moving"]["metric"]["abs_rel"] == pytest.approx(0.5 * 480 / 520, abs=1e-5)


def test_the_bits_are_those_that_the_simulation_writes():
    hard = pytest.importorskip("depth_perception.world.hard")
    assert {flag.name.lower(): int(flag) for flag in hard.Hard} == REGIONS


@pytest.fixture(scope="module")
def hard_bag(tmp_path_factory):
    """Two images of a car ahead: true depth and where it is hard."""
    truth, bits = true_depth(), np.zeros(SIZE, np.uint8)
    bits[60:80, 40:90] = REGIONS["moving"] | REGIONS["reflecting"]
    path = tmp_path_factory.mktemp("hard") / "drive"
    with Writer(path) as bag:
        for stamp in (10**9, 2 * 10**9):
            for topic, message in (
                ("/camera/image", messages.image(np.full((*SIZE, 3), 100, np.uint8), "rgb8", stamp_ns=stamp, frame_id="camera")),
                ("/camera/camera_info", messages.camera_info(CALIBRATION, stamp_ns=stamp)),
                ("/truth/depth", messages.image(truth, "32FC1", stamp_ns=stamp, frame_id="camera")),
                ("/truth/hard", messages.image(bits, "mono8", stamp_ns=stamp, frame_id="camera")),
                ("/truth/small", messages.image(bits[::2, ::2], "mono8", stamp_ns=stamp, frame_id="camera")),
            ):
                bag.write(topic, message, stamp)
    return path, truth, bits


def test_a_bag_is_scored_by_region(hard_bag, tiny_model, capsys):
    from depth_perception.commands import evaluate

    path, truth, bits = hard_bag
    parser = argparse.ArgumentParser()
    evaluate.add_arguments(parser)
    args = ["depth", "--bag", str(path), "--model", str(tiny_model), "--truth", "/truth/depth", "--regions", "/truth/hard"]
    assert evaluate.run(parser.parse_args(args)) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result["regions"]) == [*REGIONS, "hard", "easy"]
    inside = valid_depth(truth, crop="garg") & (bits > 0)
    assert result["regions"]["moving"]["points"] == 2 * inside.sum() and result["regions"]["flicker"]["points"] == 0
    assert result["regions"]["moving"] == result["regions"]["reflecting"] == result["regions"]["hard"]
    # The tiny network says one depth everywhere; which, its whole-frame error tells.
    whole = truth[valid_depth(truth, crop="garg")]
    scaled = np.mean(np.abs(truth[inside] - np.median(whole)) / truth[inside])
    assert result["regions"]["hard"]["median_scaled"]["abs_rel"] == pytest.approx(scaled, abs=2e-3)


@pytest.mark.parametrize(
    ("truth", "regions", "word"),
    [
        (None, "/truth/hard", "wanted --truth"),
        ("/truth/depth", "/nothing", "--regions /nothing"),
        ("/truth/depth", "/truth/depth", "mono8"),
        ("/truth/depth", "/truth/small", "camera's size"),
    ],
)
def test_regions_that_cannot_be_used(hard_bag, tiny_model, truth, regions, word):
    with pytest.raises(BadInput, match=word):
        offline.depth([str(hard_bag[0])], model.load(tiny_model), truth=truth, regions=regions)
