"""Masks in tiles: the same answers as one raster of everything, in the memory of what is there."""

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.geometry import tiles
from depth_perception.geometry.tiles import TILE

WIDE = 3  # tiles across a raster that is cut into tiles


def in_tiles(raster, first=(0, 0)):
    """A raster as tiles, without the empty ones; first: column and row of its corner's tile."""
    out = {}
    for row in range(len(raster) // TILE):
        for column in range(raster.shape[1] // TILE):
            tile = raster[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE] > 0
            if tile.any():
                out[column + first[0], row + first[1]] = tile
    return out


def as_sets(pieces):
    return {frozenset(map(tuple, piece.tolist())) for piece in pieces}


@st.composite
def rasters(draw):
    """Bars and dots, many of them across the edges of tiles."""
    raster = np.zeros((WIDE * TILE, WIDE * TILE), np.uint8)
    at_an_edge = st.builds(lambda k, d: k * TILE + d, st.integers(1, WIDE - 1), st.integers(-3, 3))
    place = st.one_of(st.integers(0, WIDE * TILE - 1), at_an_edge)
    for _ in range(draw(st.integers(1, 12))):
        begin, end = (draw(place), draw(place)), (draw(place), draw(place))
        cv2.line(raster, begin, end if draw(st.booleans()) else begin, 1, draw(st.sampled_from([1, 1, 2, 5])))
    return raster


@given(rasters(), st.tuples(st.integers(-5, 5), st.integers(-5, 5)))
@settings(max_examples=40, deadline=None)
def test_pieces_are_those_of_one_raster(raster, first):
    count, labels = cv2.connectedComponents(raster)
    wanted = {frozenset(map(tuple, (np.argwhere(labels == k)[:, ::-1] + np.array(first) * TILE).tolist())) for k in range(1, count)}
    found = tiles.pieces(in_tiles(raster, first))
    assert len(found) == len(wanted) and as_sets(found) == wanted
    for piece in found:
        np.testing.assert_array_equal(piece, piece[np.lexsort(piece.T)])


@given(rasters(), st.sampled_from([3, 17, 33]))
@settings(max_examples=20, deadline=None)
def test_closing_is_that_of_one_raster(raster, across):
    check_closing(raster, across)


def test_closing_reaches_beyond_the_next_tile():
    raster = np.zeros((TILE, 3 * TILE), np.uint8)
    raster[100, TILE - 10] = raster[100, 2 * TILE + 10] = 1
    check_closing(raster, TILE + 45)
    assert len(tiles.pieces(in_tiles(raster), tiles.closed(in_tiles(raster), TILE + 45))) == 1


def check_closing(raster, across):
    margin = -(-across // TILE) * TILE  # an edge of the picture closes otherwise than open ground
    wanted = cv2.morphologyEx(np.pad(raster, margin), cv2.MORPH_CLOSE, np.ones((across, across)))
    found = tiles.closed(in_tiles(raster), across)
    shift = margin // TILE
    assert found.keys() == in_tiles(wanted, (-shift, -shift)).keys()
    for key, tile in in_tiles(wanted, (-shift, -shift)).items():
        np.testing.assert_array_equal(found[key], tile)
    for key, tile in in_tiles(raster).items():
        assert not (tile & ~found[key]).any(), "closing takes nothing away"


def test_what_is_joined_is_one_piece_of_its_own_cells():
    raster = np.zeros((TILE, 2 * TILE), np.uint8)
    raster[10:20, TILE - 12 : TILE - 6] = raster[10:20, TILE + 2 : TILE + 8] = raster[200:210, 5:9] = 1
    mask = in_tiles(raster)
    assert sorted(len(piece) for piece in tiles.pieces(mask)) == [40, 60, 60]
    alone, together = sorted(tiles.pieces(mask, tiles.closed(mask, 9)), key=len)
    assert len(alone) == 40 and len(together) == 120
    assert {tuple(cell) for cell in together.tolist()} == {(x, y) for y, x in np.argwhere(raster[:100]).tolist()}


def test_nothing_has_no_pieces():
    assert tiles.pieces({}) == [] and tiles.closed({}, 3) == {}
    assert tiles.pieces({(0, 0): np.zeros((TILE, TILE), bool)}) == []


@pytest.mark.parametrize("low", [(-300, 5), (0, 0), (250, -700)])
def test_a_square_is_cut_out_of_the_tiles(low):
    rng = np.random.default_rng(0)
    raster = rng.random((WIDE * TILE, WIDE * TILE)) < 0.5
    mask = in_tiles(raster)
    del mask[1, 1]
    raster[TILE : 2 * TILE, TILE : 2 * TILE] = False
    padded = np.zeros((5 * TILE + 2000,) * 2, np.uint8)
    padded[1000 : 1000 + WIDE * TILE, 1000 : 1000 + WIDE * TILE] = raster
    x, y = 1000 + low[0], 1000 + low[1]
    np.testing.assert_array_equal(tiles.cut_out(mask, np.array(low), 600), padded[y : y + 600, x : x + 600])


def test_a_long_diagonal_costs_what_it_crosses():
    """50 000 cells along each axis would be a raster of 2.5 GB."""
    cells = np.arange(50_000)
    mask: dict[tuple[int, int], np.ndarray] = {}
    for aside in range(3):
        for x, y in np.column_stack([cells + aside, cells]).tolist():
            mask.setdefault((x // TILE, y // TILE), np.zeros((TILE, TILE), bool))[y % TILE, x % TILE] = True
    tracemalloc.start()
    found = tiles.pieces(mask)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(piece) for piece in found] == [150_000]
    assert peak < 60e6
