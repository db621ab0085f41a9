"""What a soak's verdict says of runs and cycles made by hand."""

import numpy as np
import pytest

from bench import soak, soak_figures, soak_verdict

SECOND = 10**9
RISE, SLOPE = "RSS rises by less than 8 MB after the warm-up", "RSS grows by less than 1 MB/h"
P99 = "p99 at the end within 10 % of the beginning"
GOOD = {"minutes": 60, "hours": 1.0, "warm_up_minutes": 6, "unanswered": 0, "rss_rise_mb": 0.6, "rss_mb_per_h": 0.4,
        "given_out_rise_mb": 0.5, "given_out_mb_per_h": -0.1, "p99_ms_begin": 10.0,
        "p99_ms_end": 10.9, "changes": 4, "changes_taken": 4, "threads": [16, 16], "files": [28, 27]}
CYCLED = "RSS rises by less than 8 MB in the cycles after the warm-up"


def test_what_was_wanted_is_judged():
    assert all(soak_verdict.of_run(GOOD).values())
    nan = float("nan")
    for bad in ({"unanswered": 1}, {"rss_mb_per_h": 1.0}, {"rss_mb_per_h": nan}, {"rss_rise_mb": 8.0}, {"rss_rise_mb": nan},
                {"given_out_mb_per_h": 1.0}, {"given_out_mb_per_h": nan}, {"given_out_rise_mb": 8.0},
                {"p99_ms_end": 11.1}, {"p99_ms_end": nan}, {"changes_taken": 3}, {"threads": [16, 17]}, {"files": [28, 29]}):
        assert [name for name, held in soak_verdict.of_run(GOOD | bad).items() if held is not True] != [], bad
        assert list(soak_verdict.of_run(GOOD | bad).values()).count(False) == 1, bad


def ran(minutes, rss_mb, given_out_mb=lambda at: 60.0):
    """The summary of a run whose memory is this function of the second."""
    seen = [{"at_ns": at * SECOND, "cpu_s": 0.3 * at, "rss_mb": rss_mb(at), "anon_mb": 90.0, "given_out_mb": given_out_mb(at),
             "threads": 16, "files": 28} for at in range(60 * minutes)]
    warm = soak_figures.warmed_up(minutes)
    return GOOD | {"minutes": minutes, "hours": minutes / 60, "warm_up_minutes": warm} | soak_figures.of_process(
        seen, warm_ns=60 * warm * SECOND)


@pytest.mark.parametrize("jump_s", [90, 210, 540])
def test_a_jump_of_200_mb_in_ten_minutes_does_not_hold(jump_s):
    summary = ran(10, lambda at: 260.0 + 200.0 * (at > jump_s))
    assert summary["rss_mb_per_h"] == 0.0, "the slope does not see it"
    assert soak_verdict.of_run(summary)[RISE] is False


def test_in_less_than_half_an_hour_a_step_of_a_buffer_holds_and_the_slope_is_not_asked():
    summary = ran(10, lambda at: 261.6 + 0.8 * (at > 240) + 0.7 * (at > 420))
    assert summary["rss_mb_per_h"] > 1.0
    verdict = soak_verdict.of_run(summary)
    assert verdict[RISE] is True and SLOPE not in verdict and all(verdict.values())
    assert soak_verdict.memory_judged_by(summary) == (
        "RSS is judged by its rise alone: in less than 30 minutes one step of a buffer makes the slope meaningless")
    creeps = ran(30, lambda at: 260.0 + 2.0 * at / 3600)  # 0.9 MB, but on and on
    assert soak_verdict.of_run(creeps)[RISE] is True and soak_verdict.of_run(creeps)[SLOPE] is False
    assert soak_verdict.memory_judged_by(creeps) == "RSS is judged by its rise and by its slope"


def test_a_leak_into_what_was_taken_ahead_does_not_hold():
    verdict = soak_verdict.of_run(ran(60, lambda at: 280.0, lambda at: 60.0 + 3.0 * at / 3600 + at % 7))
    assert verdict[RISE] is True and verdict[SLOPE] is True
    assert verdict["what malloc has given out grows by less than 1 MB/h"] is False
    assert all(soak_verdict.of_run(ran(60, lambda at: 280.0, lambda at: 60.0 + at % 7)).values())


@pytest.mark.parametrize("minutes", [1, 2])
def test_a_run_without_two_minutes_after_its_warm_up_is_too_short_to_tell(minutes):
    verdict = soak_verdict.of_run(ran(minutes, lambda at: 260.0))
    assert verdict[RISE] is None and verdict[P99] is None and verdict["no drops"] is True
    assert soak_verdict.of_run(ran(3, lambda at: 260.0))[RISE] is True


def cycled(cycles, rss_mb):
    seen = [{"rss_mb": float(rss_mb(i)), "anon_mb": 90.0, "threads": 16, "files": 28} for i in range(cycles)]
    return soak_verdict.of_cycles(soak_figures.of_cycles(seen, {}))


def test_cycles_that_jump_or_creep_do_not_hold():
    noise = np.random.default_rng(0).uniform(-2, 2, 100)
    assert set(cycled(100, lambda i: 298 + noise[i]).values()) == {True}
    jumped = cycled(100, lambda i: 298 + noise[i] + 100 * (i >= 70))
    assert jumped[CYCLED] is False
    creeping = cycled(100, lambda i: 298 + 0.1 * i)
    assert creeping["RSS grows by less than 0.05 MB a cycle"] is False and creeping[CYCLED] is True


@pytest.mark.parametrize("cycles", [1, 2, 3, 19])
def test_few_cycles_are_too_short_to_tell_how_memory_grows(cycles):
    verdict = cycled(cycles, lambda i: 271 + i)
    assert [held for name, held in verdict.items() if name.startswith("RSS")] == [None, None]
    assert verdict["no thread or file left behind"] is (None if cycles < 3 else True)
    assert cycled(20, lambda i: 298)[CYCLED] is True


def test_what_cannot_be_told_is_said_and_is_no_success(monkeypatch, short_bag, tmp_path, capsys):
    judged = {"no drops": True, RISE: None}
    monkeypatch.setattr(soak, "soak", lambda bag, **options: {"results": [], "verdict": judged})
    words = ["--bag", str(short_bag), "--cycles", "0", "--out", str(tmp_path)]
    assert soak.main(words) == 1
    said = capsys.readouterr().out
    assert f"too short to tell: {RISE}" in said and "held: no drops" in said
    judged[RISE] = True
    assert soak.main(words) == 0
    assert "too short" not in capsys.readouterr().out
