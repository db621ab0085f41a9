"""S5 eq. 18 against straight lines of numpy."""

import numpy as np
import pytest
import torch

from depth_perception.frame import BadInput
from depth_perception.losses import approximation
from depth_perception.train.student_config import ApproximationConfig, Config

rng = np.random.default_rng(0)


def maps(count, *, low=-2.0, high=2.0, channels=None):
    return [rng.uniform(low, high, (2, channels or i + 2, 32 >> i, 48 >> i)).astype(np.float32) for i in range(count)]


def tensors(arrays):
    return [torch.from_numpy(each) for each in arrays]


def test_equation_18():
    X_enc, H_enc, X_dec, H_dec = (maps(5) for _ in range(4))
    x, z = (maps(3, low=0.5, high=90, channels=1) for _ in range(2))
    total = 0.0
    for i in range(5):
        total += 0.05 * np.abs(X_enc[i] - H_enc[i]).mean() + 0.1 * np.abs(X_dec[i] - H_dec[i]).mean()
    for j in range(3):
        sigmoid = [(1 / depth - 1 / 100) / (1 / 0.1 - 1 / 100) for depth in (x[j], z[j])]
        total += 10 * np.abs(sigmoid[0] - sigmoid[1]).mean()
    weights = ApproximationConfig()
    ours = (weights.encoder * approximation.stages(tensors(X_enc), tensors(H_enc))
            + weights.decoder * approximation.stages(tensors(X_dec), tensors(H_dec))
            + weights.disparity * approximation.disparities(tensors(x), tensors(z), min_depth=0.1, max_depth=100.0))
    assert ours.item() == pytest.approx(total, rel=1e-5)


def test_a_disparity_is_what_the_head_s_sigmoid_answers():
    from depth_perception.networks.disparity import DisparityHead

    head = DisparityHead(1, min_depth=0.1, max_depth=100.0)
    features = torch.randn(2, 2, 1, 8, 8)
    x, z = head(features[0]), head(features[1])
    wanted = (torch.sigmoid(head.conv(features[0])) - torch.sigmoid(head.conv(features[1]))).abs().mean()
    assert torch.allclose(approximation.disparities([x], [z], min_depth=0.1, max_depth=100.0), wanted, rtol=1e-3)


def test_log_depth_counts_every_distance_alike():
    for metres in (1.0, 50.0):
        z = torch.full((1, 1, 4, 4), metres)
        loss = approximation.disparities([1.1 * z, z], [z, z], min_depth=0.1, max_depth=100.0, form="log_depth")
        assert loss.item() == pytest.approx(np.log(1.1), rel=1e-4)


def test_bfloat16_is_compared_in_float32():
    x = torch.full((1, 1, 64, 64), 1.0, dtype=torch.bfloat16)
    loss = approximation.stages([x], [torch.full((1, 1, 64, 64), 1.001)])
    assert loss.dtype == torch.float32 and loss.item() == pytest.approx(0.001, rel=1e-3)


def test_configuration():
    with pytest.raises(BadInput, match="disparity_as"):
        ApproximationConfig(disparity_as="metres")
    with pytest.raises(BadInput, match="encoder"):
        ApproximationConfig(encoder=-1)
    with pytest.raises(BadInput, match="network"):
        Config(network="s1")


def test_when_a_step_has_neighbours_and_a_bag_needs_a_scan():
    alone = Config(distance=0.0, motion=0.0, match=0.0, smooth=0.0)
    assert not alone.needs_scan and not any(alone.pairs_at(step) for step in range(4))
    video = Config(distance=0.0, motion=0.0)
    assert [video.pairs_at(step) for step in range(4)] == [True, False, True, False]  # the teacher teaches on the others
    off = Config(distance=0.0, motion=0.0, approximation=ApproximationConfig(0.0, 0.0, 0.0))
    assert all(off.pairs_at(step) for step in range(4))  # as `train depth`
    assert Config().needs_scan and Config().pairs_at(0) and not Config().pairs_at(1)
