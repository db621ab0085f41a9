"""Which bags are new, and what is to be done with them."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.loop import Store

MOST_FAILURES = 3  # so often a bag is tried whose run failed: what failed may have been the machine, not the bag


def plan(args: argparse.Namespace, store: Store) -> tuple[Any, str]:
    """What is to be done with the bags that are new; None, and why, when there are none."""
    from pathlib import Path

    from depth_perception.commands.loop.checks import paths, words
    from depth_perception.loop import Plan, found
    from depth_perception.loop.parts import PARTS

    part = PARTS[args.task]
    seen, fresh, given_up = store.seen(), {}, 0
    labelled = paths([*args.source, *args.score_on])  # such are no new drives
    for bag in found.bags(args.bag):
        if str(bag) in labelled:
            continue
        if found.is_being_recorded(bag):
            tell(f"{bag} is still being recorded: next time")
            continue
        known, files = seen.get(str(bag), {}), found.identity(bag)["files"]
        if args.again or known.get("files") != files or 0 < known.get("failed", 0) < MOST_FAILURES:
            fresh[str(bag)] = files
        elif known.get("failed", 0):
            given_up += 1
    failed = f"; {given_up} failed {MOST_FAILURES} times and are left alone until --again" if given_up else ""
    if failed:
        tell(f"of the bags{failed[1:]}")
    if not fresh:
        return None, f"no bag below {', '.join(map(str, args.bag))} is new{failed}"
    what = Plan(
        bags=fresh, task=args.task, teacher=args.teacher and str(Path(args.teacher).resolve()), steps=args.steps,
        minutes=args.minutes if args.minutes or args.steps else 20.0, batch=args.batch, seed=args.seed,
        config=args.config and str(Path(args.config).resolve()), targets=words("target", args.target) if args.target else [],
        precisions=words("precision", args.precision), held_share=args.held_share,
        min_gain=part.min_gain if args.min_gain is None else args.min_gain,
        tolerance=part.tolerance if args.tolerance is None else args.tolerance,
        most_held=args.keep_held, most_versions=args.keep, image_topic=args.image_topic, info_topic=args.info_topic,
        points_topic=args.points_topic, calibration=args.calibration and str(Path(args.calibration).resolve()), labels=args.labels,
        source=sorted(paths(args.source)), score_on=sorted(paths(args.score_on)),
        palette=args.palette and str(Path(args.palette).resolve()))
    return what, ""


def tell(sentence: str) -> None:
    """To whoever watches; a cron job has no terminal, and reads status.json."""
    if sys.stderr.isatty():
        print(f"loop: {sentence}", file=sys.stderr, flush=True)
