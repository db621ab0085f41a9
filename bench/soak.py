"""Whether a node that drives for long stays as it was: its rate, latency and memory, under what happens to a car.

    python -m bench.soak --minutes 10 [--rate 30] [--bag BAG] [--systems depth] [--cycles 100] [--out out/bench]

A drive is played over and over by a process of its own, over real DDS on the loopback with the shipped transport: images stamped as they
are sent, each with its CameraInfo, and scans at a third of their rate, best effort, as drivers send them. Every minute the camera is silent
for a while, then the LiDAR, and twice a parameter is changed. The `drive` node runs in a second process, and this one, a third, listens to
everything it says: a frame's latency is the time from its image's stamp to the arrival of its depth. An image whose depth never came is a
drop.

RSS, CPU seconds, threads and file descriptors are the node's own, read once a second. The slope of RSS is the median of the slopes between
any two moments after the warm-up (Theil and Sen). In ten minutes one step of an image's buffer is megabytes an hour, so the rise itself is
given as well; only an hour tells a step from a slope.

Then a second node is taken through configure, activate, deactivate and cleanup by its lifecycle services, --cycles times; in each cycle it
must answer an image.

JSON: --out/soak.json. The exit code is 1 when the verdict is bad.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.memory import spare_the_collector

ROOT = Path(__file__).resolve().parents[1]
MOST_MB_PER_H, MOST_P99_RATIO, MOST_MB_PER_CYCLE = 1.0, 1.1, 0.05
# When in a minute something happens, as shares of it: [from, to) of a silence; the moment of a change.
CAMERA_SILENT, LIDAR_SILENT, CHANGES = (0.30, 0.38), (0.60, 0.70), (0.15, 0.80)
CHANGED = {"depth.max_depth_m": (80.0, 100.0), "depth.scan_points": (6000, 8000)}
SETTLE_S = 1.0


# --- the car -----------------------------------------------------------------------------------------------------------------------------


def play(bag: str, *, rate: float, seconds: float, minute_s: float, report: Path) -> None:
    """The sensors; writes {"images": [stamp ns], "scans", "begun_ns", "late_ms_p99"} when it ends, and stays until SIGINT.

    minute_s: how long a minute is, in whose course the sensors fall silent; 0: they never do.
    """
    import rclpy
    from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
    from rclpy.signals import SignalHandlerOptions

    from depth_perception.bag import Bag, guess_topics
    from depth_perception.nodes.interrupt import Interrupt
    from depth_perception.nodes.message_types import message_class
    from depth_perception.nodes.player import LATCHED

    source = Bag(bag)
    topics = guess_topics(source)
    interrupt = Interrupt()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    sensor = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
    node, latched = rclpy.create_node("car"), {}
    names = {str(topics.image): "image", str(topics.camera_info): "camera_info", str(topics.points): "points"}
    publishers = {name: node.create_publisher(message_class(source.topics[topic][0]), name, sensor) for topic, name in names.items()}
    said: dict[str, list[bytearray]] = {name: [] for name in publishers}
    for topic, _, _, raw in source.messages(list(names)):
        said[names[topic]].append(bytearray(raw))
    for topic, kind, _, raw in source.messages([topic for topic in source.topics if topic.rpartition("/")[2] == "tf_static"]):
        if topic not in latched:
            latched[topic] = node.create_publisher(message_class(kind), "/tf_static", LATCHED)
        latched[topic].publish(bytes(raw))
    while not interrupt.came and not all(publisher.get_subscription_count() for publisher in publishers.values()):
        time.sleep(0.05)
    time.sleep(SETTLE_S)  # the node may have met us before we have met it
    stamps, late, scans, number = [], [], 0, 0
    begun, begun_ns = time.monotonic(), time.time_ns()
    while not interrupt.came and (due := number / rate) < seconds:
        time.sleep(max(begun + due - time.monotonic(), 0))
        of_minute = due % minute_s / minute_s if minute_s else 0.0
        now_ns = time.time_ns()

        def send(name: str, i: int, now_ns: int = now_ns) -> None:
            raw = said[name][i % len(said[name])]
            struct.pack_into("<iI", raw, 4, *divmod(now_ns, 10**9))  # CDR: the stamp comes after four bytes of encapsulation
            publishers[name].publish(bytes(raw))

        if number % 3 == 0 and not LIDAR_SILENT[0] <= of_minute < LIDAR_SILENT[1]:
            send("points", number // 3)
            scans += 1
        if not CAMERA_SILENT[0] <= of_minute < CAMERA_SILENT[1]:
            send("camera_info", number)
            now_ns = time.time_ns()
            send("image", number, now_ns)
            stamps.append(now_ns)
            late.append((time.monotonic() - begun - due) * 1e3)
        number += 1
    report.write_text(json.dumps({"images": stamps, "scans": scans, "begun_ns": begun_ns, "late_ms_p99": float(np.percentile(late, 99))}))
    while not interrupt.came:  # who stays is not missed: the last images are still on their way
        time.sleep(0.05)
    rclpy.try_shutdown()


# --- what is looked at -------------------------------------------------------------------------------------------------------------------


def looked_at(pid: int) -> dict[str, float]:
    """A process's MB of RSS (anon: of its own, without files and shared memory), CPU seconds, threads and file descriptors."""
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return {"rss_mb": int(status["VmRSS"].split()[0]) / 1e3, "anon_mb": int(status["RssAnon"].split()[0]) / 1e3,
            "cpu_s": (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
            "threads": int(status["Threads"]), "files": len(os.listdir(f"/proc/{pid}/fd"))}


def slope(x: np.ndarray, y: np.ndarray, *, most: int = 400) -> float:
    """The median slope between any two of (N,) points, of at most so many of them (Theil 1950, Sen 1968); NaN of fewer than two."""
    chosen = np.unique(np.linspace(0, len(x) - 1, min(len(x), most)).round().astype(int)) if len(x) > 1 else np.zeros(0, int)
    if len(chosen) < 2:
        return float("nan")
    x, y = np.asarray(x, float)[chosen], np.asarray(y, float)[chosen]
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


def rise(mb: np.ndarray) -> float:
    """From the median of the first tenth of (N,) values to that of the last; NaN of none."""
    tenth = -(-len(mb) // 10)
    return round(float(np.median(mb[-tenth:]) - np.median(mb[:tenth])), 3) if len(mb) else float("nan")


def by_minute(sent: np.ndarray, arrived: np.ndarray, ages_ms: np.ndarray, seen: list[dict[str, float]], *, begun_ns: int, minute_s: float
              ) -> list[dict[str, float]]:
    """One row a minute: images sent, answered and not, their rate while the camera spoke, latency, and the node's CPU and memory.

    Args:
        sent, arrived: stamps of images and of depths, ns. ages_ms: of the latter, from stamp to arrival.
        seen: what `looked_at` saw, with at_ns.
    """
    def number(stamps: np.ndarray) -> np.ndarray:
        return ((stamps - begun_ns) * 1e-9 // minute_s).astype(int)

    answered = np.isin(sent, arrived)
    at = number(np.array([row["at_ns"] for row in seen], np.int64))
    rows = []
    for minute in range(int(number(sent).max(initial=-1)) + 1):
        these, ages = number(sent) == minute, ages_ms[number(arrived) == minute]
        now = [row for row, when in zip(seen, at, strict=True) if when == minute]
        times = sent[these] * 1e-9
        spoke = float(np.minimum(np.diff(times), 2 * np.median(np.diff(times))).sum()) if len(times) > 2 else float("nan")
        rows.append({"minute": minute, "sent": int(these.sum()), "unanswered": int((these & ~answered).sum()),
                     "rate_hz": round(float((these & answered).sum()) / spoke, 2) if spoke > 0 else float("nan"),
                     "latency_ms_p50": _percentile(ages, 50), "latency_ms_p99": _percentile(ages, 99),
                     "cpu_s": round(now[-1]["cpu_s"] - now[0]["cpu_s"], 2) if now else 0.0,
                     "rss_mb": round(float(np.median([row["rss_mb"] for row in now])), 2) if now else float("nan")})
    return rows


def _percentile(values: np.ndarray, p: float) -> float:
    return round(float(np.percentile(values, p)), 3) if len(values) else float("nan")


# --- the run -----------------------------------------------------------------------------------------------------------------------------


class Drive:
    """A `drive` node in a process of its own, a car in another, and this process as their listener and operator."""

    def __init__(self, bag: str, folder: Path, *, systems: str, model: str | None, parameters: dict[str, Any]) -> None:
        from depth_perception.bag import Bag, guess_topics
        from depth_perception.nodes.rehearsal import make_observer

        source = Bag(bag)
        topics = guess_topics(source)
        if not topics.points or not topics.camera_info:
            raise SystemExit(f"--bag: wanted images, CameraInfo and scans, got {', '.join(source.topics)}")
        values = {"systems": systems, "input.compressed": source.topics[topics.image][0].endswith("CompressedImage")} | parameters
        words = [word for name, value in values.items() for word in ("-p", f"{name}:={json.dumps(value)}")]
        words += ["-p", f"model:={Path(model).resolve()}"] if model else []
        self.observer = make_observer(folder, keep_every=0, systems=systems.split())
        self._bag, self._log, self.report = bag, (folder / "says.txt").open("w+"), folder / "car.json"
        self.node = subprocess.Popen([sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "--log-level", "error", *words],
                                     stdout=self._log, stderr=self._log)
        self._car: subprocess.Popen[bytes] | None = None
        self._clients: dict[str, Any] = {}

    def start_car(self, *, rate: float, seconds: float, minute_s: float) -> None:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
        words = [self._bag, str(rate), str(seconds), str(minute_s), str(self.report)]
        self._car = subprocess.Popen([sys.executable, "-m", "bench.soak", "--play", *words], env=env)

    def spin(self, seconds: float) -> None:
        """Listens until something has come, or for so long."""
        import rclpy

        rclpy.spin_once(self.observer, timeout_sec=seconds)
        for process, name in ((self.node, "the node"), (self._car, "the car")):
            if process is not None and process.poll() is not None:
                self._log.seek(0)
                raise SystemExit(f"{name} ended with code {process.returncode}: {self._log.read()[-2000:]}")

    def until(self, condition: Callable[[], Any], what: str, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise SystemExit(f"waited {seconds:g} s for {what}; the node says {self.observer.message!r}")
            self.spin(0.02)

    def ask(self, kind: Any, service: str, **fields: Any) -> Any:
        """The future answer of one of the node's services."""
        if service not in self._clients:
            self._clients[service] = self.observer.create_client(kind, f"/drive/{service}")
            self.until(self._clients[service].service_is_ready, f"the service {service}")
            for _ in range(10):  # a service that is ready for us may not have met us, its listener, yet
                self.spin(0.05)
        return self._clients[service].call_async(kind.Request(**fields))

    def set(self, name: str, value: Any) -> Any:
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        return self.ask(SetParameters, "set_parameters", parameters=[Parameter(name, value=value).to_parameter_msg()])

    def change_state(self, transition: str) -> None:
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        id_ = getattr(Transition, f"TRANSITION_{transition.upper()}")
        future = self.ask(ChangeState, "change_state", transition=Transition(id=id_, label=transition))
        self.until(future.done, f"the transition {transition}")
        if not future.result().success:
            raise SystemExit(f"{transition} was refused: {self.observer.message}")

    def end(self) -> dict[str, int]:
        """Ends both; their exit codes."""
        codes = {}
        for process, name in ((self._car, "car"), (self.node, "node")):
            if process is None:
                continue
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
            try:
                codes[name] = process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                codes[name] = process.wait()
        self.observer.destroy_node()
        self._log.close()
        return codes


@contextmanager
def running(bag: str, **options: Any) -> Iterator[Drive]:
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        drive = Drive(bag, Path(folder), **options)
        try:
            yield drive
        finally:
            drive.end()


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
                seen.append(looked_at(drive.node.pid) | {"at_ns": time.time_ns()})
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
    rows = by_minute(sent, arrived, ages, seen, begun_ns=car["begun_ns"], minute_s=minute_s)
    warm = warmed_up(len(rows))
    p99 = part_p99(arrived, ages, begun_ns=car["begun_ns"], minute_s=minute_s, minutes=len(rows), warm_up=warm)
    later = [row for row in seen if row["at_ns"] >= car["begun_ns"] + warm * minute_s * 1e9]
    hours = np.array([row["at_ns"] for row in later]) / 3.6e12
    summary = {
        "sent": len(sent), "scans": car["scans"], "unanswered": int(sum(row["unanswered"] for row in rows)),
        "dropped_by_node": int(status.get("dropped", 0)), "skipped_by_node": int(status.get("skipped", 0)),
        "images_at_node": int(status.get("images", 0)), "told": sorted(told), "car_late_ms_p99": round(car["late_ms_p99"], 3),
        "changes": changes, "changes_taken": sum(answer.done() and answer.result().results[0].successful for answer in answers),
        "latency_ms_p50": _percentile(ages, 50), "latency_ms_p99": _percentile(ages, 99), "engine_ms_p50": round(engine, 3),
        "rss_rise_mb": rise(np.array([row["rss_mb"] for row in later])),
        "warm_up_minutes": warm, "p99_ms_begin": p99[0], "p99_ms_end": p99[1],
        **{f"{name[:-3]}_mb_per_h": round(slope(hours, np.array([row[name] for row in later])), 3) for name in ("rss_mb", "anon_mb")},
        "cpu_share": round((seen[-1]["cpu_s"] - seen[0]["cpu_s"]) / ((seen[-1]["at_ns"] - seen[0]["at_ns"]) * 1e-9), 3),
        "threads": [seen[0]["threads"], seen[-1]["threads"]], "files": [seen[0]["files"], seen[-1]["files"]],
    }
    thin = [seen[i] for i in np.unique(np.linspace(0, len(seen) - 1, min(len(seen), 200)).astype(int))]
    series = [[round((row["at_ns"] - car["begun_ns"]) * 1e-9, 1), row["rss_mb"], row["anon_mb"]] for row in thin]
    return {"results": rows, "summary": summary, "verdict": verdict(summary), "series": {"s, rss_mb, anon_mb": series}}


def warmed_up(minutes: int) -> int:
    """Minutes at the beginning that do not count: the transport's shared memory is touched for the first time."""
    return min(max(minutes // 10, 1), minutes - 1)


def part_p99(arrived: np.ndarray, ages_ms: np.ndarray, *, begun_ns: int, minute_s: float, minutes: int, warm_up: int
             ) -> tuple[float, float]:
    """p99 of the first and of the last fifth of what came after the warm-up: a minute alone has too few for its hundredth part."""
    minute = (arrived - begun_ns) * 1e-9 / minute_s
    length = max((minutes - warm_up) / 5, 1)
    return (_percentile(ages_ms[(minute >= warm_up) & (minute < warm_up + length)], 99),
            _percentile(ages_ms[minute >= minutes - length], 99))


def verdict(summary: dict[str, Any]) -> dict[str, bool]:
    """What was wanted, and whether it held."""
    return {
        "no drops": summary["unanswered"] == 0,
        f"RSS grows by less than {MOST_MB_PER_H:g} MB/h": summary["rss_mb_per_h"] < MOST_MB_PER_H,
        "p99 at the end within 10 % of the beginning": summary["p99_ms_end"] <= MOST_P99_RATIO * summary["p99_ms_begin"],
        "every change was taken": summary["changes_taken"] == summary["changes"],
        "no thread or file left open": all(summary[name][1] <= summary[name][0] for name in ("threads", "files")),
    }


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
    warm = cycles // 2  # until then malloc's holes find their sizes
    later = seen[warm:]
    summary: dict[str, Any] = {
        "cycles": cycles, "warm_up_cycles": warm, "answers": len(times["answer"]),
        "mb_per_cycle": round(slope(np.arange(len(later)), np.array([row["rss_mb"] for row in later])), 4),
        **{name: [seen[0][name], later[0][name], seen[-1][name]] for name in ("rss_mb", "anon_mb", "threads", "files")},
        "median_s": {name: round(float(np.median(each)), 3) for name, each in times.items()},
    }
    return {"summary": summary, "series": {"rss_mb": [row["rss_mb"] for row in seen]}, "verdict": {
        f"RSS grows by less than {MOST_MB_PER_CYCLE:g} MB a cycle": not summary["mb_per_cycle"] >= MOST_MB_PER_CYCLE,
        "no thread or file left behind": all(summary[name][2] <= summary[name][1] for name in ("threads", "files")),
    }}


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
        lines.append("minute   sent  unanswered  rate Hz  latency p50/p99 ms  CPU s  RSS MB")
        lines += ["{minute:6d} {sent:6d} {unanswered:11d} {rate_hz:8.2f} {latency_ms_p50:11.2f} /{latency_ms_p99:6.2f} {cpu_s:6.1f}"
                  " {rss_mb:7.1f}".format(**row) for row in made["results"]]
        lines.append("{unanswered} of {sent} images without an answer; RSS {rss_rise_mb:+.2f} MB, {rss_mb_per_h:+.2f} MB/h; p99 "
                     "{p99_ms_begin:.2f} ms at the beginning, {p99_ms_end:.2f} ms at the end; {cpu_share:.2f} of a core".format(**run))
    if run := made.get("cycles", {}).get("summary"):
        lines.append("{cycles} cycles: {mb_per_cycle:+.3f} MB a cycle; after the first one, the warm-up and the last one: RSS {rss_mb} MB, "
                     "{threads} threads, {files} files".format(**run))
    for name, held in (made.get("verdict", {}) | made.get("cycles", {}).get("verdict", {})).items():
        lines.append(f"{'held' if held else 'NOT HELD'}: {name}")
    return lines


def main() -> int:
    """Runs, prints, writes the JSON. 0: everything that was wanted held."""
    if sys.argv[1:2] == ["--play"]:
        bag, rate, seconds, minute_s, report = sys.argv[2:]
        play(bag, rate=float(rate), seconds=float(seconds), minute_s=float(minute_s), report=Path(report))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0, help="0: only the cycles")
    parser.add_argument("--rate", type=float, default=30.0, help="images a second")
    parser.add_argument("--systems", default="depth", help="what the node publishes, e.g. 'depth odometry bev'")
    parser.add_argument("--cycles", type=int, default=100, help="through the lifecycle; 0: not at all")
    parser.add_argument("--bag", help="drive to play (default: a simulated one, made under --out)")
    parser.add_argument("--model", help="model directory (default: the shipped student)")
    parser.add_argument("--minute", type=float, default=60.0, metavar="S", help="how long a minute is, for a short trial")
    parser.add_argument("--out", default="out/bench")
    args = parser.parse_args()
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report.bench import machine

    out = Path(args.out)
    bag = args.bag or simulated(out)
    made: dict[str, Any] = {"name": "soak", **machine(), "bag": Path(bag).name, "rate_hz": args.rate, "minutes": args.minutes,
                            "systems": args.systems}

    def say(sentence: str) -> None:
        print(sentence, file=sys.stderr, flush=True)

    if args.minutes:
        made |= soak(bag, minutes=args.minutes, rate=args.rate, systems=args.systems, minute_s=args.minute, model=args.model, say=say)
    if args.cycles:
        made["cycles"] = cycled(bag, cycles=args.cycles, model=args.model, say=say)
    write_atomically(out / "soak.json", as_json(made))
    lines = sentences(made)
    print("\n".join([*lines, f"written to {out / 'soak.json'}"]))
    return int(any(line.startswith("NOT") for line in lines))


if __name__ == "__main__":
    raise SystemExit(main())
