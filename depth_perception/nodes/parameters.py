"""A Config dataclass as ROS parameters: `PREFIX.field`, its default, its description from the class's docstring."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

C = TypeVar("C")


def declare_config(node: Node, prefix: str, config: type[C]) -> C:
    """Declares every field of `config` and builds it from what the user set; nested configs become nested names."""
    described = descriptions(config)
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):  # type: ignore[arg-type]
        name = f"{prefix}.{field.name}"
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
        if dataclasses.is_dataclass(default):
            values[field.name] = declare_config(node, name, type(default))
            continue
        descriptor = ParameterDescriptor(description=described.get(field.name, ""), read_only=True)
        if isinstance(default, tuple):
            node.declare_parameter(name, Parameter.Type.DOUBLE_ARRAY, descriptor)
            values[field.name] = tuple(node.get_parameter_or(name, Parameter(name, Parameter.Type.DOUBLE_ARRAY, [])).value or ())
        else:
            values[field.name] = node.declare_parameter(name, default, descriptor).value
    return config(**values)


def descriptions(config: type) -> dict[str, str]:
    """Field -> its sentence in the docstring's Attributes section (`a, b: text` describes both)."""
    text = re.sub(r"^.*?Attributes:", "", config.__doc__ or "", count=1, flags=re.S)
    found: dict[str, str] = {}
    names: list[str] = []
    for line in text.splitlines():
        match = re.match(r"\s*((?:\w+(?:, )?)+): (.*)", line)
        if match:
            names = match[1].split(", ")
            found.update(dict.fromkeys(names, match[2].strip()))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found
