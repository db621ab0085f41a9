"""Road markings beside the drive: mask, confidence, and each marking on the road."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from depth_perception.nodes import encode, encode_markings, parameters
from depth_perception.nodes.beside import Beside, Seen
from depth_perception.nodes.networks import Networks
from depth_perception.nodes.outputs import TOPICS, Outputs
from depth_perception.systems import markings


@dataclass(frozen=True)
class Config(markings.Config):
    """Attributes:
    model: model directory of `train markings`; empty: the shipped one.
    """

    model: str = field(default="", metadata={"when": parameters.WHEN_CONFIGURED})


class MarkingsBeside(Beside):
    """The markings of each image, on the ground by depth and odometry."""

    _system: markings.Markings | None = None

    def make(self, networks: Networks) -> None:
        """The system of a markings model."""
        size = {"height": networks.sizes["height"], "width": networks.sizes["width"]}
        infer = networks.engines["markings"]
        if self._system is None:
            self._system = markings.Markings(infer, **size, config=self._config())
        else:
            self._system.use(infer, **size)

    def configure(self, config: Any) -> None:
        """Another Config, from the next frame on."""
        assert self._system is not None
        self._system.configure(config)

    def reset(self) -> None:
        """A new drive."""
        assert self._system is not None
        self._system.reset()

    def wanted(self, outputs: Outputs) -> bool:
        """Whether anybody listens to any of its topics."""
        return outputs.wanted(TOPICS["markings"])

    def step(self, seen: Seen, outputs: Outputs) -> bool:
        """Publishes what the image shows of the road."""
        assert self._system is not None
        depth = None if seen.depth is None else seen.depth.depth
        pose = None if seen.odometry is None else seen.odometry.T_odom_base
        output = self._system.step(seen.frame, depth=depth, T_odom_base=pose, plane=seen.road)
        stamp_ns, frame_id = output.stamp_ns, output.calibration.frame_id
        taken = outputs.send("mask", lambda: encode_markings.mask(output))
        taken |= outputs.send("mask_confidence", lambda: encode.float_image(output.confidence, stamp_ns, frame_id))
        taken |= outputs.send("overlay", lambda: encode_markings.overlay(output, seen.frame.image))
        taken |= outputs.send("polygons", lambda: encode_markings.polygons(output))
        return taken
