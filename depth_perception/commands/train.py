"""`train`: learns a model from bags, exports it, and writes a page about it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception import model as models
    from depth_perception.train.history import History

HELP = "learn a model from bags; ends by exporting it"
EXAMPLE = "python -m depth_perception train depth --bag drive_1 drive_2 --out out/student --minutes 25"
WRITES = {"out": "directory", "json": "file"}
_LEANED = "the model, part of the way back to --init"  # by keep_init


# What only some tasks take; a flag of another one is a mistake, and is not passed over.
TAKES = {
    "depth": {"bag", "network", "init_pose", "profile", "points_topic"},
    "student": {"bag", "network", "teacher", "init_pose", "profile", "points_topic"},
    "contrast": {"bag", "depth", "points_topic"},
    "objects": {"bag", "depth", "modality", "labels", "frames", "points_topic"},
    "markings": {"source", "target", "mode", "palette", "mask_topic"},
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `train`."""
    from depth_perception.commands import train_bev, train_markings

    parser.add_argument("task", choices=["depth", "student", "contrast", "objects", "markings"],
                        help="what to learn; depth trains the pose network with it, student lets a student approximate a teacher as well")
    parser.add_argument("--bag", nargs="+", default=[], help="rosbag2 directories or mcap files with images and a LiDAR")
    parser.add_argument("--out", required=True, metavar="DIR", help="the model directory to write; its last model stays until then")
    parser.add_argument("--network", choices=["student", "s1", "teacher"], help="the depth network (default: student)")
    parser.add_argument("--teacher", metavar="DIR", help="for student: a model of `train depth --network teacher`, which stays as it is")
    parser.add_argument("--steps", type=int, help="training budget in steps; gives the same weights every time")
    parser.add_argument("--minutes", type=float, help="training budget in minutes (reading the bags comes on top)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8, help="windows per step, those of all processes together")
    parser.add_argument("--config", metavar="YAML", help="overrides, see config/train/depth.yaml and student.yaml")
    parser.add_argument("--init", metavar="DIR", help="start from a model's weights")
    parser.add_argument("--init-pose", metavar="DIR", help="start from the pose network of this model (any depth network)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--image-topic", nargs="+", default=[], metavar="TOPIC", help="the cameras to learn from, where a bag has several")
    parser.add_argument("--info-topic", metavar="TOPIC", help="its CameraInfo (default: the one beside the images, else the only one)")
    parser.add_argument("--points-topic", metavar="TOPIC", help="the LiDAR (default: the only one)")
    parser.add_argument("--calibration", metavar="YAML", help="calibration file instead of CameraInfo and TF")
    parser.add_argument("--profile", action="store_true", help="measure where the time of a step goes instead of training")
    parser.add_argument("--json", metavar="PATH", help="write the result's numbers here")
    train_bev.add_arguments(parser)
    train_markings.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Trains, exports, writes the report."""
    from depth_perception.frame import BadInput

    for name in sorted(set().union(*TAKES.values()) - TAKES[args.task] - {"teacher"}):
        if getattr(args, name) not in (None, [], False):
            tasks = ", ".join(f"`train {task}`" for task, taken in TAKES.items() if name in taken)
            raise BadInput(f"--{name.replace('_', '-')}: is of {tasks}; `train {args.task}` does not take it")
    if args.info_topic and len(args.image_topic) > 1:
        raise BadInput(f"--info-topic: is of one camera, got {len(args.image_topic)} with --image-topic")
    if (args.task == "student") != (args.teacher is not None):
        raise BadInput(f"--teacher: `train student` needs a model directory, and nothing else takes one, got {args.teacher}")
    if args.task not in ("depth", "student") and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise BadInput(f"torchrun: `train {args.task}` runs in one process, `train depth` and `train student` in several")
    if args.task == "markings":
        from depth_perception.commands import train_markings

        return train_markings.run(args)
    if args.task in ("contrast", "objects"):
        from depth_perception.commands import train_bev

        return train_bev.run(args)
    import dataclasses

    from depth_perception.export import export
    from depth_perception.train import depth, student
    from depth_perception.train.distributed import joined
    from depth_perception.train.overrides import from_yaml

    if not args.bag:
        raise BadInput(f"--bag: `train {args.task}` needs bags, got none")
    if args.batch < 2:
        raise BadInput(f"--batch: wanted at least 2 (batch norm), got {args.batch}")
    config: depth.Config = depth.Config() if args.teacher is None else student.Config()
    if args.config is not None:
        config = from_yaml(config, args.config)
    if args.network:
        config = dataclasses.replace(config, network=args.network)
    options = {"topics": args.image_topic, "info_topic": args.info_topic, "points_topic": args.points_topic,
               "calibration": args.calibration}
    if args.profile:
        if args.teacher is not None:
            raise BadInput("--profile: measures `train depth`, got train student")
        return _profile(args, config, options)
    budget = depth.Budget(args.steps, args.minutes)
    exported: list[models.Model] = []

    def finish(stage: Path, history: History) -> None:
        exported.append(export(stage, tell=print))
        page(stage, exported[0], history, args.command_line)

    out = Path(args.out)
    with joined(config.fit.timeout_s) as world:
        how: dict[str, Any] = {
            "budget": budget, "batch": args.batch, "seed": args.seed, "init": args.init, "init_pose": args.init_pose,
            "resume": args.resume, "command": args.command_line, "then": finish, "world": world, **options}
        if isinstance(config, student.Config):
            history = student.train(args.bag, out, teacher=args.teacher, config=config, **how)
        else:
            history = depth.train(args.bag, out, config=config, **how)
        if not world.first:
            return 0
        tell(args, history, exported[0])
    return 0


def tell(args: argparse.Namespace, history: History, exported: models.Model) -> None:
    """How a training went: a line or two, and --json."""
    from depth_perception.model import as_json, write_atomically

    result = {"model": args.out, "steps": history.step, "minutes": history.elapsed_s / 60, "losses": history.mean(),
              "best": history.best, "last": history.scores[-1] if history.scores else None, "recoveries": history.recoveries,
              "export": exported.lineage["export"], **({"leaned": history.leaned} if history.leaned else {})}
    if args.json:
        write_atomically(Path(args.json), as_json(result))
    print(f"{args.out}: {history.step} steps in {history.elapsed_s / 60:.1f} min, "
          + ", ".join(f"{name} {value:.4f}" for name, value in history.mean().items()))
    if history.best:
        print("held-out frames, weights of " + _scores(history.best) + "; the last weights, of " + _scores(history.scores[-1])
              + (f"; {_LEANED}, of " + _scores(history.leaned) if history.leaned else ""))


def _scores(scores: dict[str, float]) -> str:
    return f"step {scores['step']}: " + ", ".join(f"{name} {value:.4f}" for name, value in scores.items() if name != "step")


def page(stage: Path, model: models.Model, history: History, command: str) -> None:
    """report/index.html in `stage`: figures, curves, depth pictures with their errors, lineage, configuration, command."""
    from depth_perception.report import page

    lineage = model.lineage
    tables: dict[str, list[list[Any]]] = {}
    if history.scores:
        names = list(history.scores[0])
        best = "best" if history.leaned else "kept"
        kept = {best if row == history.best else "last": row for row in (history.best, history.scores[-1]) if row is not None}
        kept |= {_LEANED: history.leaned} if history.leaned else {}
        tables["Held-out frames"] = [["weights", *names], *([label, *row.values()] for label, row in kept.items())]
    tables["Bags"] = [["bag", "sha256"], *([bag["name"], str(bag["sha256"])[:16]] for bag in lineage["bags"])]
    tables["Windows"] = [["", "count"], ["trained on", lineage["windows"]], ["held out", lineage["held_out"]],
                         *([f"left out: {reason}", count] for reason, count in lineage["dropped"].items())]
    if lineage["warnings"] or history.recoveries:
        said = [*lineage["warnings"], *(recovery["sentence"] for recovery in history.recoveries)]
        tables["Warnings"] = [["", ""], *([sentence, ""] for sentence in said)]
    captions = {"held_out.png": "Scores of the held-out frames over the steps", "curve.png": "Terms of the loss over the steps"}
    pictures = [(stage / "report" / name, caption) for name, caption in captions.items() if (stage / "report" / name).is_file()]
    panels = {"depth_*.png": "Image and prediction; LiDAR and relative error (blue 0, red 30 %)",
              "pairs.png": "Targets of the image and of the cloud: green where the image finds its own cloud first, red where another one",
              "features.png": "Features from above, of the image and of the cloud, by their three main directions",
              "objects_*.png": "What the model finds (coloured), and the labels (white)"}
    pictures += [(file, panel) for pattern, panel in panels.items() for file in sorted((stage / "report").glob(pattern))]
    page.write(stage / "report" / "index.html", title=command, tables=tables, pictures=pictures, summary=lineage)


def _profile(args: argparse.Namespace, config: Any, options: dict[str, Any]) -> int:
    from depth_perception.model import as_json, write_atomically
    from depth_perception.train import profile

    result = profile.profile(args.bag, config=config, batch=args.batch, steps=args.steps or 30, init=args.init, **options)
    print(as_json(result), end="")
    if args.json:
        write_atomically(Path(args.json), as_json(result))
    return 0
