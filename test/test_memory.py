"""memory: what a process keeps, and what it lets go."""

import gc
import subprocess
import sys
import weakref

from depth_perception.memory import given_out_mb, spare_the_collector, take_ahead


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


def test_what_is_given_out_is_counted_and_holes_are_not():
    before = given_out_mb()
    assert before is not None and before > 1
    held = [bytes(3_000_000) for _ in range(4)]
    assert abs(given_out_mb() - before - 12) < 0.5
    del held
    assert abs(given_out_mb() - before) < 0.5


AHEAD = """
import threading
from pathlib import Path
from depth_perception.memory import given_out_mb, keep_freed_memory, share_one_heap, take_ahead

def rss_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 1e6

keep_freed_memory()
share_one_heap()
given_out_mb(), rss_mb()
before, out = rss_mb(), given_out_mb()
take_ahead(24.0)
with_ahead = rss_mb()
take_ahead(24.0)
again = rss_mb()
most = []

def work():  # a thread of its own asks for more at once than it ever had
    held = [bytearray(b"x" * 2_000_000) for _ in range(5)]
    most.append(rss_mb())

thread = threading.Thread(target=work)
thread.start()
thread.join()
print(with_ahead - before, again - with_ahead, most[0] - again, given_out_mb() - out)
"""


def test_what_is_taken_ahead_serves_every_thread_and_is_found_again():
    said = subprocess.run([sys.executable, "-c", AHEAD], capture_output=True, text=True, check=True).stdout
    ahead, again, thread, given_out = map(float, said.split())
    assert 23 < ahead < 26
    assert abs(again) < 0.5, "the second time it is what the first has freed"
    assert thread < 1.5, "ten megabytes and the copies they were made of came out of it: a thread's own stack is all that is new"
    assert abs(given_out) < 0.5


def test_nothing_is_taken_ahead_for_good():
    before = given_out_mb()
    take_ahead(8.0)
    assert abs(given_out_mb() - before) < 0.5
