"""The bench of S4: what it has done it does not do again, and its table compares seed with seed."""

import json

import pytest
import yaml

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
    siamese = dict.fromkeys(("statistics", "siamese", "apart", "taught"), "siamese")
    assert modes == {"source": "source", "copy": "copy", "oracle": "source"} | siamese


def test_the_oracle_alone_sees_the_targets_labels_and_views_are_merged(tmp_path, monkeypatch):
    asked, configs = {}, {}

    def train(log, *arguments):
        name = log.parent.name
        asked[name] = arguments[arguments.index("--source") + 1 : arguments.index("--target")]
        configs[name] = yaml.safe_load((log.parent / "config.yaml").read_text())
        (log.parent / "train.json").write_text('{"steps": 9, "minutes": 1.0}')

    monkeypatch.setattr(s4_markings, "train", train)
    monkeypatch.setattr(s4_markings.model, "load", lambda path: path)
    monkeypatch.setattr(s4_markings, "evaluate", lambda *_, **__: run("any", 1, 0.4)["held"])
    (tmp_path / "c.yaml").write_text("views: {rare: 0.3}\n")
    assert s4_markings.main(["--source", "s", "--target", "t", "--held", "h", "--seeds", "1", "--out", str(tmp_path / "out"),
                             "--config", str(tmp_path / "c.yaml"), "--variants", "source", "oracle", "taught"]) == 0
    assert asked == {"source_1": ("s",), "oracle_1": ("s", "t"), "taught_1": ("s",)}
    assert configs["taught_1"]["views"] == {"rare": 0.3, "target_look": 0.7} and configs["source_1"]["views"] == {"rare": 0.3}


def test_what_cannot_be_trained_is_no_configuration():
    from depth_perception.train.markings import Config
    from depth_perception.train.overrides import override

    with pytest.raises(BadInput):
        override(Config(), {"mode": "none"})
