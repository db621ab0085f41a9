"""Road markings -> ROS messages: the mask as it is, the picture for people, and each marking as a line on the road."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from geometry_msgs.msg import Point
from sensor_msgs.msg import Image
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception.nodes.encode import array_of, header
from depth_perception.systems import palette
from depth_perception.systems.markings import MarkingsOutput

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


def _outlines(output: MarkingsOutput) -> Iterator[Marker]:
    colours = palette.coloured(np.arange(256, dtype=np.uint8)[None])[0]
    for number, each in enumerate(output.instances):
        for part, ring in enumerate(each.ground or ()):
            marker = Marker(header=header(output.stamp_ns, output.calibration.base_frame), ns=each.name, id=1000 * number + part)
            marker.type, marker.action = Marker.LINE_STRIP, Marker.ADD
            marker.scale.x, marker.pose.orientation.w = _WIDTH_M, 1.0
            red, green, blue = (float(value) / 255 for value in colours[each.kind])
            marker.color = ColorRGBA(r=red, g=green, b=blue, a=0.3 + 0.7 * each.confidence)
            closed = np.concatenate([ring, ring[:1]])
            marker.points = [Point(x=float(x), y=float(y), z=float(z) + _LIFT_M) for x, y, z in closed]
            yield marker


def _image(values: np.ndarray, encoding: str, output: MarkingsOutput) -> Image:
    height, width = values.shape[:2]
    return Image(header=header(output.stamp_ns, output.calibration.frame_id), height=height, width=width, encoding=encoding,
                 step=values.nbytes // height, data=array_of(values))
