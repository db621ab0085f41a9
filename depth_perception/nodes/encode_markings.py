"""Road markings -> ROS messages: the mask as it is, the picture for people, and each marking as a line on the road."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from geometry_msgs.msg import Point
from nav_msgs.msg import OccupancyGrid
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception.geometry import polygons as shapes
from depth_perception.geometry.grid import Grid
from depth_perception.nodes.encode import array_of, cells_message, header
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
    """Each marking that lies on known ground, body frame: its outline, whose ns is its class, and the smallest rectangle around it, whose
    ns is "CLASS box". What was shown before is deleted first."""
    markers = [Marker(header=header(output.stamp_ns, output.base_frame), action=Marker.DELETEALL)]
    markers += _outlines(output)
    return MarkerArray(markers=markers)


def grid(output: MarkingsOutput, cells: Grid) -> OccupancyGrid:
    """The markings from above, in the cells of `bev/grid`, body frame: class ids as in the mask, 0 where none is seen."""
    head = header(output.stamp_ns, output.base_frame)
    return cells_message(output.seen_from_above(cells).view(np.int8), head, origin=(cells.x_m, cells.y_m), cell_m=cells.cell_m)


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
            how = {"ns": verdict.state, "number": 1000 * number + part, "colour": colour}
            markers.append(_line(flat, frame=known.frame, stamp_ns=stamp_ns, **how))
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
        if each.ground is None:
            continue
        how = {"frame": output.base_frame, "stamp_ns": output.stamp_ns, "colour": colour}
        for part, ring in enumerate(each.ground):
            yield _line(ring, ns=each.name, number=1000 * number + part, **how)
        corners = shapes.corners(each.centre, each.size, each.yaw)
        flat = np.column_stack([corners, np.full(4, each.ground[0][:, 2].mean())])
        yield _line(flat, ns=f"{each.name} box", number=1000 * number, **how)


def _line(ring: np.ndarray, *, frame: str, stamp_ns: int, ns: str, number: int, colour: ColorRGBA) -> Marker:
    """A closed line through (N, 3) points."""
    marker = Marker(header=header(stamp_ns, frame), ns=ns, id=number, type=Marker.LINE_STRIP, action=Marker.ADD, color=colour)
    marker.scale.x, marker.pose.orientation.w = _WIDTH_M, 1.0
    marker.points = [Point(x=float(x), y=float(y), z=float(z) + _LIFT_M) for x, y, z in np.concatenate([ring, ring[:1]])]
    return marker


def _image(values: np.ndarray, encoding: str, output: MarkingsOutput) -> Image:
    height, width = values.shape[:2]
    return Image(header=header(output.stamp_ns, output.calibration.frame_id), height=height, width=width, encoding=encoding,
                 step=values.nbytes // height, data=array_of(values))
