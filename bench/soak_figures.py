"""The figures of `bench.soak`, made of what was sent, what came, and what a process was seen to use."""

from __future__ import annotations

from typing import Any

import numpy as np


def slope(x: np.ndarray, y: np.ndarray, *, most: int = 1000) -> float:
    """The median slope between any two of (N,) points, of at most so many of them (Theil 1950, Sen 1968); NaN of fewer than two."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(int)) if len(x) > 1 else np.zeros(0, int)
    if len(chosen) < 2:
        return float("nan")
    x, y = np.asarray(x, float)[chosen], np.asarray(y, float)[chosen]
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def rise(mb: np.ndarray) -> float:
    """From the median of the first tenth of (N,) values to that of the last; NaN of none."""
    tenth = -(-len(mb) // 10)
    return round(float(np.median(mb[-tenth:]) - np.median(mb[:tenth])), 3) if len(mb) else float("nan")


def by_minute(sent: np.ndarray, arrived: np.ndarray, ages_ms: np.ndarray, seen: list[dict[str, float]], yardstick: np.ndarray, *,
              begun_ns: int, minute_s: float) -> list[dict[str, float]]:
    """One row a minute: images sent, answered and not, their rate while the camera spoke, latency, the machine's yardstick, and the node's
    CPU and memory.

    Args:
        sent, arrived: stamps of images and of depths, ns. ages_ms: of the latter, from stamp to arrival.
        seen: what `looked_at` saw, with at_ns. yardstick: (N, 2) when, ns, and how long the same work took then, ms.
    """
    def number(stamps: np.ndarray) -> np.ndarray:
        return ((stamps - begun_ns) * 1e-9 // minute_s).astype(int)

    answered, measured = np.isin(sent, arrived), number(yardstick[:, 0])
    at = number(np.array([row["at_ns"] for row in seen], np.int64))
    rows = []
    for minute in range(int(number(sent).max(initial=-1)) + 1):
        these, ages = number(sent) == minute, ages_ms[number(arrived) == minute]
        now = [row for row, when in zip(seen, at, strict=True) if when == minute]
        times = sent[these] * 1e-9
        spoke = float(np.minimum(np.diff(times), 2 * np.median(np.diff(times))).sum()) if len(times) > 2 else float("nan")
        rows.append({"minute": minute, "sent": int(these.sum()), "unanswered": int((these & ~answered).sum()),
                     "rate_hz": round(float((these & answered).sum()) / spoke, 2) if spoke > 0 else float("nan"),
                     "latency_ms_p50": percentile(ages, 50), "latency_ms_p99": percentile(ages, 99),
                     "yardstick_ms": percentile(yardstick[measured == minute, 1], 50),
                     "cpu_s": round(now[-1]["cpu_s"] - now[0]["cpu_s"], 2) if now else 0.0,
                     "rss_mb": round(float(np.median([row["rss_mb"] for row in now])), 2) if now else float("nan")})
    return rows


def of_process(seen: list[dict[str, float]], *, warm_ns: int) -> dict[str, Any]:
    """How memory grew from `warm_ns` on, and CPU, threads and files at the beginning and at the end; seen: as in `by_minute`."""
    first, last = seen[0], seen[-1]
    later = [row for row in seen if row["at_ns"] >= warm_ns]
    hours = np.array([row["at_ns"] for row in later]) / 3.6e12
    memory = {name: np.array([row[f"{name}_mb"] for row in later]) for name in ("rss", "anon", "given_out")}
    return {**{f"{name}_rise_mb": rise(memory[name]) for name in ("rss", "given_out")},
            **{f"{name}_mb_per_h": round(slope(hours, mb), 3) for name, mb in memory.items()},
            "cpu_share": round((last["cpu_s"] - first["cpu_s"]) / ((last["at_ns"] - first["at_ns"]) * 1e-9), 3),
            "threads": [first["threads"], last["threads"]], "files": [first["files"], last["files"]]}


def of_cycles(seen: list[dict[str, float]], took_s: dict[str, list[float]]) -> dict[str, Any]:
    """What is left after each of a node's cycles; seen: what `looked_at` saw after each; took_s: of each transition, by name."""
    warm = len(seen) // 2  # until then malloc's holes find their sizes
    later = np.array([row["rss_mb"] for row in seen[warm:]])
    return {"cycles": len(seen), "warm_up_cycles": warm, "answers": len(took_s.get("answer", [])),
            "mb_per_cycle": round(slope(np.arange(len(later)), later), 4), "rss_rise_mb": round(float(later[-1] - later[0]), 3),
            **{name: [seen[0][name], seen[warm][name], seen[-1][name]] for name in ("rss_mb", "anon_mb", "threads", "files")},
            "median_s": {name: round(float(np.median(each)), 3) for name, each in took_s.items()}}


def memory_over_time(seen: list[dict[str, float]], *, begun_ns: int, most: int = 200) -> list[list[float]]:
    """Rows of seconds, then RSS, own memory and what malloc has given out in MB, at most so many."""
    thin = [seen[i] for i in np.unique(np.linspace(0, len(seen) - 1, min(len(seen), most)).astype(int))]
    return [[round((row["at_ns"] - begun_ns) * 1e-9, 1), row["rss_mb"], row["anon_mb"], row["given_out_mb"]] for row in thin]


def percentile(values: np.ndarray, p: float) -> float:
    """Of (N,) values; NaN of none."""
    return round(float(np.percentile(values, p)), 3) if len(values) else float("nan")


def warmed_up(minutes: int) -> int:
    """Minutes at the beginning that do not count: the transport's shared memory is touched for the first time."""
    return min(max(minutes // 10, 1), minutes - 1)


def at_both_ends(when: np.ndarray, values: np.ndarray, p: float, *, begun_ns: int, minute_s: float, minutes: int, warm_up: int
                 ) -> tuple[float, float]:
    """A percentile of the first and of the last fifth of what came after the warm-up: a minute alone has too few for its hundredth part."""
    minute = (when - begun_ns) * 1e-9 / minute_s
    length = max((minutes - warm_up) / 5, 1)
    return (percentile(values[(minute >= warm_up) & (minute < warm_up + length)], p), percentile(values[minute >= minutes - length], p))
