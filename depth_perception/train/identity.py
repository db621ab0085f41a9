"""What a resumed run must share with the one before, each by the name under which it was asked for: a run that differs is told in what."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from depth_perception import model
from depth_perception.train.fit import FREE


def identity(origin: dict[str, Any], config: Any, options: dict[str, Any], *, bags: str = "--bag") -> dict[str, Any]:
    """origin: the lineage, whose bags count by content. config: a recipe's, all but what of `fit` is FREE. options: --name: value.
    bags: the option that names the bags."""
    return {bags: [[bag["name"], bag["sha256"]] for bag in origin["bags"]], **options, **_keys(config)}


def defaults(config: Any) -> dict[str, Any]:
    """What a checkpoint was trained with that is older than a key of the configuration."""
    return _keys(type(config)())


def read_by(reading: dict[str, Any]) -> dict[str, Any]:
    """Options of bag.FrameReader, each by the name under which it was asked for; a calibration file counts by its content."""
    said = {f"--{name.replace('_', '-')}": value for name, value in reading.items()}
    return said | ({"--calibration": model.sha256(Path(reading["calibration"]))} if reading.get("calibration") else {})


def _keys(config: Any) -> dict[str, Any]:
    asked = asdict(config)
    asked["fit"] = {name: value for name, value in asked["fit"].items() if name not in FREE}
    return _named(asked, "the configuration's ")


def _named(asked: dict[str, Any], of: str) -> dict[str, Any]:
    """Nested options, each by its full name."""
    out: dict[str, Any] = {}
    for name, value in asked.items():
        out |= _named(value, f"{of}{name}.") if isinstance(value, dict) else {f"{of}{name}": value}
    return out
