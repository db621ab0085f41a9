"""A worse model is never promoted, and the sentence says where it is worse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.loop.verdict import Stretch, verdict


def stretch(name, before, after, *, new=True, online=(0.1, 0.1)):
    def scores(metric, scaled):
        return {"metric": {"abs_rel": metric}, "online_scaled": {"abs_rel": scaled}}

    return Stretch(name, new, scores(before, online[0]), scores(after, online[1]))


def judged(*stretches):
    return verdict(list(stretches), min_gain=0.02, tolerance=0.05)


def test_better_everywhere_is_better():
    said = judged(stretch("today", 0.2, 0.1), stretch("last week", 0.1, 0.104, new=False))
    assert said.better
    assert said.gain == pytest.approx(0.5)
    assert said.reasons == ["on this run's drives AbsRel went from 0.2000 to 0.1000 (-50.0%), and is no worse on 1 earlier stretches"]


def test_too_little_is_not_better():
    said = judged(stretch("today", 0.2, 0.199))
    assert not said.better
    assert said.reasons == ["on this run's drives AbsRel went from 0.2000 to 0.1990 (-0.5%), wanted -2.0% or better"]


def test_what_was_known_is_not_forgotten():
    said = judged(stretch("today", 0.2, 0.1), stretch("last week", 0.1, 0.106, new=False))
    assert (said.better, said.reasons) == (
        False, ["on an earlier drive's last week metric AbsRel went from 0.1000 to 0.1060, allowed +5.0%"])


def test_one_drive_does_not_pay_for_another():
    said = judged(stretch("a", 0.4, 0.1), stretch("b", 0.1, 0.12))
    assert said.reasons == ["on this run's b metric AbsRel went from 0.1000 to 0.1200, allowed +5.0%"]


def test_what_the_vehicle_sees_counts_too():
    said = judged(stretch("today", 0.2, 0.1, online=(0.05, 0.06)))
    assert said.reasons == ["on this run's today online_scaled AbsRel went from 0.0500 to 0.0600, allowed +5.0%"]


@given(st.lists(st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.booleans()), min_size=1, max_size=6))
def test_never_when_any_stretch_became_much_worse_or_the_new_ones_no_better(rows):
    said = judged(*(stretch(f"{i}", before, after, new=new or i == 0) for i, (before, after, new) in enumerate(rows)))
    mean = [sum(row[k] for i, row in enumerate(rows) if row[2] or i == 0) for k in (0, 1)]
    if any(after > 1.0501 * before for before, after, _ in rows) or mean[1] > 0.9801 * mean[0]:
        assert not said.better and said.reasons


@pytest.mark.parametrize("after", [{}, {"metric": {"abs_rel": None}}, {"metric": {"abs_rel": math.nan}}])
def test_no_score_is_not_a_good_score(after):
    said = judged(Stretch("today", True, {"metric": {"abs_rel": 0.2}}, after))
    assert not said.better
    assert not verdict([], min_gain=0.0, tolerance=1.0).better
