"""The networks that a node drives with: proven, with what stands by for them, and how they do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depth_perception import engine, model
from depth_perception.nodes import health
from depth_perception.systems import network_input

if TYPE_CHECKING:
    from depth_perception.nodes.perception import Config


@dataclass(frozen=True, eq=False)
class Networks:
    """Attributes:
    engines: network name -> its engine, proven, and what stands by for it.
    prepare: camera images to network inputs.
    sizes: height, width and canonical_focal_px, as the systems take them.
    path: the model directory they come from.
    """

    engines: dict[str, engine.Failover]
    prepare: engine.Preparation
    sizes: dict[str, Any]
    path: str

    @classmethod
    def load(cls, config: Config, names: list[str], *, progress: Callable[[str, float], None]) -> Networks:
        """The model of a node's parameters. The self-tests also warm the engines up, so that the first image is not the slow one.

        progress: told the phase and the seconds while an engine is built. Raises BadInput.
        """
        # Resolved once: `loop` may point models/current elsewhere while we read.
        opened = model.load(Path(config.model or model.shipped()).resolve())
        engines = {
            name: engine.load_with_standby(
                opened,
                name,
                threads=config.engine_threads,
                device=config.engine,
                precision=config.engine_precision,
                directory=Path(config.engine_directory).expanduser() if config.engine_directory else None,
                may_build=config.build_engines,
                progress=progress,
            )
            for name in names
        }
        prepare = engine.Preparation(engines["depth"], network_input.prepare, height=opened.height, width=opened.width)
        sizes = {"height": opened.height, "width": opened.width, "canonical_focal_px": opened.canonical_focal_px}
        return cls(engines, prepare, sizes, str(opened.path))

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
