"""The one training loop: terms in, weights out.

A recipe gives `terms(step, batch) -> {name: weighted loss}` and `make(step) -> batch`; both depend on the step alone, so a run
that was cut off and resumed ends with the weights of one that was not (with --steps, at the same number of threads).
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm import tqdm

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory
from depth_perception.model import written_directory
from depth_perception.samples import ahead

CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class FitConfig:
    """learning_rate: its peak; warm_up: the share of the budget that climbs to it; a cosine then falls to zero.
    target: training also ends when the total's mean over 50 steps is no more than this (S1 step 1027); 0 is never.
    clip: largest gradient norm. precision: "float32", or "bfloat16" where the processor has it. checkpoint_s: seconds between checkpoints.
    """

    learning_rate: float = 2e-3
    warm_up: float = 0.05
    weight_decay: float = 0.01
    clip: float = 5.0
    target: float = 0.0
    threads: int = 2
    precision: str = "float32"
    checkpoint_s: float = 120.0


@dataclass(frozen=True)
class Budget:
    """Training ends at whichever comes first; None is no limit, both None is BadInput."""

    steps: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise BadInput("budget: wanted --steps, --minutes or both")
        if (self.steps is not None and self.steps < 1) or (self.minutes is not None and self.minutes <= 0):
            raise BadInput(f"budget: wanted a positive number, got --steps {self.steps} --minutes {self.minutes}")

    def progress(self, step: int, elapsed_s: float) -> float:
        """How much of the budget is used, 0..1."""
        by_step = step / self.steps if self.steps else 0.0
        by_time = elapsed_s / (60 * self.minutes) if self.minutes else 0.0
        return min(1.0, max(by_step, by_time))


@dataclass
class History:
    """What a training was like: one row per step with the terms' values; `elapsed_s` counts training alone."""

    step: int = 0
    elapsed_s: float = 0.0
    rows: list[dict[str, float]] = field(default_factory=list)

    def mean(self, last: int = 50) -> dict[str, float]:
        """Mean of each term over the last rows that have it."""
        rows = self.rows[-last:]
        names = sorted({name for row in rows for name in row} - {"step"})
        return {name: sum(r[name] for r in rows if name in r) / sum(name in r for r in rows) for name in names}


def fit(
    networks: nn.ModuleDict,
    terms: Callable[[int, dict[str, Tensor]], dict[str, Tensor]],
    make: Callable[[int], dict[str, Tensor]],
    *,
    out: Path,
    budget: Budget,
    config: FitConfig | None = None,
    seed: int = 0,
    resume: bool = False,
) -> History:
    """Trains `networks` in place until the budget is used, with checkpoints in `out`/checkpoint. BadInput when a term is not finite."""
    config = config or FitConfig()
    if config.precision not in ("float32", "bfloat16"):
        raise BadInput(f"precision: wanted float32 or bfloat16, got {config.precision!r}")
    torch.set_num_threads(config.threads)
    keep_freed_memory()  # a third of a step
    optimiser = torch.optim.AdamW(networks.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    history = load_checkpoint(out / CHECKPOINT, networks, optimiser, seed=seed) if resume else History()
    networks.train()
    networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    started = saved = said = time.monotonic() - history.elapsed_s
    bar = tqdm(total=budget.steps, initial=history.step, disable=not sys.stderr.isatty(), unit="step")
    with closing(ahead(make, history.step)) as batches:
        for batch in batches:
            history.elapsed_s = time.monotonic() - started
            progress = budget.progress(history.step, history.elapsed_s)
            if progress >= 1 or (config.target and history.step >= 50 and sum(history.mean(50).values()) <= config.target):
                break
            for group in optimiser.param_groups:
                group["lr"] = config.learning_rate * one_cycle(progress, config.warm_up)
            with torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16"):
                losses = terms(history.step, batch)
            values = {name: loss.item() for name, loss in losses.items()}
            for name, value in values.items():
                if not math.isfinite(value):
                    raise BadInput(f"training: the term {name!r} became {value} at step {history.step}; try a smaller fit.learning_rate")
            optimiser.zero_grad(set_to_none=True)
            torch.stack(list(losses.values())).sum().backward()
            nn.utils.clip_grad_norm_(networks.parameters(), config.clip)
            optimiser.step()
            history.step += 1
            history.rows.append({"step": history.step, **values})
            now = time.monotonic()
            bar.update()
            if now - said > (1 if not bar.disable else 30):
                said = now
                text = " ".join(f"{name} {value:.4f}" for name, value in history.mean(30).items())
                bar.set_postfix_str(text)
                if bar.disable:
                    pace = 1e3 * (now - started) / history.step
                    print(f"step {history.step} {100 * progress:.0f}% {pace:.0f} ms/step {text}", flush=True)
            if now - saved > config.checkpoint_s:
                saved = now
                history.elapsed_s = now - started
                save_checkpoint(out / CHECKPOINT, networks, optimiser, history, seed=seed)
    bar.close()
    save_checkpoint(out / CHECKPOINT, networks, optimiser, history, seed=seed)
    networks.eval()
    return history


def one_cycle(progress: float, warm_up: float) -> float:
    """Share of the peak learning rate at a share of the budget: a line up, then half a cosine down."""
    if progress < warm_up:
        return 0.04 + 0.96 * progress / warm_up
    return 0.5 * (1 + math.cos(math.pi * (progress - warm_up) / (1 - warm_up)))


def save_checkpoint(path: Path, networks: nn.Module, optimiser: torch.optim.Optimizer, history: History, *, seed: int) -> None:
    """Weights and optimiser state as safetensors, the rest as JSON; the directory is replaced as a whole."""
    state = optimiser.state_dict()["state"]
    moments = {f"{i}.{name}": value.contiguous() for i, values in state.items() for name, value in values.items()}
    meta: dict[str, Any] = {"step": history.step, "elapsed_s": history.elapsed_s, "seed": seed, "rows": history.rows}
    with written_directory(path) as directory:
        save_file({name: value.contiguous() for name, value in networks.state_dict().items()}, directory / "weights.safetensors")
        save_file(moments | {"rng": torch.get_rng_state()}, directory / "optimiser.safetensors")
        (directory / "state.json").write_text(json.dumps(meta))


def load_checkpoint(path: Path, networks: nn.Module, optimiser: torch.optim.Optimizer, *, seed: int) -> History:
    """Puts a checkpoint back; BadInput when there is none or it belongs to another network or seed."""
    if not (path / "state.json").is_file():
        raise BadInput(f"--resume: no checkpoint in {path.parent}; was it trained with --out {path.parent}?")
    meta = json.loads((path / "state.json").read_text())
    if meta["seed"] != seed:
        raise BadInput(f"--resume: the checkpoint was trained with --seed {meta['seed']}, got {seed}")
    try:
        networks.load_state_dict(load_file(path / "weights.safetensors"))
    except RuntimeError as error:
        raise BadInput(f"--resume: the checkpoint in {path} is of another network: {str(error).splitlines()[0]}") from error
    moments = load_file(path / "optimiser.safetensors")
    torch.set_rng_state(moments.pop("rng"))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in moments.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})
    return History(meta["step"], meta["elapsed_s"], meta["rows"])
