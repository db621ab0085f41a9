"""A YAML file over a frozen dataclass: only what is named changes, and an unknown name is an error."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, TypeVar

import yaml

from depth_perception.frame import BadInput

C = TypeVar("C")


def from_yaml(config: C, path: str | Path) -> C:
    """`config` with the values of a YAML file; sections are the nested dataclasses. BadInput names the key."""
    try:
        values = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadInput(f"config {path}: cannot be read: {str(error).splitlines()[0]}") from error
    return override(config, {} if values is None else values, name=str(path))


def override(config: C, values: Any, *, name: str = "config") -> C:
    """`config` with `values` (nested mappings) in place of its own."""
    known = {f.name: f for f in dataclasses.fields(config)}  # type: ignore[arg-type]
    if not isinstance(values, dict):
        raise BadInput(f"{name}: wanted a mapping of {', '.join(known)}, got {values!r}")
    changed = {}
    for key, value in values.items():
        if key not in known:
            raise BadInput(f"{name}: unknown key {key!r}; known are {', '.join(known)}")
        is_a_name = isinstance(value, str) and "names" in known[key].metadata  # the dataclass knows what it stands for
        changed[key] = value if is_a_name else _fitting(getattr(config, key), value, f"{name}: {key}")
    return dataclasses.replace(config, **changed)  # type: ignore[type-var]


def _fitting(default: Any, value: Any, name: str) -> Any:
    if dataclasses.is_dataclass(default):
        return override(default, value, name=name)
    if isinstance(default, tuple) and isinstance(value, (list, tuple)) and value:
        return tuple(_fitting(default[0], item, name) for item in value)
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if type(value) is not type(default):
        raise BadInput(f"{name}: wanted {type(default).__name__} like {default!r}, got {value!r}")
    return value
