"""`python -m depth_perception VERB ...`: one small file per verb under commands/, imported when it is called."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
from types import ModuleType

from depth_perception import __version__, commands, writable
from depth_perception.frame import BadInput

# What a vehicle does not have, and how to get it.
EXTRAS = {
    "torch": "run `make environment`, or pip install 'depth_perception[train]'",
    "safetensors": "run `make environment`, or pip install 'depth_perception[train]'",
    "onnx": "run `make environment`, or pip install 'depth_perception[export]'",
    "open3d": "run `make environment`, or pip install 'depth_perception[world]'",
    "rosbags": "pip install 'depth_perception[bags]'",
    "mcap": "pip install 'depth_perception[bags]'",
    "matplotlib": "run `make environment`, or pip install 'depth_perception[world]'",
    "rerun": "pip install 'depth_perception[view]'",
    "rclpy": "source a ROS 2 installation, or run `make environment`",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one verb. Exit code 2 and one sentence for bad input."""
    argv = sys.argv[1:] if argv is None else argv
    modules = (name for _, name, _ in pkgutil.iter_modules(commands.__path__))
    verbs = sorted(name.replace("_", "-") for name in modules if not name.startswith("train_"))  # those are tasks of train
    if not argv or argv[0] in ("-h", "--help"):
        print("usage: python -m depth_perception VERB [options]\n")
        for verb in verbs:
            print(f"  {verb:12s} {_load(verb).HELP}")
        print("\n`python -m depth_perception VERB --help` has an example.")
        return 0 if argv else 2
    if argv[0] == "--version":
        print(__version__)
        return 0
    if argv[0] not in verbs:
        print(f"verb: wanted one of {', '.join(verbs)}, got {argv[0]!r}", file=sys.stderr)
        return 2
    module = _load(argv[0])
    parser = argparse.ArgumentParser(prog=f"depth_perception {argv[0]}", description=module.HELP,
                                     epilog=f"example:\n  {module.EXAMPLE}", formatter_class=argparse.RawDescriptionHelpFormatter)
    module.add_arguments(parser)
    args = parser.parse_args(argv[1:])
    args.command_line = f"python -m depth_perception {' '.join(argv)}"
    try:
        check_outputs(module, args)
        return int(module.run(args) or 0)
    except BadInput as error:
        print(f"{argv[0]}: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in EXTRAS:
            raise
        print(f"{argv[0]}: needs {error.name}, which is not installed here: {EXTRAS[error.name]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"{argv[0]}: {error.filename}: {error.strerror}", file=sys.stderr)
        return 2


def check_outputs(module: ModuleType, args: argparse.Namespace) -> None:
    """Raises BadInput where what a verb is to write cannot be written."""
    check = {"directory": writable.directory, "file": writable.file}
    for name, kind in module.WRITES.items():
        if path := getattr(args, name):
            check[kind](f"--{name.replace('_', '-')}", path)


def _load(verb: str):  # type: ignore[no-untyped-def]
    return importlib.import_module(f"depth_perception.commands.{verb.replace('-', '_')}")


if __name__ == "__main__":
    raise SystemExit(main())
