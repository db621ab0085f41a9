"""The bench of S4: what it has done it does not do again, and its table compares seed with seed."""

import json

import pytest

from bench import s4_markings
from depth_perception.frame import BadInput


def run(variant, seed, miou, paint=0.5):
    held = {"miou": miou, "paint": paint, "ece": 0.01, "per_class": {"background": 0.99, "arrow": miou}}
    return {"variant": variant, "seed": seed, "steps": 9, "minutes": 1.0, "held": held}


def test_changes_are_against_source_only_with_the_same_seed():
    runs = [run("source", 1, 0.3), run("source", 2, 0.5), run("siamese", 1, 0.4), run("siamese", 2, 0.7)]
    source, siamese = s4_markings.table(runs)
    assert source["miou"]["mean"] == pytest.approx(0.4) and source["miou"]["change"] == 0
    assert siamese["miou"]["mean"] == pytest.approx(0.55) and siamese["miou"]["change"] == pytest.approx(0.15)
    assert siamese["arrow"]["values"] == [0.4, 0.7] and "background" not in siamese
    assert "55.0 ±15.0 (+15.0)" in s4_markings.text([source, siamese])


def test_a_run_that_is_there_is_not_done_again(tmp_path, monkeypatch, capsys):
    for variant, miou in (("source", 0.3), ("copy", 0.35)):
        place = tmp_path / f"{variant}_4"
        place.mkdir()
        (place / "scores.json").write_text(json.dumps(run(variant, 4, miou)))
    monkeypatch.setattr(s4_markings, "train", lambda *_: pytest.fail("it was trained again"))
    arguments = ["--source", "s", "--target", "t", "--held", "h", "--seeds", "4", "--out", str(tmp_path)]
    assert s4_markings.main([*arguments, "--variants", "source", "copy"]) == 0
    assert "(+5.0)" in capsys.readouterr().out
    assert [row["variant"] for row in json.loads((tmp_path / "table.json").read_text())] == ["source", "copy"]


def test_every_variant_is_a_configuration_of_train_markings():
    from depth_perception.train.markings import Config
    from depth_perception.train.overrides import override

    modes = {name: override(Config(), words).mode for name, words in s4_markings.VARIANTS.items()}
    assert modes == {"source": "source", "statistics": "siamese", "copy": "copy", "siamese": "siamese"}
    with pytest.raises(BadInput):
        override(Config(), {"mode": "none"})
