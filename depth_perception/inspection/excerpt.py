"""Parts of a bag, for who cannot decode all of an hour."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np

from depth_perception.bag import Bag

_STRETCH = 100  # images in a row: ten seconds, enough to see a turn begin and end


class Excerpt(Bag):
    """A bag of which `messages` gives only what was logged within spans (first, last) in ns, both included, ascending."""

    def __init__(self, path: str | Path, spans: Sequence[tuple[int, int]]) -> None:
        super().__init__(path)
        self.spans = spans

    def messages(self, topics: Collection[str] | None = None, start_ns: int | None = None) -> Iterator[tuple[str, str, int, bytes]]:
        """As a Bag's."""
        for first, last in self.spans:
            for message in super().messages(topics, first):
                if message[2] > last:
                    break
                yield message


def spans(log_ns: np.ndarray, *, most: int) -> list[tuple[int, int]]:
    """(N,) log times of the images -> stretches spread evenly over the drive that hold at most so many; one, of all, where that is few."""
    log_ns = np.sort(log_ns)
    count = len(log_ns)
    if count <= most:
        return [(0, 2**62)]
    stretches = max(most // _STRETCH, 1)
    length = most // stretches
    firsts = np.linspace(0, count - length, stretches).astype(int) if stretches > 1 else [(count - length) // 2]
    return [(int(log_ns[i]), int(log_ns[i + length - 1])) for i in firsts]
