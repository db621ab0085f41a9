"""What the recorder takes without a loss, and what it leaves when it is killed or its file is cut.

    python -m bench.record --rates 110 150 200 300 --seconds 60      # MB/s over real DDS on the loopback, each for so long
    python -m bench.record --kill 20 --cut 20 --seconds 6            # kill -9 and cuts at random moments, at the first of --rates
    python -m bench.record --rates 60 --compression none lz4 zstd    # chunk compression
    python -m bench.record --drive drive.mcap --repeats 3            # what a recorder costs the driving nodes; a bag is kept with --keep
    python -m bench.record --hour                                    # memory, over the messages of an hour

A car is played: two cameras of 1.4 MB images at 30 Hz, a LiDAR of 2.6 MB scans at 10 Hz, an IMU at 200 Hz, CameraInfo and static TF, all
best effort but the last, from a process of its own with the shipped transport; other rates make everything as much faster. Each message
carries its number. Recorder and car share this machine's cores. Counted are what was sent, what the bag holds, and what the recorder
itself says that it lost; a run is without loss when the bag has every number that was sent after the recorder had subscribed.

With --drive the bag is played through all nodes, in turns without and with a recorder of all that is played beside them; the difference of
their latencies is the recorder's. --hour gives the messages of an hour's drive (their number; a hundredth of their size) to a recording, by
their own stamps and as fast as the disk takes them.

After a kill: every message that was sent more than a second before must be readable; after a cut, every one in a chunk before the cut.
JSON: --out/record.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
IMAGE, POINTS, IMU = "sensor_msgs/msg/Image", "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Imu"
# topic -> type, bytes of data, Hz at 110 MB/s
CAR = {"/left/image": (IMAGE, 1_400_000, 30.0), "/right/image": (IMAGE, 1_400_000, 30.0), "/points": (POINTS, 2_600_000, 10.0),
       "/imu": (IMU, 0, 200.0)}
NOMINAL = 110.0


def play(rate: float, seconds: float, report: Path) -> None:
    """The car; writes {"sent": {topic: count}, "times": {topic: [steady ns]}, "late_s"} when it ends."""
    import numpy as np
    import rclpy
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
    from tf2_msgs.msg import TFMessage

    from depth_perception.bag import TYPES, messages
    from depth_perception.nodes.message_types import message_class

    rclpy.init()
    node = rclpy.create_node("car")
    sensor = QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    publishers, bodies = {}, {}
    for topic, (kind, size, _) in CAR.items():
        publishers[topic] = node.create_publisher(message_class(kind), topic, sensor)
        fields = {"header": messages.header(1, "frame")}
        if size:
            fields["data"] = np.frombuffer(random.Random(0).randbytes(size), np.uint8)
        bodies[topic] = bytearray(TYPES.serialize_cdr(messages.make(kind, **fields), kind))
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_publisher(TFMessage, "/tf_static", latched).publish(TFMessage())
    while not all(publisher.get_subscription_count() for publisher in publishers.values()):
        rclpy.spin_once(node, timeout_sec=0.05)
    time.sleep(0.5)  # both ends know of each other, the recorder's end first
    periods = {topic: 1 / (hz * rate / NOMINAL) for topic, (_, _, hz) in CAR.items()}
    due, sent, times, late = dict.fromkeys(CAR, 0.0), dict.fromkeys(CAR, 0), {topic: [] for topic in CAR}, 0.0  # type: ignore[var-annotated]
    begun = time.monotonic()
    ended = False

    def end(*_: Any) -> None:
        nonlocal ended
        ended = True

    signal.signal(signal.SIGTERM, end)
    while not ended and (now := time.monotonic() - begun) < seconds:
        topic = min(due, key=due.get)  # type: ignore[arg-type]
        if due[topic] > now:
            time.sleep(due[topic] - now)
        late = max(late, time.monotonic() - begun - due[topic])
        struct.pack_into("<iI", bodies[topic], 4, 1 + sent[topic] // 10**9, sent[topic] % 10**9)
        times[topic].append(time.monotonic_ns())
        publishers[topic].publish(bytes(bodies[topic]))
        sent[topic] += 1
        due[topic] += periods[topic]
    took = time.monotonic() - begun
    report.write_text(json.dumps({"sent": sent, "times": times, "late_s": late, "took_s": took}))
    time.sleep(1.0)
    rclpy.shutdown()


def numbers(bag: Path) -> dict[str, list[int]]:
    """topic -> numbers of its messages, in order of the bag."""
    from depth_perception.bag import Bag

    found: dict[str, list[int]] = {topic: [] for topic in CAR}
    for topic, _, _, raw in Bag(bag).messages(list(CAR)):
        seconds, nanoseconds = struct.unpack_from("<iI", raw, 4)
        found[topic].append((seconds - 1) * 10**9 + nanoseconds)
    return found


class Run:
    """A car and a recorder in processes of their own; both have ended after the `with` block."""

    def __init__(self, folder: Path, *, rate: float, seconds: float, parameters: dict[str, Any]) -> None:
        from depth_perception.nodes import transport

        env = transport.environment(loopback=True, domain=transport.private_domain())
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        self.bag, self.report, self._log = folder / "bag", folder / "car.json", folder / "recorder.log"
        topics = {"path": str(self.bag), "topics": json.dumps([*CAR, "/tf_static"])} | parameters
        words = [word for name, value in topics.items() for word in ("-p", f"{name}:={value}")]
        with self._log.open("w") as log:
            self.recorder = subprocess.Popen([sys.executable, "-m", "depth_perception.nodes.recorder_node", "--ros-args", *words],
                                             stdout=log, stderr=log, env=env)
        self.car = subprocess.Popen([sys.executable, "-m", "bench.record", "--play", str(rate), str(seconds), str(self.report)], env=env)
        self.rss_mb: list[float] = []
        self.cpu_s = 0.0

    def watch(self, until: float | None = None) -> None:
        """Reads the recorder's memory and CPU time until the car has ended, or the time has come."""
        while self.car.poll() is None and (until is None or time.monotonic() < until):
            if self.recorder.poll() is not None:
                raise SystemExit(f"the recorder ended: {self._log.read_text()[-2000:]}")
            pages = int(Path(f"/proc/{self.recorder.pid}/statm").read_text().split()[1])
            self.rss_mb.append(pages * os.sysconf("SC_PAGE_SIZE") / 1e6)
            fields = Path(f"/proc/{self.recorder.pid}/stat").read_text().rpartition(")")[2].split()
            self.cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            time.sleep(0.1)

    def end(self) -> int:
        if self.recorder.poll() is None:
            self.recorder.send_signal(signal.SIGINT)
        return self.recorder.wait(30)

    def said(self) -> str:
        return self._log.read_text().strip().splitlines()[-1]

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self.car, self.recorder):
            if process.poll() is None:
                process.kill()
            process.wait()


def full(folder: Path, rate: float, seconds: float, parameters: dict[str, Any]) -> dict[str, Any]:
    """One run at a rate: what was sent and what the bag holds."""
    with Run(folder, rate=rate, seconds=seconds, parameters=parameters) as run:
        run.watch()
        code = run.end()
        car, said = json.loads(run.report.read_text()), run.said()
        rss, cpu_s = run.rss_mb, run.cpu_s
        begun = time.monotonic()
        seen = numbers(run.bag)
    missing = {topic: sent - len(set(seen[topic])) for topic, sent in car["sent"].items()}
    wrong = sum(got != sorted(set(got)) for got in seen.values())
    data = sum(CAR[topic][1] * count for topic, count in car["sent"].items()) / 1e6
    size = sum(file.stat().st_size for file in run.bag.iterdir()) / 1e6
    return {"mb_per_s_wanted": rate, "mb_per_s_sent": data / car["took_s"], "seconds": car["took_s"], "sent": car["sent"],
            "not_in_bag": missing, "out_of_order": wrong, "exit_code": code, "said": said, "bag_mb": size,
            "read_s": time.monotonic() - begun,
            "rss_mb": {"start": rss[min(10, len(rss) - 1)], "most": max(rss), "end": rss[-1]}, "cpu_share": cpu_s / car["took_s"],
            "car_late_s": car["late_s"], "compression": parameters.get("compression", "none")}


def killed(folder: Path, rate: float, seconds: float, moment_s: float, parameters: dict[str, Any]) -> dict[str, Any]:
    """kill -9 `moment_s` after the bag began to grow: messages sent more than a second before that are not in the bag, and later ones."""
    with Run(folder, rate=rate, seconds=seconds, parameters=parameters) as run:
        while not (grows := [file for file in run.bag.glob("*.mcap") if file.stat().st_size > 1_000_000]) and run.car.poll() is None:
            time.sleep(0.01)
        assert grows, "the car sent nothing"
        time.sleep(moment_s)
        run.recorder.kill()
        at_ns = time.monotonic_ns()
        run.recorder.wait()
        run.car.terminate()
        run.car.wait()
        car, seen = json.loads(run.report.read_text()), {topic: set(got) for topic, got in numbers(run.bag).items()}
    old = {topic: [i for i, sent_ns in enumerate(times) if sent_ns < at_ns - 1e9] for topic, times in car["times"].items()}
    lost = sum(i not in seen[topic] for topic, indices in old.items() for i in indices)
    newest = max(times[max(seen[topic])] for topic, times in car["times"].items() if seen[topic])
    return {"after_s": moment_s, "older_than_1_s": sum(map(len, old.values())), "of_these_lost": lost,
            "newest_read_s": (at_ns - newest) * 1e-9}


def cut(file: Path, at: int, folder: Path) -> dict[str, Any]:
    """A copy of a bag's file that ends at byte `at`: what its chunks before held, and what is read."""
    copy = folder / "cut.mcap"
    with file.open("rb") as source, copy.open("wb") as target:
        left = at
        while left and (block := source.read(min(left, 1 << 22))):
            target.write(block)
            left -= len(block)
    whole, position = 0, 8
    with file.open("rb") as source:  # the chunks that end before the cut, by the file's own records
        while position + 9 <= at:
            source.seek(position)
            opcode, length = struct.unpack("<BQ", source.read(9))
            if position + 9 + length > at:
                break
            if opcode == 0x07:  # a message index: 16 bytes a message
                whole += struct.unpack("<HI", source.read(6))[1] // 16
            position += 9 + length
    from depth_perception.bag import Bag

    read = sum(1 for _ in Bag(copy).messages())
    copy.unlink()
    return {"at": at, "in_whole_chunks": whole, "read": read}


class Beside:
    """A recorder of some topics, beside whatever else runs on this process's graph."""

    def __init__(self, bag: Path, topics: list[str]) -> None:
        from depth_perception.nodes import transport

        self.bag = bag
        env = transport.environment(loopback=True, domain=transport.private_domain())
        words = ["-p", f"path:={bag}", "-p", f"topics:={json.dumps(topics)}"]
        self._process = subprocess.Popen([sys.executable, "-m", "depth_perception.nodes.recorder_node", "--ros-args", *words], env=env,
                                         stderr=subprocess.PIPE, text=True)

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGINT)
        print(self._process.communicate(timeout=30)[1].strip().splitlines()[-1].split(": ", 1)[-1], flush=True)


def beside_the_drive(bag: str, repeats: int, folder: Path, keep: str | None) -> list[dict[str, Any]]:
    """[{"alone": bench.drive's row, "recorded": the same with a recorder}]."""
    from depth_perception.bag import Bag
    from depth_perception.report import bench

    rows, topics = [], list(Bag(bag).topics)
    for i in range(repeats):
        row = {"alone": bench.drive(bag, None)}
        with Beside(folder / f"bag_{i}", topics) as beside:
            row["recorded"] = bench.drive(bag, None)
        if keep and i == 0:
            shutil.copytree(beside.bag, keep)
        shutil.rmtree(beside.bag)
        rows.append(row)
        alone, recorded = (row[name]["overhead_ms"] for name in ("alone", "recorded"))
        print(f"latency less the engine's, p50/p99 ms: alone {alone['p50']:.2f}/{alone['p99']:.2f}, recorded {recorded['p50']:.2f}/"
              f"{recorded['p99']:.2f}; dropped {row['alone']['dropped']}, {row['recorded']['dropped']}", flush=True)
    return rows


def hour(folder: Path) -> dict[str, Any]:
    """RSS in MB at every tenth of an hour's messages, through a circular recording of 1 GB with 64 MB of queue."""
    from depth_perception.record import Config, Recording

    it = Recording(Config(mode="circular", keep_gb=1.0, split_mb=100, queue_mb=64, disk_floor_gb=0.5))
    period, sizes = {}, {}
    for topic, (kind, size, hz) in CAR.items():
        it.add_topic(topic, kind)
        period[topic], sizes[topic] = int(1e9 / hz), size // 100 + 300
    it.record(folder / "bag")
    due, rss, count = dict.fromkeys(CAR, 0), [], 0
    for tenth in range(1, 11):
        while (topic := min(due, key=due.get)) and due[topic] < tenth * 360 * 10**9:  # type: ignore[arg-type]
            while it.queued_bytes > 32_000_000:
                time.sleep(0.001)
            it.put(topic, bytes(sizes[topic]), 1 + due[topic])
            due[topic] += period[topic]
            count += 1
        rss.append(int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6)
        print(f"{tenth * 6} min: {count} messages, RSS {rss[-1]:.0f} MB", flush=True)
    assert it.close(60), it.error
    dropped = sum(each.dropped for each in it.counts.values())
    return {"messages": count, "rss_mb": rss, "dropped": dropped, "written": sum(each.written for each in it.counts.values())}


def main() -> None:
    if sys.argv[1:2] == ["--play"]:
        return play(float(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rates", type=float, nargs="+", default=[NOMINAL], help="MB/s")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--compression", nargs="+", default=["none"], choices=["none", "lz4", "zstd"])
    parser.add_argument("--kill", type=int, default=0, metavar="N", help="kill the recorder so many times instead")
    parser.add_argument("--cut", type=int, default=0, metavar="N", help="cut a recorded file so many times")
    parser.add_argument("--drive", metavar="BAG", help="play this bag through all nodes, with and without a recorder")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--keep", metavar="BAG", help="with --drive: copy the first recorded bag here")
    parser.add_argument("--hour", action="store_true", help="an hour's messages")
    parser.add_argument("--queue-mb", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scratch", default=None, help="where bags go meanwhile (default: the temporary directory)")
    parser.add_argument("--out", default="out/bench")
    args = parser.parse_args()
    from depth_perception.model import as_json, write_atomically
    from depth_perception.report.bench import machine

    said: dict[str, Any] = {"name": "record", **machine(), "results": [], "killed": [], "cuts": []}
    rng = random.Random(args.seed)

    def scratch() -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="record-", dir=args.scratch)

    parameters: dict[str, Any] = {"queue_mb": args.queue_mb, "disk_floor_gb": 0.5}
    at_rates = not (args.kill or args.cut or args.drive or args.hour)
    if at_rates:
        print("MB/s wanted  sent  compression  not in bag   of    CPU   RSS MB start/most/end  car late s")
    for rate in args.rates if at_rates else []:
        for compression in args.compression:
            needed = rate * args.seconds * 1e6
            with scratch() as folder:
                if shutil.disk_usage(folder).free < needed + 1e9:
                    raise SystemExit(f"--scratch: wanted {needed / 1e9:.1f} GB free at {folder}")
                row = full(Path(folder), rate, args.seconds, parameters | {"compression": compression})
            said["results"].append(row)
            rss = row["rss_mb"]
            print(f"{rate:11.0f} {row['mb_per_s_sent']:5.0f}  {compression:11s}  {sum(row['not_in_bag'].values()):10d} "
                  f"{sum(row['sent'].values()):5d}  {row['cpu_share']:5.2f}  {rss['start']:6.0f}/{rss['most']:4.0f}/{rss['end']:4.0f}"
                  f"{row['car_late_s']:15.2f}   {row['said'].split(': ', 1)[-1][-90:]}", flush=True)
    if args.drive:
        with scratch() as folder:
            said["beside_the_drive"] = beside_the_drive(args.drive, args.repeats, Path(folder), args.keep)
    if args.hour:
        with scratch() as folder:
            said["hour"] = hour(Path(folder))
    for _ in range(args.kill):
        with scratch() as folder:
            row = killed(Path(folder), args.rates[0], args.seconds + 30, rng.uniform(0.0, args.seconds), parameters)
        said["killed"].append(row)
        print(f"killed {row['after_s']:.2f} s after it began: {row['of_these_lost']} of {row['older_than_1_s']} messages older than 1 s "
              f"lost; the newest that is read was {row['newest_read_s']:.2f} s old", flush=True)
    if args.cut:
        with scratch() as folder:
            full(Path(folder), args.rates[0], args.seconds, parameters)
            (file,) = (Path(folder) / "bag").glob("*.mcap")
            for _ in range(args.cut):
                row = cut(file, rng.randrange(1000, file.stat().st_size), Path(folder))
                said["cuts"].append(row)
                print(f"cut at byte {row['at']}: {row['read']} messages read, {row['in_whole_chunks']} in whole chunks", flush=True)
    write_atomically(Path(args.out) / "record.json", as_json(said))
    if any(row["of_these_lost"] for row in said["killed"]) or any(row["read"] < row["in_whole_chunks"] for row in said["cuts"]):
        raise SystemExit("messages that should be there are not")


if __name__ == "__main__":
    main()
