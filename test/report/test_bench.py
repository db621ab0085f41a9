"""report.bench: which age belongs to which engine's time, whatever was lost, and what a row shows."""

import math
from types import SimpleNamespace

import pytest

from depth_perception.report import bench


def heard(events):
    """An observer that has heard these: (stamp, age in ms) of depths, and engine's ms alone of latencies, which have no stamp."""
    observer = SimpleNamespace(depth_stamps=[], depth_ages_ms=[], latencies=[], latency_stamps=[])
    for event in events:
        if isinstance(event, tuple):
            observer.depth_stamps.append(event[0])
            observer.depth_ages_ms.append(event[1])
        else:
            observer.latencies.append({"engine": event})
            observer.latency_stamps.append(observer.depth_stamps[-1] if observer.depth_stamps else 0)
    return observer


WHOLE = [(1, 11.0), 6.0, (2, 12.0), 6.5, (3, 13.0), 7.0, (4, 14.0), 7.5]
OVERHEADS = {1: 5.0, 2: 5.5, 3: 6.0, 4: 6.5}


def test_each_image_has_its_own_engine_time():
    assert bench.overheads(heard(WHOLE)) == OVERHEADS


@pytest.mark.parametrize(("lost", "images"), [([2], [2]), ([3], [2]), ([2, 5], [2, 3]), ([2, 7], [2, 4]), ([0], [1])])
def test_what_is_lost_costs_its_own_image_and_no_other(lost, images):
    """Events 2k are depths, 2k + 1 the latencies after them; with [2, 5] one of each is lost, of different images."""
    found = bench.overheads(heard([event for at, event in enumerate(WHOLE) if at not in lost]))
    assert found == {stamp: ms for stamp, ms in OVERHEADS.items() if stamp not in images}


def test_the_table_has_the_share_of_a_core():
    figures = {"start_to_active_s": 1.4, "frames": 200, "dropped": 1, "rss_mb": 301.0, "cpu_share": 0.54}
    head, line = bench.table([{"overhead_ms": {"p50": 3.5, "p99": 5.25}, **figures}]).splitlines()
    assert head.split("  ")[-1] == "CPU of node"
    assert line.split() == ["1", "3.50", "/", "5.25", "1.40", "200", "1", "301", "54%"]


def test_the_share_is_that_of_the_time_in_which_depths_came():
    rehearsal = pytest.importorskip("depth_perception.nodes.rehearsal")
    assert rehearsal.cpu_share([(1, 100.0, 3.0), (5, 100.5, 3.25), (40, 104.0, 5.0)]) == 0.5
    assert math.isnan(rehearsal.cpu_share([(1, 100.0, 3.0)]))
