"""The tables of docs/latency.md, out of chain.json.

    python -m bench.chain_table out/bench/chain.json --docs docs/latency.md

What stands between the two markers is replaced; the rest of the page is written by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput
from depth_perception.model import write_atomically

CLOUDS = "a LiDAR's clouds of 120 k points at about 10 Hz"
BEGIN, END = "<!-- written by bench.chain: begin -->", "<!-- written by bench.chain: end -->"
BETWEEN = {"between_threads": "from thread to thread", "in_and_out": "on the way in and out"}  # of stages_ms, but no stages
NAMES = {
    "ours": "**ours**",
    "ours_network_size": "ours, `depth.size: network`",
    "tutorial_default": "tutorial, Fast DDS as it comes",
    "tutorial_profile": "tutorial, our profile",
    "tutorial_assign": "tutorial, our profile, `data = bytes`",
    "default": "Fast DDS as it comes, reliable, queue of 10",
    "profile": "our profile, best effort, queue of 1",
}


def write(page: Path, found: dict[str, Any]) -> None:
    """Replaces what the page has between the markers."""
    before, after = check(page)
    write_atomically(page, f"{before}{BEGIN}\n{tables(found)}\n{END}{after}")


def check(page: Path) -> tuple[str, str]:
    """What stands before and after the markers; BadInput for a page that has not both of them, once, in order."""
    try:
        text = page.read_text()
    except OSError as error:
        raise BadInput(f"--docs: {page} cannot be read ({error.strerror})") from None
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise BadInput(f"--docs: wanted {page} to have the lines {BEGIN} and {END}, once and in this order")
    return text[: text.index(BEGIN)], text[text.index(END) + len(END) :]


def tables(found: dict[str, Any]) -> str:
    """Markdown: what it was measured on, the chain, the same with clouds, its stages at 30 Hz, the transport alone."""
    rows, alone = found["results"], found.get("transport", [])
    parts = [_about(found)]
    for size in dict.fromkeys(row["size"] for row in rows):
        parts += [f"### {size}", _chain([row for row in rows if row["size"] == size])]
    if beside := found.get("with_clouds"):
        parts += [f"### {beside[0]['size']}, with {CLOUDS}", _chain(beside)]
        parts += [_stages(beside)] * any(_is_whole(row) for row in beside)
    if any(_is_whole(row) for row in rows):
        parts += ["### Where the time goes", _stages(rows)]
    if alone:
        parts += ["### The transport alone", _transport(alone)]
    return "\n\n".join(parts)


def _about(found: dict[str, Any]) -> str:
    machine, versions = found["machine"], found["versions"]
    rows = [row for kind in ("results", "with_clouds", "transport") for row in found.get(kind, []) if "error" not in row]
    others = max((row["others_cpu_seconds"] / row["seconds"] for row in rows), default=0.0)
    clouds = f", with {CLOUDS}" if any(row.get("clouds") for row in found["results"]) else ""
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (f"{machine['cpu']}, {machine['cores']} cores; {said}; commit {found['commit'] or 'unknown'}{clouds}. All else on the machine "
            f"took at most {others:.2f} of a core in any row.")


def _is_whole(row: dict[str, Any]) -> bool:
    return bool("error" not in row and row["overhead_ms"])


def _chain(rows: list[dict[str, Any]]) -> str:
    head = ["Hz", "node", "overhead ms p50 / p90 / p99", "x ours", "whole p50 ms", "engine p50 ms", "drops", "missed", "CPU of node",
            "RSS of node MB"]
    lines = []
    for row in rows:
        if "error" in row:
            lines.append([f"{row['rate_hz']:g}", NAMES[row["who"]], f"failed: {row['error']}", *[""] * 7])
            continue
        ours = next((each for each in rows if each["who"] == "ours" and each["rate_hz"] == row["rate_hz"] and _is_whole(each)), None)
        times = f"{row['overhead_ms']['p50'] / ours['overhead_ms']['p50']:.1f}" if ours and row["overhead_ms"] else ""
        lines.append([
            f"{row['rate_hz']:g}", NAMES[row["who"]], _three(row["overhead_ms"]), times, _median(row["whole_ms"]),
            _median(row["engine_ms"]), f"{row['drops']} of {row['frames']}", str(row["missed"]),
            f"{row['cpu_seconds']['node'] / row['seconds']:.0%}", f"{row['rss_mb']['node']:.0f}"])
    return _markdown(head, lines)


def _stages(rows: list[dict[str, Any]]) -> str:
    """p50 of every stage at the rate nearest to 30 Hz, sizes and nodes as columns; each line is a median of its own, so that they need not
    add up. A scan is decoded beside: in no image's total."""
    rate = min((row["rate_hz"] for row in rows), key=lambda hz: abs(hz - 30))
    shown = [row for row in rows if row["rate_hz"] == rate and _is_whole(row)]
    stages = dict.fromkeys(name for row in shown for name in row["stages_ms"] if name not in ("total", "scan", *BETWEEN))
    head = [f"p50 ms at {rate:g} Hz", *(f"{NAMES[row['who']]} {row['size']}" for row in shown)]
    lines = [[name, *(_median(row["stages_ms"].get(name)) for row in shown)] for name in stages]
    lines += [[called, *(_median(row["stages_ms"].get(name)) for row in shown)] for name, called in BETWEEN.items()]
    lines.append(["whole", *(_median(row["whole_ms"]) for row in shown)])
    if any("scan" in row["stages_ms"] for row in shown):
        lines.append(["beside: decoding a cloud", *(_median(row["stages_ms"].get("scan")) for row in shown)])
    return _markdown(head, lines)


def _transport(rows: list[dict[str, Any]]) -> str:
    lines = [[row["size"], NAMES[row["who"]], *([_three(row["whole_ms"]), f"{row['drops']} of {row['frames']}", str(row["missed"])]
                                                if "error" not in row else [f"failed: {row['error']}", "", ""])] for row in rows]
    return _markdown(["message", "transport", "ms p50 / p90 / p99", "drops", "missed"], lines)


def _three(values: dict[str, float] | None) -> str:
    return " / ".join(f"{values[p]:.2f}" for p in ("p50", "p90", "p99")) if values else "nothing came"


def _median(values: dict[str, float] | None) -> str:
    return f"{values['p50']:.2f}" if values else ""


def _markdown(head: list[str], lines: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *lines])


def main(argv: list[str] | None = None) -> int:
    """Writes the tables of a chain.json into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chain", nargs="?", default="out/bench/chain.json")
    parser.add_argument("--docs", default="docs/latency.md")
    args = parser.parse_args(argv)
    write(Path(args.docs), json.loads(Path(args.chain).read_text()))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(error, file=sys.stderr)
        sys.exit(2)
