"""`package/msg/Name` -> its Python class and its definition, from what is installed."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rclpy.exceptions import NoTypeSupportImportedException
from rclpy.type_support import check_for_type_support

# A field of a .msg file: type, array bounds, name; constants (NAME=value) have no types worth following.
_FIELD = re.compile(r"^\s*([A-Za-z][\w/]*)(?:<=\d+)?(?:\[[^\]]*\])?\s+\w+", re.M)
_PLAIN = re.compile(r"(bool|byte|char|w?string|float(32|64)|u?int(8|16|32|64))$")


def message_class(type_name: str) -> Any:
    """The Python class of a message type, or None where it is not installed."""
    package, _, name = type_name.partition("/msg/")
    if not package:
        return None
    try:
        message_type = getattr(importlib.import_module(f"{package}.msg"), name)
        check_for_type_support(message_type)
    except (ImportError, AttributeError, ValueError, NoTypeSupportImportedException):
        return None
    return message_type


def definition(type_name: str) -> str:
    """The .msg text of an installed type and of every type in it, as mcap's ros2msg wants them; empty where they are not installed."""
    texts: dict[str, str] = {}
    waiting = [type_name]
    while waiting:
        name = waiting.pop(0)
        if name not in texts:
            file = _file(name)
            if file is None:
                return ""
            texts[name] = file.read_text(encoding="utf-8").rstrip("\n") + "\n"
            waiting += _nested(texts[name], name.partition("/")[0])
    first, *others = texts
    return texts[first] + "".join(f"{'=' * 80}\nMSG: {name.replace('/msg/', '/')}\n{texts[name]}" for name in others)


def _file(type_name: str) -> Path | None:
    """share/PACKAGE/msg/NAME.msg of the prefix that the package's Python module lies in: so for apt, colcon and wheels."""
    package, _, name = type_name.partition("/msg/")
    try:
        module = importlib.import_module(package).__file__ or ""
    except (ImportError, ValueError):  # a name without a package is an empty one
        return None
    files = (prefix / "share" / package / "msg" / f"{name}.msg" for prefix in Path(module).resolve().parents)
    return next((file for file in files if file.is_file()), None)


def _nested(text: str, package: str) -> Iterator[str]:
    for match in _FIELD.finditer(re.sub(r"#.*", "", text)):
        name = match[1]
        if not _PLAIN.match(name):
            outer, _, inner = name.rpartition("/")
            yield f"{outer.partition('/')[0] or package}/msg/{inner}"
