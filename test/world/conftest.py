"""A straight, flat, empty street that tests put things into."""

import numpy as np
import pytest

from depth_perception.world.mesh import merge
from depth_perception.world.paint import Paint
from depth_perception.world.road import Road, ground
from depth_perception.world.street import GroundLook, Street
from depth_perception.world.styles import Styles


def straight_road(**changes) -> Road:
    s = np.arange(-120.0, 260.0, 0.5)
    fields = {
        "s": s,
        "x": s,
        "y": 0 * s,
        "heading": 0 * s,
        "lanes": (1, 1),
        "lane_width": 3.5,
        "parking": 0.0,
        "sidewalk": 2.0,
        "kerb": 0.0,
        "crossings": np.zeros((0, 2)),
        "hills": np.zeros((0, 4)),
    }
    return Road(**{**fields, **changes})


def empty_street(*meshes, paint: Paint | None = None, boxes=(), actors=(), styles: Styles | None = None, **road) -> Street:
    grey = np.full(3, 0.2, np.float32)
    cover = (np.zeros(1), np.zeros(1, np.int64))
    look = GroundLook(
        asphalt=grey, pavement=grey, slab=0.5, grass=grey, earth=grey, cover=(cover, cover), strip=0.0, rough=0.1, stains=0.1, cracks=0.0
    )
    if styles is None:
        styles = Styles(np.random.default_rng(0))
        styles.add((0.5, 0.5, 0.5))
    way = straight_road(**road)
    return Street(
        way,
        paint or Paint((), (), np.ones(3, np.float32), 0.0),
        look,
        merge([ground(way), *meshes]),
        tuple(boxes),
        tuple(actors),
        styles.table(),
    )


@pytest.fixture
def street_of():
    return empty_street
