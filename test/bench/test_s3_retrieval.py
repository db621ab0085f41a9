"""By how much clouds are turned is said at the door."""

import argparse

import pytest

from bench.s3_retrieval import turn


def test_a_turn_is_degrees_and_metres():
    assert turn("3,1") == (3.0, 1.0)


@pytest.mark.parametrize("text", ["3", "3,1,2", "a,b", "-1,0", "0,51", "nan,1"])
def test_another_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        turn(text)
