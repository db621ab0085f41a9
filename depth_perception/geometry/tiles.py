"""Masks held in square tiles: what is long and thin is closed and told apart in the memory of the tiles that it crosses.

A mask is {(column, row) of the tile: (TILE, TILE) bool, rows first}; where no tile is, nothing is set. Cells are (x, y), int64, counted
from the first cell of tile (0, 0); they may be negative.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

TILE = 256  # cells along an edge
Mask = Mapping[tuple[int, int], np.ndarray]


def cut_out(mask: Mask, low: np.ndarray, size: int) -> np.ndarray:
    """(size, size) uint8, 0 or 1: the square of cells whose first one is `low` (2,)."""
    out = np.zeros((size, size), np.uint8)
    (left, top), (right, bottom) = low // TILE, (low + size - 1) // TILE
    for column in range(left, right + 1):
        for row in range(top, bottom + 1):
            if (tile := mask.get((column, row))) is not None:
                x, y = column * TILE - low[0], row * TILE - low[1]
                out[max(y, 0) : y + TILE, max(x, 0) : x + TILE] = tile[max(-y, 0) : size - y, max(-x, 0) : size - x]
    return out


def closed(mask: Mask, across: int) -> dict[tuple[int, int], np.ndarray]:
    """The mask with its gaps filled (a morphological closing) by a square of `across` cells, an odd number: an even one would shift it."""
    far = -(-across // TILE)
    near = range(-far, far + 1)
    out = {}
    for key in {(column + x, row + y) for column, row in mask for x in near for y in near}:
        window = cut_out(mask, np.array(key) * TILE - across, TILE + 2 * across)
        if window.any():
            filled = cv2.morphologyEx(window, cv2.MORPH_CLOSE, np.ones((across, across), np.uint8))[across:-across, across:-across]
            if filled.any():
                out[key] = filled > 0
    return out


def pieces(mask: Mask, joined: Mask | None = None) -> list[np.ndarray]:
    """Connected pieces (8 neighbours), each its cells (N, 2) row by row; joined: a mask around it that says what is connected."""
    if not mask:
        return []
    cells, labels, own, count = [], [], [], 0
    # Windows share the cells along their edges: a piece has a label in each window, and those of a shared cell are one.
    for key in sorted({(column - x, row - y) for column, row in joined or mask for x in (0, 1) for y in (0, 1)}):
        low = np.array(key) * TILE
        found, numbered = cv2.connectedComponents(cut_out(joined or mask, low, TILE + 1))
        rows, columns = np.nonzero(numbered)
        cells.append(np.column_stack([columns, rows]) + low)
        labels.append(numbered[rows, columns] - 1 + count)
        own.append(cut_out(mask, low, TILE + 1)[rows, columns] > 0)
        count += found - 1
    cell, label, is_own = np.concatenate(cells), np.concatenate(labels), np.concatenate(own)
    order = np.lexsort(cell.T)
    cell, label, is_own = cell[order], label[order], is_own[order]
    again = np.append(False, (cell[1:] == cell[:-1]).all(1))
    same = np.column_stack([label[:-1], label[1:]])[again[1:]]
    label = _united(count, np.unique(same, axis=0))[label]
    keep = is_own & ~again
    cell, label = cell[keep], label[keep]
    order = np.argsort(label, kind="stable")
    return np.split(cell[order], np.flatnonzero(np.diff(label[order])) + 1) if len(cell) else []


def _united(count: int, same: np.ndarray) -> np.ndarray:
    """(count,) the least label that each is the same as; same: (N, 2) pairs."""
    parent = np.arange(count)
    for pair in same.tolist():
        roots = []
        for each in pair:
            while parent[each] != each:
                parent[each] = parent[parent[each]]
                each = int(parent[each])
            roots.append(each)
        parent[max(roots)] = min(roots)
    for each in range(count):  # a parent is never later than its child
        parent[each] = parent[parent[each]]
    return parent
