"""WIDTHxHEIGHT on a bench's command line."""

from __future__ import annotations

import argparse


def image_size(word: str) -> str:
    """The word itself; argparse tells why it is none, in one sentence and with exit code 2."""
    width, _, height = word.partition("x")
    if not all(side.isascii() and side.isdecimal() and 16 <= int(side) <= 8192 for side in (width, height)):
        raise argparse.ArgumentTypeError(f"wanted WIDTHxHEIGHT, such as 1242x375, got {word!r}")
    return word
