"""Whether we are still as much faster than a tutorial's node as bench/gate.json wants: ratios within one run, no times.

    python -m bench.gate out/bench/chain.json

A time says how fast a machine is; a ratio to what runs beside it on the same machine says what we do. One sentence for each bound that is
broken. Exit code 3: a floor is, which is a regression; 2: targets alone, or a file that cannot be read.

gate.json: `ratios`: at that rate and size, a figure of `than` (a tutorial's node) over ours must be `at_least` so much. `drops`: our
drops over our images must be `at_most` so much. These are targets, some of them missed so far. `floors` has both of what was reached
already, two thirds of each ratio in docs/latency.md: the rest is a noisy machine's. A bound whose rows the run does not have is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

BOUNDS = Path(__file__).with_name("gate.json")


def broken(found: dict[str, Any], bounds: dict[str, Any]) -> list[str]:
    """One sentence for each bound that the rows of a chain.json break."""
    rows = {(row["who"], row["rate_hz"], row["size"]): row for row in found["results"]}
    said = []
    for bound in bounds["ratios"]:
        where = f"{bound['rate_hz']:g} Hz, {bound['size']}"
        what = f"{bound['figure']}.{bound['percentile']}"
        ours, theirs = (rows.get((who, bound["rate_hz"], bound["size"])) for who in ("ours", bound["than"]))
        values = []
        for who, row in (("ours", ours), (bound["than"], theirs)):
            if row is None or "error" in row:
                said.append(f"{where}: wanted {what} of {who}, but the run has no such row" + (f" ({row['error']})" if row else ""))
                break
            values.append(row[bound["figure"]] and row[bound["figure"]][bound["percentile"]])
        else:
            mine, other = values
            if mine is None:
                said.append(f"{where}: no depth of ours arrived")
            elif other is not None and not other / mine >= bound["at_least"]:  # where theirs never arrive, ours are better
                said.append(f"{where}: wanted {what} at least {bound['at_least']:g} times as good as {bound['than']}, "
                            f"got {other / mine:.2f} ({other:.2f} over {mine:.2f} ms)")
    for bound in bounds["drops"]:
        where = f"{bound['rate_hz']:g} Hz, {bound['size']}"
        row = rows.get(("ours", bound["rate_hz"], bound["size"]))
        if row is None or "error" in row:
            said.append(f"{where}: wanted drops of ours, but the run has no such row" + (f" ({row['error']})" if row else ""))
        elif row["drops"] > bound["at_most"] * row["frames"]:
            said.append(f"{where}: wanted at most {bound['at_most']:.1%} of our images dropped, got {row['drops']} of {row['frames']}")
    return said


def main(argv: list[str] | None = None) -> int:
    """0: every bound holds. 3: a floor does not; 2: targets alone do not; and why."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chain", nargs="?", default="out/bench/chain.json")
    parser.add_argument("--bounds", default=str(BOUNDS))
    args = parser.parse_args(argv)
    read = []
    for path in (args.chain, args.bounds):
        try:
            read.append(json.loads(Path(path).read_text()))
        except (OSError, ValueError) as error:
            print(f"gate: {path} cannot be read: {error}", file=sys.stderr)
            return 2
    found, bounds = read
    floors = bounds.get("floors", {"ratios": [], "drops": []})
    regressions = broken(found, floors)
    missed = [sentence for sentence in broken(found, bounds) if sentence not in regressions]
    for sentence in [*(f"regression: {each}" for each in regressions), *missed]:
        print(f"gate: {sentence}", file=sys.stderr)
    if not regressions and not missed:
        print(f"gate: all {sum(len(each[kind]) for each in (bounds, floors) for kind in ('ratios', 'drops'))} bounds hold")
    return 3 if regressions else 2 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
