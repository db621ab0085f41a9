"""nodes.health: which counts are a finding, and what it says."""

from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus

from depth_perception.frame import BadInput
from depth_perception.nodes import diagnostics
from depth_perception.nodes.health import Config, Counts, findings
from depth_perception.nodes.one_source import OneSource

BEFORE = Counts(100.0, images=50, dropped=5, frames=45, skipped=Counter({"old": 3}))


WELL = Config()


def found(config=WELL, *, worked=BEFORE, notes=(), latency_ms=30.0, scale_sigma=0.05, scale_inliers=900, **now):
    counts = {"images": 60, "dropped": 5, "frames": 55, "skipped": BEFORE.skipped} | now
    return findings(
        config,
        BEFORE,
        Counts(101.0, **counts),
        worked=worked,
        notes=list(notes),
        latency_ms=latency_ms,
        scale_sigma=scale_sigma,
        scale_inliers=scale_inliers,
    )


def test_images_that_wait_for_a_calibration_are_not_too_fast():
    assert found(Config(max_drop_share=0.2), dropped=14, frames=45) == []


def test_systems_that_hang_are_named():
    """They took the fiftieth image, and are at it still; the newest of all waits."""
    hung = {"images": 60, "dropped": 15, "frames": 45, "latency_ms": None}
    worked = Counts(98.4, images=46, dropped=1, frames=45)
    assert found(worked=worked, **hung) == ["14 images came in 3 s and not one was finished: the systems hang"]
    assert found(worked=Counts(99.5, images=46, dropped=1, frames=45), **hung) == [], "it may be at a large one"
    assert found(worked=worked, **hung | {"dropped": 14}) == [], "an image was fetched"
    assert not any("hang" in sentence for sentence in found(worked=worked, **hung | {"frames": 46})), "an image was finished"
    assert found(worked=Counts(90.0, images=60, dropped=15, frames=45), **hung) == [], "no image came"


class Reports:
    """Diagnostics of a node once a second, without a node: `source` and `worker` are what it counts."""

    def __init__(self, monkeypatch):
        self.now_s = 0.0
        monkeypatch.setattr(diagnostics, "time", SimpleNamespace(monotonic=lambda: self.now_s))
        node = SimpleNamespace(create_publisher=lambda *of: None, get_logger=lambda: SimpleNamespace(warning=lambda sentence: None))
        self.source = SimpleNamespace(received=0, dropped=0, scans=0, skipped=Counter(), calibrated=True, notes=lambda *a, **k: [])
        scale = SimpleNamespace(value=1.0, sigma=0.05, inliers=900)
        self.worker = SimpleNamespace(frames=0, recent_ms=[], latency_ms=None, scale=scale, notes=[])
        self._diagnostics = diagnostics.Diagnostics(node, lambda: WELL)
        self._diagnostics.start()

    def after_a_second(self, *, images=10, fetched=0, finished=0, has_depth=True):
        self.now_s += 1.0
        self.source.received += images
        self.source.dropped += images - fetched
        self.worker.frames += finished
        return self._diagnostics.driving(self.source, self.worker, [], has_depth=has_depth)[:2]

    def values(self, *, has_depth):
        return self._diagnostics.driving(self.source, self.worker, [], has_depth=has_depth)[2]


def test_a_worker_that_hangs_is_a_warning_until_it_works_again(monkeypatch):
    reports = Reports(monkeypatch)
    assert reports.after_a_second(fetched=10, finished=9) == (DiagnosticStatus.OK, "running")
    assert [reports.after_a_second() for _ in range(2)] == [(DiagnosticStatus.OK, "running")] * 2
    hangs = (DiagnosticStatus.WARN, "30 images came in 3 s and not one was finished: the systems hang")
    assert reports.after_a_second() == hangs
    assert reports.after_a_second(images=0)[1] == "30 images came in 4 s and not one was finished: the systems hang"
    assert reports.after_a_second(fetched=10, finished=10) == (DiagnosticStatus.OK, "running")


def test_nothing_hangs_while_no_calibration_has_come(monkeypatch):
    reports = Reports(monkeypatch)
    reports.source.calibrated = False
    assert [reports.after_a_second() for _ in range(5)] == [(DiagnosticStatus.OK, "running")] * 5
    reports.source.calibrated = True
    assert [reports.after_a_second() for _ in range(3)][-1][1].startswith("30 images came in 3 s and not one was finished")


def test_all_is_well():
    assert found() == []
    assert found(latency_ms=None) == []


@pytest.mark.parametrize(
    ("config", "now", "sentence"),
    [
        (Config(), {"skipped": Counter({"old": 3, "odd": 2})}, "2 skipped: odd"),
        (Config(max_drop_share=0.2), {"dropped": 8}, "3 of 10 images dropped: they come faster than the systems work"),
        (Config(min_rate_hz=10.5), {}, "10.0 depth images a second, wanted 10.5"),
        (Config(max_latency_ms=29), {}, "latency of 30 ms, wanted 29"),
        (
            Config(min_scale_inliers=1),
            {"scale_inliers": 0},
            "0 LiDAR returns agree with the depth, wanted 1: the scale is the network's own, or that of earlier scans",
        ),
        (
            Config(min_scale_inliers=1000),
            {},
            "900 LiDAR returns agree with the depth, wanted 1000: the scale is that of earlier scans",
        ),
        (Config(max_scale_sigma=0.04), {}, "the metric scale is doubtful: sigma 0.05, wanted 0.04"),
    ],
)
def test_what_is_beyond_its_threshold_is_named(config, now, sentence):
    assert found(config, **now) == [sentence]


def test_a_car_without_lidar_is_no_finding():
    assert found(Config(min_scale_inliers=0), scale_inliers=0, scale_sigma=0.5) == []


def test_where_no_depth_runs_nothing_is_missed_of_it():
    assert found(Config(min_rate_hz=20.0), scale_inliers=None, scale_sigma=9.0) == []


def test_a_node_without_depth_has_no_scale(monkeypatch):
    reports = Reports(monkeypatch)
    reports.worker.scale.inliers = 0
    assert reports.after_a_second(fetched=10, finished=10)[1].startswith("0 LiDAR returns agree with the depth")
    assert reports.after_a_second(fetched=10, finished=10, has_depth=False) == (DiagnosticStatus.OK, "running")
    assert {"scale", "scale_sigma", "scale_inliers"} <= reports.values(has_depth=True).keys()
    assert not [name for name in reports.values(has_depth=False) if name.startswith("scale")]


def test_notes_come_first():
    assert found(notes=["no message on /image for 2 s"], latency_ms=900.0) == [
        "no message on /image for 2 s",
        "latency of 900 ms, wanted 500",
    ]


def test_no_image_in_the_time_is_no_division_by_zero():
    assert found(images=50, dropped=5, frames=45, latency_ms=None) == []


def test_thresholds_have_ranges():
    with pytest.raises(BadInput, match=r"health\.silence_s: wanted a number from 0.1 to 3600, got 0"):
        Config(silence_s=0)


def test_one_source_follows_the_first_until_it_falls_silent():
    now = [0.0]
    source = OneSource("/points", clock=lambda: now[0])
    source.check("front")
    now[0] = 0.9
    with pytest.raises(BadInput, match="/points: messages of 'rear' among those of 'front'; one node takes one sensor"):
        source.check("rear")
    source.check("front")
    now[0] = 1.85
    with pytest.raises(BadInput):
        source.check("rear")
    now[0] = 1.95  # the front one has been silent for more than a second: the rear one replaces it
    source.check("rear")
    with pytest.raises(BadInput, match="'front' among those of 'rear'"):
        source.check("front")


def test_a_sensor_that_gets_a_name_is_the_same_one():
    source = OneSource("/camera_info", clock=lambda: 0.0)
    source.check("")
    source.check("front")
    with pytest.raises(BadInput, match="messages of '' among those of 'front'"):
        source.check("")
