"""Road markings beside the drive: mask, confidence, each marking on the road, and which of the map's are missing."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.nodes import encode, encode_markings, parameters
from depth_perception.nodes.beside import Beside, Seen
from depth_perception.nodes.inputs import Inputs
from depth_perception.nodes.localization import Localization
from depth_perception.nodes.networks import Networks
from depth_perception.nodes.outputs import TOPICS, Outputs
from depth_perception.systems import markings, missing_markings, reference_map
from depth_perception.systems.marking_map import MarkingMap
from depth_perception.systems.marking_verdicts import report_properties
from depth_perception.systems.missing_markings import MissingMarkings, Pose

_REPORT_S = 10.0
_TELL_NS = 1_000_000_000  # a map may hold thousands, and none is missing from one image to the next


@dataclass(frozen=True)
class Config(markings.Config):
    """Attributes:
    model: model directory of `train markings`; empty: the shipped one.
    map: reference map (GeoJSON, see `map-markings`) whose missing markings are told; empty: none are.
    report: GeoJSON file, written every ten seconds and at deactivation: the verdicts, or without a map what was seen; empty: none.
    """

    model: str = field(default="", metadata={"when": parameters.WHEN_CONFIGURED})
    map: str = field(default="", metadata={"when": parameters.WHEN_CONFIGURED})
    report: str = field(default="", metadata={"when": parameters.WHEN_ACTIVATED})
    missing: missing_markings.Config = field(default_factory=missing_markings.Config)


class MarkingsBeside(Beside):
    """The markings of each image, on the ground by depth and odometry, and against the reference map by localization.

    A map in the odometry's own frame needs no localization.
    """

    _system: markings.Markings | None = None
    _missing: MissingMarkings | None = None
    _drawn: MarkingMap | None = None
    _localization: Localization | None = None
    _reported_at = 0.0
    _told_ns: int | None = None

    def make(self, networks: Networks) -> None:
        """The system of a markings model; the reference map."""
        size = {"height": networks.sizes["height"], "width": networks.sizes["width"]}
        infer, config = networks.engines["markings"], self._config()
        known = reference_map.read(Path(config.map).expanduser()) if config.map else None
        if self._system is None:
            self._system = markings.Markings(infer, **size, config=config)
        else:
            self._system.use(infer, **size)
        self._missing = MissingMarkings(known, config.missing) if known else None

    def configure(self, config: Any) -> None:
        """Another Config, from the next frame on."""
        assert self._system is not None
        self._system.configure(config)
        if self._missing is not None:
            self._missing.configure(config.missing)

    def reset(self) -> None:
        """A new drive; the evidence about the map stays."""
        assert self._system is not None
        self._system.reset()
        self._told_ns = None
        if self._missing is not None:
            self._missing.new_pass()
        self._drawn = MarkingMap() if self._config().report and self._missing is None else None

    def start(self, source: Inputs, outputs: Outputs) -> None:
        """Begins to work."""
        if self._missing is not None and self._missing.map.frame != self._odom_frame:
            self._localization = Localization(self._node)
        self._reported_at = time.monotonic()
        super().start(source, outputs)

    def stop(self) -> None:
        """Ends, with the report."""
        super().stop()
        if self._localization is not None:
            self._localization.close()
            self._localization = None
        try:
            self._report()
        except (BadInput, OSError) as error:
            self._node.get_logger().error(f"markings.report: {error}")

    def wanted(self, outputs: Outputs) -> bool:
        """Whether anybody listens to any of its topics, or waits for the report."""
        return bool(self._config().report) or outputs.wanted(TOPICS["markings"])

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
        if self._missing is not None:
            found = self._missing.step(output, self._pose_at(output))
            bad = [self._localization.bad] if self._localization is not None and self._localization.bad else []
            self.said = [f"markings: no verdicts: {sentence}" for sentence in (*bad, *found.said)]
            if self._told_ns is None or not 0 <= stamp_ns - self._told_ns < _TELL_NS:
                missing, self._told_ns = self._missing, stamp_ns
                taken |= outputs.send("defects", lambda: encode_markings.defects(missing.map, missing.verdicts(), stamp_ns))
        elif self._drawn is not None and pose is not None:
            self._drawn.add(output, pose)
        if time.monotonic() - self._reported_at > _REPORT_S:
            self._reported_at = time.monotonic()
            self._report()
        return taken

    @property
    def _odom_frame(self) -> str:
        return str(self._node.get_parameter("odom_frame").value)

    def _pose_at(self, output: markings.MarkingsOutput) -> Pose | None:
        if self._localization is not None:
            return self._localization.at(output.stamp_ns)
        return None if output.T_odom_base is None else Pose(output.T_odom_base, output.stamp_ns, self._odom_frame)

    def _report(self) -> None:
        """The verdicts, or what was seen, as GeoJSON; whole or not at all."""
        if not (path := self._config().report):
            return
        if self._missing is not None:
            known, verdicts = self._missing.map, self._missing.verdicts()
            text = reference_map.to_json(known.frame, known.references, properties=report_properties(verdicts), origin=known.origin)
        elif self._drawn is not None:
            text = reference_map.to_json(self._odom_frame, self._drawn.references())
        else:
            return
        model.write_atomically(Path(path).expanduser(), text)
