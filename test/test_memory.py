"""memory: what a process keeps, and what it lets go."""

import gc
import weakref

from depth_perception.memory import spare_the_collector


class Knot:
    """Refers to itself, as subscriptions and their callbacks do."""

    def __init__(self):
        self.me = self


def test_what_was_spared_and_has_died_since_goes_when_the_collector_is_spared_again():
    try:
        knot = Knot()
        spare_the_collector()
        seen = weakref.ref(knot)
        del knot
        gc.collect()
        assert seen() is not None, "the collector does not look at it any more"
        spare_the_collector()
        assert seen() is None
    finally:
        gc.unfreeze()
