"""The one training loop: terms in, weights out.

A recipe gives `terms(step, batch) -> {name: weighted loss}` and `make(step) -> batch`; both depend on the step alone, so a run
that was cut off and resumed ends with the weights of one that was not (with --steps, at the same number of threads and processes).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from math import cos, isfinite, pi
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from depth_perception.frame import BadInput, check_ranges, ranged
from depth_perception.memory import keep_freed_memory
from depth_perception.samples import ahead
from depth_perception.train.checkpoint import CHECKPOINT, Snapshot, clear_leftovers, copied, load_checkpoint, save_checkpoint
from depth_perception.train.compiled import compiled
from depth_perception.train.device import DEVICES, chosen, onto
from depth_perception.train.distributed import World
from depth_perception.train.history import Budget, History
from depth_perception.train.logbook import Logbook
from depth_perception.train.watch import Watch

__all__ = ["CHECKPOINT", "FREE", "Budget", "FitConfig", "History", "Validation", "fit", "learning", "one_cycle"]

Terms = Callable[[int, dict[str, Tensor]], dict[str, Tensor]]
# None of these changes what is learned, but for rounding: a resumed run may have others.
FREE = ("threads", "checkpoint_s", "snapshot_every", "timeout_s", "device", "loaders", "compile")


@dataclass(frozen=True)
class FitConfig:
    """learning_rate: its peak; warm_up: the share of the budget that climbs to it; a cosine then falls to zero.
    target: training also ends when the total's mean over 50 steps is no more than this (S1 step 1027); 0 is never.
    clip: largest gradient norm. device: "auto" (train.device), "cpu" or "cuda". precision: "float32", or "bfloat16" where the processor
    has it; geometry stays in float32, and in full: on a GPU convolutions use TF32 (torch's default), matrix products do not, since
    theirs are the motions of points. compile: the networks' training passes by torch.compile. loaders: processes that make batches;
    0 is a thread, enough for a CPU.
    keep_statistics: batch norms go by those of --init's networks and leave them as they are, for small batches' own are noise.
    validate_every: steps between scores of the held-out frames; the start and the last step are scored too.
    snapshot_every: steps between the states in memory that a run goes back to; checkpoint_s: least seconds between those that are
    also written to disk. explosion, patience: a total so many times its running median, so many steps in a row, is one.
    recoveries: a run that leaves the rails more often than this ends. threads: of each host; its processes share them.
    timeout_s: how long a process waits for the others, who may be validating or writing.
    """

    learning_rate: float = ranged(2e-3, 0, 10)
    warm_up: float = ranged(0.05, 0, 0.9)
    weight_decay: float = ranged(0.01, 0, 1)
    clip: float = ranged(5.0, 1e-6, 1e6)
    target: float = 0.0
    threads: int = ranged(2, 1, 1024)  # type: ignore[assignment]
    device: str = "auto"
    precision: str = "float32"
    compile: bool = False
    keep_statistics: bool = False
    loaders: int = ranged(0, 0, 256)  # type: ignore[assignment]
    validate_every: int = ranged(200, 1, 1e9)  # type: ignore[assignment]
    snapshot_every: int = ranged(20, 1, 1e9)  # type: ignore[assignment]
    checkpoint_s: float = ranged(120.0, 0, 1e9)
    explosion: float = ranged(20.0, 1, 1e9)
    patience: int = ranged(3, 1, 1000)  # type: ignore[assignment]
    recoveries: int = ranged(3, 0, 1000)  # type: ignore[assignment]
    timeout_s: float = ranged(600.0, 1, 1e6)

    def check_init(self, init: str | Path | None) -> None:
        """BadInput where statistics are to be kept that nobody has made: a fresh network's would stay 0 and 1."""
        if self.keep_statistics and init is None:
            raise BadInput("fit.keep_statistics: wanted --init with a model, whose statistics are kept, got none")

    def __post_init__(self) -> None:
        check_ranges(self)
        if self.device not in DEVICES:
            raise BadInput(f"fit.device: wanted one of {', '.join(DEVICES)}, got {self.device!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise BadInput(f"precision: wanted float32 or bfloat16, got {self.precision!r}")


@dataclass(frozen=True)
class Validation:
    """scores(step) -> {name: value} of the held-out frames, called without gradients on networks in eval mode.
    criterion: the score, less is better, that chooses the weights that are kept.
    """

    scores: Callable[[int], dict[str, float]]
    criterion: str


def fit(
    networks: nn.ModuleDict,
    terms: Terms,
    make: Callable[[int], dict[str, Tensor]],
    *,
    unpack: Callable[[dict[str, Tensor]], dict[str, Tensor]] | None = None,
    out: Path,
    budget: Budget,
    config: FitConfig | None = None,
    seed: int = 0,
    resume: bool = False,
    identity: dict[str, Any] | None = None,
    lacking: dict[str, Any] | None = None,
    validation: Validation | None = None,
    describe: Callable[[int, Sequence[int]], str] | None = None,
    logbook: Callable[[int], Logbook] | None = None,
    world: World | None = None,
    fresh: Collection[str] = (),
) -> History:
    """Trains `networks` in place until the budget is used, with checkpoints in `out`; they end with the best weights that were seen, on
    the CPU. `terms` and `validation` find them, and the batches, on the device of `config`.

    A term or gradient that is no number, or a loss that explodes, is named; the weights and the optimiser go back to the last good
    state, the learning rate is halved and the batch skipped. BadInput when that happened too often.

    Args:
        unpack: makes the batch of what `make` made, on the device: fewer bytes go there.
        identity: what a resumed run must share with the one before (bags, configuration). lacking: as of `load_checkpoint`.
        describe: (step, places in its batch) -> the frames in words.
        logbook: first step -> where to write the curves.
        world: the processes that train together, each with its share of the batches in `make`. All end with the same weights and
            history; the first one alone scores, prints and writes.
        fresh: networks that no model gave; with `keep_statistics` these make theirs all the same.
    """
    config, world = config or FitConfig(), world or World()
    device = chosen(config.device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    if config.compile and world.size > 1:
        raise BadInput(f"fit.compile: wanted one process, got {world.size}")
    torch.set_num_threads(max(1, config.threads // world.local))
    keep_freed_memory()  # a third of a step
    if world.first:
        clear_leftovers(out)
    world.join(networks)
    networks.to(device)
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.AdamW(networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=on_gpu or None)
    history, best = History(), None
    if resume:
        snapshot, best, history = world.tell(
            lambda: load_checkpoint(out / CHECKPOINT, seed=seed, identity=identity or {}, lacking=lacking))
        try:
            snapshot.restore(networks, optimiser)
        except (RuntimeError, ValueError) as error:
            raise BadInput(f"--resume: the checkpoint in {out} is of another network: {str(error).splitlines()[0]}") from error
    learning(networks, config, fresh)
    good = Snapshot.of(networks, optimiser)
    watch = Watch(config.explosion, config.patience)
    for row in history.rows:
        watch.judge({name: value for name, value in row.items() if name != "step"})
    log = logbook(history.step) if logbook and world.first else None
    started = saved = said = time.monotonic() - history.elapsed_s
    bar = tqdm(total=budget.steps, initial=history.step, disable=not (world.first and sys.stderr.isatty()), unit="step")

    def score() -> None:
        nonlocal best
        if validation is None or (history.scores and history.scores[-1]["step"] == history.step):
            return
        networks.eval()
        with torch.no_grad():
            scores = world.tell(lambda: {"step": history.step, **validation.scores(history.step)})
        learning(networks, config, fresh)
        history.scores.append(scores)
        value = scores.get(validation.criterion, float("nan"))
        if isfinite(value) and (history.best is None or value < history.best[validation.criterion]):
            history.best, best = scores, copied(networks)
        if log:
            log.scalars("held_out", scores, history.step)

    def recover(reason: str, batch: dict[str, Tensor]) -> None:
        good.restore(networks, optimiser)
        places, guilty = 0, []
        tried = _guilty(networks, terms, history.step, batch)
        learning(networks, config, fresh)
        for count, found in world.gather(tried):
            guilty += [places + place for place in found]
            places += count
        where = describe(history.step, guilty or range(places)) if describe else "a batch"
        alone = "" if guilty else "no single one of "
        sentence = f"training: {reason} at step {history.step}, on {alone}{where}"
        if len(history.recoveries) >= config.recoveries:
            raise BadInput(f"{sentence}; it happened {len(history.recoveries)} times before: try a smaller fit.learning_rate")
        history.rate /= 2
        history.recoveries.append({"step": history.step, "sentence": sentence})
        if world.first:
            tqdm.write(f"{sentence}; going on from the last good state with half the learning rate", file=sys.stderr)
        if log:
            log.text("recovery", sentence, history.step)

    if history.step == 0:
        score()  # a model to start from is left as it is by a training that makes it worse
    batches = closing(ahead(make, history.step, loaders=config.loaders, pin=on_gpu))
    with batches as made, compiled(networks) if config.compile else nullcontext():
        for packed in made:
            history.elapsed_s = world.tell(lambda: time.monotonic() - started)
            progress = budget.progress(history.step, history.elapsed_s)
            if progress >= 1 or (config.target and history.step >= 50 and sum(history.mean(50).values()) <= config.target):
                break
            for group in optimiser.param_groups:
                group["lr"] = history.rate * config.learning_rate * one_cycle(progress, config.warm_up)
            batch = onto(device, packed)
            if unpack is not None:
                batch = unpack(batch)
            with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bfloat16"), world.joint():
                losses = terms(history.step, batch)
            shares = world.add(torch.stack([loss.detach().double() for loss in losses.values()]))
            optimiser.zero_grad(set_to_none=True)
            norm_on_device = torch.full_like(shares[:1], float("nan"))
            if on_gpu or shares.isfinite().all():  # backwards from a place that is no number, a CPU's grid_sample writes anywhere
                torch.stack(list(losses.values())).sum().backward()
                world.add_gradients(networks)
                norm_on_device = nn.utils.clip_grad_norm_(networks.parameters(), config.clip).double().view(1)
            # All that is looked at comes in one piece: here alone a step waits for a GPU.
            *judged, norm = torch.cat([shares, norm_on_device]).tolist()
            values = dict(zip(losses, judged, strict=True))
            if reason := watch.judge(values):
                recover(reason, batch)
                values = {}
            elif isfinite(norm):
                optimiser.step()
            else:
                recover(f"the gradient of the terms {', '.join(values)} became {norm}", batch)
            history.step += 1
            history.rows.append({"step": history.step, **values})
            if log:
                log.scalars("training", values, history.step)
            if history.step % config.validate_every == 0:
                score()
            now = time.monotonic()
            bar.update()
            if world.first and now - said > (1 if not bar.disable else 30):
                said = now
                text = " ".join(f"{name} {value:.4f}" for name, value in history.mean(30).items())
                bar.set_postfix_str(text)
                if bar.disable:
                    pace = 1e3 * (now - started) / history.step
                    print(f"step {history.step} {100 * progress:.0f}% {pace:.0f} ms/step {text}", flush=True)
            if history.step % config.snapshot_every == 0 and not watch.in_a_row:
                good = Snapshot.of(networks, optimiser)
                if world.first and now - saved > config.checkpoint_s:
                    saved = now
                    history.elapsed_s = now - started
                    save_checkpoint(out / CHECKPOINT, good, best, history, seed=seed, identity=identity or {})
    bar.close()
    score()
    if world.first:
        save_checkpoint(out / CHECKPOINT, Snapshot.of(networks, optimiser), best, history, seed=seed, identity=identity or {})
    if best is not None:
        networks.load_state_dict(best)
    if log:
        log.close()
    networks.cpu().eval()
    return history


def one_cycle(progress: float, warm_up: float) -> float:
    """Share of the peak learning rate at a share of the budget: a line up, then half a cosine down."""
    if progress < warm_up:
        return 0.04 + 0.96 * progress / warm_up
    return 0.5 * (1 + cos(pi * (progress - warm_up) / (1 - warm_up)))


@torch.no_grad()
def _guilty(networks: nn.ModuleDict, terms: Terms, step: int, batch: dict[str, Tensor]) -> tuple[int, list[int]]:
    """How many places a batch has, and which have a term that is no number, each tried alone by good weights."""
    networks.eval()
    count = len(next(iter(batch.values())))
    places = [place for place in range(count)
              if not all(loss.isfinite().all() for loss in terms(step, {name: x[place : place + 1] for name, x in batch.items()}).values())]
    return count, places


def learning(networks: nn.ModuleDict, config: FitConfig, fresh: Collection[str] = ()) -> None:
    """Training mode, but for networks that learn nothing and batch norms that keep their statistics. fresh: as of `fit`."""
    networks.train()
    for name, network in networks.items():
        if not any(parameter.requires_grad for parameter in network.parameters()):
            network.eval()
        for module in network.modules() if config.keep_statistics and name not in fresh else ():
            if isinstance(module, _BatchNorm):
                module.eval()
