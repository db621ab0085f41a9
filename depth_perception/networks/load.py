"""Networks to and from a model directory: the class and config stand in its manifest, the weights in safetensors."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from depth_perception.frame import BadInput
from depth_perception.networks.bev_cloud import BevCloud, BevCloudConfig
from depth_perception.networks.bev_image import BevImage, BevImageConfig
from depth_perception.networks.depth import DepthNet, DepthNetConfig
from depth_perception.networks.markings import MarkingNet, MarkingNetConfig
from depth_perception.networks.objects import ObjectsNet, ObjectsNetConfig
from depth_perception.networks.pose import PoseNet, PoseNetConfig
from depth_perception.networks.student import Student, StudentConfig
from depth_perception.networks.teacher import Teacher, TeacherConfig

CONFIGS = {DepthNet: DepthNetConfig, PoseNet: PoseNetConfig, Student: StudentConfig, Teacher: TeacherConfig, MarkingNet: MarkingNetConfig,
           BevImage: BevImageConfig, BevCloud: BevCloudConfig, ObjectsNet: ObjectsNetConfig}


def entry(network: nn.Module) -> dict[str, Any]:
    """The manifest's words for a network: {"class", "config"}."""
    return {"class": type(network).__name__, "config": dataclasses.asdict(network.config)}  # type: ignore[call-overload]


def build(name: str, words: dict[str, Any]) -> nn.Module:
    """A fresh network from the manifest's words; BadInput for an unknown class or config."""
    classes = {kind.__name__: kind for kind in CONFIGS}
    if words.get("class") not in classes:
        raise BadInput(f"network {name}: wanted a class of {', '.join(classes)}, got {words.get('class')!r}")
    kind = classes[words["class"]]
    try:
        return kind(_config(CONFIGS[kind](), words["config"]))
    except (TypeError, KeyError) as error:
        raise BadInput(f"network {name}: its config does not fit {kind.__name__}: {error}") from error


def _config(default: Any, words: dict[str, Any]) -> Any:
    """A Config with the manifest's values; a Config within it is a mapping there."""
    values = {}
    for key, value in words.items():
        ours = getattr(default, key, None)
        values[key] = _config(ours, value) if dataclasses.is_dataclass(ours) else tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(default, **values)


def load_weights(network: nn.Module, file: Path) -> None:
    """Fills a network; BadInput when the file is of another one."""
    try:
        network.load_state_dict(load_file(file))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise BadInput(f"weights {file}: do not fit {type(network).__name__}: {str(error).splitlines()[0]}") from error


def weights(network: nn.Module) -> bytes:
    """A network's tensors as the content of a safetensors file."""
    return save({name: value.contiguous() for name, value in network.state_dict().items()})
