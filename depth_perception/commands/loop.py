"""`loop`: last night's drives in, this morning's model out; nothing is promoted that is not proven better."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.loop import Outcome, Store

HELP = "learn from new drives, and promote the model only when it is proven better; or roll back"
MOST_FAILURES = 3  # so often a bag is tried whose run failed: what failed may have been the machine, not the bag
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
    parser.add_argument("--precision", default="fp32", metavar="P,P", help="of the engines: fp32, fp16, int8")
    parser.add_argument("--held-share", type=float, default=0.2, help="of each drive's time, its end, that is scored on (default 0.2)")
    parser.add_argument("--min-gain", type=float, help="AbsRel on the new drives must fall by this share (default 0.02), mAP or IoU rise "
                        "by this much (default 0.01)")
    parser.add_argument("--tolerance", type=float, help="and AbsRel rise nowhere by more than this share (default 0.05), mAP and IoU fall "
                        "nowhere by more than this (default 0.02)")
    parser.add_argument("--keep", type=int, default=5, help="versions to keep (default 5)")
    parser.add_argument("--keep-held", type=int, default=20, help="held-out stretches to keep and score (default 20)")
    parser.add_argument("--again", action="store_true", help="also bags that were seen before, or failed three times")
    parser.add_argument("--image-topic", metavar="TOPIC")
    parser.add_argument("--points-topic", metavar="TOPIC")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file instead of CameraInfo and TF")
    parser.add_argument("--rollback", action="store_true", help="make the version current that the current one replaced, and end")
    parser.add_argument("--json", metavar="PATH", help="write the outcome here")


def run(args: argparse.Namespace) -> int:
    """One turn of the loop. 0 promoted, 3 nothing new, 4 all refused, 5 not better, 6 failed; 2 for bad input."""
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


def check(args: argparse.Namespace) -> None:
    """BadInput for whatever a night would fail by, before it begins."""
    import math

    from depth_perception import decode, model
    from depth_perception.engine import tensorrt_package
    from depth_perception.engine.tensorrt_build import PRECISIONS
    from depth_perception.frame import BadInput

    if not args.bag:
        raise BadInput("--bag: wanted bags or a directory of them, got none")
    if (args.task == "student") != (args.teacher is not None):
        raise BadInput("--teacher: `--task student` needs a model directory, and nothing else takes one")
    check_labelled(args)
    for name, least, most in (("held_share", 0.01, 0.9), ("min_gain", 0.0, 1.0), ("tolerance", 0.0, 1.0)):
        if (value := getattr(args, name)) is not None and not least <= value <= most:
            raise BadInput(f"--{name.replace('_', '-')}: wanted a share from {least:g} to {most:g}, got {value}")
    for name, count in (("batch", 2), ("keep", 2), ("keep_held", 1), ("steps", 1)):
        if (value := getattr(args, name)) is not None and value < count:
            raise BadInput(f"--{name.replace('_', '-')}: wanted at least {count}, got {value}")
    if args.minutes is not None and not 0 < args.minutes < math.inf:
        raise BadInput(f"--minutes: wanted a positive number, got {args.minutes}")
    if args.teacher is not None:
        model.load(args.teacher)
    if args.calibration is not None:
        decode.read_calibration(args.calibration)
    if args.config is not None:
        from importlib import import_module

        from depth_perception.train.overrides import from_yaml

        from_yaml(import_module(f"depth_perception.train.{args.task}").Config(), args.config)
    for precision in words("precision", args.precision):
        if precision not in PRECISIONS:
            raise BadInput(f"--precision: wanted some of {','.join(PRECISIONS)}, got {precision!r}")
    for target in words("target", args.target) if args.target is not None else []:
        tensorrt_package.load().capability(target)


def check_labelled(args: argparse.Namespace) -> None:
    """Who teaches, and who judges: labelled ones that are there, and none of them both."""
    from pathlib import Path

    from depth_perception.bag import Bag
    from depth_perception.frame import BadInput
    from depth_perception.loop.held import is_folder, labelled_topic
    from depth_perception.loop.parts import PARTS

    part = PARTS[args.task]
    for name, wanted in (("labels", part.truth is not None), ("source", part.by_source), ("score_on", part.by_source),
                         ("palette", part.by_source)):
        if getattr(args, name) and not wanted:
            raise BadInput(f"--{name.replace('_', '-')}: `--task {args.task}` takes none")
    if not part.by_source:
        return
    assert part.truth is not None
    if not args.source:
        raise BadInput(f"--source: `--task {args.task}` needs labelled bags or folders, got none")
    for name in ("source", "score_on"):
        for path in getattr(args, name):
            if not Path(path).exists():
                raise BadInput(f"--{name.replace('_', '-')} {path}: wanted a bag with masks, or a folder with images/ and masks/, "
                               "nothing is there")
            if not is_folder(path):
                labelled_topic(Bag(path), part.truth, args.labels)
    if both := paths(args.source) & paths(args.score_on):
        raise BadInput(f"--score-on {sorted(both)[0]}: nobody may learn from what judges, and it is a --source")
    if args.palette is not None:
        from depth_perception.systems.palette import read_palette

        read_palette(args.palette)


def paths(given: list[str]) -> set[str]:
    """Absolute, links followed, as `found.bags` has them."""
    from pathlib import Path

    return {str(Path(path).resolve()) for path in given}


def words(name: str, text: str) -> list[str]:
    """"sm86, SM89" -> ["sm86", "sm89"]."""
    from depth_perception.frame import BadInput

    found = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    if not found:
        raise BadInput(f"--{name}: wanted one or more words with commas between, got {text!r}")
    return found


def tell(sentence: str) -> None:
    """To whoever watches; a cron job has no terminal, and reads status.json."""
    if sys.stderr.isatty():
        print(f"loop: {sentence}", file=sys.stderr, flush=True)


def plan(args: argparse.Namespace, store: Store) -> tuple[Any, str]:
    """What is to be done with the bags that are new; None, and why, when there are none."""
    from pathlib import Path

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
        most_held=args.keep_held, most_versions=args.keep, image_topic=args.image_topic, points_topic=args.points_topic,
        calibration=args.calibration and str(Path(args.calibration).resolve()), labels=args.labels, source=sorted(paths(args.source)),
        score_on=sorted(paths(args.score_on)), palette=args.palette and str(Path(args.palette).resolve()))
    return what, ""


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


def page(folder: Any, outcome: Outcome) -> None:
    """RUN/report.html: what was refused, learned, scored and decided. Best effort: how it ended is said without it."""
    import json
    from contextlib import suppress

    from depth_perception.loop.parts import PARTS
    from depth_perception.report import page

    def read(stage: str) -> dict[str, Any]:
        with suppress(OSError, ValueError, TypeError):
            return dict(json.loads((folder / f"{stage}.json").read_text()))
        return {}

    tables: dict[str, list[list[Any]]] = {"Outcome": [["", ""], [outcome.kind, outcome.sentence]]}
    planned, inspected, held, scores = read("plan"), read("inspect"), read("held"), read("scores")
    measure = PARTS.get(planned.get("task", ""), PARTS["depth"]).measure
    rows = [[bag, "learned from" if stretch else "learned from, without truth"] for bag, stretch in held.get("held", {}).items()]
    rows += [[bag, "labelled source"] for bag in planned.get("source", [])]
    rows += [[bag, f"refused: {why}"] for bag, why in (inspected.get("refused", {}) | held.get("refused", {})).items()]
    tables["Drives"] = [["bag", ""], *rows]
    if judges := held.get("judges"):
        tables["Judged on"] = [["", ""], *([place, whose] for place, whose in judges.items())]
    if left_out := scores.get("left_out"):
        tables["Earlier stretches that cannot be scored any more, left out"] = [["stretch", ""], *map(list, left_out.items())]
    if stretches := scores.get("stretches"):
        pairs = [(measure.scores(each["before"]), measure.scores(each["after"])) for each in stretches]
        names = list(dict.fromkeys(name for before, _ in pairs for name in before))
        cells = [[each["name"], each.get("judge") or ("this run's" if each["new"] else "earlier"), *(
            told(one.get(name)) for name in names for one in both)] for each, both in zip(stretches, pairs, strict=True)]
        tables[f"{measure.name} on held-out stretches"] = [
            ["stretch", "", *(word for name in names for word in (f"{name} before", "after"))], *cells]
    if engines := read("proof").get("engines"):
        tables["Engines"] = [["network", "target", "precision", "MB", "sha256 of the ONNX"], *(
            [row["network"], row["target"], row["precision"], row["MB"], row["onnx_sha256"][:16]] for row in engines)]
    with suppress(OSError):
        page.write(folder / "report.html", title=f"loop {folder.name}", tables=tables, pictures=[], summary=planned)


def told(score: float | None) -> float | None:
    """NaN is nothing that a table shows."""
    return None if score is None or score != score else score
