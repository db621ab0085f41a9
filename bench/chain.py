"""Image stamp -> depth in another process, less the engine: our `drive` node beside depth nodes as tutorials write them, in one run.

    python -m bench.chain                                            # everything: 11 minutes
    python -m bench.chain --rates 30 --sizes 1242x375 --seconds 10   # one column
    python -m bench.chain --clouds                                   # all rows with a LiDAR's 120 k points at about 10 Hz on the same way
    python -m bench.chain --docs docs/latency.md                     # and writes the tables there

Three processes: a camera sends images stamped on sending, the node under test answers with depth at the image's size, a listener takes the
time when the depth is in its callback. Less the node's own time in its engine for that very image, that is `overhead_ms`: transport both
ways, decoding, resizing, making messages, waiting. All three have the transport of the node under test:

    ours                drive, systems:=depth, the shipped Fast DDS profile (config/fastdds_loopback.xml)
    ours_network_size   the same with depth.size:=network: the depth is published as large as the network's
    tutorial_default    bench/tutorial/depth_node.py, Fast DDS as it comes
    tutorial_profile    the same node with our profile
    tutorial_assign     the same with our profile, and `data = bytes` instead of cv_bridge's way (only when asked for)

The same network for all: the shipped student. The camera's publisher is reliable with a queue of ten; our node subscribes best effort with
a queue of one, as it does in a car, the tutorial's reliably with ten. Warm-up images do not count. `drops` are images sent of which no
depth came, by stamp; `missed` ticks that the camera (in rows of clouds: the LiDAR) could not send at, because the last message was still
on its way out.

`with_clouds` rows are those of the first size and the rate nearest to 30 Hz once more, with a LiDAR of 120 k points at about 10 Hz on the
same way. `transport` rows are the same camera and listener with no node between: what the transport alone costs one image, and one
cloud.
JSON: --out/chain.json.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import psutil

from bench import chain_table
from bench.chain_publisher import CLOUD_HZ, CLOUD_POINTS
from bench.image_size import image_size
from depth_perception import model as models
from depth_perception.frame import BadInput
from depth_perception.model import as_json, share_directory, write_atomically
from depth_perception.nodes import transport
from depth_perception.report.bench import machine, percentiles

ROOT = Path(__file__).resolve().parents[1]
T_CAMERA_LIDAR = "[0.0, -0.08, -0.27, 0.5, -0.5, 0.5, 0.5]"  # x forward to z forward, the LiDAR above and behind, as KITTI's
OURS = {"ours": "image", "ours_network_size": "network"}  # depth.size
CLOUDS = {"rate_hz": CLOUD_HZ, "size": f"{CLOUD_POINTS} points"}  # how a row of them is called
WHO = ("ours", "ours_network_size", "tutorial_default", "tutorial_profile", "tutorial_assign")


def environment(*, profile: bool) -> dict[str, str]:
    """Of all processes of a row: the loopback, a domain nobody has, and our transport or Fast DDS as it comes, never the user's own."""
    env = transport.environment(loopback=True, domain=transport.private_domain())
    env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
    for name in ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE"):
        env.pop(name, None)
    if profile:
        env |= dict.fromkeys(transport.profile_variables(), str(share_directory() / "config" / "fastdds_loopback.xml"))
    return env


def node_command(who: str, folder: Path, *, clouds: bool) -> list[str]:
    """How the node under test is started."""
    model = models.load(models.shipped())
    if who in OURS:
        parameters = {"systems": "depth", "model": str(model.path.resolve()), "depth.size": OURS[who]}
        if clouds:
            parameters["input.T_camera_lidar"] = T_CAMERA_LIDAR
        words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
        return [sys.executable, "-m", "depth_perception.nodes.drive", "--ros-args", "--log-level", "error", *words]
    onnx = model.path / "depth.onnx"
    return [sys.executable, "-m", "bench.tutorial.depth_node", "--model", str(onnx), "--report", str(folder / "node.json"),
            *["--assign"] * (who == "tutorial_assign"), *["--clouds"] * clouds]


class Run:
    """Processes of one row, by name; all have ended after the `with` block. Reads their CPU time and memory meanwhile."""

    def __init__(self, folder: Path, commands: dict[str, list[str]], env: dict[str, str]) -> None:
        self.folder = folder
        self._logs = {name: (folder / f"{name}.log").open("w+") for name in commands}
        self.processes = {name: subprocess.Popen(command, env=env, cwd=ROOT, stdout=self._logs[name], stderr=subprocess.STDOUT)
                          for name, command in commands.items()}
        self.seen: list[tuple[int, float, dict[str, tuple[float, float]]]] = []
        self._ended = threading.Event()
        self._watch = threading.Thread(target=self._look, daemon=True)
        self._watch.start()

    def _look(self) -> None:
        known = {name: psutil.Process(process.pid) for name, process in self.processes.items()}
        while not self._ended.wait(0.2):
            now = {}
            for name, process in known.items():
                try:
                    times = process.cpu_times()
                    now[name] = (times.user + times.system, process.memory_info().rss / 1e6)
                except psutil.Error:  # ended
                    pass
            machine_s = psutil.cpu_times()
            self.seen.append((time.time_ns(), sum(machine_s[:3]) + sum(machine_s[5:8]), now))  # all but idle and waiting for disks

    def usage(self, begun_ns: int, ended_ns: int) -> dict[str, Any]:
        """Between the two times: CPU seconds and the most memory of each process, and the CPU seconds of all else on the machine."""
        inside = [each for each in self.seen if begun_ns <= each[0] <= ended_ns]
        if not inside:
            raise BadInput(f"--seconds: wanted more, nothing was seen in {(ended_ns - begun_ns) * 1e-9:.1f} s")
        (begun, busy_before, before), (ended, busy_after, after) = inside[0], inside[-1]
        cpu = {name: round(after[name][0] - before[name][0], 2) for name in self.processes}
        rss = {name: round(max(now[name][1] for _, _, now in inside), 1) for name in self.processes}
        others = max(busy_after - busy_before - sum(cpu.values()), 0.0)
        return {"seconds": round((ended - begun) * 1e-9, 2), "cpu_seconds": cpu, "rss_mb": rss, "others_cpu_seconds": round(others, 2)}

    def wait(self, name: str, seconds: float) -> None:
        """Until a process has ended by itself; BadInput when another has ended before, or time is up."""
        end = time.monotonic() + seconds
        while self.processes[name].poll() is None:
            for other, process in self.processes.items():
                if other != name and process.poll() is not None:
                    raise BadInput(f"{other} ended with code {process.returncode}: {self.said(other)}")
            if time.monotonic() > end:
                raise BadInput(f"{name} has not ended within {seconds:g} s: {self.said(name) or 'it says nothing'}")
            time.sleep(0.05)

    def report(self, name: str) -> Any:
        """What it has written at its end."""
        try:
            return json.loads((self.folder / f"{name}.json").read_text())
        except FileNotFoundError:
            raise BadInput(f"{name} ended with code {self.processes[name].returncode}: {self.said(name)}") from None

    def said(self, name: str) -> str:
        """Its last line."""
        lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def end(self, name: str) -> None:
        """Gently, so that it writes its report."""
        process = self.processes[name]
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for name in reversed(self.processes):
            self.end(name)
        self._ended.set()
        self._watch.join()
        for log in self._logs.values():
            log.close()


def _module(name: str, *words: str, **options: Any) -> list[str]:
    given = [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
    return [sys.executable, "-m", name, *words, *given]


def warm_up(rate: float) -> int:
    """Images that do not count: a second of them, and as many as touch all of 32 MB shared memory once."""
    return max(30, round(rate))


def row(who: str, *, rate: float, size: str, seconds: float, clouds: bool) -> dict[str, Any]:
    """One node at one rate and size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        latency = ("--latency", "drive/latency_ms") if who in OURS else ()
        commands = {
            "listener": _module("bench.chain_listener", *latency, report=folder / "listener.json"),
            "node": node_command(who, folder, clouds=clouds),
            "publisher": _module("bench.chain_publisher", *["--clouds"] * clouds, rate=rate, size=size, seconds=seconds,
                                 warm_up=warm_up(rate), report=folder / "publisher.json"),
        }
        with Run(folder, commands, environment(profile=who != "tutorial_default")) as run:
            run.wait("publisher", seconds * 3 + 60)
            for name in ("node", "listener"):
                run.end(name)
            sent, heard = run.report("publisher"), run.report("listener")
            stages = heard["stages"] if who in OURS else run.report("node")
            usage = run.usage(sent["begun_ns"], sent["ended_ns"])
    found = figures(sent, heard["arrivals"], stages, threads=who in OURS)
    return {"rate_hz": rate, "size": size, "who": who, "clouds": clouds} | found | usage


def transported(which: str, *, rate: float, size: str, seconds: float, clouds: bool = False) -> dict[str, Any]:
    """Camera and listener with nothing between; which: default (reliable, ten) or profile (our QoS: best effort, one). clouds: the row is
    of the clouds that come beside the images."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = ["--best-effort"] * (which == "profile") + ["--points", "points"] * clouds
        commands = {
            "listener": _module("bench.chain_listener", *words, topic="image", report=folder / "listener.json"),
            "publisher": _module("bench.chain_publisher", *["--clouds"] * clouds, rate=rate, size=size, seconds=seconds,
                                 warm_up=warm_up(rate), report=folder / "publisher.json"),
        }
        with Run(folder, commands, environment(profile=which == "profile")) as run:
            run.wait("publisher", seconds * 3 + 60)
            run.end("listener")
            sent, heard = run.report("publisher"), run.report("listener")
            usage = run.usage(sent["begun_ns"], sent["ended_ns"])
    of_clouds = {"stamps": sent["cloud_stamps"], "missed": sent["missed_clouds"]}
    found = figures(sent | of_clouds, heard["clouds"], {}) if clouds else figures(sent, heard["arrivals"], {})
    what = CLOUDS if clouds else {"rate_hz": rate, "size": size}
    return what | {"who": which} | {name: found[name] for name in ("whole_ms", "drops", "missed", "frames")} | usage


def figures(sent: dict[str, Any], arrivals: dict[str, int], stages: dict[str, dict[str, float]], *, threads: bool = False
            ) -> dict[str, Any]:
    """What a row says of the images that count.

    Args:
        sent: the publisher's report: stamps (ns) and missed ticks.
        arrivals: stamp -> ns; stages: stamp -> ms by name, engine among them. Stamps as JSON has them, words.
        threads: the node takes images on one thread and works on another, so that its total has time between its stages.
    Returns:
        overhead_ms, whole_ms, engine_ms, stages_ms (percentiles; None: nothing came), drops, missed, frames.
    """
    wanted = [str(stamp) for stamp in sent["stamps"]]
    whole = {stamp: (arrivals[stamp] - int(stamp)) * 1e-6 for stamp in wanted if stamp in arrivals}
    known = {stamp: stages[stamp] | _between(stages[stamp], whole[stamp], threads=threads)
             for stamp in whole if "engine" in stages.get(stamp, {})}
    names = dict.fromkeys(name for one in known.values() for name in one)
    return {
        "overhead_ms": percentiles([whole[stamp] - one["engine"] for stamp, one in known.items()]),
        "whole_ms": percentiles(list(whole.values())),
        "engine_ms": percentiles([one["engine"] for one in known.values()]),
        "stages_ms": {name: percentiles([one[name] for one in known.values() if name in one]) for name in names},
        "drops": len(wanted) - len(whole),
        "missed": sent["missed"],
        "frames": len(wanted),
    }


def _between(one: dict[str, float], whole: float, *, threads: bool) -> dict[str, float]:
    """What no stage of an image has: `in_and_out` of its node, and `between_threads` within. Taken image by image: what is left of a
    median less other medians belongs to no image."""
    if "total" not in one:
        return {}
    stages = sum(ms for name, ms in one.items() if name not in ("total", "scan"))  # a scan is decoded beside, in no image's total
    return ({"between_threads": one["total"] - stages} if threads else {}) | {"in_and_out": whole - one["total"]}


def main(argv: list[str] | None = None) -> int:
    """Runs all rows and writes chain.json after each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[10.0, 30.0, 60.0], metavar="HZ")
    parser.add_argument("--sizes", type=image_size, nargs="+", default=["1242x375", "1920x1080"], metavar="WIDTHxHEIGHT")
    parser.add_argument("--seconds", type=float, default=18.0, help="measured, of each row")
    parser.add_argument("--who", nargs="+", choices=WHO, default=list(WHO[:4]))
    parser.add_argument("--clouds", action="store_true", help="a LiDAR of 120 k points at about 10 Hz beside the camera")
    parser.add_argument("--out", default="out/bench")
    parser.add_argument("--docs", help="Markdown file whose tables are written anew; see bench.chain_table")
    args = parser.parse_args(argv)
    if args.seconds < 1 or min(args.rates) < 1:
        raise BadInput(f"wanted --seconds and --rates of at least 1, got {args.seconds:g} and {min(args.rates):g}")
    if args.docs:
        chain_table.check(Path(args.docs))
    about = {"name": "chain", **machine()}  # before the runs: what else the machine was doing
    found: dict[str, list[dict[str, Any]]] = {"results": [], "with_clouds": [], "transport": []}
    for size in args.sizes:
        for rate in args.rates:
            for who in args.who:
                measured = attempted(row, who, rate=rate, size=size, seconds=args.seconds, clouds=args.clouds)
                found["results"].append(measured)
                write_atomically(Path(args.out) / "chain.json", as_json(about | found))
        for which in ("default", "profile"):
            found["transport"].append(attempted(transported, which, rate=30.0, size=size, seconds=min(args.seconds, 6.0)))
    if not args.clouds:
        beside = {"rate": min(args.rates, key=lambda hz: abs(hz - 30)), "size": args.sizes[0], "clouds": True}
        found["with_clouds"] = [attempted(row, who, seconds=args.seconds, **beside) for who in args.who]
        found["transport"] += [attempted(transported, which, labels=CLOUDS, seconds=min(args.seconds, 6.0), **beside)
                               for which in ("default", "profile")]
    write_atomically(Path(args.out) / "chain.json", as_json(about | found))
    print(f"written to {Path(args.out) / 'chain.json'}")
    if args.docs:
        chain_table.write(Path(args.docs), about | found)
        print(f"tables written into {args.docs}")
    return 2 if any("error" in each for each in [*found["results"], *found["with_clouds"], *found["transport"]]) else 0


def attempted(measure: Any, who: str, *, rate: float, size: str, seconds: float, labels: dict[str, Any] | None = None, **options: Any
              ) -> dict[str, Any]:
    """A row, measured again when a process has failed; then it says why: one row that fails costs itself, not the half hour before.

    labels: how a row is called whose rate_hz and size are not the images'.
    """
    labels = labels or {"rate_hz": rate, "size": size}
    for attempt in (1, 2):
        try:
            found: dict[str, Any] = measure(who, rate=rate, size=size, seconds=seconds, **options)
            break
        except BadInput as error:
            print(f"{who} {labels['rate_hz']:g} Hz {labels['size']}, attempt {attempt}: {error}", file=sys.stderr, flush=True)
            found = labels | {"who": who, "error": str(error)}
    print(line(found), flush=True)
    return found


def line(one: dict[str, Any]) -> str:
    """A row, for reading."""
    if "error" in one:
        return f"{one['who']:17s} {one['rate_hz']:3g} Hz {one['size']:9s}  failed: {one['error']}"

    def shown(name: str) -> str:
        return f"{one[name]['p50']:7.2f} /{one[name]['p90']:7.2f} /{one[name]['p99']:7.2f}" if one.get(name) else "none".center(25)
    stages = ", ".join(f"{name} {values['p50']:.2f}" for name, values in one.get("stages_ms", {}).items())
    return (f"{one['who']:17s} {one['rate_hz']:3g} Hz {one['size']:9s}  overhead {shown('overhead_ms')}  whole {shown('whole_ms')}  "
            f"drops {one['drops']}, missed {one['missed']} of {one['frames']}  cpu s {one['cpu_seconds']}  [{stages}]")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BadInput as error:
        print(error, file=sys.stderr)
        sys.exit(2)
