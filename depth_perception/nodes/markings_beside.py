"""Road markings beside the drive: mask, confidence, each marking on the road, and which of the map's are missing."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
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
from depth_perception.systems import marking_evidence, markings, missing_markings, reference_map
from depth_perception.systems.marking_classes import CLASSES
from depth_perception.systems.marking_map import MarkingMap
from depth_perception.systems.marking_verdicts import compare_named, report_properties
from depth_perception.systems.missing_markings import MissingMarkings, Pose
from depth_perception.systems.reference_map import ReferenceMap

_REPORT_S = 10.0
_TELL_NS = 1_000_000_000  # a map may hold thousands, and none is missing from one image to the next


@dataclass(frozen=True)
class Config(markings.Config):
    """Attributes:
    model: model directory of `train markings`; empty: the shipped one, where there is one.
    map: reference map (GeoJSON, see `map-markings`) whose missing markings are told; empty: none are.
    compare: MODULE:FUNCTION that compares what is seen with the map's marking (marking_verdicts.Compare); empty: the area's criteria do.
    report: GeoJSON file, written every ten seconds and at deactivation: the verdicts, or without a map what was seen; empty: none. What the
        verdicts rest on lies beside it, a file of evidence for each map, and the next drive goes on from there.
    """

    model: str = field(default="", metadata={"when": parameters.WHEN_LOADED})
    map: str = field(default="", metadata={"when": parameters.WHEN_LOADED})
    compare: str = field(default="", metadata={"when": parameters.WHEN_LOADED})
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
    _report_at = 0.0
    _something_new = False
    _told_ns: int | None = None
    _unwritten: tuple[str, ...] = ()
    _path = ""  # of the report, until the next activation
    _recalled: tuple[MissingMarkings, str] | None = None

    def made(self, networks: Networks) -> Callable[[], None]:
        """The system of a markings model, and the reference map. The evidence stays as long as the map is the same."""
        logits = networks.described.get("markings", {}).get("outputs", {}).get("logits")
        if logits is None or logits[1] != len(CLASSES):
            raise BadInput(f"model {networks.path}: wanted a network markings whose logits are of {len(CLASSES)} classes, got {logits}")
        system = markings.Markings(networks.engines["markings"], height=networks.sizes["height"], width=networks.sizes["width"])
        path, missing = self._config().map, self._missing
        known = reference_map.read(Path(path).expanduser()) if path else None
        compare = compare_named(self._config().compare) if self._config().compare else None
        if known is None:
            missing = None
        elif missing is None or marking_evidence.digest(known) != marking_evidence.digest(missing.map):
            missing = MissingMarkings(known)

        def take() -> None:
            if missing is not self._missing:
                self._report()  # what this map's last seconds have shown
            self._system, self._missing = system, missing
            if missing is not None:
                missing.use(compare)
                self._recall()
            self._told_ns, self.said = None, []
            self.configure(self._config())

        return take

    def use(self, networks: Networks, take: Callable[[], None]) -> None:
        """As they all do; another map may be in another frame."""
        super().use(networks, take)
        if self._thread is not None and self._config().map and self._localization is None:
            self._localization = Localization(self._node)

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
        self._report_at, self._path = time.monotonic() + _REPORT_S, self._config().report
        self._recall()
        super().start(source, outputs)

    def stop(self) -> None:
        """Ends, with the report."""
        super().stop()
        if self._localization is not None:
            self._localization.close()
            self._localization = None
        self._report()

    def wanted(self, outputs: Outputs) -> bool:
        """Whether anybody listens to any of its topics, or waits for the report."""
        return bool(self._path) or outputs.wanted(TOPICS["markings"])

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
        taken |= outputs.send("marking_grid", lambda: encode_markings.grid(output, self._configs("bev").grid))
        said = []
        self._something_new = True
        if self._missing is not None:
            where, bad = self._pose_at(output)
            try:
                found = self._missing.step(output, where)
            except BadInput as error:  # a comparison's
                said = [f"markings: no verdicts: {error}"]
            else:
                said = [f"markings: no verdicts: {sentence}" for sentence in (*bad, *found.said)]
            if self._told_ns is None or not 0 <= stamp_ns - self._told_ns < _TELL_NS:
                missing, self._told_ns = self._missing, stamp_ns
                with contextlib.suppress(BadInput):  # told above
                    taken |= outputs.send("defects", lambda: encode_markings.defects(missing.map, missing.told(), stamp_ns))
        elif self._drawn is not None and pose is not None:
            try:
                self._drawn.add(output, pose)
            except BadInput as error:
                said = [f"markings.report: {error}"]
        if time.monotonic() > self._report_at:
            self._report()
        self.said = [*said, *self._unwritten]
        return taken

    @property
    def _odom_frame(self) -> str:
        return str(self._node.get_parameter("odom_frame").value)

    def _pose_at(self, output: markings.MarkingsOutput) -> tuple[Pose | None, list[str]]:
        """Where the car is on the map, and what is wrong with what localization tells."""
        assert self._missing is not None
        if self._localization is not None and self._missing.map.frame != self._odom_frame:
            return self._localization.at(output.stamp_ns, body=output.base_frame)
        return None if output.T_odom_base is None else Pose(output.T_odom_base, output.stamp_ns, self._odom_frame), []

    def _recall(self) -> None:
        """Goes on from the evidence of earlier drives on this map that lies beside the report; what is none is put aside."""
        if self._missing is None or not self._path or self._recalled == (self._missing, self._path):
            return
        if self._recalled is not None and self._recalled[0] is self._missing:
            self._missing.forget()  # it is in the other report's
        self._recalled = (self._missing, self._path)
        file = _evidence(self._path, self._missing.map)
        try:
            if file.exists():
                marking_evidence.recall(file.read_bytes(), self._missing)
        except (BadInput, OSError) as error:
            aside = file.with_name(f"{file.name}.aside")
            with contextlib.suppress(OSError):
                file.replace(aside)
            self._node.get_logger().warning(f"markings.report: {file}: {error}; the evidence begins anew, that file is now {aside}")

    def _report(self) -> None:
        """Writes the report, or says why it cannot be; nothing when no image has come since the last one."""
        if not self._something_new:
            return
        began = time.monotonic()
        try:
            self._write_report()
        except (BadInput, OSError) as error:
            sentence = f"markings.report: {error}"
            if sentence not in self._unwritten:
                self._node.get_logger().error(sentence)
            self._unwritten = (sentence,)
        else:
            self._unwritten, self._something_new = (), False
        # A report of a whole town takes long: a twentieth of the time at most.
        now = time.monotonic()
        self._report_at = now + max(_REPORT_S, 20 * (now - began))

    def _write_report(self) -> None:
        """The verdicts, or what was seen, as GeoJSON; whole or not at all."""
        if not self._path:
            return
        if self._missing is not None:
            model.write_atomically(_evidence(self._path, self._missing.map), marking_evidence.packed(self._missing))
            known, verdicts = self._missing.map, self._missing.verdicts()
            text = reference_map.to_json(known.frame, known.references, properties=report_properties(verdicts), origin=known.origin,
                                         on_earth=known.origin is not None)
        elif self._drawn is not None:
            text = reference_map.to_json(self._odom_frame, self._drawn.references())
        else:
            return
        model.write_atomically(Path(self._path).expanduser(), text)


def _evidence(report: str, known: ReferenceMap) -> Path:
    """Where what a report says of a map is kept."""
    return Path(f"{Path(report).expanduser()}.{marking_evidence.digest(known)[:12]}.evidence.npz")

