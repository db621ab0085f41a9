"""An image network of timm, stage by stage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from types import ModuleType

import torch
from torch import Tensor, nn

from depth_perception.frame import BadInput

STRIDES = [2, 4, 8, 16, 32]
_stand_ins: list[torch.library.Library] = []


class Encoder(nn.Module):
    """Five stages of a timm network by its name; stage i ends at stride 2^(i+1).

    Attributes: channels: widths of what the stages answer. mean, std: how its input is normalised.
    BadInput: timm is missing or broken, has no such network, or its stages are others.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        timm = _timm()
        try:
            self.network = timm.create_model(name, features_only=True, pretrained=False)
            info = self.network.feature_info
            ends, self.channels, strides = list(info.module_name()), list(info.channels()), list(info.reduction())
        except (RuntimeError, TypeError, ValueError, AttributeError, AssertionError, KeyError) as error:
            raise BadInput(f"teacher.encoder: timm makes no feature maps with {name!r}: {str(error).splitlines()[0]}") from error
        if strides != STRIDES:
            raise BadInput(f"teacher.encoder: wanted a network with feature maps at strides 2, 4, 8, 16 and 32, {name} has {strides}")
        _untie(self.network)
        self._stages = _cut(self.network, ends)
        self._check(name)
        lite = name.startswith("tf_efficientnet_lite")  # timm says 0.5; their training said this
        cfg = self.network.pretrained_cfg
        self.mean = (127 / 255,) * 3 if lite else tuple(cfg["mean"])
        self.std = (128 / 255,) * 3 if lite else tuple(cfg["std"])

    def stage(self, i: int, x: Tensor) -> Tensor:
        """Stage i of what the stage before answered; stage 0 of the normalised image."""
        for module in self._stages[i]:
            x = module(x)
        return x

    @torch.no_grad()
    def _check(self, name: str) -> None:
        """Its stages, one after another, are the network: not every network is a chain."""
        self.eval()
        image = torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)
        try:
            x, shapes = image, []
            for i in range(len(STRIDES)):
                x = self.stage(i, x)
                shapes.append(tuple(x.shape[1:]))
            same = torch.allclose(x, self.network(image)[-1], atol=1e-5)
        except (RuntimeError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise BadInput(f"teacher.encoder: {name} is no chain of stages: {str(error).splitlines()[0]}") from error
        wanted = [(c, 64 // stride, 64 // stride) for c, stride in zip(self.channels, STRIDES, strict=True)]
        if not same or shapes != wanted:
            raise BadInput(f"teacher.encoder: wanted a chain of five stages, those of {name} answer {shapes}, timm says {wanted}")
        self.train()


def _cut(network: nn.Module, ends: list[str]) -> list[list[nn.Module]]:
    """The network's modules, in their order, in five lists; the one named last in each ends a stage."""
    ends = [end.replace(".", "_") for end in ends]
    named = list(_chain(network, ends))
    names = [name for name, _ in named]
    if not set(ends) <= set(names):
        raise BadInput(f"teacher.encoder: no chain of stages that end with {', '.join(ends)}, got {', '.join(names)}")
    place = {name: sum(names.index(end) < names.index(name) for end in ends) for name in names}
    stages = [[module for _, module in group] for _, group in groupby(named, key=lambda each: place[each[0]])]
    return stages[: len(ends)]


def _untie(network: nn.Module) -> None:
    """Batch norms that have their activation inside become plain ones with it behind them: a joint one may then take their place
    (train.distributed). Names and weights stay.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.BatchNorm2d) and type(module) is not nn.BatchNorm2d and hasattr(module, "act"):
            module.__class__ = nn.BatchNorm2d
            module.register_forward_hook(_activate)


def _activate(module: nn.Module, _: tuple[Tensor, ...], x: Tensor) -> Tensor:
    return module.act(module.drop(x))  # type: ignore[operator]


def _chain(network: nn.Module, ends: list[str]) -> Iterator[tuple[str, nn.Module]]:
    """Children by name; of one in which stages end, its children in its place. Names as timm flattens them: a.0 is a_0."""
    for name, child in network.named_children():
        inside = [f"{name}_{each}" for each, _ in child.named_children()]
        if set(inside) & set(ends):
            yield from zip(inside, child.children(), strict=True)
        else:
            yield name, child


def _timm() -> ModuleType:
    """timm, which is not needed by anything that drives."""
    try:
        return _imported()
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise BadInput(_missing(error)) from error
        # torchvision of PyPI beside a torch for CPUs has none of its own operators, and stumbles over these two. timm needs none.
        library = torch.library.Library("torchvision", "FRAGMENT")
        for operator in ("nms", "qnms"):
            library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _stand_ins.append(library)
    except (ImportError, OSError) as error:
        raise BadInput(_missing(error)) from error
    try:
        return _imported()
    except (ImportError, OSError, RuntimeError) as error:
        raise BadInput(_missing(error)) from error


def _imported() -> ModuleType:
    import timm

    return timm


def _missing(error: Exception) -> str:
    return f"teacher: wanted timm (requirements/learn.txt), it cannot be imported: {str(error).splitlines()[0]}"
