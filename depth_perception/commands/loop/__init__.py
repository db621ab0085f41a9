"""`loop`: last night's drives in, this morning's model out; nothing is promoted that is not proven better."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from depth_perception.loop import Outcome, Store

HELP = "learn from new drives, and promote the model only when it is proven better; or roll back"
EXAMPLE = "python -m depth_perception loop --bag /data/drives --into /data/models --minutes 20 --target sm86"
WRITES = {"into": "directory", "json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is new, where models live, what counts as better."""
    parser.add_argument("--bag", nargs="+", default=[], metavar="BAG", help="bags, or directories of them; those seen before are left out")
    parser.add_argument("--into", required=True, metavar="DIR", help="the directory of models; DIR/current is the one that drives")
    parser.add_argument("--init", metavar="DIR", help="copied as the first model, and only that: no longer looked at once there is a "
                        "DIR/current (default: the shipped one)")
    parser.add_argument("--task", choices=["depth", "student", "objects", "markings"], default="depth", help="what is learned, as for "
                        "`train`; each kind of model has a DIR of its own")
    parser.add_argument("--teacher", metavar="DIR", help="for student")
    parser.add_argument("--labels", metavar="TOPIC", help="for objects and markings: boxes or masks (default: as simulated drives)")
    parser.add_argument("--source", nargs="+", default=[], metavar="LABELLED", help="for markings: bags with masks, or folders with "
                        "images/ and masks/; the new drives are the domain that it is to work in")
    parser.add_argument("--score-on", nargs="+", default=[], metavar="LABELLED", help="for markings: a labelled set that nobody learns "
                        "from, and that judges; without it new drives that have masks do, else the source's end")
    parser.add_argument("--palette", metavar="YAML", help="for markings: colours of masks in folders")
    parser.add_argument("--minutes", type=float, help="training budget (default 20, unless --steps)")
    parser.add_argument("--steps", type=int, help="training budget in steps")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--config", metavar="YAML", help="of the training (default, by task: loop.yaml, student.yaml, loop_objects.yaml or "
                        "loop_markings.yaml in config/train)")
    parser.add_argument("--target", metavar="SM,SM", help="kinds of GPU to build engines for (default: none, the CPU's need no building)")
    parser.add_argument("--precision", default="fp32", metavar="P,P", help="of the engines: fp32, fp16; of depth and student also int8")
    parser.add_argument("--held-share", type=float, default=0.2, help="of each drive's time, its end, that is scored on (default 0.2)")
    parser.add_argument("--min-gain", type=float, help="AbsRel on the new drives must fall by this share (default 0.02), mAP or IoU rise "
                        "by this much (default 0.01)")
    parser.add_argument("--tolerance", type=float, help="and AbsRel rise nowhere by more than this share (default 0.05), mAP and IoU fall "
                        "nowhere by more than this (default 0.02)")
    parser.add_argument("--keep", type=int, default=5, help="versions to keep (default 5)")
    parser.add_argument("--keep-held", type=int, default=20, help="held-out stretches to keep and score (default 20)")
    parser.add_argument("--again", action="store_true", help="also bags that were seen before, or failed three times")
    parser.add_argument("--image-topic", metavar="TOPIC")
    parser.add_argument("--info-topic", metavar="TOPIC")
    parser.add_argument("--points-topic", metavar="TOPIC")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file instead of CameraInfo and TF")
    parser.add_argument("--rollback", action="store_true", help="make the version current that the current one replaced, and end")
    parser.add_argument("--json", metavar="PATH", help="write the outcome here")


def run(args: argparse.Namespace) -> int:
    """One turn of the loop. 0 promoted, 3 nothing new, 4 all refused, 5 not better, 6 failed; 2 for bad input."""
    from depth_perception.commands.loop.checks import check
    from depth_perception.commands.loop.page import page
    from depth_perception.commands.loop.plan import plan, tell
    from depth_perception.loop import Outcome, Store
    from depth_perception.loop import run as turn

    if args.rollback:
        return rollback(args, Store(args.into))
    check(args)
    store = Store(args.into)
    with store.alone(waiting=lambda: tell("another loop works there, waiting")):
        what, why_nothing = plan(args, store)
        begin(args, store)
        runs = turn(store, what, tell=tell)
        for name, outcome in runs:
            page(store.runs / name, outcome)
        return end(args, store, runs or [("", Outcome("nothing new", why_nothing))])


def rollback(args: argparse.Namespace, store: Store) -> int:
    """At once, also while a loop works; status.json is then that loop's."""
    from depth_perception.loop import Outcome

    before, now = store.rollback()
    with store.alone() as idle:
        return end(args, store, [("rollback", Outcome("rolled back", f"{now.name} is current again, {before.name} was"))], say=idle)


def begin(args: argparse.Namespace, store: Store) -> None:
    """The first model of a new directory; BadInput when a model is of another kind than the task's."""
    from depth_perception import model
    from depth_perception.frame import BadInput
    from depth_perception.loop.parts import PARTS

    part, now = PARTS[args.task], store.current
    first = now or args.init or model.shipped(part.shipped)
    if (kind := model.load(first).kind) != part.kind:
        option = "--into" if now else "--init"
        raise BadInput(f"{option} {first}: `--task {args.task}` wants a model of kind {part.kind}, it is of kind {kind}")
    store.begin(first)


def end(args: argparse.Namespace, store: Store, runs: list[tuple[str, Outcome]], *, say: bool = True) -> int:
    """Says how it ended, in one line, status.json and --json."""
    from pathlib import Path

    from depth_perception import model

    name, outcome = runs[-1]
    said = {"outcome": outcome.kind, "sentence": outcome.sentence, "exit_code": outcome.exit_code, "run": name}
    if say:
        store.say("idle", **said)
    print(f"{outcome.kind}: {outcome.sentence}")
    if args.json:
        current = store.current
        model.write_atomically(Path(args.json), model.as_json({**said, "current": str(current), "runs": [
            {"run": each, "outcome": one.kind, "sentence": one.sentence} for each, one in runs]}))
    return outcome.exit_code
