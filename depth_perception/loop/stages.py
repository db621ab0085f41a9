"""One run of the loop, stage by stage. What a stage found lies in its run's folder as STAGE.json, written in one step: a run that was
killed goes on at the first stage that has none. Long stages are commands of this package in processes of their own, which end with us.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from depth_perception import engine, inspection, model
from depth_perception.frame import BadInput
from depth_perception.loop import found
from depth_perception.loop.held import NothingSaid, hold_out, hold_out_folder, is_folder
from depth_perception.loop.parts import PARTS, Part
from depth_perception.loop.plan import Plan
from depth_perception.loop.store import Outcome, Store
from depth_perception.loop.verdict import Stretch, verdict
from depth_perception.parent import ended_with_parent

Tell = Callable[[str], None]
_MOST_ATTEMPTS = 30  # a machine that is switched off every night, not one that a run brings down
# Some such images among many are left out by the training itself; how many are too many is the verdict's.
_SOME = {"black", "blurred", "frozen"}
# What a full disk, a file that somebody edited, or a result that lacks something does: an outcome, not a traceback.
FAILURES = (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError)


class _Stop(Exception):
    """A run ends here: kind of Outcome, and why; of a command that failed its exit code."""

    def __init__(self, kind: str, sentence: str, exit_code: int | None = None) -> None:
        super().__init__(sentence)
        self.outcome, self.exit_code = Outcome(kind, sentence), exit_code


class Run:
    """One run: `finish()` does what its folder does not hold yet."""

    def __init__(self, store: Store, folder: Path, plan: Plan, tell: Tell) -> None:
        self._store, self._folder, self._plan, self._tell = store, folder, plan, tell
        self._candidate = folder / "candidate"

    @property
    def _part(self) -> Part:
        return PARTS[self._plan.task]

    def finish(self) -> Outcome:
        """All stages; whatever goes wrong is an outcome."""
        try:
            if (attempts := self._count_attempt()) > _MOST_ATTEMPTS:
                raise _Stop("failed", f"it was cut off {attempts - 1} times")
            outcome = self._stages()
        except _Stop as stop:
            outcome = stop.outcome
        except FAILURES as error:
            outcome = Outcome("failed", sentence(error))
        with suppress(OSError, BadInput):  # else it is closed when the loop is called again
            self._close(outcome)
        return outcome

    def _stages(self) -> Outcome:
        # Relative, here and in held.json: a models directory that was moved goes on.
        base = (self._store.into / self._once("base", self._base)["current"]).resolve()
        if gone := self._store.gone_back_on(self._folder.name):
            raise _Stop("rolled back", f"{gone}, which this run had promoted before it was cut off, is no longer current")
        usable = self._once("inspect", self._inspect)["usable"]
        if not usable:
            raise _Stop("refused", "none of the new bags is fit for learning: " + "; ".join(self._refusals()))
        apart = self._once("held", lambda: self._hold_out(usable))
        held, judges = apart["held"], apart.get("judges", {})
        if not held:
            raise _Stop("refused", "nothing can be held out of the new bags: " + "; ".join(self._refusals()))
        if not any(held.values()) and not judges:
            raise _Stop("failed", "nobody can judge: " + "; ".join(apart["cannot"]))
        self._once("train", lambda: self._train(list(held), base))
        scored = self._once("scores", lambda: self._score(held, base, judges))
        scores = scored["stretches"]
        said = verdict([Stretch(**row) for row in scores], min_gain=self._plan.min_gain, tolerance=self._plan.tolerance,
                       measure=self._part.measure)
        self._once("verdict", lambda: dataclasses.asdict(said))
        if not said.better:
            raise _Stop("not better", "; ".join(said.reasons))
        engines = self._once("proof", lambda: self._prove(list(held)))
        bags = [{"path": bag, "files": self._plan.bags[bag]} for bag in held]
        facts = {"run": self._folder.name, "why": said.reasons[0], "bags": bags, "refused": self._refusals(), "scores": scores,
                 "left_out": scored["left_out"], "gain": said.gain, **({"judges": judges} if judges else {}), **engines}
        version = self._store.promote(self._candidate, facts, base=base, move=False)
        self._keep_held(held, judges)
        return Outcome("promoted", f"{version.name} is current: {said.reasons[0]}")

    def _base(self) -> dict[str, Any]:
        if (now := self._store.current) is None:
            raise BadInput(f"{self._store.into}: has no current model to go on from")
        return {"current": self._relative(now)}

    def _inspect(self) -> dict[str, Any]:
        """Which bags are fit for this training; what is poisoned is named, and nothing is learned from it."""
        usable, refused, some = [], {}, _SOME | self._part.forgives
        for bag in self._plan.bags:
            self._tell(f"inspecting {bag}")
            try:
                findings = inspection.inspect(bag, **self._topics())
            except BadInput as error:
                refused[bag] = str(error)
                continue
            poison = [problem["sentence"] for problem in findings["problems"] if problem["kind"] in inspection.POISON - some]
            fit = findings["fitness"][self._part.fitness]
            if poison or fit["verdict"] == "no":
                refused[bag] = "; ".join(poison or fit["reasons"])
            else:
                usable.append(bag)
        return {"usable": usable, "refused": refused}

    def _refused(self) -> dict[str, str]:
        """bag -> why, of the stages that are done."""
        done = [stage for stage in ("inspect", "held") if (self._folder / f"{stage}.json").exists()]
        return {bag: why for stage in done for bag, why in self._read(stage)["refused"].items()}

    def _refusals(self) -> list[str]:
        return [why if why.startswith(bag) else f"{bag}: {why}" for bag, why in self._refused().items()]

    def _hold_out(self, usable: list[str]) -> dict[str, Any]:
        """{"held": bag -> the bag of its end, with NAME.yaml beside it where the calibration is a file's, "refused": bag -> why}.

        Of a part that learns by a labelled source also "judges": place -> whose it is, and "cannot": why others judge not. A bag without
        truth is learned from there, and has no stretch.
        """
        held: dict[str, str | None] = {}
        refused, cannot, plan = {}, [], self._plan
        for i, bag in enumerate(usable):
            out = self._folder / "held" / f"{self._folder.name}-{i}"
            try:
                self._end_of(bag, out)
                held[bag] = self._relative(out)
            except NothingSaid as error:
                if self._part.by_source:
                    held[bag] = None
                    cannot.append(str(error))
                else:
                    refused[bag] = str(error)
            except BadInput as error:
                refused[bag] = str(error)
        if not self._part.by_source:
            return {"held": held, "refused": refused}
        judges = dict.fromkeys(plan.score_on, "the labelled set")
        for source in [] if judges or any(held.values()) else plan.source:
            # Its name is its own: it is held out again and again, and kept once.
            digest = hashlib.sha256(json.dumps(found.identity(Path(source))).encode()).hexdigest()[:8]
            out = self._folder / "held" / f"source-{Path(source).name}-{digest}"
            try:
                if is_folder(source):
                    hold_out_folder(Path(source), out, share=plan.held_share)
                else:
                    self._end_of(source, out)
                judges[self._relative(out)] = "the labelled source's end"
            except BadInput as error:
                cannot.append(str(error))
        return {"held": held, "refused": refused, "judges": judges, "cannot": cannot}

    def _end_of(self, bag: str, out: Path) -> None:
        plan = self._plan
        hold_out(bag, out, share=plan.held_share, image_topic=plan.image_topic, info_topic=plan.info_topic, points_topic=plan.points_topic,
                 calibrated=plan.calibration is not None, scans=not self._part.by_source, truth=self._part.truth, truth_topic=plan.labels)
        if plan.calibration:
            shutil.copyfile(plan.calibration, _calibration(out))

    def _train(self, bags: list[str], base: Path) -> dict[str, Any]:
        plan, part = self._plan, self._part
        config = yaml.safe_load(Path(plan.config or model.share_directory() / "config" / "train" / part.config).read_text()) or {}
        within = config
        for key in part.leave_end[:-1]:
            within = within.setdefault(key, {})
        within[part.leave_end[-1]] = plan.held_share
        (self._folder / "config.yaml").write_text(yaml.safe_dump(config))
        taught = ["--source", *plan.source, "--target", *bags] if part.by_source else ["--bag", *bags]
        words = ["train", plan.task, *taught, "--init", str(base), "--config", str(self._folder / "config.yaml"), "--out",
                 str(self._candidate), "--batch", str(plan.batch), "--seed", str(plan.seed), "--json", str(self._folder / "trained.json")]
        if part.kind == "objects":  # all that the current model can do, and no more
            words += ["--modality", *model.load(base).networks]
        if part.truth is not None and plan.labels:
            words += [part.truth.option, plan.labels]
        topics = ("image_topic", "info_topic", *(() if part.by_source else ("points_topic",)))  # such a part learns from images alone
        for name in ("steps", "minutes", "teacher", *topics, "calibration", "palette"):
            value = getattr(plan, name)
            words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
        has_checkpoint = any(self._candidate.glob("checkpoint*"))
        self._tell(f"learning from {len(bags)} bags{', from the checkpoint on' if has_checkpoint else ''}")
        self._command("train", *words, *["--resume"] * has_checkpoint)
        return dict(json.loads((self._folder / "trained.json").read_text()))

    def _score(self, held: Mapping[str, str | None], base: Path, judges: Mapping[str, str] = MappingProxyType({})) -> dict[str, Any]:
        """Both models on every held-out stretch, of this run and of earlier ones. {"stretches", "left_out": name -> why}.

        An earlier stretch that the current model cannot be scored on says nothing any more; this run's must all be scored.
        """
        ours = {self._store.into / path: "" for path in held.values() if path} | {self._store.into / path: judges[path] for path in judges}
        names = {place.name for place in ours}
        earlier = [path for path in self._stretches() if path.name not in names]  # a source's end is this run's again
        rows, left_out = [], {}
        for place, new in [*((place, True) for place in ours), *((place, False) for place in earlier)]:
            try:
                before = self._scores(place, "before", base)
            except _Stop as stop:
                if new or stop.exit_code != 2:
                    raise
                left_out[place.name] = stop.outcome.sentence
                continue
            rows.append({"name": place.name, "new": new, "before": before, "after": self._scores(place, "after", self._candidate),
                         **({"judge": ours[place]} if ours.get(place) else {})})
        return {"stretches": rows, "left_out": left_out}

    def _scores(self, place: Path, when: str, path: Path) -> dict[str, Any]:
        self._tell(f"scoring {path.name} on {place.name}")
        out, calibration, part, plan = self._folder / "score.json", _calibration(place), self._part, self._plan
        words = ["--calibration", str(calibration)] if calibration.exists() else []
        if part.truth is not None and plan.labels and str(place) in plan.score_on:  # what was held out has it at its usual place
            words += [part.truth.option, plan.labels]
        words += ["--palette", plan.palette] if plan.palette else []
        self._command(f"score_{place.name}_{when}", "evaluate", part.evaluate, "--bag", str(place), "--model", str(path),
                      "--json", str(out), *words)
        return {name: value for name, value in json.loads(out.read_text()).items() if name != "regions"}

    def _stretches(self) -> list[Path]:
        """The earlier ones, oldest first."""
        return sorted(path for path in self._store.held.iterdir() if path.is_dir() and not path.name.startswith("."))

    def _prove(self, bags: list[str]) -> dict[str, Any]:
        """Every network answers its self-test on the CPU; engines are built for the targets. {"selftest", "engines"}."""
        plan = self._plan
        self._tell("proving the candidate")
        if set(plan.precisions) != {"fp32"}:  # in which the training has exported it
            self._export(bags)
        opened = model.load(self._candidate)
        proofs = {name: engine.load(opened, name, device="cpu").proof.difference for name in opened.networks if opened.onnx(name).is_file()}
        engines: list[dict[str, Any]] = []
        if plan.targets:
            out = self._folder / "engines.json"
            self._command("compile", "compile", "--model", str(self._candidate), "--target", ",".join(plan.targets), "--precision",
                          ",".join(plan.precisions), "--out", str(self._candidate / "engines"), "--json", str(out))
            engines = json.loads(out.read_text())["engines"]
            for row in engines:
                row["engine"] = Path(row["engine"]).name
        return {"selftest": proofs, "engines": engines}

    def _export(self, bags: list[str]) -> None:
        """All precisions in one go, for each export removes what an earlier one left; the bags calibrate INT8, and nothing else."""
        words = ["--model", str(self._candidate), "--precision", ",".join(self._plan.precisions)]
        if "int8" in self._plan.precisions:
            words += ["--bag", *bags]
            for name, value in self._topics().items():
                words += [f"--{name.replace('_', '-')}", str(value)] if value is not None else []
        self._command("export", "export", *words)

    def _keep_held(self, held: Mapping[str, str | None], judges: Iterable[str] = ()) -> None:
        """This run's stretches are the earlier ones of the next; a labelled set stays where it is."""
        for path in (self._store.into / each for each in (*held.values(), *judges) if each and not Path(each).is_absolute()):
            for each in (_calibration(path), path):
                if each.exists():
                    if each.is_dir():
                        shutil.rmtree(self._store.held / each.name, ignore_errors=True)
                    os.replace(each, self._store.held / each.name)
        for path in self._stretches()[: -self._plan.most_held or None]:
            shutil.rmtree(path)
            _calibration(path).unlink(missing_ok=True)
        self._store.prune(self._plan.most_versions)

    def _topics(self) -> dict[str, Any]:
        return {name: getattr(self._plan, name) for name in ("image_topic", "info_topic", "points_topic", "calibration")}

    def _relative(self, path: Path) -> str:
        return os.path.relpath(path, self._store.into)

    def _count_attempt(self) -> int:
        file = self._folder / "attempts"
        count = int(file.read_text()) + 1 if file.exists() else 1
        model.write_atomically(file, str(count))
        return count

    def _once(self, stage: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What a stage found, now or before we were killed."""
        if not (self._folder / f"{stage}.json").exists():
            self._store.say("running", run=self._folder.name, stage=stage)
            model.write_atomically(self._folder / f"{stage}.json", model.as_json(work()))
        return self._read(stage)

    def _read(self, stage: str) -> dict[str, Any]:
        return dict(json.loads((self._folder / f"{stage}.json").read_text()))

    def _command(self, log: str, *words: str) -> None:
        """A command of this package, quiet; what it says goes to LOG.log."""
        with (self._folder / f"{log}.log").open("a") as file:  # two trainings in one folder, one of a killed loop, would be worse than none
            code = subprocess.call(
                [sys.executable, "-m", "depth_perception", *words], stdout=file, stderr=file, stdin=subprocess.DEVNULL,
                preexec_fn=ended_with_parent(signal.SIGKILL), env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))})
        if code:
            said = [line for line in (self._folder / f"{log}.log").read_text().splitlines() if line.strip()]
            raise _Stop("failed", f"`{' '.join(words[:2])}` ended with {code}: {said[-1] if said else 'it said nothing'}", code)

    def _close(self, outcome: Outcome) -> None:
        """Remembers the bags and how it ended; what took much room goes."""
        try:
            refused = self._refused()
        except FAILURES:  # a stage's result that cannot be read is why it failed
            refused = {}
        self._store.see(self._plan.bags, {bag: f"refused: {refused[bag]}" if bag in refused else outcome.kind for bag in self._plan.bags})
        ended(self._folder, outcome)


def ended(folder: Path, outcome: Outcome) -> Outcome:
    """Writes into a run's folder how it ended, and lets its candidate and its stretches go."""
    with suppress(OSError):
        model.write_atomically(folder / "outcome.json", model.as_json({"kind": outcome.kind, "sentence": outcome.sentence}))
        for name in ("candidate", "held"):
            shutil.rmtree(folder / name, ignore_errors=True)
    return outcome


def sentence(error: BaseException) -> str:
    """BadInput says it all; of others the kind is half of what they say."""
    if isinstance(error, BadInput):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _calibration(stretch: Path) -> Path:
    """Where a held-out stretch's calibration file lies, if it has one."""
    return stretch.with_name(f"{stretch.name}.yaml")
