"""The loop on a fleet: what a night of it gains, what poison does to it, and what a kill leaves.

    python -m bench.loop --drives truck_1 truck_2 truck_3 --minutes 20                    # a fleet's drives, from the shipped model
    python -m bench.loop --drives truck_1 truck_2 --poison 10 --kills 20 --steps 24
    python -m bench.loop --task objects --init out/objects --drives labelled_1 labelled_2 --minutes 10
    python -m bench.loop --task markings --init out/markings --source drawn_1 --drives truck_1 --minutes 10

--poison: each time one drive is spoilt (extrinsics turned by 3 to 8 degrees, focal length wrong by 10 to 40 %, black images, shuffled
stamps, images and scans three seconds apart) and the loop gets it alone: it must not promote. --kills: one loop is killed (-9) at random
moments, begun again each time, and after each kill the current model must answer its self-test; at the end it must be done.
--task, --init, --config, --source, --score-on: as for `loop`. JSON: --out/loop.json, with another task loop_TASK.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception import engine, model
from depth_perception.bag import Bag, Writer, guess_topics
from depth_perception.geometry import pose
from depth_perception.loop.parts import PARTS
from depth_perception.model import as_json, write_atomically
from depth_perception.report.bench import machine

ROOT = Path(__file__).resolve().parents[1]
Change = Callable[[str, Any, int], int]


def loop(into: Path, words: list[str], *, wait: bool = True) -> Any:
    """The verb in a process of its own: its exit code and what it said, or the process."""
    command = [sys.executable, "-m", "depth_perception", "loop", "--into", str(into), *words]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env)
    return (process.communicate()[0].strip(), process.returncode) if wait else process


def works(into: Path) -> bool:
    """Whether what is current answers its self-test."""
    opened = model.load(into / "current")
    return all(engine.load(opened, name, device="cpu").proof.difference < 1e-2 for name in opened.networks)


def poisons(bag: Bag, rng: random.Random) -> dict[str, Change]:
    """name -> what it does to a message; the new log time."""
    topics = guess_topics(bag)
    axis, angle, factor = rng.choice(np.eye(3)), np.deg2rad(rng.uniform(3, 8)), rng.choice([0.6, 0.75, 0.9, 1.1, 1.25, 1.4])
    T = pose.from_rotation_vector(np.asarray(axis) * angle, np.zeros(3))

    def turned(topic: str, message: Any, log_ns: int) -> int:
        for each in message.transforms if topic == "/tf_static" else ():
            if "camera" in each.child_frame_id:
                q = each.transform.rotation
                R = pose.matrix_from_quaternion(np.array([q.x, q.y, q.z, q.w])) @ T[:3, :3]
                q.x, q.y, q.z, q.w = map(float, pose.quaternion_from_matrix(R))
        return log_ns

    def focal(topic: str, message: Any, log_ns: int) -> int:
        if topic == topics.camera_info:
            message.k = message.k * np.array([factor, 1, 1, 1, factor, 1, 1, 1, 1])
            message.p = message.p * np.array([factor, 1, 1, 1, 1, factor, 1, 1, 1, 1, 1, 1])
        return log_ns

    def black(topic: str, message: Any, log_ns: int) -> int:
        if topic == topics.image:
            message.data = np.zeros_like(message.data)
        return log_ns

    def shuffled(topic: str, message: Any, log_ns: int) -> int:
        if topic == topics.image:
            message.header.stamp.nanosec = rng.randrange(10**9)
        return log_ns

    def apart(topic: str, message: Any, log_ns: int) -> int:
        if topic == topics.points:
            message.header.stamp.sec += 3
        return log_ns

    return {"extrinsics": turned, "focal": focal, "black": black, "shuffled": shuffled, "apart": apart}


def spoilt(source: Path, out: Path, change: Change) -> Path:
    """A bag whose messages went through `change`."""
    bag = Bag(source)
    with Writer(out) as new:
        for topic, kind, log_ns, raw in bag.messages():
            message = bag.decode(kind, raw)
            new.write(topic, message, change(topic, message, log_ns))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drives", nargs="+", required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--target", help="as for `loop`")
    parser.add_argument("--task", default="depth", choices=list(PARTS))
    parser.add_argument("--init")
    parser.add_argument("--config")
    parser.add_argument("--source", nargs="+")
    parser.add_argument("--score-on", nargs="+")
    parser.add_argument("--poison", type=int, default=0, metavar="N")
    parser.add_argument("--kills", type=int, default=0, metavar="N")
    parser.add_argument("--within", type=float, default=30.0, metavar="S", help="the longest time before a kill")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="out/bench")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    budget = ["--minutes", str(args.minutes)] if args.minutes else ["--steps", str(args.steps or 24)]
    budget += ["--batch", str(args.batch), "--task", args.task]
    for name in ("target", "init", "config", "source", "score_on"):
        value = getattr(args, name)
        if value:
            budget += [f"--{name.replace('_', '-')}", *([value] if isinstance(value, str) else value)]
    said: dict[str, Any] = {"name": "loop", "task": args.task, **machine(), "results": [], "poison": [], "kills": []}
    with tempfile.TemporaryDirectory(prefix="loop-") as name:
        folder = Path(name)
        for i in range(args.poison):
            source = Path(rng.choice(args.drives))
            kind = list(changes := poisons(Bag(source), rng))[i % len(poisons(Bag(source), rng))]
            bad = spoilt(source, folder / f"bad_{i}", changes[kind])
            text, code = loop(folder / "poisoned", ["--bag", str(bad), *budget])
            promoted = (folder / "poisoned" / "current").resolve().name != "0001"
            said["poison"].append({"kind": kind, "exit_code": code, "promoted": promoted, "said": text})
            print(f"poison {i + 1}, {kind}: {'PROMOTED' if promoted else 'not promoted'}, {code}: {text[:150]}", flush=True)
        into, words = folder / "killed", ["--bag", *args.drives, *budget]
        for i in range(args.kills):
            process = loop(into, words, wait=False)
            time.sleep(rng.uniform(0.5, args.within))
            done = process.poll() is not None
            process.send_signal(signal.SIGKILL)
            process.wait()
            whole = works(into) if (into / "current").exists() else None
            said["kills"].append({"was_done": done, "works": whole})
            state = {True: "works", None: "is none yet", False: "IS BROKEN"}[whole]
            print(f"kill {i + 1}: {'it was done' if done else 'killed'}, current {state}", flush=True)
            if done:
                into, words = folder / f"killed_{i}", words  # the next one begins a new life
        if args.kills:
            text, code = loop(into, words)
            print(f"after the last kill: {code}: {text[:150]}", flush=True)
            said["kills"].append({"finished": code, "works": works(into)})
        if args.minutes:
            begun = time.monotonic()
            text, code = loop(folder / "models", ["--bag", *args.drives, *budget, "--json", str(folder / "said.json")])
            facts = json.loads((folder / "models" / "current" / "promotion.json").read_text())
            row = {"exit_code": code, "said": text, "took_min": (time.monotonic() - begun) / 60, "gain": facts.get("gain"),
                   "scores": facts.get("scores")}
            said["results"].append(row)
            print(f"{text}; {row['took_min']:.1f} min in all", flush=True)
    write_atomically(Path(args.out) / f"loop{'' if args.task == 'depth' else f'_{args.task}'}.json", as_json(said))
    if any(row["promoted"] for row in said["poison"]) or any(row["works"] is False for row in said["kills"]):
        raise SystemExit("that must not be")


if __name__ == "__main__":
    main()
