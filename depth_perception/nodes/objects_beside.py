"""Objects beside the drive: boxes from image and scan, or from what of them comes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from depth_perception.nodes import encode_objects, parameters
from depth_perception.nodes.beside import Beside, Seen
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.networks import Networks
from depth_perception.nodes.outputs import TOPICS, Outputs
from depth_perception.systems import objects


@dataclass(frozen=True)
class Config(objects.Config):
    """Attributes:
    model: model directory of `train objects`; empty: the shipped one, where there is one.
    """

    model: str = field(default="", metadata={"when": parameters.WHEN_LOADED})


class ObjectsBeside(Beside):
    """The objects of each image; while no image comes, those of each scan."""

    patience_s = 0.1
    _system: objects.Objects | None = None
    _seen_at = 0.0
    _scan_ns = 0

    def made(self, networks: Networks) -> Callable[[], None]:
        """The system of an objects model."""
        sizes: dict[str, Any] = {**networks.sizes, "prepare": networks.prepare}
        system = objects.Objects(networks.engines, networks.described, **sizes)

        def take() -> None:
            self._system = system
            system.configure(self._config())

        return take

    def configure(self, config: Any) -> None:
        """Another Config, from the next frame on."""
        assert self._system is not None
        self._system.configure(config)

    def reset(self) -> None:
        """A new drive."""
        assert self._system is not None
        self._system.reset()
        self._seen_at, self._scan_ns = time.monotonic(), 0

    def wanted(self, outputs: Outputs) -> bool:
        """Whether anybody listens to any of its topics."""
        return outputs.wanted(TOPICS["objects"])

    def step(self, seen: Seen, outputs: Outputs) -> bool:
        """Publishes what image and scan show."""
        assert self._system is not None
        self._seen_at = time.monotonic()
        if seen.frame.scan is not None:
            self._scan_ns = seen.frame.scan.stamp_ns
        shared = None if seen.depth is None else seen.depth.network_input
        return self._publish(self._system.step(seen.frame, network_input=shared), outputs)

    def alone(self, source: Inputs, outputs: Outputs) -> bool:
        """Publishes what a scan shows by itself, once the camera has been silent for long enough."""
        assert self._system is not None
        if time.monotonic() - self._seen_at < self._config().max_image_age_s or (found := source.newest_scan()) is None:
            return False
        scan, calibration = found
        if scan.stamp_ns == self._scan_ns:  # it may be of an earlier time: one that has jumped back
            return False
        self._scan_ns = scan.stamp_ns
        return self._publish(self._system.step_scan(scan, calibration), outputs)

    def _publish(self, output: objects.ObjectsOutput, outputs: Outputs) -> bool:
        for sentence in output.said:
            self._node.get_logger().warning(sentence)
        self.said = [objects.SAYS[output.modality]] if output.modality != "both" and self._could_both() else []
        taken = outputs.send("objects", lambda: encode_objects.markers(output))
        taken |= outputs.send("detections", lambda: encode_objects.detections(output))
        taken |= outputs.send("features", lambda: encode_objects.features(output))
        return taken

    def _could_both(self) -> bool:
        assert self._system is not None
        return "both" in self._system.modalities and self._config().modality == "auto"
