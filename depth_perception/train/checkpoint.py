"""A training's whole state, in memory and in one file: what a run goes on from, or goes back to."""

from __future__ import annotations

import errno
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from depth_perception.frame import BadInput
from depth_perception.model import write_atomically
from depth_perception.train.history import History

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Copies of the weights and of the optimiser's moments, where they were; they can be put back on any device."""

    weights: dict[str, Tensor]
    moments: dict[str, Tensor]

    @classmethod
    def of(cls, networks: nn.Module, optimiser: torch.optim.Optimizer) -> Snapshot:
        """Copies what there is now."""
        moments = {f"{i}.{name}": value.detach().clone()
                   for i, values in optimiser.state_dict()["state"].items() for name, value in values.items()}
        return cls(copied(networks), moments)

    def restore(self, networks: nn.Module, optimiser: torch.optim.Optimizer) -> None:
        """Puts it back; the snapshot stays as it is."""
        networks.load_state_dict(self.weights)
        parameters = [parameter for group in optimiser.param_groups for parameter in group["params"]]
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in self.moments.items():
            index, name = key.split(".", 1)
            state.setdefault(int(index), {})[name] = _laid_out_as(parameters[int(index)], value)
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A copy of a moment in its parameter's memory format, without which a GPU's fused step refuses it; a file has the plain one."""
    if value.shape != parameter.shape:  # the number of steps
        return value.clone()
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)


def copied(networks: nn.Module) -> dict[str, Tensor]:
    """A network's tensors, copied."""
    return {name: value.detach().clone() for name, value in networks.state_dict().items()}


def save_checkpoint(path: Path, snapshot: Snapshot, best: dict[str, Tensor] | None, history: History, *, seed: int,
                    identity: dict[str, Any]) -> None:
    """Everything in one safetensors file, replaced as a whole: a kill at any moment leaves the old one or the new one."""
    tensors = {f"network.{name}": value for name, value in snapshot.weights.items()}
    tensors |= {f"optimiser.{name}": value for name, value in snapshot.moments.items()}
    tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
    kinds, rows = _as_tensors(history.rows)
    state = {"seed": seed, "identity": identity, "history": asdict(replace(history, rows=[])), "kinds": kinds}
    random = {"rng": torch.get_rng_state()} | ({"rng.cuda": torch.cuda.get_rng_state()} if torch.cuda.is_initialized() else {})
    content = {name: value.cpu().contiguous() for name, value in tensors.items()} | random | rows
    try:
        write_atomically(path, save(content, metadata={"state": json.dumps(state)}))
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: cannot be written ({_reason(error)}); the checkpoint before it and the model are as they were") from error


def load_checkpoint(path: Path, *, seed: int, identity: dict[str, Any], lacking: dict[str, Any] | None = None
                    ) -> tuple[Snapshot, dict[str, Tensor] | None, History]:
    """What `save_checkpoint` wrote; BadInput when there is none, or it is of another seed, other bags or another configuration.

    lacking: what a checkpoint was trained with that does not say it, by the name in `identity`; None for all others.
    """
    if not path.is_file():
        raise BadInput(f"--resume: no checkpoint in {path.parent}; was it trained with --out {path.parent}?")
    try:
        with safe_open(path, "pt") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no dict: it has no iterator)
        history = History(**state["history"])
        if "kinds" in state:  # else it is of before, with its rows among the words
            history.rows = _as_rows(state["kinds"], tensors)
        before = {**json.loads(json.dumps(lacking or {})), "--seed": state["seed"], **state["identity"]}
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"--resume: the checkpoint {path} cannot be read: {str(error).splitlines()[0]}") from error
    now = {"--seed": seed, **json.loads(json.dumps(identity))}
    for name in now.keys() | before.keys():
        if now.get(name) != before.get(name):
            raise BadInput(f"--resume: the checkpoint in {path.parent} was trained with {name} {before.get(name)}, got {now.get(name)}")
    torch.set_rng_state(tensors["rng"])
    if "rng.cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["rng.cuda"])
    parts = {part: {name.removeprefix(part): value for name, value in tensors.items() if name.startswith(part)}
             for part in ("network.", "optimiser.", "best.")}
    return Snapshot(parts["network."], parts["optimiser."]), parts["best."] or None, history


def _as_tensors(rows: list[dict[str, float]]) -> tuple[list[tuple[str, ...]], dict[str, Tensor]]:
    """The kinds of rows, each its names in their order; (R,) int32 the kind of each, (N,) float64 their values, one row after the other.

    As words they would soon be more than the 100 MB that the file may have of them.
    """
    kinds: dict[tuple[str, ...], int] = {}
    of_rows = np.fromiter((kinds.setdefault(tuple(row), len(kinds)) for row in rows), np.int32)
    values = np.fromiter((value for row in rows for value in row.values()), np.float64)
    return list(kinds), {"rows.kind": torch.from_numpy(of_rows), "rows.values": torch.from_numpy(values)}


def _as_rows(kinds: list[list[str]], tensors: dict[str, Tensor]) -> list[dict[str, float]]:
    values = iter(tensors["rows.values"].tolist())
    rows = [dict(zip(kinds[kind], values, strict=False)) for kind in tensors["rows.kind"].tolist()]
    for row in rows:
        row["step"] = int(row["step"])
    return rows


def clear_leftovers(out: Path) -> None:
    """Removes what a killed run was in the middle of writing."""
    for file in out.glob(f".{CHECKPOINT}.*"):
        file.unlink(missing_ok=True)


def _reason(error: OSError | SafetensorError) -> str:
    if not isinstance(error, OSError):
        return str(error).splitlines()[0]
    return "the disk is full" if error.errno == errno.ENOSPC else str(error.strerror or error)
