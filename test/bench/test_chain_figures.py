"""What the chain says of hand-made stamps, and the tables it writes."""

import json
import sys
import time

import numpy as np
import pytest

from bench import chain, chain_table
from depth_perception.frame import BadInput
from depth_perception.geometry import pose

MS = 1_000_000


def sent_and_heard(count, *, lost=()):
    """Images every 10 ms; the depth of image i comes i ms after 20 ms; the engine took 5 ms, the whole node 8."""
    stamps = [10 * MS * i + 7 for i in range(count)]
    arrivals = {str(stamp): stamp + (20 + i) * MS for i, stamp in enumerate(stamps) if i not in lost}
    stages = {str(stamp): {"engine": 5.0, "total": 8.0} for stamp in stamps}
    return {"stamps": stamps, "missed": 3}, arrivals, stages


def test_overhead_is_the_age_less_the_engine_of_the_same_image():
    sent, arrivals, stages = sent_and_heard(11)
    stages[str(sent["stamps"][10])]["engine"] = 30.0  # the slowest was slow because of its engine
    found = chain.figures(sent, arrivals, stages)
    assert found["whole_ms"]["p50"] == pytest.approx(25.0)
    assert found["overhead_ms"]["p50"] == pytest.approx(19.0)  # 0, 15, 16, ..., 24
    assert found["engine_ms"]["p50"] == 5.0 and found["stages_ms"]["total"]["p99"] == 8.0
    assert (found["frames"], found["drops"], found["missed"]) == (11, 0, 3)


def test_drops_are_counted_by_stamp_and_warm_up_images_do_not_count():
    sent, arrivals, stages = sent_and_heard(10, lost={2, 5})
    arrivals["1"] = 10**12  # of an image that was sent to warm up
    found = chain.figures(sent, arrivals, stages)
    assert (found["frames"], found["drops"]) == (10, 2)
    assert found["whole_ms"]["p99"] < 30


def test_an_image_whose_engine_time_is_unknown_has_no_overhead():
    sent, arrivals, stages = sent_and_heard(4)
    del stages[str(sent["stamps"][3])]
    found = chain.figures(sent, arrivals, stages)
    assert found["overhead_ms"]["p99"] == pytest.approx(np.percentile([15, 16, 17], 99))
    assert found["drops"] == 0


def test_what_no_stage_has_is_taken_image_by_image():
    sent, arrivals, _ = sent_and_heard(3)  # whole: 20, 21, 22 ms
    stages = {str(stamp): {"decode": 1.0, "engine": engine, "scan": 50.0, "total": engine + 1.0 + between}
              for stamp, engine, between in zip(sent["stamps"], (5.0, 5.0, 9.0), (0.25, 8.0, 0.5), strict=True)}
    found = chain.figures(sent, arrivals, stages, threads=True)["stages_ms"]
    assert found["between_threads"]["p50"] == 0.5, "the medians of total and stages would say 8.5"
    assert found["in_and_out"]["p50"] == 11.5, "20 - 6.25, 21 - 14 and 22 - 10.5"
    assert {"decode", "engine", "scan", "total"} < set(found)
    alone = chain.figures(sent, arrivals, stages)["stages_ms"]
    assert "between_threads" not in alone and alone["in_and_out"] == found["in_and_out"]
    del stages[str(sent["stamps"][0])]["total"]
    assert chain.figures(sent, arrivals, stages)["stages_ms"]["in_and_out"]["p50"] == 9.25, "of the two images that have a total"


def test_what_else_the_machine_did_is_the_most_of_any_row():
    for kind in ("results", "with_clouds", "transport"):
        found = measured(row("ours", 2.0)) | {"with_clouds": [row("ours", 2.0, clouds=True)]}
        found[kind] = [*found[kind], row("tutorial_profile" if kind != "transport" else "profile", 3.0, others_cpu_seconds=9.0)]
        assert "All else on the machine took at most 0.50 of a core in any row." in chain_table.tables(found), kind


@pytest.mark.parametrize("users", ["FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"])
def test_the_users_own_profile_is_in_no_row(monkeypatch, users):
    monkeypatch.setenv(users, "/home/user/mine.xml")
    monkeypatch.setattr(chain.transport, "private_domain", lambda: 42)
    with_ours, as_it_comes = chain.environment(profile=True), chain.environment(profile=False)
    shipped = str(chain.share_directory() / "config" / "fastdds_loopback.xml")
    assert {name: value for name, value in with_ours.items() if "PROFILES_FILE" in name} == dict.fromkeys(
        chain.transport.profile_variables(), shipped)
    assert not [name for name in as_it_comes if "PROFILES_FILE" in name]
    assert with_ours["ROS_DOMAIN_ID"] == as_it_comes["ROS_DOMAIN_ID"] == "42"


def test_where_nothing_comes_there_are_no_figures():
    sent, _, stages = sent_and_heard(4)
    found = chain.figures(sent, {}, stages)
    assert found["overhead_ms"] is None and found["whole_ms"] is None and found["stages_ms"] == {}
    assert found["drops"] == 4


def test_the_lidar_looks_where_the_camera_looks():
    numbers = np.array(json.loads(chain.T_CAMERA_LIDAR))
    T = pose.from_quaternion(numbers[:3], numbers[3:])
    assert T[:3, :3] @ [1, 0, 0] == pytest.approx([0, 0, 1]) and T[:3, :3] @ [0, 0, 1] == pytest.approx([0, -1, 0])


STAGES = {"engine": {"p50": 9.0}, "total": {"p50": 9.5}, "in_and_out": {"p50": 2.25}}


def row(who, p50, **more):
    three = {"p50": p50, "p90": p50 + 1, "p99": p50 + 2}
    return {"rate_hz": 30.0, "size": "1242x375", "who": who, "clouds": False, "overhead_ms": three, "whole_ms": three | {"p50": p50 + 9},
            "engine_ms": three | {"p50": 9.0}, "stages_ms": STAGES, "drops": 1, "missed": 0,
            "frames": 540, "seconds": 18.0, "cpu_seconds": {"node": 9.0}, "rss_mb": {"node": 123.4}, "others_cpu_seconds": 0.9} | more


def measured(*rows):
    about = {"name": "chain", "machine": {"cpu": "a CPU", "cores": 2}, "versions": {"numpy": "2"}, "commit": "abc"}
    return about | {"results": list(rows), "transport": [row("default", 14.0)]}


def test_the_table_tells_ratio_drops_and_cpu(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{chain_table.BEGIN}\nold\n{chain_table.END}\nafter\n")
    ours = row("ours", 2.0, stages_ms=STAGES | {"between_threads": {"p50": 0.125}})
    chain_table.write(page, measured(ours, row("tutorial_default", 30.0)))
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n") and "old" not in text
    assert "| 30 | tutorial, Fast DDS as it comes | 30.00 / 31.00 / 32.00 | 15.0 | 39.00 | 9.00 | 1 of 540 | 0 | 50% | 123 |" in text
    assert "| from thread to thread | 0.12 |  |" in text, "the tutorial's node has one thread"
    assert "| on the way in and out | 2.25 | 2.25 |" in text
    assert "| between_threads |" not in text and "| in_and_out |" not in text, "said once"
    assert "0.05 of a core" in text
    chain_table.write(page, measured(row("ours", 2.0)))  # and again
    assert "tutorial, Fast DDS as it comes" not in page.read_text()


def test_the_table_has_the_clouds_beside_and_what_decoding_them_takes():
    stages = STAGES | {"scan": {"p50": 0.77}, "between_threads": {"p50": 0.25}}
    with_clouds = [row("ours", 3.0, clouds=True, stages_ms=stages), row("tutorial_profile", 6.0, clouds=True)]
    text = chain_table.tables(measured(row("ours", 2.0)) | {"with_clouds": with_clouds})
    before, beside = text.split("### 1242x375, with a LiDAR's clouds of 120 k points at about 10 Hz")
    beside, after = beside.split("### Where the time goes")
    assert "| 30 | tutorial, our profile | 6.00 / 7.00 / 8.00 | 2.0 |" in beside
    assert "| from thread to thread | 0.25 |  |" in beside
    assert "| beside: decoding a cloud | 0.77 |  |" in beside
    assert "decoding a cloud" not in before + after
    failed = {"rate_hz": 30.0, "size": "1242x375", "who": "ours", "error": "why"}
    assert "failed: why" in chain_table.tables(measured(row("ours", 2.0)) | {"with_clouds": [failed]})


def test_a_row_without_depth_and_one_that_failed_are_in_the_table():
    nothing = row("tutorial_default", 1.0, overhead_ms=None, whole_ms=None, engine_ms=None, stages_ms={})
    failed = {"rate_hz": 30.0, "size": "1242x375", "who": "tutorial_profile", "error": "node ended with code 1: why"}
    text = chain_table.tables(measured(row("ours", 2.0), nothing, failed))
    assert "nothing came" in text and "failed: node ended with code 1: why" in text
    assert len({line.count("|") for line in text.split("### Where")[0].splitlines() if line.startswith("|")}) == 1


B, E = chain_table.BEGIN, chain_table.END


@pytest.mark.parametrize("text", ["no markers", B, f"{E}\n{B}", f"{B}{E}{E}"])
def test_a_page_without_both_markers_is_left_alone(tmp_path, text):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(BadInput, match="once and in this order"):
        chain_table.write(page, measured(row("ours", 2.0)))
    assert page.read_text() == text


def test_the_page_in_the_docs_has_the_markers():
    chain_table.check(chain.ROOT / "docs" / "latency.md")


def test_a_process_that_dies_is_a_sentence_and_the_row_says_so(tmp_path, capsys):
    says = [sys.executable, "-c", "raise SystemExit('no camera here')"]
    waits = [sys.executable, "-c", "import time; time.sleep(60)"]

    def measure(who, **_):
        with chain.Run(tmp_path, {"node": says, "publisher": waits}, {}) as run:
            run.wait("publisher", 30)

    found = chain.attempted(measure, "ours", rate=30.0, size="1242x375", seconds=1.0)
    assert found == {"rate_hz": 30.0, "size": "1242x375", "who": "ours", "error": "node ended with code 1: no camera here"}
    assert "attempt 2" in capsys.readouterr().err
    found = chain.attempted(measure, "profile", rate=30.0, size="1242x375", seconds=1.0, labels=chain.CLOUDS)
    assert found == {"rate_hz": 10.0, "size": "120000 points", "who": "profile", "error": "node ended with code 1: no camera here"}
    said = capsys.readouterr()
    assert "profile 10 Hz 120000 points, attempt 2" in said.err and "1242x375" not in said.err + said.out


def test_what_the_processes_took_is_read_between_the_two_times(tmp_path):
    busy = [sys.executable, "-c", "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: sum(range(10000))"]
    with chain.Run(tmp_path, {"node": busy}, {}) as run:
        while len(run.seen) < 8:
            time.sleep(0.01)
        begun, ended = run.seen[2][0], run.seen[7][0]
        found = run.usage(begun, ended)
    assert found["seconds"] == pytest.approx((ended - begun) * 1e-9, abs=0.01)
    assert 0 <= found["cpu_seconds"]["node"] <= found["seconds"] + 0.05
    assert found["rss_mb"]["node"] > 1 and found["others_cpu_seconds"] >= 0
    with pytest.raises(BadInput, match="nothing was seen"):
        run.usage(0, 1)


@pytest.mark.parametrize("words", [["--sizes", "wide"], ["--sizes", "4x4"], ["--who", "nobody"], ["--rates", "fast"]])
def test_words_that_make_no_sense_end_it(words):
    with pytest.raises(SystemExit) as error:
        chain.main(words)
    assert error.value.code == 2


def test_too_short_is_refused_before_anything_runs(tmp_path):
    with pytest.raises(BadInput, match="at least 1"):
        chain.main(["--seconds", "0.1", "--out", str(tmp_path)])
    with pytest.raises(BadInput, match="cannot be read"):
        chain.main(["--docs", str(tmp_path / "nowhere.md"), "--out", str(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_the_gate_reads_what_the_chain_writes(tmp_path):
    from bench import gate

    file = tmp_path / "chain.json"
    file.write_text(json.dumps(measured(row("ours", 2.0, drops=0), row("tutorial_default", 30.0), row("tutorial_profile", 5.0))))
    bounds = tmp_path / "bounds.json"
    only = [bound for bound in json.loads(gate.BOUNDS.read_text())["ratios"] if bound["size"] == "1242x375" and bound["rate_hz"] == 30]
    bounds.write_text(json.dumps({"ratios": only, "drops": [{"rate_hz": 30, "size": "1242x375", "at_most": 0.0}]}))
    assert len(only) >= 2
    assert gate.main([str(file), "--bounds", str(bounds)]) == 0
