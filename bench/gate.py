"""Whether we are still as much better than a tutorial's node as bench/gate.json wants: ratios within one run, no times.

    python -m bench.gate out/bench/chain.json
    python -m bench.gate QUIET.json BUSY.json --write-floors    # the floors of gate.json anew, of these runs; then judges by them

A time says how fast a machine is; a ratio to what runs beside it on the same machine says what we do. One sentence for each bound that is
broken. Exit code 3: a floor is, which is a regression; 2: targets alone, or a file that cannot be read or judged.

gate.json: `ratios`: at that rate and size, a figure of `than` (a tutorial's node) over ours must be `at_least` so much; of the run's
`results`, or of the `rows` that the bound names. `drops` and `missed`: ours over our images must be `at_most` so much. These are targets,
some of them missed so far. `floors` has all three of what was reached already, two thirds of the smallest ratio of the runs they were
written from: the rest is a noisy machine's. Give runs of several hours: on a slow machine who computes loses more than who waits, and
its ratios are smaller. One that is `kept` is not written anew: at 60 Hz and 1080p the tutorial's node with our
profile is at its limit. A bound whose rows a run does not have is broken; floors take it from the other runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput
from depth_perception.model import write_atomically

BOUNDS = Path(__file__).with_name("gate.json")
COUNTS = {"drops": "of our images dropped", "missed": "of our images missed by the camera"}
FLOOR = 2 / 3


def broken(found: dict[str, Any], bounds: dict[str, Any]) -> list[str]:
    """One sentence for each bound that the rows of a chain.json break."""
    said = []
    for bound in bounds["ratios"]:
        try:
            mine, other = compared(found, bound)
        except BadInput as error:
            said.append(str(error))
            continue
        # Where theirs never arrive, ours are better. Not divided: a figure may be 0 or not a number, and the latter does not pass.
        if other is not None and not other >= bound["at_least"] * mine:
            unit = "ms" if bound["figure"].partition(".")[0].endswith("_ms") else "s"
            ratio = other / mine if mine else float("nan")
            said.append(f"{place(bound)}: wanted {bound['figure']} at least {bound['at_least']:g} times as good as {bound['than']}, "
                        f"got {ratio:.2f} ({other:.2f} over {mine:.2f} {unit})")
    for count, what in COUNTS.items():
        for bound in bounds.get(count, []):
            row = row_of(found, bound, "ours")
            if row is None or "error" in row:
                said.append(f"{place(bound)}: wanted {count} of ours, but the run has no such row{_why(row)}")
            elif row[count] > bound["at_most"] * row["frames"]:
                said.append(f"{place(bound)}: wanted at most {bound['at_most']:.1%} {what}, got {row[count]} of {row['frames']}")
    return said


def compared(found: dict[str, Any], bound: dict[str, Any]) -> tuple[float, float | None]:
    """Our figure and theirs, None where no depth of theirs arrived; BadInput where a row or our figure is missing."""
    values = []
    for who in ("ours", bound["than"]):
        row = row_of(found, bound, who)
        if row is None or "error" in row:
            raise BadInput(f"{place(bound)}: wanted {bound['figure']} of {who}, but the run has no such row{_why(row)}")
        figure, _, part = bound["figure"].partition(".")
        values.append(row[figure] and row[figure][part])
    if values[0] is None:
        raise BadInput(f"{place(bound)}: no depth of ours arrived")
    return values[0], values[1]


def row_of(found: dict[str, Any], bound: dict[str, Any], who: str) -> dict[str, Any] | None:
    """The row that a bound is about."""
    wanted = (who, bound["rate_hz"], bound["size"])
    rows = found.get(bound.get("rows", "results"), [])
    return next((row for row in rows if (row["who"], row["rate_hz"], row["size"]) == wanted), None)


def place(bound: dict[str, Any]) -> str:
    """Where in a run a bound is, for a sentence."""
    return f"{bound['rate_hz']:g} Hz, {bound['size']}" + ", with clouds" * (bound.get("rows") == "with_clouds")


def _why(row: dict[str, Any] | None) -> str:
    return f" ({row['error']})" if row else ""


def floors_of(runs: Sequence[dict[str, Any]], floors: dict[str, Any]) -> dict[str, Any]:
    """The same floors, each ratio two thirds of the smallest that one of these runs has; kept ones and counts stay.

    BadInput where a ratio is none, or no run has it: one without any rows of that kind (earlier than these were measured) is passed over.
    """
    ratios = []
    for bound in floors["ratios"]:
        if bound.get("kept"):
            ratios.append(bound)
            continue
        having = [found for found in runs if found.get(bound.get("rows", "results"))] or runs[:1]
        reached = min(_ratio(found, bound) for found in having)
        ratios.append(bound | {"at_least": float(f"{FLOOR * reached:.2g}")})
    return floors | {"ratios": ratios}


def _ratio(found: dict[str, Any], bound: dict[str, Any]) -> float:
    mine, other = compared(found, bound)
    if other is None or not (mine > 0 and other > 0):
        raise BadInput(f"{place(bound)}: {bound['figure']} of {bound['than']} over ours is no ratio here ({other} over {mine})")
    return other / mine


def as_text(bounds: dict[str, Any], *, indent: str = "") -> str:
    """JSON with one bound a line, so that a change of one is a change of one line."""
    parts = []
    for name, each in bounds.items():
        lines = [] if isinstance(each, dict) else [f"{indent}    {json.dumps(bound)}" for bound in each]
        inner = as_text(each, indent=indent + "  ") if isinstance(each, dict) else "[\n" + ",\n".join(lines) + f"\n{indent}  ]"
        parts.append(f"{indent}  {json.dumps(name)}: {inner}")
    return "{\n" + ",\n".join(parts) + f"\n{indent}}}"


def read(path: str) -> dict[str, Any]:
    """A JSON file; BadInput when it cannot be read."""
    try:
        found: dict[str, Any] = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise BadInput(f"{path} cannot be read: {error}") from None
    return found


def chained(path: str) -> dict[str, Any]:
    """A run of bench.chain that the bounds can be asked of."""
    found = read(path)
    if "results" not in found:
        raise BadInput(f"{path} has no results: wanted what bench.chain writes")
    if any(row.get("clouds") for row in found["results"]):
        raise BadInput(f"{path} is of bench.chain --clouds: wanted results without clouds, which the bounds are of")
    return found


def judged(found: dict[str, Any], bounds: dict[str, Any]) -> int:
    """Prints what is broken; the exit code."""
    floors = bounds.get("floors", {"ratios": []})
    regressions = broken(found, floors)
    missed = [sentence for sentence in broken(found, bounds) if sentence not in regressions]
    for sentence in [*(f"regression: {each}" for each in regressions), *missed]:
        print(f"gate: {sentence}", file=sys.stderr)
    if not regressions and not missed:
        print(f"gate: all {sum(len(each.get(kind, [])) for each in (bounds, floors) for kind in ('ratios', *COUNTS))} bounds hold")
    return 3 if regressions else 2 if missed else 0


def main(argv: list[str] | None = None) -> int:
    """0: every bound holds. 3: a floor does not; 2: targets alone do not; and why."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chain", nargs="*", default=["out/bench/chain.json"], help="runs of bench.chain; each is judged")
    parser.add_argument("--bounds", default=str(BOUNDS))
    parser.add_argument("--write-floors", action="store_true", help="writes the floors of --bounds anew, of these runs")
    args = parser.parse_args(argv)
    try:
        runs, bounds = [chained(name) for name in args.chain], read(args.bounds)
        if args.write_floors:
            bounds["floors"] = floors_of(runs, bounds["floors"])
            write_atomically(Path(args.bounds), as_text(bounds) + "\n")
            print(f"gate: {sum(not bound.get('kept') for bound in bounds['floors']['ratios'])} floors written to {args.bounds}")
    except BadInput as error:
        print(f"gate: {error}", file=sys.stderr)
        return 2
    return max(judged(found, bounds) for found in runs)


if __name__ == "__main__":
    sys.exit(main())
