"""nodes.beside: what a defect of a system costs, and what it does not while the node ends."""

import time
from collections import Counter
from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy")

from depth_perception.nodes import beside


class Broken(beside.Beside):
    """A system with a defect; the log and the skipped are kept."""

    def __init__(self):
        self.logged, self.skipped = [], Counter()
        super().__init__("broken", SimpleNamespace(get_logger=lambda: SimpleNamespace(error=self.logged.append)), lambda: None)

    def skip(self, sentence):
        self.skipped[sentence] += 1
        self._mail.close()

    def reset(self):
        pass

    def wanted(self, outputs):
        return True

    def step(self, seen, outputs):
        raise RuntimeError("context is not valid")

    def see_one(self):
        """One frame, until the thread has ended by itself."""
        self.start(self, None)
        self.put(beside.Seen(None, time.perf_counter()))
        self._thread.join(20)
        assert not self._thread.is_alive()


def test_a_defect_costs_a_frame_and_is_told(monkeypatch):
    monkeypatch.setattr(beside.rclpy, "ok", lambda: True)
    system = Broken()
    system.see_one()
    assert system.skipped == {"broken: internal error: RuntimeError: context is not valid": 1}
    (traceback,) = system.logged
    assert traceback.endswith("RuntimeError: context is not valid\n")


def test_what_breaks_as_the_node_is_told_to_stop_is_no_defect(monkeypatch):
    monkeypatch.setattr(beside.rclpy, "ok", lambda: False)
    system = Broken()
    system.see_one()
    assert (system.logged, system.skipped) == ([], {})


class Listened(Broken):
    """A system that finds something wrong with every frame, while somebody listens."""

    listened = True

    def wanted(self, outputs):
        return self.listened

    def step(self, seen, outputs):
        self.said = ["something is wrong"]
        self._mail.close()
        return True

    def until_silent(self, patience_s=20.0):
        end = time.monotonic() + patience_s
        while self.said and time.monotonic() < end:
            time.sleep(0.01)
        return not self.said


def test_what_was_wrong_is_not_said_for_ever():
    system = Listened()
    system.see_one()
    assert system.said
    system.stop()
    system.start(system, None)
    assert system.said == [], "a new start"
    system.said = ["something is wrong"]
    system.listened = False
    system.put(beside.Seen(None, time.perf_counter()))
    assert system.until_silent(), "nobody listens, and nobody looks any more"
    system.stop()
