"""`compile`: a model's ONNX files -> TensorRT engines for one or more kinds of GPU, each with a manifest that proves what it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from depth_perception.engine.compiled import Compiled

HELP = "build TensorRT engines of a model's networks, for this GPU or ahead of time for others"
EXAMPLE = "python -m depth_perception compile --model models/student --target sm86,sm89 --precision fp32"
WRITES = {"out": "directory", "json": "file"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `compile`."""
    parser.add_argument("--model", metavar="DIR", help="a model directory with ONNX files (default: the shipped student)")
    parser.add_argument("--target", default="this-gpu", metavar="SM,SM", help="GPU kinds such as sm86,sm89, or this-gpu (default)")
    parser.add_argument("--precision", default="fp32", metavar="P,P", help="fp32 (default), fp16, int8")
    parser.add_argument("--out", metavar="DIR", help="where engines go (default: MODEL/engines, or the user's cache if that is read-only)")
    parser.add_argument("--package", help="tensorrt_rtx or tensorrt (default: the first of them that is installed)")
    parser.add_argument("--force", action="store_true", help="build even what is in the cache")
    parser.add_argument("--prune", action="store_true", help="afterwards remove engines that this model does not need, but the 8 newest")
    parser.add_argument("--json", metavar="PATH", help="write the table's numbers here")


def run(args: argparse.Namespace) -> int:
    """Builds every network for every target in every precision; prints a table."""
    from pathlib import Path

    from depth_perception import model
    from depth_perception.engine import cache, compiled, tensorrt_package
    from depth_perception.frame import BadInput
    from depth_perception.train.lineage import commit

    opened = model.load(args.model or model.shipped())
    package = tensorrt_package.load(args.package)
    targets = list(dict.fromkeys(package.capability(target) for target in _words("target", args.target)))
    precisions = _words("precision", args.precision)
    jobs = [(name, target, precision) for name in opened.networks for target in targets for precision in precisions]
    for name, _, precision in jobs:  # what is missing is said before the first long build
        compiled.onnx_file(opened, name, precision)
    out = Path(args.out) if args.out else None
    rows: list[dict[str, Any]] = []
    print(f"{package.name} {package.version}\nnetwork     target  precision      MB  build s")
    for name, target, precision in jobs:
        with Talk(f"{name} {target} {precision}") as talk:
            done = compiled.compiled(opened, name, package=package, capability=target, precision=precision, directory=out, force=args.force,
                                     progress=talk.building, waiting=talk.waiting, facts={"commit": commit()})
        rows.append(_row(done))
        print("{network:10s}  {target:6s}  {precision:9s}  {MB:6.2f}  {seconds:7.2f}  {state}".format(**rows[-1]), flush=True)
        if done.why:
            print(f"            rebuilt: {done.why}")
    places = sorted({Path(row["engine"]).parent for row in rows})
    print(f"in {', '.join(map(str, places))}")
    removed: list[Path] = []
    if args.prune:
        kept = {model.sha256(file) for name in opened.networks for file in opened.path.glob(f"{name}*.onnx")}
        removed = [file for place in places for file in cache.prune(place, keep=kept)]
        print(f"pruned {len(removed)} files")
    if args.json:
        result = {"model": str(opened.path), "package": package.name, "version": package.version, "engines": rows,
                  "pruned": [file.name for file in removed]}
        try:
            model.write_atomically(Path(args.json), model.as_json(result))
        except OSError as error:
            raise BadInput(f"--json {args.json}: {error.strerror}") from error
    return 0


def _row(done: Compiled) -> dict[str, Any]:
    facts = done.entry.manifest
    return {"network": facts["network"], "target": facts["capability"], "precision": facts["precision"],
            "MB": facts["engine_bytes"] / 1e6, "seconds": facts["build_seconds"], "state": "built" if done.built else "cached",
            "engine": str(done.entry.engine), "engine_sha256": facts["engine_sha256"], "onnx_sha256": facts["onnx_sha256"]}


def _words(name: str, text: str) -> list[str]:
    from depth_perception.frame import BadInput

    words = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    if not words:
        raise BadInput(f"--{name}: wanted one or more words with commas between, got {text!r}")
    return words


class Talk:
    """Says that a build goes on, and for how long: one changing line on a terminal, else a line every five seconds."""

    def __init__(self, what: str) -> None:
        import sys

        self._what, self._stream, self._next_s = what, sys.stderr, 5.0
        self._is_terminal = sys.stderr.isatty()

    def building(self, phase: str, seconds: float) -> None:
        """Called while TensorRT builds."""
        text = f"{self._what}: building, {seconds:.0f} s: {phase}"
        if self._is_terminal:
            print(f"\r\x1b[K{text[:100]}", end="", file=self._stream, flush=True)
        elif seconds >= self._next_s:
            print(text, file=self._stream, flush=True)
            self._next_s += 5.0

    def waiting(self) -> None:
        """Called when another process builds the same engine."""
        print(f"{self._what}: another process builds it, waiting", file=self._stream, flush=True)

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
