"""A directory of models: versions that never change, and `current`, which always names a whole one.

INTO/current -> versions/0007      what drives; a symbolic link, replaced in one step
INTO/versions/0007/                a model directory, with promotion.json: where it came from, and what proved it
INTO/loop/                         status.json, seen.json, history.json, lock, switch.lock, runs/, held/
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from depth_perception import model
from depth_perception.engine import lock
from depth_perception.frame import BadInput
from depth_perception.record.metadata import sync

# Outcome -> exit code of `loop`.
EXIT_CODES = {"promoted": 0, "rolled back": 0, "nothing new": 3, "refused": 4, "not better": 5, "failed": 6}


@dataclass(frozen=True)
class Outcome:
    """How a run ended. kind: a key of EXIT_CODES; sentence: why."""

    kind: str
    sentence: str

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.kind]


class Store:
    """One models directory. What changes it does so in one step: whoever looks, or is killed, finds a whole model.

    Raises BadInput when the directory cannot be made, or its state cannot be read.
    """

    def __init__(self, into: str | Path) -> None:
        self.into = Path(into).resolve()
        self.versions, self.state = self.into / "versions", self.into / "loop"
        self.runs, self.held = self.state / "runs", self.state / "held"
        try:
            for folder in (self.versions, self.runs, self.held):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BadInput(f"--into {self.into}: models cannot be kept there ({error.strerror})") from None

    @contextmanager
    def alone(self, waiting: Callable[[], None] | None = None) -> Iterator[bool]:
        """While another loop works here, this one waits, and calls `waiting` once before; without `waiting`, False comes at once."""
        with lock.held(self.state / "lock", block=waiting is not None, waiting=waiting) as ours:
            yield ours

    @contextmanager
    def _switching(self) -> Iterator[None]:
        """Held only while `current` changes: a rollback does not wait for a training."""
        with lock.held(self.state / "switch.lock"):
            yield

    @property
    def current(self) -> Path | None:
        """The version that drives; None before the first. BadInput when it is no link to a directory."""
        link = self.into / "current"
        if not os.path.lexists(link):
            return None
        if not link.is_symlink() or not link.is_dir():
            got = f"to {os.readlink(link)}, where no directory is" if link.is_symlink() else "but something else is there"
            raise BadInput(f"{link}: wanted a symbolic link to a version, {'it links ' if link.is_symlink() else ''}{got}")
        return link.resolve()

    def begin(self, base: str | Path) -> Path:
        """The current version; where there is none yet, a copy of `base` becomes the first."""
        if (now := self.current) is not None:
            return now
        opened = model.load(base)
        return self.promote(opened.path, {"run": None, "why": f"the first: a copy of {opened.path.resolve()}"}, move=False)

    def promote(self, candidate: Path, facts: dict[str, Any], *, base: Path | None = None, move: bool = True) -> Path:
        """Makes a model the current one. facts: what promotion.json says; "run" tells a promotion that was cut off from a new one.

        base: what it was proven better than; BadInput when another one is current by now.
        """
        version, before = self._of_run(facts.get("run")), self.current
        if version is None:
            self._check_base(base, before)
            number = max((int(path.name) for path in self._numbered()), default=0) + 1
            version = self.versions / f"{number:04d}"
            facts = {"version": version.name, "replaces": before.name if before else None, "when": _now(), **facts}
            with model.written_directory(version) as partial:
                shutil.copytree(candidate, partial, dirs_exist_ok=True, ignore=shutil.ignore_patterns("checkpoint*", "*.lock"))
                model.write_atomically(partial / "promotion.json", model.as_json(facts))
                model.load(partial)
                _sync(partial)
        with self._switching():
            if (before := self.current) != version:
                if self._was_current(version):
                    raise BadInput(f"the current model changed meanwhile: {version.name} was promoted, and is no longer current")
                try:
                    self._check_base(base, before)
                except BadInput:
                    shutil.rmtree(version)  # it never drove
                    raise
                self._point_to(version)
                self._remember("promoted", before, version, str(facts.get("why", "")))
        if move:
            shutil.rmtree(candidate, ignore_errors=True)
        return version

    def rollback(self) -> tuple[Path, Path]:
        """(the version that was current, the one that is now): the one that it had replaced. BadInput when there is none.

        It does not wait for a loop that works: that one will find that another model is current.
        """
        with self._switching():
            now = self.current
            if now is None:
                raise BadInput(f"--rollback: {self.into} has no current model")
            name = self._facts(now).get("replaces")
            if not name or not (self.versions / name).is_dir():
                raise BadInput(f"--rollback: {now.name} replaced nothing that is still in {self.versions}")
            before = self.versions / name
            model.load(before)
            self._point_to(before)
            self._remember("rolled back", now, before, "asked for")
            return now, before

    def gone_back_on(self, run: str) -> str | None:
        """The name of the version that a run promoted, when it was current and no longer is."""
        version = self._of_run(run)
        return version.name if version is not None and version != self.current and self._was_current(version) else None

    def prune(self, keep: int) -> list[str]:
        """Removes the oldest versions but `keep`; never the current one, nor the one that it replaced."""
        with self._switching():
            now = self.current
            needed = {now.name, self._facts(now).get("replaces")} if now else set()
            old = [path for path in self._numbered()[: -keep or None] if path.name not in needed]
            for path in old:
                shutil.rmtree(path)
            return [path.name for path in old]

    def seen(self) -> dict[str, Any]:
        """Path of a bag -> its files' names, sizes and times, what became of it, and how often learning from it failed."""
        return dict(self._read("seen.json", {}))

    def see(self, bags: dict[str, Any], said: dict[str, str]) -> None:
        """Remembers bags (path -> files, as `found.identity` has them). said: path -> what became of it; "failed" is counted."""
        known = self.seen()
        for path, files in bags.items():
            before = known.get(path, {})
            count = before.get("failed", 0) if before.get("files") == files else 0
            known[path] = {"path": path, "files": files, "said": said[path], "failed": count + 1 if said[path] == "failed" else 0}
        self._write("seen.json", known)

    def say(self, state: str, **more: Any) -> None:
        """status.json, for whoever watches; best effort."""
        with suppress(OSError, BadInput):
            now = self.current
            self._write("status.json", {"state": state, "since": _now(), "pid": os.getpid(), "current": now.name if now else None, **more})

    def _check_base(self, base: Path | None, now: Path | None) -> None:
        if base is not None and now != base:
            raise BadInput(f"the current model changed meanwhile: it was {base.name}, and is {now.name if now else 'none'}")

    def _of_run(self, run: str | None) -> Path | None:
        return next((path for path in self._numbered() if run and self._facts(path).get("run") == run), None)

    def _was_current(self, version: Path) -> bool:
        """Also "from" tells: whoever was killed between the switch and its row left none."""
        return any(version.name in (row["from"], row["to"]) for row in self._read("history.json", []))

    def _remember(self, what: str, before: Path | None, after: Path, why: str) -> None:
        row = {"when": _now(), "what": what, "from": before.name if before else None, "to": after.name, "why": why}
        self._write("history.json", [*self._read("history.json", []), row])

    def _point_to(self, version: Path) -> None:
        fresh = self.into / ".current"
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(version.relative_to(self.into))
        sync(self.versions)
        os.replace(fresh, self.into / "current")
        sync(self.into)

    def _numbered(self) -> list[Path]:
        return sorted(path for path in self.versions.iterdir() if path.name.isdigit())

    @staticmethod
    def _facts(version: Path) -> dict[str, Any]:
        try:
            return dict(json.loads((version / "promotion.json").read_text()))
        except (OSError, ValueError):
            return {}

    def _read(self, name: str, missing: Any) -> Any:
        try:
            value = json.loads((self.state / name).read_text())
            if not isinstance(value, type(missing)):
                raise ValueError(f"it holds no {type(missing).__name__}")
            return value
        except FileNotFoundError:
            return missing
        except (OSError, ValueError) as error:
            raise BadInput(f"{self.state / name}: cannot be read ({error}); remove it to begin anew") from None

    def _write(self, name: str, value: Any) -> None:
        model.write_atomically(self.state / name, model.as_json(value))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _sync(folder: Path) -> None:
    """What is in a folder outlives a power cut."""
    for path in (*folder.rglob("*"), folder):
        if path.is_file() or path.is_dir():
            sync(path)
