"""Whether a node that drives for long stays as it was: its rate, latency and memory, under what happens to a car.

    python -m bench.soak --minutes 10 [--rate 30] [--bag BAG] [--systems depth] [--cycles 100] [--out out/bench]

A drive is played over and over by a process of its own, over real DDS on the loopback with the shipped transport: images stamped as they
are sent, each with its CameraInfo, and scans at a third of their rate, best effort, as drivers send them. Every minute the camera is silent
for a while, then the LiDAR, and twice a parameter is changed. The `drive` node runs in a second process, and this one, a third, listens to
everything it says: a frame's latency is the time from its image's stamp to the arrival of its depth. An image whose depth never came is a
drop. A latency that rises may be the machine's: the camera's process measures, while the camera is silent, how long a fixed piece of work
takes, the yardstick. In every second minute a silence is a driver that restarts: its publishers are gone, and others come in their place.

RSS, CPU seconds, threads and file descriptors are the node's own, read once a second; what its malloc has given out and not got back
(`given_out_mb`) is what it says on /diagnostics: a node takes some memory ahead, and what leaks into that would not be seen in RSS. The
rise of either is that from the first to the last tenth after the warm-up; its slope is the median of the slopes between any two moments of
that time (Theil and Sen), which no jump moves. In ten minutes one step of an image's buffer is megabytes an hour: less than half an hour is
judged by the rise alone.

Then a second node is taken through configure, activate, deactivate and cleanup by its lifecycle services, --cycles times; in each cycle it
must answer an image.

JSON: --out/soak.json, written when the minutes are over and again after the cycles: a cycle that fails costs the cycles alone. The exit
code is 1 when something that was wanted has not held, or the soak was too short to tell, and 2 with one sentence for a bag that cannot be
played.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from bench import soak_verdict
from bench.soak_drive import looked_at, running
from bench.soak_figures import at_both_ends, by_minute, memory_over_time, of_cycles, of_process, percentile, warmed_up
from depth_perception.frame import BadInput
from depth_perception.memory import spare_the_collector

# At which shares of a minute one of these parameters is changed, to its second value and back.
CHANGES = (0.15, 0.80)
CHANGED = {"depth.max_depth_m": (80.0, 100.0), "depth.scan_points": (6000, 8000)}


def soak(bag: str, *, minutes: float, rate: float, systems: str = "depth", minute_s: float = 60.0, model: str | None = None,
         parameters: dict[str, Any] | None = None, say: Callable[[str], object] = lambda sentence: None) -> dict[str, Any]:
    """So many minutes of `minute_s` at so many images a second: {"results": rows of `by_minute`, "summary", "verdict"}."""
    seen: list[dict[str, float]] = []
    told: set[str] = set()
    with running(bag, systems=systems, model=model, parameters=parameters or {}) as drive:
        observer = drive.observer
        drive.until(lambda: observer.active, "the node to become active")
        drive.set("depth.max_depth_m", CHANGED["depth.max_depth_m"][1])  # the client and the service have met before the car starts
        spare_the_collector()
        drive.start_car(rate=rate, seconds=minutes * minute_s, minute_s=minute_s)
        drive.until(lambda: observer.depth_stamps, "the first depth")
        begun, last_look, changes, answers, said = time.monotonic(), 0.0, 0, [], 0
        while not drive.report.is_file():
            before = len(observer.depth_stamps)
            drive.spin(0.02)
            # Only when a depth has just come: another one that came while we looked would seem late.
            if time.monotonic() - last_look > (1.0 if len(observer.depth_stamps) > before else 1.5) * min(1.0, minute_s / 10):
                last_look = time.monotonic()
                seen.append(looked_at(drive.node.pid) | {"given_out_mb": drive.given_out_mb, "at_ns": time.time_ns()})
                told.add("".join(letter for letter in observer.message if not letter.isdigit()))
                minute, share = divmod((last_look - begun) / minute_s, 1)
                if changes < len(CHANGES) * int(minute) + sum(share > at for at in CHANGES):
                    name = list(CHANGED)[changes % len(CHANGED)]
                    answers.append(drive.set(name, CHANGED[name][changes // len(CHANGED) % 2]))
                    changes += 1
                if minute > said:
                    said = int(minute)
                    say(f"{said} of {minutes:g} minutes, {len(observer.depth_stamps)} depths, RSS {seen[-1]['rss_mb']:.1f} MB")
        quiet = time.monotonic()
        while time.monotonic() - quiet < 2.5:  # for the last answers, and for a report that has counted them
            drive.spin(0.05)
        car, status = json.loads(drive.report.read_text()), observer.status
        arrived, ages = np.array(observer.depth_stamps, np.int64), np.array(observer.depth_ages_ms)
        engine = float(np.median([row["engine"] for row in observer.latencies])) if observer.latencies else float("nan")
    sent = np.array(car["images"], np.int64)
    yardstick = np.array(car["yardstick"]).reshape(-1, 2)
    rows = by_minute(sent, arrived, ages, seen, yardstick, begun_ns=car["begun_ns"], minute_s=minute_s)
    warm = warmed_up(len(rows))
    course = {"begun_ns": car["begun_ns"], "minute_s": minute_s, "minutes": len(rows), "warm_up": warm}
    p99 = at_both_ends(arrived, ages, 99, **course)
    lengths = at_both_ends(yardstick[:, 0], yardstick[:, 1], 50, **course)
    summary = {
        "minutes": len(rows), "hours": round(len(rows) * minute_s / 3600, 4), "restarts": car["restarts"],
        "sent": len(sent), "scans": car["scans"], "unanswered": int(sum(row["unanswered"] for row in rows)),
        "dropped_by_node": int(status.get("dropped", 0)), "skipped_by_node": int(status.get("skipped", 0)),
        "images_at_node": int(status.get("images", 0)), "told": sorted(told), "car_late_ms_p99": round(car["late_ms_p99"], 3),
        "changes": changes, "changes_taken": sum(answer.done() and answer.result().results[0].successful for answer in answers),
        "latency_ms_p50": percentile(ages, 50), "latency_ms_p99": percentile(ages, 99), "engine_ms_p50": round(engine, 3),
        "warm_up_minutes": warm, "p99_ms_begin": p99[0], "p99_ms_end": p99[1],
        "yardstick_ms_begin": lengths[0], "yardstick_ms_end": lengths[1],
        **of_process(seen, warm_ns=car["begun_ns"] + round(warm * minute_s * 1e9)),
    }
    return {"results": rows, "summary": summary, "memory": soak_verdict.memory_judged_by(summary), "verdict": soak_verdict.of_run(summary),
            "series": {"s, rss_mb, anon_mb, given_out_mb": memory_over_time(seen, begun_ns=car["begun_ns"])}}


def cycled(bag: str, *, cycles: int, systems: str = "depth odometry bev", model: str | None = None,
           say: Callable[[str], object] = lambda sentence: None) -> dict[str, Any]:
    """A node configured, activated, deactivated and cleaned up so many times: what is left after each, and the verdict."""
    seen: list[dict[str, float]] = []
    times: dict[str, list[float]] = {}
    with running(bag, systems=systems, model=model, parameters={"autostart": False}) as drive:
        observer = drive.observer
        drive.until(lambda: observer.status.get("state") == "unconfigured", "the node to wait for its manager")
        drive.start_car(rate=10.0, seconds=1e9, minute_s=0.0)
        for cycle in range(cycles):
            for transition in ("configure", "activate", "answer", "deactivate", "cleanup"):
                began = time.monotonic()
                if transition == "answer":
                    count = len(observer.depth_stamps)
                    drive.until(lambda: len(observer.depth_stamps) > count, f"a depth in cycle {cycle + 1}")  # noqa: B023
                else:
                    drive.change_state(transition)
                times.setdefault(transition, []).append(time.monotonic() - began)
            seen.append(looked_at(drive.node.pid))
            if (cycle + 1) % 10 == 0:
                say(f"{cycle + 1} of {cycles} cycles, RSS {seen[-1]['rss_mb']:.1f} MB")
    summary = of_cycles(seen, times)
    return {"summary": summary, "series": {"rss_mb": [row["rss_mb"] for row in seen]}, "verdict": soak_verdict.of_cycles(summary)}


def simulated(out: Path) -> str:
    """A short drive; made once."""
    from depth_perception.__main__ import main

    bag = out / "simulated_5s"
    if not bag.exists() and main(["simulate", "--seconds", "5", "--seed", "3", "--no-truth", "--out", str(bag)]):
        raise SystemExit("the drive could not be simulated")
    return str(bag)


def sentences(made: dict[str, Any]) -> list[str]:
    """The results for reading."""
    lines = []
    if run := made.get("summary"):
        lines.append("minute   sent  unanswered  rate Hz  latency p50/p99 ms  yardstick ms  CPU s  RSS MB")
        lines += ["{minute:6d} {sent:6d} {unanswered:11d} {rate_hz:8.2f} {latency_ms_p50:11.2f} /{latency_ms_p99:6.2f} {yardstick_ms:13.2f}"
                  " {cpu_s:6.1f} {rss_mb:7.1f}".format(**row) for row in made["results"]]
        lines.append("{unanswered} of {sent} images without an answer; RSS {rss_rise_mb:+.2f} MB, {rss_mb_per_h:+.2f} MB/h; "
                     "given out {given_out_rise_mb:+.2f} MB, {given_out_mb_per_h:+.2f} MB/h; p99 "
                     "{p99_ms_begin:.2f} ms at the beginning, {p99_ms_end:.2f} ms at the end (the yardstick {yardstick_ms_begin:.2f} and "
                     "{yardstick_ms_end:.2f} ms); {cpu_share:.2f} of a core; {restarts} restarts of a driver".format(**run))
        lines.append(made["memory"])
    if run := made.get("cycles", {}).get("summary"):
        lines.append("{cycles} cycles: {mb_per_cycle:+.3f} MB a cycle, {rss_rise_mb:+.2f} MB after the warm-up; after the first one, the "
                     "warm-up and the last one: RSS {rss_mb} MB, {threads} threads, {files} files".format(**run))
    if why := made.get("cycles", {}).get("error"):
        lines.append(f"the cycles ended early: {why}")
    return [*lines, *(soak_verdict.sentence(name, held) for name, held in verdict_of(made).items())]


def verdict_of(made: dict[str, Any]) -> soak_verdict.Verdict:
    """Of the minutes and of the cycles."""
    verdict: soak_verdict.Verdict = made.get("verdict", {}) | made.get("cycles", {}).get("verdict", {})
    return verdict


def main(argv: list[str] | None = None) -> int:
    """Runs, prints, writes the JSON. 0: everything that was wanted held."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="0: only the cycles")
    parser.add_argument("--rate", type=float, default=30.0, help="images a second")
    parser.add_argument("--systems", default="depth", help="what the node publishes, e.g. 'depth odometry bev'")
    parser.add_argument("--cycles", type=int, default=100, help="through the lifecycle; 0: not at all")
    parser.add_argument("--bag", help="drive to play (default: a simulated one, made under --out)")
    parser.add_argument("--model", help="model directory (default: the shipped student)")
    parser.add_argument("--minute", type=float, default=60.0, metavar="S", help="how long a minute is, for a short trial")
    parser.add_argument("--out", default="out/bench")
    args = parser.parse_args(argv)
    from depth_perception.bag import Bag
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report.bench import machine

    out = Path(args.out)
    bag = args.bag or simulated(out)
    Bag(bag)  # one that cannot be read is told now
    made: dict[str, Any] = {"name": "soak", **machine(), "bag": Path(bag).name, "rate_hz": args.rate, "minutes": args.minutes,
                            "systems": args.systems}

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    if args.minutes:
        made |= soak(bag, minutes=args.minutes, rate=args.rate, systems=args.systems, minute_s=args.minute, model=args.model, say=say)
        write_atomically(out / "soak.json", as_json(made))
    if args.cycles:
        try:
            made["cycles"] = cycled(bag, cycles=args.cycles, model=args.model, say=say)
        except SystemExit as ended:  # a process that ended, or a wait in vain: `soak_drive`'s sentence
            made["cycles"] = {"error": str(ended), "verdict": {"every cycle was gone through": False}}
    write_atomically(out / "soak.json", as_json(made))
    print("\n".join([*sentences(made), f"written to {out / 'soak.json'}"]))
    return int(not all(verdict_of(made).values()))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(f"soak: {error}", file=sys.stderr)
        sys.exit(2)
