"""What the target's pixels are named by, when nobody has labelled them."""

import torch

from depth_perception.samples.markings import IGNORE
from depth_perception.train.marking_terms import named


def answers():
    """Ten pixels in a row: seven of background, nearly sure, three of paint, hardly."""
    background = torch.tensor([0.999, 0.998, 0.997, 0.996, 0.995, 0.994, 0.993, 0.40, 0.35, 0.30])
    return torch.stack([background, 1 - background]).view(1, 2, 1, 10)


def test_one_probability_for_all_keeps_no_paint():
    assert named(answers(), sure=0.9, surest=0.0).flatten().tolist() == [0] * 7 + [IGNORE] * 3
    assert named(answers(), sure=0.62, surest=0.0).flatten().tolist() == [0] * 7 + [IGNORE, 1, 1]


def test_each_class_names_its_surest_share():
    assert named(answers(), sure=0.9, surest=0.5).flatten().tolist() == [0] * 4 + [IGNORE] * 4 + [1, 1]
    assert named(answers(), sure=0.9, surest=1.0).flatten().tolist() == [0] * 7 + [1] * 3
    assert named(answers()[..., :7], sure=0.9, surest=0.5).flatten().tolist() == [0] * 4 + [IGNORE] * 3, "no paint there at all"
