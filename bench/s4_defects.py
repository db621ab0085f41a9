"""How well missing, worn and broken markings are told apart on simulated streets (S4-i), against exact truth.

    python -m bench.s4_defects --seeds 1 2 3 [--passes 3] [--drift 0.02] [--model MARKINGS] [--out DIR] [--json J]

Each street's paint is damaged piece by piece (world/reference.py), then driven down several times in other lanes and other traffic. The
pose is an odometry that is wrong by `--drift` of the way, anew in every pass. Masks are the true ones of what is left, or with `--model` a
trained network's on rendered pictures; depth is exact. A verdict counts where the reference was seen; what traffic hid throughout is
"unseen".

--out writes each street's report, one GeoJSON; with --origin LAT LON HEADING in WGS84, as if the street began there.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from depth_perception.frame import Frame
from depth_perception.model import as_json, write_atomically
from depth_perception.report.bench import machine
from depth_perception.systems.marking_verdicts import report_properties
from depth_perception.systems.markings import Markings, MarkingsOutput
from depth_perception.systems.missing_markings import Config, MissingMarkings, Pose
from depth_perception.systems.reference_map import Origin, Reference, ReferenceMap, to_json
from depth_perception.world.appearance import Appearance, random_appearance
from depth_perception.world.passes import Passes, Patrol, drifted
from depth_perception.world.reference import STATES
from depth_perception.world.sensors import Camera


def reference_map(passes: Passes) -> ReferenceMap:
    """The true map of a street, in the frame "map"."""
    return ReferenceMap("map", tuple(Reference(piece.id, int(piece.kind), piece.rings) for piece in passes.pieces))


def seen_exactly(passes: Passes, number: int, system: Markings) -> Iterator[tuple[MarkingsOutput, np.ndarray]]:
    """One pass with true masks, and T_world_base of each image."""
    for one in passes.glimpses(number):
        blank = np.zeros((*one.markings.shape, 3), np.uint8)
        yield system.given(Frame(blank, one.stamp_ns, one.calibration), one.markings, depth=one.depth), one.T_world_base


def seen_by_model(passes: Passes, number: int, system: Markings) -> Iterator[tuple[MarkingsOutput, np.ndarray]]:
    """One pass with a network's masks, in a light of its own."""
    look = random_appearance(np.random.default_rng([passes.patrol.seed, number, 7])) if number else Appearance()
    for moment, T_world_base in passes.moments(number, look=look):
        yield system.step(moment.frame, depth=moment.depth), T_world_base


def street(patrol: Patrol, *, count: int, drift: float, system: Markings, exact: bool) -> tuple[Passes, MissingMarkings, dict[str, Any]]:
    """Drives a street and judges it."""
    passes = Passes(patrol)
    missing = MissingMarkings(reference_map(passes), Config())
    errors, spent, said = [], 0.0, Counter[str]()
    for number in range(count):
        missing.new_pass()
        seen = list((seen_exactly if exact else seen_by_model)(passes, number, system))
        true = [T for _, T in seen]
        for (output, T), given in zip(seen, drifted(true, np.random.default_rng([patrol.seed, number]), share=drift), strict=True):
            before = time.process_time()
            answer = missing.step(output, Pose(given, output.stamp_ns, "map"))
            spent += time.process_time() - before
            said.update(sentence.split(" of the paint")[-1] for sentence in answer.said)
            errors.append((np.linalg.norm(given[:2, 3] - T[:2, 3]), np.linalg.norm(answer.pose[:2] - T[:2, 3])))
    facts = {
        "frames": len(errors),
        "step_ms": round(1e3 * spent / len(errors), 2),
        "odometry_error_m": {"median": float(np.median(errors, 0)[0]), "max": float(np.max(errors, 0)[0])},
        "aligned_error_m": {"median": float(np.median(errors, 0)[1]), "max": float(np.max(errors, 0)[1])},
        "without_verdict": dict(said),
    }
    return passes, missing, facts


def scores(counts: Counter[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """(true, said) -> how often -> precision and recall of each state."""
    out = {}
    for state in STATES:
        hit = counts[state, state]
        said = sum(n for (_, other), n in counts.items() if other == state)
        true = sum(n for (other, _), n in counts.items() if other == state)
        out[state] = {"precision": hit / said if said else float("nan"), "recall": hit / true if true else float("nan"), "true": true}
    return out


def main() -> None:
    """Prints and writes the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--rate", type=float, default=5.0)
    parser.add_argument("--drift", type=float, default=0.02)
    parser.add_argument("--setting", default="city")
    parser.add_argument("--size", default="832x256", metavar="WxH")
    parser.add_argument("--model", help="a markings model directory; without it the masks are exact")
    parser.add_argument("--origin", type=float, nargs=3, metavar=("LAT", "LON", "HEADING"))
    parser.add_argument("--out", help="folder for one report per street")
    parser.add_argument("--json")
    args = parser.parse_args()
    system = Markings(None, height=1, width=1)  # type: ignore[arg-type]
    if args.model:
        from depth_perception import engine
        from depth_perception import model as models

        model = models.load(args.model)
        system = Markings(engine.load(model, "markings"), height=model.height, width=model.width)
    width, height = (int(side) for side in args.size.split("x"))
    counts: Counter[tuple[str, str]] = Counter()
    unseen, wrong, streets = 0, [], []
    for seed in args.seeds:
        patrol = Patrol(seed, args.seconds, args.rate, args.setting, camera=Camera(width, height))
        passes, missing, facts = street(patrol, count=args.passes, drift=args.drift, system=system, exact=not args.model)
        verdicts = missing.verdicts()
        for one in verdicts:
            true = passes.fates[one.id]
            if one.state == "unseen":
                unseen += 1
                continue
            counts[true.state, one.state] += 1
            if true.state != one.state:
                wrong.append({"street": seed, "id": one.id, "true": true.state, "left": round(true.left, 3), "said": one.state,
                              "ratio": round(one.ratio, 3), "unevenness": round(one.unevenness, 3), "seen": round(one.seen, 2)})
        streets.append({"seed": seed, "references": len(verdicts), **facts})
        if args.out:
            origin = Origin(*args.origin) if args.origin else None
            seen = {one.id for one in verdicts if one.state not in ("unseen", "intact")}
            text = to_json("map", [one for one in missing.map.references if one.id in seen], properties=report_properties(verdicts),
                           origin=origin, on_earth=origin is not None)
            write_atomically(Path(args.out) / f"defects_{seed}.geojson", text)
        print(f"street {seed}: {json.dumps(facts)}", flush=True)
    result = scores(counts)
    print(f"{'':10s} precision  recall  true")
    for state, row in result.items():
        print(f"{state:10s} {row['precision']:9.3f} {row['recall']:7.3f} {row['true']:5.0f}")
    print(f"unseen {unseen}; confusion " + ", ".join(f"{a}->{b} {n}" for (a, b), n in sorted(counts.items())))
    for row in wrong:
        print(row)
    if args.json:
        found = {"name": "s4_defects", **machine(), "masks": args.model or "exact", "drift": args.drift, "passes": args.passes,
                 "results": [result], "confusion": {f"{a} -> {b}": n for (a, b), n in counts.items()}, "unseen": unseen,
                 "wrong": wrong, "streets": streets}
        write_atomically(Path(args.json), as_json(found))


if __name__ == "__main__":
    main()
