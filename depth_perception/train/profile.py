"""Where the time of a training step goes, whether the loader keeps up, and whether memory stays flat."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import Tensor, nn

from depth_perception.memory import keep_freed_memory
from depth_perception.samples import Batches, ahead, unpacked
from depth_perception.train.depth import HELPERS, new_networks, read
from depth_perception.train.depth_config import Config
from depth_perception.train.depth_terms import terms
from depth_perception.train.device import chosen, onto
from depth_perception.train.fit import learning

_WARM_UP = 4


class _Cut(nn.Module):
    """A network whose outputs are leaves: what comes after it can be timed, and run backwards, by itself."""

    def __init__(self, network: nn.Module, seconds: Counter[str], device: torch.device) -> None:
        super().__init__()
        self.network, self.seconds, self.device = network, seconds, device
        self.seams: list[tuple[Tensor, Tensor]] = []

    def forward(self, *inputs: Tensor) -> Any:
        with _timed(self.seconds, "networks forward", self.device):
            outputs = self.network(*inputs)
        return self._cut(outputs) if isinstance(outputs, list) else self._cut([outputs])[0]

    def with_features(self, image: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        with _timed(self.seconds, "networks forward", self.device):
            depths, encoded = self.network.with_features(image)  # type: ignore[operator]
        return self._cut(depths), self._cut(encoded)

    def _cut(self, outputs: list[Tensor]) -> list[Tensor]:
        leaves = [x.detach().requires_grad_(x.requires_grad) for x in outputs]
        self.seams += [(x, leaf) for x, leaf in zip(outputs, leaves, strict=True) if x.requires_grad]  # not what is only looked at
        return leaves


@contextmanager
def _timed(seconds: Counter[str], part: str, device: torch.device) -> Iterator[None]:
    began = time.perf_counter()
    yield
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    seconds[part] += time.perf_counter() - began  # type: ignore[assignment]


def profile(bags: Sequence[str | Path], *, config: Config, batch: int, steps: int, init: str | Path | None = None,
            **options: Any) -> dict[str, Any]:
    """Takes `steps` training steps and the same number of batches alone.

    On a GPU every part waits for the one before it: a training's own steps are shorter.
    Returns device, loader_ms (a batch, made alone), step_ms, loader_over_step (how many times faster the loader is), shares of a step
    (networks, and losses with warps, each forward and backward, and the optimiser), rss_mb along the way, and the epoch's steps.
    """
    torch.set_num_threads(config.fit.threads)
    keep_freed_memory()
    device = chosen(config.fit.device)
    on_gpu = device.type == "cuda"
    drives, _ = read(bags, config, **options)
    batches = Batches(drives, height=config.height, width=config.width, batch=batch, seed=0)
    networks = new_networks(config, init).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learning(networks, config.fit, HELPERS)
    optimiser = torch.optim.AdamW(networks.parameters(), lr=1e-5, fused=on_gpu or None)

    def make(step: int) -> dict[str, Tensor]:
        return (batches.packed if on_gpu else batches)(step, pairs=config.pairs_at(step))

    def maker() -> closing[Generator[dict[str, Tensor], None, None]]:
        return closing(ahead(make, 0, loaders=config.fit.loaders, pin=on_gpu))

    with maker() as made:
        for _ in range(1 + 2 * config.fit.loaders):  # processes start, and are ahead
            next(made)
        began = time.perf_counter()
        for _ in range(steps):
            next(made)
        loader_s = (time.perf_counter() - began) / steps

    seconds, rss = Counter[str](), []
    process = psutil.Process()
    began = time.perf_counter()
    with maker() as made:
        for step in range(-_WARM_UP, steps):
            with _timed(seconds, "batch, waited for and copied", device) if on_gpu else nullcontext():
                data = onto(device, next(made))
                data = unpacked(data) if on_gpu else data
            if step == 0:
                seconds.clear()
                began = time.perf_counter()
            cut = nn.ModuleDict({name: _Cut(net, seconds, device) if name in ("depth", "pose") else net for name, net in networks.items()})
            precision = torch.autocast(device.type, torch.bfloat16, enabled=config.fit.precision == "bfloat16")
            with _timed(seconds, "losses and warps forward", device), precision:
                losses = terms(cut, data, config)
            with _timed(seconds, "losses and warps backward", device):
                torch.stack(list(losses.values())).sum().backward()
            with _timed(seconds, "networks backward", device):
                seams = [(x, leaf) for each in cut.values() if isinstance(each, _Cut) for x, leaf in each.seams if leaf.grad is not None]
                torch.autograd.backward([x for x, _ in seams], [leaf.grad for _, leaf in seams])
            with _timed(seconds, "optimiser", device):
                nn.utils.clip_grad_norm_(networks.parameters(), config.fit.clip)
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            if step >= 0 and step % max(steps // 10, 1) == 0:
                rss.append(round(process.memory_info().rss / 2**20))
    step_s = (time.perf_counter() - began) / steps
    seconds["losses and warps forward"] -= seconds["networks forward"]  # they run inside
    shares = {name: round(each / sum(seconds.values()), 3) for name, each in seconds.most_common()}
    return {"device": torch.cuda.get_device_name(device) if on_gpu else "cpu", "loader_ms": round(1e3 * loader_s, 1),
            "step_ms": round(1e3 * step_s, 1), "loader_over_step": round(step_s / loader_s, 2),
            "losses_and_warps": round(sum(share for name, share in shares.items() if name.startswith("losses")), 3), "shares": shares,
            "rss_mb": rss, "steps": steps, "epoch_steps": -(-len(drives.windows) // batch), "batch": batch}
