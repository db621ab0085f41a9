"""The networks that a node drives with: proven, with what stands by for them, and how they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rclpy.node import Node

from depth_perception import engine, model
from depth_perception.frame import BadInput
from depth_perception.nodes import health
from depth_perception.systems import network_input

if TYPE_CHECKING:
    from depth_perception.nodes.perception_config import Config


@dataclass(frozen=True, eq=False)
class Networks:
    """Attributes:
    engines: network name -> its engine, proven, and what stands by for it.
    prepare: camera images to network inputs.
    sizes: height, width and canonical_focal_px, as the systems take them.
    path: the model directory they come from.
    described: network name -> what its manifest says of it.
    """

    engines: dict[str, engine.Failover]
    prepare: engine.Preparation
    sizes: dict[str, Any]
    path: str
    described: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(
        cls, config: Config, names: Sequence[str] = (), *, kind: str = "depth", path: str = "", progress: Callable[[str, float], None]
    ) -> Networks:
        """The model of a node's parameters. The self-tests also warm the engines up, so that the first image is not the slow one.

        names: of its networks; none: all that it has. path: of a model directory; empty: the shipped one of this kind.
        progress: told the phase and the seconds while an engine is built. Raises BadInput.
        """
        # Resolved once: `loop` may point models/current elsewhere while we read.
        named = "model" if kind == "depth" else f"{kind}.model"
        opened = model.load(_place(named, path or model.shipped("student" if kind == "depth" else kind)))
        if opened.kind != kind:
            raise BadInput(f"model {opened.path}: wanted one of {kind}, it is one of {opened.kind}")
        directory = _place("engine_directory", config.engine_directory) if config.engine_directory else None
        engines = {
            name: engine.load_with_standby(
                opened,
                name,
                threads=config.engine_threads,
                device=config.engine,
                precision=_precision(opened, name, config.engine_precision),
                directory=directory,
                may_build=config.build_engines,
                progress=progress,
            )
            for name in names or opened.networks
        }
        prepare = engine.Preparation(next(iter(engines.values())), network_input.prepare, height=opened.height, width=opened.width)
        sizes = {"height": opened.height, "width": opened.width, "canonical_focal_px": opened.canonical_focal_px}
        return cls(engines, prepare, sizes, str(opened.path), opened.networks)

    @property
    def fell_back(self) -> list[str]:
        """What better one should run and does not, each reason once: an error for as long as it is so. It may grow with any frame."""
        said = [*(failover.now.fell_back for failover in self.engines.values()), self.prepare.fell_back]
        return list(dict.fromkeys(sentence for sentences in said for sentence in sentences))

    @property
    def missing(self) -> list[str]:
        """What should stand by, or help, and cannot."""
        return [*(sentence for failover in self.engines.values() for sentence in failover.missing), *self.prepare.missing]

    @property
    def values(self) -> dict[str, str]:
        """What runs each network, how its self-test went and what prepares its images: the values of a diagnostic."""
        now = {name: failover.now for name, failover in self.engines.items()}
        return health.engine_values(now) | {"images_prepared_on": self.prepare.name}


class AtWork:
    """The networks that a node drives with just now, by kind of model; what they should run and do not is told in its log, once."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._networks: dict[str, Networks] = {}
        self._told: set[str] = set()

    def use(self, loaded: dict[str, Networks]) -> None:
        """Others from now on."""
        self._networks, self._told = loaded, set()
        for networks in loaded.values():
            for sentence in networks.missing:
                self._node.get_logger().warning(sentence)
        self.tell_fallbacks()

    def forget(self) -> None:
        """None any more."""
        self._networks = {}

    def tell_fallbacks(self) -> list[str]:
        """Every fall so far, new ones logged: one may come at any frame."""
        found = list(dict.fromkeys(sentence for networks in self._networks.values() for sentence in networks.fell_back))
        for sentence in found:
            if sentence not in self._told:
                self._told.add(sentence)
                self._node.get_logger().error(sentence)
        return found

    @property
    def values(self) -> dict[str, str]:
        """Of a diagnostic: those of depth by themselves, others after the name of their kind; `engine`: the first one's."""
        values: dict[str, str] = {}
        for kind, networks in self._networks.items():
            values |= networks.values if kind == "depth" else {f"{kind}_{key}": value for key, value in networks.values.items()}
        if values and "engine" not in values:
            values["engine"] = next(value for key, value in values.items() if key.endswith("_engine"))
        return values


def _place(name: str, path: str | Path) -> Path:
    """Where the path of a parameter leads. BadInput where that is nowhere: the home of nobody, links that go round."""
    try:
        return Path(path).expanduser().resolve()
    except (RuntimeError, OSError) as error:
        raise BadInput(f"{name}: {path}: {error}") from None


def _precision(opened: model.Model, network: str, asked: str) -> str:
    """What a network computes in. A depth model must have what is asked for; others follow where they have it."""
    has_it = opened.kind == "depth" or (opened.path / f"{network}.{asked}.onnx").is_file()
    return asked if has_it else "fp32"
