"""A worse model is never promoted, and the sentence says where it is worse."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depth_perception.loop.parts import PARTS
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


def by_map(name, before, after, *, new=True, judge=""):
    def said(maps):
        return {"per_modality": {modality: {"map": value} for modality, value in maps.items()}}

    return Stretch(name, new, said(before), said(after), judge)


def objects(*stretches):
    return verdict(list(stretches), min_gain=0.01, tolerance=0.02, measure=PARTS["objects"].measure)


def test_what_is_right_rises_by_points_and_no_sensor_pays_for_another():
    said = objects(by_map("a", {"image": 0.1, "both": 0.2}, {"image": 0.13, "both": 0.21}),
                   by_map("old", {"image": 0.5, "both": 0.5}, {"image": 0.485, "both": 0.52}, new=False))
    assert said.better and said.gain == pytest.approx(0.02)
    assert said.reasons == ["on this run's drives mAP went from 0.1500 to 0.1700 (+2.0 points), and is no worse on 1 earlier stretches"]
    said = objects(by_map("a", {"image": 0.1, "both": 0.2}, {"image": 0.07, "both": 0.3}))
    assert (said.better, said.reasons) == (False, ["on this run's a image mAP went from 0.1000 to 0.0700, allowed -2.0 points"])
    assert objects(by_map("a", {"cloud": 0.0}, {"cloud": 0.005})).reasons == [
        "on this run's drives mAP went from 0.0000 to 0.0050 (+0.5 points), wanted +1.0 points or better"]


def test_an_empty_road_judges_nobody_and_a_lost_model_is_worse():
    empty = by_map("empty", {"image": None}, {"image": None})
    assert objects(empty, by_map("a", {"image": 0.1}, {"image": 0.2})).better
    assert not objects(empty).better and not objects().better
    assert not objects(by_map("a", {"image": 0.1, "both": 0.1}, {"both": 0.5})).better


def test_the_sentence_says_who_judged():
    def ious(miou, paint):
        return {"miou": miou, "paint": paint, "per_class": {}}

    def marked(*stretches):
        return verdict(list(stretches), min_gain=0.01, tolerance=0.02, measure=PARTS["markings"].measure)

    source = Stretch("town", True, ious(0.5, 0.6), ious(0.55, 0.6), "the labelled source's end")
    assert marked(source).reasons == ["on the labelled source's end IoU went from 0.5000 to 0.5500 (+5.0 points)"]
    both = [source, Stretch("today", True, ious(0.5, 0.6), ious(0.55, 0.6))]
    assert marked(*both).reasons[0].startswith("on the labelled source's end and this run's drives IoU went")
    worse = Stretch("town", True, ious(0.5, 0.6), ious(0.55, 0.5), "the labelled source's end")
    assert marked(worse).reasons == ["on the labelled source's end town paint IoU went from 0.6000 to 0.5000, allowed -2.0 points"]
