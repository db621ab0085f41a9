"""Objects -> ROS messages: boxes for viewers and for planners, and the features that they were found in."""

from __future__ import annotations

import numpy as np
from geometry_msgs.msg import Pose
from sensor_msgs.msg import PointCloud2, PointField
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from depth_perception.geometry.boxes import Box3D
from depth_perception.nodes.encode import array_of, header
from depth_perception.nodes.optional import Detection3DArray
from depth_perception.systems.objects import ObjectsOutput

COLOURS = {"car": (0.1, 0.5, 1.0), "truck": (0.6, 0.3, 1.0), "pedestrian": (1.0, 0.3, 0.2), "cyclist": (1.0, 0.7, 0.1)}
_TEXT_M = 0.8


def markers(output: ObjectsOutput) -> MarkerArray:
    """A cube and a word for each box, body frame; ns is its class. What was shown before is deleted first."""
    head = header(output.stamp_ns, output.base_frame)
    found = [Marker(header=head, action=Marker.DELETEALL)]
    for number, box in enumerate(output.boxes):
        red, green, blue = COLOURS[box.label]
        cube = Marker(header=head, ns=box.label, id=number, type=Marker.CUBE, action=Marker.ADD, pose=_pose(box))
        cube.scale.x, cube.scale.y, cube.scale.z = (float(v) for v in box.size)
        cube.color = ColorRGBA(r=red, g=green, b=blue, a=0.25 + 0.5 * box.score)
        word = Marker(header=head, ns=f"{box.label} words", id=number, type=Marker.TEXT_VIEW_FACING, action=Marker.ADD, pose=_pose(box))
        word.pose.position.z += float(box.size[2]) / 2 + _TEXT_M
        word.scale.z, word.text = _TEXT_M, f"{box.label} {box.score:.2f}"
        word.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        found += [cube, word]
    return MarkerArray(markers=found)


def detections(output: ObjectsOutput) -> Detection3DArray:
    """The same boxes as vision_msgs/Detection3DArray, with one hypothesis each."""
    from vision_msgs.msg import Detection3D, ObjectHypothesisWithPose

    message = Detection3DArray(header=header(output.stamp_ns, output.base_frame))
    for number, box in enumerate(output.boxes):
        detection, hypothesis = Detection3D(header=message.header, id=str(number)), ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id, hypothesis.hypothesis.score = box.label, float(box.score)
        hypothesis.pose.pose = detection.bbox.center = _pose(box)
        detection.bbox.size.x, detection.bbox.size.y, detection.bbox.size.z = (float(v) for v in box.size)
        detection.results = [hypothesis]
        message.detections.append(detection)
    return message


def features(output: ObjectsOutput) -> PointCloud2:
    """The network's map from above: a point on the road for each cell, with a channel for each feature f0, f1 ..."""
    points = output.feature_points()
    names = ["x", "y", "z", *(f"f{k}" for k in range(points.shape[1] - 3))]
    fields = [PointField(name=name, offset=4 * k, datatype=PointField.FLOAT32, count=1) for k, name in enumerate(names)]
    step = 4 * len(names)
    return PointCloud2(header=header(output.stamp_ns, output.base_frame), height=output.grid.rows, width=output.grid.columns, fields=fields,
                       is_bigendian=False, point_step=step, row_step=step * output.grid.columns, data=array_of(points), is_dense=True)


def _pose(box: Box3D) -> Pose:
    message = Pose()
    message.position.x, message.position.y, message.position.z = (float(v) for v in box.centre)
    message.orientation.z, message.orientation.w = float(np.sin(box.yaw / 2)), float(np.cos(box.yaw / 2))
    return message
