"""docs/parameters.md from the declarations that the nodes themselves use.

    python -m depth_perception.nodes.parameter_reference docs/parameters.md
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput
from depth_perception.model import write_atomically
from depth_perception.nodes import parameters, perception_config, recorder_node
from depth_perception.nodes.parameters import Declaration, declarations

_COUNTS = {parameters.NOW: "at once", parameters.WHEN_ACTIVATED: "next activation",
           parameters.WHEN_LOADED: "next configuration or `~/reload_model`",
           parameters.WHEN_CONFIGURED: "next configuration", parameters.NEVER: "never"}  # fmt: skip
_TYPES = {bool: "bool", int: "int", float: "double", str: "string", tuple: "double[]", list: "string[]"}
_HEAD = """# Parameters

Written from the code by `python -m depth_perception.nodes.parameter_reference docs/parameters.md`; a test compares. `ros2 param describe
/drive NAME` says the same of a running node. A value that cannot be is refused with a sentence; a misspelt name ends the start with one.
`qos_overrides.TOPIC.subscription.reliability` and its like count for every topic besides.
"""
_NODES = "## drive, depth_node, odometry_node, bev_node, objects_node, markings_node"
_RECORDER = "## recorder_node"


def as_markdown() -> str:
    """The whole page."""
    driving = [each for prefix, (config, when) in perception_config.CONFIGS.items() for each in declarations(prefix, config, when)]
    recording = [*recorder_node.OWN, *declarations("", recorder_node.Config, parameters.NEVER)]
    return "\n".join([_HEAD, _NODES, "", *_tables(driving), _RECORDER, "", *_tables(recording)]).rstrip() + "\n"


def _tables(declared: Iterable[Declaration]) -> Iterator[str]:
    """A table for each prefix."""
    for prefix, group in groupby(declared, key=lambda each: each.name.rpartition(".")[0].split(".")[0]):
        if prefix:
            yield f"### {prefix}\n"
        yield "| parameter | type | default | range | meaning | a change counts |\n|---|---|---|---|---|---|"
        for each in group:
            meaning = each.meaning.replace("|", "\\|")
            cells = (f"`{each.name}`", _TYPES[type(each.default)], _default(each.default), _range(each), meaning, _COUNTS[each.when])
            yield f"| {' | '.join(cells)} |"
        yield ""


def _default(value: Any) -> str:
    if value == "" or value == () or value == [""]:
        return "empty"
    return f"`{json.dumps(value)}`" if not isinstance(value, str) else f"`{value}`"


def _range(each: Declaration) -> str:
    if each.limits:
        return " to ".join(f"{limit:.0f}" if limit == int(limit) else f"{limit:g}" for limit in each.limits)
    return ", ".join(f"`{choice}`" for choice in each.choices)


def main() -> int:
    """Writes the page to the file that is named, or to stdout."""
    if len(sys.argv) > 2:
        print("parameter_reference: wanted one file or none", file=sys.stderr)
        return 2
    try:
        if len(sys.argv) == 2:
            write_atomically(Path(sys.argv[1]), as_markdown())
        else:
            print(as_markdown(), end="")
    except BadInput as error:
        print(f"parameter_reference: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
