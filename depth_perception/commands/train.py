"""`train`: learns a model from bags and exports it."""

from __future__ import annotations

import argparse

HELP = "learn a model from bags; ends by exporting it"
EXAMPLE = "python -m depth_perception train depth --bag drive_1 drive_2 --out out/student --minutes 25"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `train`."""
    parser.add_argument("task", choices=["depth"], help="what to learn; depth trains the pose network with it")
    parser.add_argument("--bag", nargs="+", required=True, help="rosbag2 directories or mcap files with images and a LiDAR")
    parser.add_argument("--out", required=True, metavar="DIR", help="the model directory to write")
    parser.add_argument("--network", choices=["student", "s1"], help="the depth network (default: student)")
    parser.add_argument("--steps", type=int, help="training budget in steps; gives the same weights every time")
    parser.add_argument("--minutes", type=float, help="training budget in minutes (reading the bags comes on top)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--config", metavar="YAML", help="overrides, see config/train/depth.yaml")
    parser.add_argument("--init", metavar="DIR", help="start from a model's weights")
    parser.add_argument("--init-pose", metavar="DIR", help="start from the pose network of this model (any depth network)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in --out")
    parser.add_argument("--json", metavar="PATH", help="write the result's numbers here")


def run(args: argparse.Namespace) -> int:
    """Trains, exports, writes the report."""
    import dataclasses
    import json
    from pathlib import Path

    from depth_perception import model
    from depth_perception.export import export
    from depth_perception.frame import BadInput
    from depth_perception.train import depth
    from depth_perception.train.fit import Budget
    from depth_perception.train.overrides import from_yaml

    if args.batch < 2:
        raise BadInput(f"--batch: wanted at least 2 (batch norm), got {args.batch}")
    budget = Budget(args.steps, args.minutes)
    config = depth.Config() if args.config is None else from_yaml(depth.Config(), args.config)
    if args.network:
        config = dataclasses.replace(config, network=args.network)
    out = Path(args.out)
    history = depth.train(args.bag, out, config=config, budget=budget, batch=args.batch, seed=args.seed, init=args.init,
                          init_pose=args.init_pose, resume=args.resume, command=args.command_line)
    exported = export(out)
    result = {"model": str(out), "steps": history.step, "minutes": history.elapsed_s / 60, "losses": history.mean(),
              "export": exported.lineage["export"]}
    if args.json:
        model.write_atomically(Path(args.json), json.dumps(result, indent=2) + "\n")
    print(f"{out}: {history.step} steps in {history.elapsed_s / 60:.1f} min, "
          + ", ".join(f"{name} {value:.4f}" for name, value in history.mean().items()))
    return 0
