"""The gate: each bound broken by hand, and all that hold."""

import json

import pytest

from bench import gate

ROW = {"rate_hz": 30, "size": "1242x375"}
BOUNDS = {
    "ratios": [ROW | {"figure": "overhead_ms", "percentile": "p50", "than": "tutorial_default", "at_least": 10.0}],
    "drops": [ROW | {"at_most": 0.01}],
}


def run(ours=2.0, theirs=30.0, drops=0, **more):
    """A chain.json with one row of each."""
    rows = [{"who": who, "rate_hz": 30.0, "size": "1242x375", "overhead_ms": p50 and {"p50": p50}, "drops": drops, "frames": 540}
            for who, p50 in (("ours", ours), ("tutorial_default", theirs))]
    return {"results": rows} | more


def test_a_good_run_passes():
    assert gate.broken(run(), BOUNDS) == []


def test_a_ratio_that_is_just_reached_holds_and_one_just_missed_does_not():
    assert gate.broken(run(ours=3.0, theirs=30.0), BOUNDS) == []
    (said,) = gate.broken(run(ours=3.0, theirs=29.9), BOUNDS)
    assert said == ("30 Hz, 1242x375: wanted overhead_ms.p50 at least 10 times as good as tutorial_default, got 9.97 (29.90 over 3.00 ms)")


def test_drops_are_a_share():
    assert gate.broken(run(drops=5), BOUNDS) == []
    assert gate.broken(run(drops=6), BOUNDS) == ["30 Hz, 1242x375: wanted at most 1.0% of our images dropped, got 6 of 540"]


def test_what_never_arrives_is_the_worst():
    assert gate.broken(run(theirs=None), BOUNDS) == []
    assert gate.broken(run(ours=None), BOUNDS) == ["30 Hz, 1242x375: no depth of ours arrived"]


def test_not_a_number_does_not_pass():
    assert len(gate.broken(run(ours=float("nan")), BOUNDS)) == 1


@pytest.mark.parametrize("missing", [0, 1])
def test_a_bound_without_its_rows_is_broken(missing):
    found = run()
    who = found["results"].pop(missing)["who"]
    said = gate.broken(found, BOUNDS)
    assert said[0] == f"30 Hz, 1242x375: wanted overhead_ms.p50 of {who}, but the run has no such row"
    assert len(said) == (2 if who == "ours" else 1)  # its drops are missing as well


def test_a_row_that_failed_is_broken_and_says_why():
    found = run()
    found["results"][1] = {"who": "tutorial_default", "rate_hz": 30.0, "size": "1242x375", "error": "node ended"}
    assert gate.broken(found, BOUNDS)[0].endswith("the run has no such row (node ended)")


def test_exit_codes_and_sentences(tmp_path, capsys):
    good, bad, bounds = (tmp_path / name for name in ("good.json", "bad.json", "bounds.json"))
    good.write_text(json.dumps(run()))
    bad.write_text(json.dumps(run(drops=100)))
    bounds.write_text(json.dumps(BOUNDS))
    assert gate.main([str(good), "--bounds", str(bounds)]) == 0
    assert capsys.readouterr().out == "gate: all 2 bounds hold\n"
    assert gate.main([str(bad), "--bounds", str(bounds)]) == 2
    assert capsys.readouterr().err == "gate: 30 Hz, 1242x375: wanted at most 1.0% of our images dropped, got 100 of 540\n"
    assert gate.main([str(tmp_path / "none.json")]) == 2
    assert "none.json cannot be read" in capsys.readouterr().err


def test_a_broken_floor_is_a_regression_and_a_missed_target_alone_is_not(tmp_path, capsys):
    run_file, bounds_file = tmp_path / "chain.json", tmp_path / "bounds.json"
    floors = {"ratios": [BOUNDS["ratios"][0] | {"at_least": 4.0}], "drops": [ROW | {"at_most": 0.01}]}
    bounds_file.write_text(json.dumps(BOUNDS | {"floors": floors}))

    def judged(**of):
        run_file.write_text(json.dumps(run(**of)))
        return gate.main([str(run_file), "--bounds", str(bounds_file)]), capsys.readouterr()

    assert judged(ours=3.0) == (0, ("gate: all 4 bounds hold\n", ""))
    code, said = judged(ours=7.5)  # four times as good: what was reached, not what was aimed at
    assert (code, said.err.count("\n"), "regression" in said.err) == (2, 1, False)
    code, said = judged(ours=7.6)
    assert code == 3
    regression, missed = said.err.splitlines()
    wanted = "30 Hz, 1242x375: wanted overhead_ms.p50 at least {} times as good as tutorial_default, got 3.95"
    assert regression.startswith(f"gate: regression: {wanted.format(4)}")
    assert missed.startswith(f"gate: {wanted.format(10)}")
    drops = "gate: regression: 30 Hz, 1242x375: wanted at most 1.0% of our images dropped, got 6 of 540\n"
    assert judged(ours=3.0, drops=6) == (3, ("", drops)), "what is target and floor is said once"


def published():
    """The rows of docs/latency.md as a chain.json has them."""
    who = {"**ours**": "ours", "tutorial, Fast DDS as it comes": "tutorial_default", "tutorial, our profile": "tutorial_profile"}
    rows, size = [], ""
    for line in (gate.BOUNDS.parents[1] / "docs" / "latency.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("### "):
            size = line.removeprefix("### ")
        elif len(cells) == 10 and cells[1] in who:
            drops, frames = map(int, cells[6].split(" of "))
            p50 = float(cells[2].split(" / ")[0])
            rows.append({"who": who[cells[1]], "rate_hz": float(cells[0]), "size": size, "overhead_ms": {"p50": p50}, "drops": drops,
                         "frames": frames})
    return {"results": rows}


def test_the_floors_of_the_repository_are_those_of_every_published_row():
    floors = json.loads(gate.BOUNDS.read_text())["floors"]
    wanted = {(than, rate, size) for than in ("tutorial_default", "tutorial_profile") for rate in (10, 30, 60)
              for size in ("1242x375", "1920x1080")}
    assert {(bound["than"], bound["rate_hz"], bound["size"]) for bound in floors["ratios"]} == wanted
    assert {(bound["rate_hz"], bound["size"]) for bound in floors["drops"] if bound["at_most"] == 0} == {
        (10, "1242x375"), (30, "1242x375"), (60, "1242x375"), (10, "1920x1080"), (30, "1920x1080")}
    found = published()
    assert gate.broken(found, floors) == []
    at = {(row["who"], row["rate_hz"], row["size"]): row for row in found["results"]}
    for bound in floors["ratios"]:
        ours, theirs = (at[who, bound["rate_hz"], bound["size"]]["overhead_ms"] for who in ("ours", bound["than"]))
        ours["p50"] = max(ours["p50"], 1.01 * theirs["p50"] / bound["at_least"])
    for (who, _, _), row in at.items():
        row["drops"] = int(who == "ours")
    assert len(gate.broken(found, floors)) == len(floors["ratios"]) + len(floors["drops"]), "a little worse than each breaks each"


def test_the_bounds_in_the_repository_want_us_better_than_both_and_without_drops():
    bounds = json.loads(gate.BOUNDS.read_text())
    at = {(bound["than"], bound["rate_hz"], bound["size"]): bound["at_least"] for bound in bounds["ratios"]}
    assert at["tutorial_default", 30, "1242x375"] > at["tutorial_profile", 30, "1242x375"] >= 1
    assert any((bound["rate_hz"], bound["size"], bound["at_most"]) == (30, "1242x375", 0.0) for bound in bounds["drops"])
