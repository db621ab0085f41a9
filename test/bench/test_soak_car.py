"""The drivers of the soak's car: which are there when."""

import pytest

from bench import soak_car


def course(minutes, rate=30, minute_s=60.0):
    """What is done to the publishers of all topics: ((minute, share), what, name), and how many drivers ended."""
    done, ended, now = [], 0, None
    publishers = {name: name for names, _ in soak_car.DRIVERS for name in names}
    for number in range(round(minutes * minute_s * rate)):
        now = divmod(number / rate / minute_s, 1)
        ended += soak_car.follow(*now, publishers, make=lambda name: done.append((now, "made", name)) or name,  # noqa: B023
                                 end=lambda name: done.append((now, "ended", name)))  # noqa: B023
    return done, ended, publishers


def test_every_second_silence_is_a_restart_and_the_new_publishers_have_the_rest_of_it_to_be_found():
    done, ended, publishers = course(4)
    assert ended == 4 and set(publishers) == {"camera_info", "image", "points"}
    assert [(minute, what, name) for (minute, _), what, name in done] == [
        (minute, what, name) for minute in (1, 3) for names in (("camera_info", "image"), ("points",)) for what in ("ended", "made")
        for name in names]
    shares = [share for (minute, share), _, name in done if minute == 1 and name != "camera_info"]
    assert shares == pytest.approx([0.30, 0.34, 0.60, 0.65], abs=0.001)
    for (_, share), _, name in done:
        silent = soak_car.LIDAR_SILENT if name == "points" else soak_car.CAMERA_SILENT
        assert silent[0] <= share < silent[1], "nothing would be sent at that time"


def test_without_minutes_no_driver_ends():
    publishers = {"image": 1}
    assert soak_car.follow(0.0, 0.0, publishers | {"camera_info": 1, "points": 1}, make=pytest.fail, end=pytest.fail) == 0
