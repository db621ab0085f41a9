"""train.depth_config: what makes no sense is refused by name."""

import pytest

from depth_perception.frame import BadInput
from depth_perception.train.depth_config import Config


@pytest.mark.parametrize(("wrong", "said"), [
    ({"match_strides": ()}, "match_strides: wanted some that divide"), ({"match_strides": (3,)}, "match_strides: wanted some that divide"),
    ({"match_every": 0}, "match_every"), ({"distance": -1.0}, "distance"), ({"match": float("nan")}, "match"), ({"alpha": 2.0}, "alpha"),
    ({"style_weights": (-1.0, 0.0, 0.0)}, "style_weights: wanted three of at least 0"), ({"mask": "none+moved"}, "mask: wanted none alone"),
    ({"canonical_focal_px": 0.0}, "canonical_focal_px")])
def test_a_configuration_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(BadInput, match=said):
        Config(**wrong)


DISTANCES_ALONE = {"match": 0.0, "smooth": 0.0, "motion": 0.0}


@pytest.mark.parametrize(("config", "steps"), [
    (Config(), [0, 2, 4]), (Config(match_every=3), [0, 3]), (Config(distance=0.0), [0, 1, 2, 3, 4]), (Config(**DISTANCES_ALONE), []),
    (Config(**DISTANCES_ALONE, distance_mode="posed"), [0, 2, 4]), (Config(**DISTANCES_ALONE | {"motion": 0.1}), [0, 2, 4]),
    (Config(**DISTANCES_ALONE, density=0.1), [0, 2, 4])])
def test_neighbours_come_where_a_term_asks_for_them(config, steps):
    assert [step for step in range(5) if config.pairs_at(step)] == steps
