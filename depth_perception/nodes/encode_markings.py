"""Road markings -> ROS messages: the mask as it is, the picture for people, and each marking as a line on the road."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception.nodes.encode import array_of, header
from depth_perception.systems import palette
from depth_perception.systems.marking_verdicts import Verdict
from depth_perception.systems.markings import MarkingsOutput
from depth_perception.systems.reference_map import ReferenceMap

# Of what is not as it should be: how it is drawn.
DEFECTS = {"worn": (1.0, 0.85, 0.1), "broken": (1.0, 0.5, 0.0), "missing": (1.0, 0.1, 0.1)}
_LIFT_M = 0.02  # over the road, or viewers draw the one through the other
_WIDTH_M = 0.05


def mask(output: MarkingsOutput) -> Image:
    """Class ids (systems.marking_classes.CLASSES) as mono8."""
    return _image(output.mask, "mono8", output)


def overlay(output: MarkingsOutput, image: np.ndarray) -> Image:
    """The image (H, W, 3) uint8 RGB with the markings in their colours (systems.palette), as rgb8."""
    return _image(palette.overlay(image, output.mask), "rgb8", output)


def polygons(output: MarkingsOutput) -> MarkerArray:
    """The outline of each marking that lies on known ground, body frame; ns is its class. What was shown before is deleted first."""
    markers = [Marker(header=header(output.stamp_ns, output.calibration.base_frame), action=Marker.DELETEALL)]
    markers += _outlines(output)
    return MarkerArray(markers=markers)


def defects(known: ReferenceMap, verdicts: Sequence[Verdict], stamp_ns: int) -> MarkerArray:
    """What is worn, broken or missing, in the map's frame: its outline, and in words the verdict, the ratio and how sure it is."""
    markers = [Marker(header=header(stamp_ns, known.frame), action=Marker.DELETEALL)]
    of_id = {one.id: one for one in known.references}
    for number, verdict in enumerate(verdicts):
        if verdict.state not in DEFECTS:
            continue
        reference = of_id[verdict.id]
        red, green, blue = DEFECTS[verdict.state]
        colour = ColorRGBA(r=red, g=green, b=blue, a=0.3 + 0.7 * verdict.confidence)
        for part, ring in enumerate(reference.rings):
            flat = np.column_stack([ring, np.zeros(len(ring))])
            markers.append(_line(flat, known.frame, stamp_ns, ns=verdict.state, number=1000 * number + part, colour=colour))
        words = Marker(header=header(stamp_ns, known.frame), ns="words", id=number, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD)
        words.pose.position.x, words.pose.position.y = (float(v) for v in reference.box[0])
        words.pose.position.z, words.pose.orientation.w, words.scale.z = 0.5, 1.0, 0.4
        words.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        words.text = f"{verdict.id}: {verdict.state}, {verdict.ratio:.0%} of it, {verdict.confidence:.0%} sure"
        markers.append(words)
    return MarkerArray(markers=markers)


def _outlines(output: MarkingsOutput) -> Iterator[Marker]:
    colours = palette.coloured(np.arange(256, dtype=np.uint8)[None])[0]
    for number, each in enumerate(output.instances):
        red, green, blue = (float(value) / 255 for value in colours[each.kind])
        colour = ColorRGBA(r=red, g=green, b=blue, a=0.3 + 0.7 * each.confidence)
        for part, ring in enumerate(each.ground or ()):
            yield _line(ring, output.calibration.base_frame, output.stamp_ns, ns=each.name, number=1000 * number + part, colour=colour)


def _line(ring: np.ndarray, frame: str, stamp_ns: int, *, ns: str, number: int, colour: ColorRGBA) -> Marker:
    """A closed line through (N, 3) points."""
    marker = Marker(header=header(stamp_ns, frame), ns=ns, id=number, type=Marker.LINE_STRIP, action=Marker.ADD, color=colour)
    marker.scale.x, marker.pose.orientation.w = _WIDTH_M, 1.0
    marker.points = [Point(x=float(x), y=float(y), z=float(z) + _LIFT_M) for x, y, z in np.concatenate([ring, ring[:1]])]
    return marker


def _image(values: np.ndarray, encoding: str, output: MarkingsOutput) -> Image:
    height, width = values.shape[:2]
    return Image(header=header(output.stamp_ns, output.calibration.frame_id), height=height, width=width, encoding=encoding,
                 step=values.nbytes // height, data=array_of(values))
