"""YAML over a frozen config."""

from dataclasses import asdict

import pytest
import yaml

from depth_perception.frame import BadInput
from depth_perception.networks.student import PRESETS
from depth_perception.train.depth import Config
from depth_perception.train.overrides import from_yaml, override


def test_only_what_is_named_changes():
    config = override(Config(), {"match": 2, "samples": {"zoom": 0.5}, "student": {"channels": [8, 8, 8, 8, 8]}})
    assert config.match == 2.0 and isinstance(config.match, float)
    assert config.samples.zoom == 0.5 and config.student.channels == (8, 8, 8, 8, 8)
    before, after = asdict(Config()), asdict(config)
    assert {k for k in before if before[k] != after[k]} == {"match", "samples", "student"}


def test_a_student_by_the_name_of_its_widths():
    config = override(Config(), {"student": {"channels": "nano", "finest": 1}})
    assert config.student.channels == PRESETS["nano"] and config.student.finest == 1


@pytest.mark.parametrize(
    ("values", "said"),
    [({"mtach": 1}, "unknown key 'mtach'"), ({"samples": {"zom": 1}}, "samples: unknown key 'zom'"),
     ({"height": "tall"}, "height: wanted int"), ({"height": 3.5}, "height: wanted int"), ({"match": True}, "match: wanted float"),
     ({"samples": 3}, "samples: wanted a mapping"), ([1], "wanted a mapping"), ({"network": "big"}, "network: wanted one of"),
     ({"mask": "all"}, "mask"), ({"height": 100}, "divisible by 32"),
     ({"student": {"channels": ["a"]}}, "channels: wanted int"), ({"student": {"channels": "huge"}}, "nano, small, base"),
     ({"pose": {"channels": "nano"}}, "pose: channels: wanted tuple"), ({"s1": {"channels": [8, 8]}}, "s1.channels: wanted five"),
     ({"s1": {"min_depth": 200.0}}, "s1.min_depth, s1.max_depth: wanted metres")],
)
def test_what_does_not_fit_is_named(values, said):
    with pytest.raises(BadInput, match=said):
        override(Config(), values)


def test_files(tmp_path):
    file = tmp_path / "c.yaml"
    file.write_text("")
    assert from_yaml(Config(), file) == Config()
    file.write_text("a: [")
    with pytest.raises(BadInput, match="cannot be read"):
        from_yaml(Config(), file)
    with pytest.raises(BadInput, match="cannot be read"):
        from_yaml(Config(), tmp_path / "none.yaml")


def test_the_shipped_file_names_the_defaults(request):
    file = request.config.rootpath / "config" / "train" / "depth.yaml"
    assert len(yaml.safe_load(file.read_text())) > 5
    assert from_yaml(Config(), file) == Config()


@pytest.mark.parametrize("name", ["depth_only", "loop", "video", "literal"])
def test_the_other_shipped_files_fit(request, name):
    file = request.config.rootpath / "config" / "train" / f"{name}.yaml"
    assert from_yaml(Config(), file) != Config()
