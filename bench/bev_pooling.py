"""How long a cloud takes into bird's-eye cells: `geometry.pillars` beside a plain loop over the points, and its answer against it.

    python -m bench.bev_pooling [--points 100000] [--cells 200] [--repeats 50] [--json out/bench/bev_pooling.json]

The cloud is a made one: half of it on the road, half in things on it, denser near the car. The least of many repeats says what the work
takes, the median what a busy machine makes of it. Freed memory is kept, as in a node. `ground` is the plane under the cloud, which
heights are above; `pillars` is told it.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.geometry.grid import Grid
from depth_perception.geometry.pillars import CHANNELS, DEEPEST_M, HIGHEST_M, LOG_COUNT, LOWEST_M, SLICE_M, SLICES, ground_of, pillars
from depth_perception.memory import keep_freed_memory
from depth_perception.model import as_json, write_atomically
from depth_perception.report.bench import machine


def cloud(count: int, grid: Grid, *, seed: int = 0) -> np.ndarray:
    """(count, 3) float32 points, metres, a tenth of them beside the grid."""
    rng = np.random.default_rng(seed)
    reach = 1.1 * grid.columns * grid.cell_m * rng.power(0.7, count)
    side = rng.uniform(-0.55, 0.55, count) * grid.rows * grid.cell_m
    height = np.where(rng.random(count) < 0.5, rng.normal(0, 0.02, count), rng.uniform(0, 3, count))
    return np.column_stack([grid.x_m + reach, grid.y_m + grid.rows * grid.cell_m / 2 + side, height]).astype(np.float32)


def plain(points: np.ndarray, grid: Grid) -> np.ndarray:
    """What `pillars` says on level ground, by a loop."""
    of_cell: dict[tuple[int, int], list[tuple[float, float, float]]] = {}
    for x, y, height in points.tolist():
        row, column = (y - grid.y_m) / grid.cell_m, (x - grid.x_m) / grid.cell_m
        if 0 <= row < grid.rows and 0 <= column < grid.columns and DEEPEST_M <= height < HIGHEST_M:
            key = math.floor(row), math.floor(column)
            of_cell.setdefault(key, []).append((height, column - key[1] - 0.5, row - key[0] - 0.5))
    out = np.zeros((CHANNELS, grid.rows, grid.columns), np.float32)
    for (i, j), found in of_cell.items():
        height, x, y = np.array(found).T
        out[:6, i, j] = np.log1p(len(height)) / LOG_COUNT, height.mean(), height.max(), height.min(), x.mean(), y.mean()
        out[6 + np.clip((height - LOWEST_M) / SLICE_M, 0, SLICES - 1).astype(int), i, j] = 1
    return out


def milliseconds(call: Callable[[], Any], repeats: int) -> dict[str, float]:
    """Least and median of several calls."""
    call()
    took = []
    for _ in range(repeats):
        before = time.perf_counter()
        call()
        took.append((time.perf_counter() - before) * 1e3)
    return {"min_ms": round(min(took), 3), "p50_ms": round(float(np.median(took)), 3)}


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; --json writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--cells", type=int, default=200, help="rows and columns")
    parser.add_argument("--repeats", type=int, default=50)
    parser.add_argument("--json", type=Path, default=Path("out/bench/bev_pooling.json"))
    args = parser.parse_args(arguments)

    keep_freed_memory()  # as a node does
    grid = Grid(0.0, -0.2 * args.cells, 0.4, args.cells, args.cells)
    points, level = cloud(args.points, grid), np.zeros(3)
    fast, slow = pillars(points, grid, ground=level), plain(points, grid)
    # A point that float32 puts on the other side of an edge moves a cell's count by one: such cells are counted, not hidden.
    differing = (np.abs(fast - slow) > 1e-3).any(0)
    results = [
        {"name": "pillars", **milliseconds(lambda: pillars(points, grid, ground=level), args.repeats)},
        {"name": "ground", **milliseconds(lambda: ground_of(points), args.repeats)},
        {"name": "pillars with its ground", **milliseconds(lambda: pillars(points, grid), args.repeats)},
        {"name": "plain loop", **milliseconds(lambda: plain(points, grid), 1)},
    ]
    for result in results:
        print("  ".join(f"{value:>24}" if isinstance(value, str) else f"{value:9.3f}" for value in result.values()))
    print(f"cells that differ from the loop's: {int(differing.sum())} of {int((slow[0] > 0).sum())} filled")
    found = {"name": "bev_pooling", **machine(), "results": results, "points": args.points, "cells": args.cells,
             "differing_cells": int(differing.sum())}
    write_atomically(args.json, as_json(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
