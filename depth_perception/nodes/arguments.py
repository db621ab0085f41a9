"""The one table of the launch files' arguments, and the names they share with the nodes. Needs neither ROS nor launch."""

from __future__ import annotations

from typing import NamedTuple

from depth_perception.model import share_directory


class Argument(NamedTuple):
    """Attributes:
    meaning: one line for `ros2 launch ... --show-args`.
    default: what it is when not given; None: it must be given.
    choices: the only values; empty: any.
    """

    meaning: str
    default: str | None = ""
    choices: tuple[str, ...] = ()


_FLAG = ("true", "false")

# Relative names are those of `namespace`; a topic left at its default is, with `bag`, the one that the bag has.
TOPICS = {
    "image": Argument("the camera's images (sensor_msgs/Image)", "image"),
    "camera_info": Argument("their calibration (sensor_msgs/CameraInfo)", "camera_info"),
    "points": Argument("LiDAR scans (sensor_msgs/PointCloud2); without them depth has the network's own scale", "points"),
}

# Values of the nodes' parameters of the same name; empty: what params_file says.
PARAMETERS = {
    "systems": Argument("some of depth, odometry, bev, objects and markings; empty: what params_file says, else the first three"),
    "model": Argument("model directory; empty: what params_file says, else the shipped one"),
    "engine": Argument("where networks run; empty: what params_file says", "", ("", "auto", "cpu", "cuda", "tensorrt")),
}

ARGUMENTS = {
    **TOPICS,
    "namespace": Argument("namespace of the nodes and their outputs"),
    "params_file": Argument("ROS parameters (YAML)", str(share_directory() / "config" / "drive.yaml")),
    **PARAMETERS,
    "composed": Argument("all systems in one process (true), or one process each (false)", "true", _FLAG),
    "use_sim_time": Argument("time is that of /clock", "false", _FLAG),
    "respawn": Argument("start a node that died again after 2 s", "false", _FLAG),
    "rviz": Argument("open RViz on inputs and outputs", "false", _FLAG),
    "view": Argument("show inputs and outputs in a browser (needs rerun)", "false", _FLAG),
    "log_level": Argument("of the nodes", "info", ("debug", "info", "warn", "error", "fatal")),
    "bag": Argument("play this bag, in its own time; everything ends with it"),
    "rate": Argument("how fast the bag is played, 1.0: as recorded", "1.0"),
    "record": Argument("record inputs and outputs into this new bag"),
    "out": Argument("new bag for what was played and the outputs", None),
    "path": Argument("new bag; empty: drive_ and the time, in the current directory"),
    "topics": Argument("what to record, separated by spaces; empty: every topic"),
}

# Executable -> its outputs, relative to the namespace. `drive` is all of them in one process.
OUTPUTS = {
    "depth_node": ("depth/image", "depth/camera_info", "depth/confidence", "depth/scale"),
    "odometry_node": ("odometry",),
    "bev_node": ("bev/points", "bev/grid"),
    "objects_node": ("objects", "objects/detections", "bev/features"),
    "markings_node": ("markings/mask", "markings/confidence", "markings/overlay", "markings/polygons", "markings/grid", "markings/defects"),
}
SYSTEMS = ("depth", "odometry", "bev")  # what is started where `systems` is empty
# The outputs in any namespace, and the system's own topics: what a bag of an earlier drive holds and must not be played into a new one.
NOT_PLAYED = (
    r"(/.*)?/(depth/(image|camera_info|confidence|scale)|odometry|bev/(points|grid|features)|objects(/detections)?"
    r"|markings/(mask|confidence|overlay|polygons|grid|defects)|[^/]+/latency_ms|[^/]+/transition_event)"
    r"|/(diagnostics|rosout|parameter_events|clock)"
)
