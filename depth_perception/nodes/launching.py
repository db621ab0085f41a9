"""What the launch files start. The package `launch` is a guest of this file alone; the arguments are in `arguments`.

Arguments are read when launch runs (`OpaqueFunction`), so that a bag can tell its topics and a wrong value ends in one sentence.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown, TimerAction
from launch.events.process import ProcessExited
from launch.launch_context import LaunchContext
from launch.substitutions import EnvironmentVariable
from launch_ros.actions import ComposableNodeContainer, Node
from launch_ros.descriptions import ComposableNode
from launch_ros.parameter_descriptions import ParameterValue

from depth_perception.frame import BadInput
from depth_perception.model import share_directory
from depth_perception.nodes import car_file
from depth_perception.nodes.arguments import ARGUMENTS, NOT_PLAYED, OUTPUTS, PARAMETERS, SYSTEMS, TOPICS
from depth_perception.nodes.car_file import Camera
from depth_perception.nodes.transport import profile_variables

PATHS = {"bag", "record", "out", "path", "params_file", "model"}
# After the bag's last message: the answers to the last image, and their way to the recorder.
ANSWERS_S = 1.5


def declared(*names: str) -> Iterator[DeclareLaunchArgument]:
    """The arguments of these names, as the table has them."""
    for name in names:
        argument = ARGUMENTS[name]
        choices = f" ({' | '.join(choice or repr(choice) for choice in argument.choices)})" if argument.choices else ""
        yield DeclareLaunchArgument(name, default_value=argument.default, description=argument.meaning + choices)


def transport() -> Iterator[SetEnvironmentVariable]:
    """The Fast DDS profile that carries images, for all that is started; a profile that is set already stays."""
    profile = str(share_directory() / "config" / "fastdds.xml")
    for name in profile_variables():
        yield SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=profile))


@dataclass(frozen=True)
class Bringup:
    """The launch arguments, read and checked, and the processes they ask for.

    Attributes:
        given: launch argument -> value.
        cameras: a set of nodes for each; their topics are relative to the namespace, or absolute.
        played: the bag's topics that are played.
    """

    given: dict[str, str]
    cameras: list[Camera] = field(default_factory=list)
    played: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, context: LaunchContext, needs: tuple[str, ...] = ()) -> Bringup:
        """The arguments of this launch; needs: those that must not be empty.

        Raises:
            BadInput: a value that cannot be meant, a bag or a file that is not there, topics that the bag does not tell.
        """
        given = {name: context.launch_configurations[name] for name in ARGUMENTS if name in context.launch_configurations}
        for name in PATHS & given.keys():  # no shell expands what follows a :=
            given[name] = str(Path(given[name]).expanduser()) if given[name].startswith("~") else given[name]
        for name in needs:
            if not given[name]:
                raise BadInput(f"{name}: wanted the path of a bag, got nothing")
        for name, value in given.items():
            choices = ARGUMENTS[name].choices
            if choices == ("true", "false"):
                given[name] = value = value.lower()
            if choices and value not in choices:
                raise BadInput(f"{name}:={value}: wanted {' or '.join(choice for choice in choices if choice)}")
        if "params_file" in given and not Path(given["params_file"]).is_file():
            raise BadInput(f"params_file:={given['params_file']}: there is no such file")
        cameras = _cameras(given) if "params_file" in given else []
        if not given.get("bag"):
            return cls(given, cameras)
        _positive("rate", given["rate"])
        return cls(given, *_of_bag(given["bag"], cameras))

    def perception(self) -> Iterator[Node]:
        """The nodes of each camera: `drive`, or one process for each system."""
        for camera, name in ((each, name) for each in self.cameras for name in self._nodes(each)):
            yield Node(
                package="depth_perception",
                executable=name,
                name=name,
                namespace=camera.namespace,
                parameters=[self.given["params_file"], self._parameters(camera)],
                remappings=list(camera.topics.items()),
                ros_arguments=["--log-level", self.given["log_level"]],
                respawn=self._is("respawn"),
                respawn_delay=2.0,
                on_exit=_end_with if self.given.get("bag") and not self._is("respawn") else None,
                output="screen",
            )

    def player(self) -> Iterator[Node]:
        """The bag, when there is one: it starts when the nodes listen, and everything ends soon after it."""
        if bag := self.given.get("bag"):
            first, *others = (self._nodes(camera) for camera in self.cameras)
            listeners = [name for name in first if all(name in nodes for nodes in others)]
            listeners += ["recorder"] if self._record else []
            yield Node(
                package="depth_perception",
                executable="player",
                name="player",
                arguments=["--bag", bag, "--topics", *self.played, "--clock", "--rate", self.given["rate"],
                           "--wait-for", *(camera.topics["image"] for camera in self.cameras), "--wait-for-nodes", *listeners],
                on_exit=_end_after,
                output="screen",
            )  # fmt: skip

    def recorder(self) -> Iterator[Node]:
        """Inputs, outputs and what else is played, when they are to be recorded."""
        if path := self._record:
            topics = [_absolute(camera, topic) for camera in self.cameras for topic in [*camera.topics.values(), *self._outputs(camera)]]
            topics += ["/tf", "/tf_static", "/diagnostics"]
            topics += sorted(set(self.played) - set(topics))
            yield recorder(path, list(dict.fromkeys(topics)), namespace=self.given["namespace"], use_sim_time=self._sim_time,
                           on_exit=_end_with if self.given.get("bag") else None)  # fmt: skip

    def rviz(self) -> Iterator[Node]:
        """RViz with config/drive.rviz, whose topics are those of no namespace; of several cameras it shows the first."""
        if not self._is("rviz"):
            return
        try:
            get_package_prefix("rviz2")
        except PackageNotFoundError:
            raise BadInput("rviz:=true: the package rviz2 is not installed") from None
        first, outputs = self.cameras[0], {output: output for outputs in OUTPUTS.values() for output in outputs}
        yield Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(share_directory() / "config" / "drive.rviz")],
            parameters=[{"use_sim_time": self._sim_time}],
            remappings=[(f"/{name}", _absolute(first, topic)) for name, topic in (first.topics | outputs).items()],
            output="log",
        )

    def view(self) -> Iterator[Node]:
        """The viewer in a browser; of several cameras it shows the first."""
        if not self._is("view"):
            return
        camera = self.cameras[0]
        names = ParameterValue(" ".join(self._nodes(camera)), value_type=str)
        yield Node(
            package="depth_perception",
            executable="viewer",
            name="viewer",
            namespace=camera.namespace,
            parameters=[self.given["params_file"], self._parameters(camera), {"nodes": names}],
            remappings=list(camera.topics.items()),
            output="screen",
        )

    def _nodes(self, camera: Camera) -> list[str]:
        """A camera's executables: `drive`, or one for each system."""
        return ["drive"] if self._is("composed") else self._systems(camera)

    def _outputs(self, camera: Camera) -> list[str]:
        """What they publish; vision_msgs is not everywhere."""
        topics = [output for name in self._systems(camera) for output in OUTPUTS[name]]
        topics += [f"{name}/latency_ms" for name in self._nodes(camera)]
        return [topic for topic in topics if topic != "objects/detections" or importlib.util.find_spec("vision_msgs")]

    def _systems(self, camera: Camera) -> list[str]:
        """The executable of each system, as the argument says, else as params_file says of this camera."""
        given, told = self.given.get("systems", ""), str(camera.parameters.get("systems") or "")
        systems = given.split() or told.split() or SYSTEMS
        if unknown := [system for system in systems if f"{system}_node" not in OUTPUTS]:
            known = ", ".join(name.removesuffix("_node") for name in OUTPUTS)
            where = f"systems:={given}" if given.split() else f"{self.given['params_file']}: systems: {told}"
            raise BadInput(f"{where}: wanted some of {known} with spaces between, got {unknown[0]!r}")
        return [f"{system}_node" for system in systems]

    @property
    def _record(self) -> str:
        return self.given.get("record") or self.given.get("out", "")

    @property
    def _sim_time(self) -> bool:
        return bool(self.given.get("bag")) or self._is("use_sim_time")

    def _is(self, name: str) -> bool:
        return self.given.get(name) == "true"

    def _parameters(self, camera: Camera) -> dict[str, Any]:
        """What the arguments say beyond params_file."""
        values: dict[str, Any] = {name: ParameterValue(self.given[name], value_type=str) for name in PARAMETERS if self.given[name]}
        if not self._is("composed"):
            values["systems"] = ParameterValue("", value_type=str)  # each node has its own, whatever the file says of all
        values |= {"use_sim_time": True} if self._sim_time else {}
        return values | ({"input.compressed": camera.compressed} if self.given.get("bag") else {})


def _cameras(given: dict[str, str]) -> list[Camera]:
    """The cameras of params_file, their topics as the arguments say, else as the file says, else of the default names."""
    said = {name: given[name] for name in TOPICS if name in given and given[name] != ARGUMENTS[name].default}
    namespace = given["namespace"].strip("/")
    cameras = car_file.cameras(given["params_file"])
    if cameras[0].namespace and namespace:
        known = ", ".join(camera.namespace for camera in cameras)
        cameras = [camera for camera in cameras if camera.namespace == namespace]
        if not cameras:
            raise BadInput(f"namespace:={namespace}: params_file has the cameras {known}")
    if len(cameras) > 1 and said:
        raise BadInput(f"{next(iter(said))}:=: params_file has {len(cameras)} cameras; say which with namespace:=")
    defaults = {name: ARGUMENTS[name].default or "" for name in TOPICS}
    return [replace(camera, namespace=camera.namespace or namespace, topics=defaults | camera.topics | said) for camera in cameras]


def _absolute(camera: Camera, topic: str) -> str:
    return topic if topic.startswith("/") else f"/{camera.namespace}/{topic}" if camera.namespace else f"/{topic}"


def recorder(path: str, topics: list[str], *, use_sim_time: bool, **more: Any) -> Node:
    """The recorder; no topics: every topic."""
    return Node(
        package="depth_perception",
        executable="recorder_node",
        name="recorder",
        parameters=[{"path": ParameterValue(path, value_type=str), "topics": topics or [""], "use_sim_time": use_sim_time}],
        output="screen",
        **more,
    )


def depth_cloud(namespace: str, *, use_sim_time: bool) -> ComposableNodeContainer:
    """depth_image_proc's point_cloud_xyz in a container: depth/image and depth/camera_info -> depth/points."""
    try:
        get_package_prefix("depth_image_proc")
    except PackageNotFoundError:
        raise BadInput("the package depth_image_proc is not installed: apt install ros-$ROS_DISTRO-depth-image-proc") from None
    cloud = ComposableNode(
        package="depth_image_proc",
        plugin="depth_image_proc::PointCloudXyzNode",
        name="depth_cloud",
        namespace=namespace,
        parameters=[{"use_sim_time": use_sim_time}],
        remappings=[("image_rect", "depth/image"), ("camera_info", "depth/camera_info"), ("points", "depth/points")],
    )
    return ComposableNodeContainer(
        package="rclcpp_components",
        executable="component_container",
        name="depth_cloud_container",
        namespace=namespace,
        composable_node_descriptions=[cloud],
        output="screen",
    )


def _of_bag(path: str, cameras: list[Camera]) -> tuple[list[Camera], list[str]]:
    """The cameras with topics of the bag where they were left at their default, and compressed where the bag's are; what to play."""
    import re

    from depth_perception.bag import Bag, guess_topics  # reading a bag needs packages that driving does not

    options = {"image": "image_topic", "camera_info": "info_topic", "points": "points_topic"}
    found = []
    try:
        bag = Bag(path)
        for camera in cameras:
            given = {options[name]: topic for name, topic in camera.topics.items() if topic != ARGUMENTS[name].default}
            chosen = guess_topics(bag, **given, needs_info=not camera.calibration)
            guessed = {name: topic for name, topic in vars(chosen).items() if topic}
            compressed = bag.topics[guessed["image"]][0] == "sensor_msgs/msg/CompressedImage"
            found.append(replace(camera, topics=camera.topics | guessed, compressed=compressed))
    except BadInput as error:
        sentence = str(error)
        for name, option in options.items():  # it names the command line's options
            flag = f"--{option.replace('_', '-')}"
            sentence = sentence.replace(f"{flag}: ", f"{name}: ").replace(flag, f"{name}:=")
        raise BadInput(sentence) from None
    return found, [name for name in bag.topics if not re.fullmatch(NOT_PLAYED, name)]


def _positive(name: str, value: str) -> None:
    try:
        good = 0 < float(value) < float("inf")
    except ValueError:
        good = False
    if not good:
        raise BadInput(f"{name}:={value}: wanted a number above 0")


def _end_with(event: ProcessExited, context: LaunchContext) -> list[Shutdown]:
    """Without this process the bag is played to nobody."""
    if context.is_shutdown:
        return []
    raise BadInput(f"{event.process_name} ended with code {event.returncode} before the bag did; it said why above")


def _end_after(event: ProcessExited, context: LaunchContext) -> list[TimerAction]:
    """The bag is over."""
    if context.is_shutdown:
        return []
    if event.returncode != 0:
        raise BadInput(f"{event.process_name} ended with code {event.returncode}; it said why above")
    return [TimerAction(period=ANSWERS_S, actions=[Shutdown(reason="the bag is over")])]
