"""What is wanted of a soak, and whether it held: True, False, or None where the soak was too short to tell, which is no success either."""

from __future__ import annotations

from typing import Any

Verdict = dict[str, "bool | None"]

MOST_P99_RATIO = 1.1
# Memory moves in steps of a buffer, and the largest, a depth of KITTI's size, has 1.9 MB: a few of them settle late, four are too many.
MOST_RISE_MB = 8.0
# A single such step within less than half an hour is a slope of several MB/h, whatever comes after it.
MOST_MB_PER_H, SLOPE_FROM_HOURS = 1.0, 0.5
MOST_MB_PER_CYCLE = 0.05
# Ends that can be compared are two minutes, or two cycles; a node's memory has its size after ten cycles.
FEWEST_MINUTES, FEWEST_CYCLES, FEWEST_WARM_UP_CYCLES = 2, 2, 10


def of_run(summary: dict[str, Any]) -> Verdict:
    """Of the minutes of driving."""
    ends = summary["minutes"] - summary["warm_up_minutes"] >= FEWEST_MINUTES and summary["warm_up_minutes"] > 0
    wanted: Verdict = {
        "no drops": summary["unanswered"] == 0,
        f"RSS rises by less than {MOST_RISE_MB:g} MB after the warm-up": below(summary["rss_rise_mb"], MOST_RISE_MB, enough=ends),
        f"what malloc has given out rises by less than {MOST_RISE_MB:g} MB after the warm-up":
            below(summary["given_out_rise_mb"], MOST_RISE_MB, enough=ends),
        "p99 at the end within 10 % of the beginning":
            below(summary["p99_ms_end"], MOST_P99_RATIO * summary["p99_ms_begin"], enough=ends, or_equal=True),
        "every change was taken": summary["changes_taken"] == summary["changes"],
        "no thread or file left open": all(summary[name][1] <= summary[name][0] for name in ("threads", "files")),
    }
    if has_slope(summary):
        for what, name in (("RSS", "rss"), ("what malloc has given out", "given_out")):
            wanted[f"{what} grows by less than {MOST_MB_PER_H:g} MB/h"] = below(summary[f"{name}_mb_per_h"], MOST_MB_PER_H, enough=ends)
    return wanted


def has_slope(summary: dict[str, Any]) -> bool:
    """Whether a run is long enough for the slope of its memory to mean anything."""
    return bool(summary["hours"] >= SLOPE_FROM_HOURS)


def memory_judged_by(summary: dict[str, Any]) -> str:
    """A sentence for those who read the figures."""
    if has_slope(summary):
        return "RSS is judged by its rise and by its slope"
    return (f"RSS is judged by its rise alone: in less than {60 * SLOPE_FROM_HOURS:g} minutes one step of a buffer makes the slope "
            "meaningless")


def of_cycles(summary: dict[str, Any]) -> Verdict:
    """Of a node taken through its lifecycle."""
    after = summary["cycles"] - summary["warm_up_cycles"]
    settled = summary["warm_up_cycles"] >= FEWEST_WARM_UP_CYCLES
    left = all(summary[name][2] <= summary[name][1] for name in ("threads", "files"))
    return {
        f"RSS grows by less than {MOST_MB_PER_CYCLE:g} MB a cycle": below(summary["mb_per_cycle"], MOST_MB_PER_CYCLE, enough=settled),
        f"RSS rises by less than {MOST_RISE_MB:g} MB in the cycles after the warm-up":
            below(summary["rss_rise_mb"], MOST_RISE_MB, enough=settled),
        "no thread or file left behind": left if after >= FEWEST_CYCLES else None,
    }


def below(value: float, most: float, *, enough: bool, or_equal: bool = False) -> bool | None:
    """Whether a figure is; None when there was not enough to measure it. One that is not a number is not below."""
    return (value <= most if or_equal else value < most) if enough else None


def sentence(name: str, held: bool | None) -> str:
    """For reading."""
    return f"{'too short to tell' if held is None else 'held' if held else 'NOT HELD'}: {name}"
