"""Every Config is ROS parameters: name, default, description and range come from the dataclass and its docstring."""

from __future__ import annotations

import dataclasses
import difflib
import re
import typing
from array import array
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from depth_perception.frame import BadInput

# What a parameter's description ends with: when a changed value counts.
NOW = ""
WHEN_ACTIVATED = " Changes count at the next activation."
WHEN_CONFIGURED = " Changes count at the next configuration."
WHEN_LOADED = " Changes count at the next configuration or ~/reload_model."
NEVER = " Cannot change while the node runs."


class Configs:
    """Declares Configs as parameters of a node and keeps them true while parameters change.

    `configs["depth"]` is the Config of the parameters `depth.*`, `configs[""]` that of the parameters without a prefix. A change that
    the Config refuses is refused with its sentence; one that it takes is told to `changed(prefix, config)`, in the executor's thread.
    """

    def __init__(self, node: Node, configs: dict[str, tuple[type, str]], changed: Callable[[str, Any], None]) -> None:
        self._types = {prefix: type_ for prefix, (type_, _) in configs.items()}
        self._changed = changed
        self._values: dict[str, Any] = {}
        self._prefixes: dict[str, str] = {}
        for prefix, (type_, when) in configs.items():
            known = set(self._values)
            self._declare(node, prefix, type_, when)
            self._prefixes |= dict.fromkeys(self._values.keys() - known, prefix)
        self._check_names(node)
        self._configs = {prefix: _build(type_, prefix, self._values) for prefix, type_ in self._types.items()}
        node.add_on_set_parameters_callback(self._on_set)

    def __getitem__(self, prefix: str) -> Any:
        return self._configs[prefix]

    def _check_names(self, node: Node) -> None:
        """BadInput for a value given to a parameter that none of the Configs has: most likely a slip of the pen.

        Names outside of the Configs' prefixes stay unjudged: one file may hold the parameters of many nodes.
        """
        for name in node._parameter_overrides:
            if name not in self._values and name.split(".")[0] in self._types:
                near = difflib.get_close_matches(name, self._values, n=1)
                raise BadInput(f"parameter {name}: there is none of that name" + (f"; did you mean {near[0]}?" if near else ""))

    def _declare(self, node: Node, prefix: str, config: type, when: str) -> None:
        for declared in declarations(prefix, config, when):
            name, default = declared.name, declared.default
            descriptor = described_as(declared.meaning, declared.when, declared.limits, default)
            descriptor.additional_constraints = f"one of {', '.join(declared.choices)}" if declared.choices else ""
            try:
                if isinstance(default, tuple):
                    # An empty list has no type: `ros2 param set` and `load` take it for booleans, rclpy for bytes.
                    descriptor.dynamic_typing = True
                    self._values[name] = _decimals(name, node.declare_parameter(name, [], descriptor).value)
                    if not self._values[name]:
                        node.set_parameters([Parameter(name, Parameter.Type.DOUBLE_ARRAY, [])])
                else:
                    self._values[name] = node.declare_parameter(name, default, descriptor).value
            except (InvalidParameterTypeException, InvalidParameterValueException) as error:
                raise BadInput(_refusal(name, default, declared.limits, str(error))) from None

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        """Builds the Configs that the new values touch, all or none."""
        values = dict(self._values)
        touched = {self._prefixes[parameter.name] for parameter in parameters if parameter.name in self._prefixes}
        try:
            for parameter in parameters:
                if parameter.name in values:
                    is_list = isinstance(values[parameter.name], tuple)
                    values[parameter.name] = _decimals(parameter.name, parameter.value) if is_list else parameter.value
            built = {prefix: _build(self._types[prefix], prefix, values) for prefix in touched}
        except BadInput as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._values = values
        self._configs |= built
        for prefix, config in built.items():
            self._changed(prefix, config)
        return SetParametersResult(successful=True)


class Declaration(NamedTuple):
    """One parameter, as a node declares it and as docs/parameters.md tells it.

    Attributes:
        limits: least and most of a number; None: any.
        choices: the only values; empty: any.
        when: NOW, WHEN_ACTIVATED, WHEN_CONFIGURED, WHEN_LOADED or NEVER.
    """

    name: str
    default: Any
    meaning: str
    when: str
    limits: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


def declarations(prefix: str, config: type, when: str) -> Iterator[Declaration]:
    """The parameters of a Config, those of the Configs in it among them. when: what counts where a field does not say otherwise."""
    described, types = descriptions(config), typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        name = _name(prefix, field.name)
        default = field.default if field.default is not dataclasses.MISSING else field.default_factory()  # type: ignore[misc]
        if dataclasses.is_dataclass(default):
            yield from declarations(name, type(default), when)
            continue
        choices = tuple(map(str, typing.get_args(types[field.name]))) if isinstance(default, str) else ()
        limits, counts = field.metadata.get("range"), field.metadata.get("when", when)
        yield Declaration(name, default, described.get(field.name, ""), counts, limits, choices)


_WANTED = {bool: "true or false", int: "a whole number", float: "a number with a decimal point", str: "text", tuple: "decimal numbers"}


def _decimals(name: str, value: Any) -> tuple[float, ...]:
    """A list of numbers, also of whole ones."""
    numbers = list(value) if isinstance(value, (list, tuple, array)) else None
    if numbers is None or any(isinstance(number, bool) or not isinstance(number, (int, float)) for number in numbers):
        raise BadInput(f"parameter {name}: wanted decimal numbers, got {value!r}")
    return tuple(map(float, numbers))


def _refusal(name: str, default: Any, limits: tuple[float, float] | None, said: str) -> str:
    """rclpy's refusal of a value, in our words."""
    wanted = _WANTED[type(default)] + (f" from {limits[0]:g} to {limits[1]:g}" if limits else "")
    got = re.search(r"to '(.*?)' of type|value \((.*?)\) for", said)
    return f"parameter {name}: wanted {wanted}, got {(got[1] or got[2]) if got else said}"


def _name(prefix: str, field: str) -> str:
    return f"{prefix}.{field}" if prefix else field


def described_as(text: str, when: str, limits: tuple[float, float] | None = None, default: Any = None) -> ParameterDescriptor:
    """A descriptor: what the parameter means, when a change counts, and its range."""
    descriptor = ParameterDescriptor(description=text + when, read_only=when == NEVER)
    if limits is not None:
        least, most = limits
        if isinstance(default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(least), to_value=float(most))]
        else:
            descriptor.integer_range = [IntegerRange(from_value=int(least), to_value=int(most))]
    return descriptor


def _build(config: type, prefix: str, values: dict[str, Any]) -> Any:
    """A Config from its parameters' values."""
    given = {}
    for field in dataclasses.fields(config):
        name = _name(prefix, field.name)
        given[field.name] = values[name] if name in values else _build(type(field.default_factory()), name, values)  # type: ignore[misc]
    return config(**given)


def descriptions(config: type) -> dict[str, str]:
    """Field -> its sentence in the docstring's Attributes section (`a, b: text` describes both), also of the Config that it extends."""
    found: dict[str, str] = {}
    for extended in config.__bases__:
        found |= descriptions(extended) if dataclasses.is_dataclass(extended) else {}
    text = re.sub(r"^.*?Attributes:", "", config.__doc__ or "", count=1, flags=re.S)
    known = {field.name for field in dataclasses.fields(config)}
    names: list[str] = []
    for line in text.splitlines():
        match = re.match(r"\s*((?:\w+(?:, )?)+): (.*)", line)
        if match and known.issuperset(match[1].split(", ")):  # a sentence may well go on with "auto: the best"
            names = match[1].split(", ")
            found.update(dict.fromkeys(names, match[2].strip()))
        elif line.strip():
            found.update({name: f"{found[name]} {line.strip()}" for name in names})
    return found
