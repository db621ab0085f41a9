"""What the launch files start. The package `launch` is a guest of this file alone; the arguments are in `arguments`.

Arguments are read when launch runs (`OpaqueFunction`), so that a bag can tell its topics and a wrong value ends in one sentence.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, Shutdown, TimerAction
from launch.events.process import ProcessExited
from launch.launch_context import LaunchContext
from launch.substitutions import EnvironmentVariable
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from depth_perception.frame import BadInput
from depth_perception.model import share_directory
from depth_perception.nodes.arguments import ARGUMENTS, NOT_PLAYED, OUTPUTS, PARAMETERS, SYSTEMS, TOPICS
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
        topics: image, camera_info, points -> topic; relative to the namespace, or absolute.
        compressed: the image topic carries sensor_msgs/CompressedImage.
        played: the bag's topics that are played.
    """

    given: dict[str, str]
    topics: dict[str, str]
    compressed: bool = False
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
        topics = {name: given[name] for name in TOPICS if name in given}
        if not given.get("bag"):
            return cls(given, topics)
        _positive("rate", given["rate"])
        return cls(given, *_of_bag(given["bag"], topics))

    def perception(self) -> Iterator[Node]:
        """The nodes: `drive`, or one process for each system."""
        for name in self._nodes:
            yield Node(
                package="depth_perception",
                executable=name,
                name=name,
                namespace=self.given["namespace"],
                parameters=[self.given["params_file"], self._parameters()],
                remappings=list(self.topics.items()),
                ros_arguments=["--log-level", self.given["log_level"]],
                respawn=self._is("respawn"),
                respawn_delay=2.0,
                on_exit=_end_with if self.given.get("bag") and not self._is("respawn") else None,
                output="screen",
            )

    def player(self) -> Iterator[Node]:
        """The bag, when there is one: it starts when the nodes listen, and everything ends soon after it."""
        if bag := self.given.get("bag"):
            listeners = list(self._nodes)
            listeners += ["recorder"] if self._record else []
            yield Node(
                package="depth_perception",
                executable="player",
                name="player",
                arguments=["--bag", bag, "--topics", *self.played, "--clock", "--rate", self.given["rate"],
                           "--wait-for", self.topics["image"], "--wait-for-nodes", *listeners],
                on_exit=_end_after,
                output="screen",
            )  # fmt: skip

    def recorder(self) -> Iterator[Node]:
        """Inputs, outputs and what else is played, when they are to be recorded."""
        if path := self._record:
            topics = [*self.topics, *self._outputs]
            topics += [*(f"{name}/latency_ms" for name in self._nodes), "/tf", "/tf_static", "/diagnostics"]
            topics += sorted(set(self.played) - set(self.topics.values()) - set(topics))
            yield recorder(path, topics, namespace=self.given["namespace"], remappings=list(self.topics.items()),
                           use_sim_time=self._sim_time, on_exit=_end_with if self.given.get("bag") else None)  # fmt: skip

    def rviz(self) -> Iterator[Node]:
        """RViz with config/drive.rviz, whose topics are those of no namespace."""
        if not self._is("rviz"):
            return
        try:
            get_package_prefix("rviz2")
        except PackageNotFoundError:
            raise BadInput("rviz:=true: the package rviz2 is not installed") from None
        outputs = {output: output for outputs in OUTPUTS.values() for output in outputs}
        yield Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", str(share_directory() / "config" / "drive.rviz")],
            parameters=[{"use_sim_time": self._sim_time}],
            remappings=[(f"/{name}", self._absolute(topic)) for name, topic in (self.topics | outputs).items()],
            output="log",
        )

    @property
    def _nodes(self) -> list[str]:
        """Executables: `drive`, or one for each system."""
        return ["drive"] if self._is("composed") else self._systems

    @property
    def _outputs(self) -> list[str]:
        """What they publish; vision_msgs is not everywhere."""
        topics = [output for name in self._systems for output in OUTPUTS[name]]
        return [topic for topic in topics if topic != "objects/detections" or importlib.util.find_spec("vision_msgs")]

    @property
    def _systems(self) -> list[str]:
        """The executable of each system."""
        systems = self.given.get("systems", "").split() or SYSTEMS
        if unknown := [system for system in systems if f"{system}_node" not in OUTPUTS]:
            known = ", ".join(name.removesuffix("_node") for name in OUTPUTS)
            raise BadInput(f"systems:={self.given['systems']}: wanted some of {known} with spaces between, got {unknown[0]!r}")
        return [f"{system}_node" for system in systems]

    @property
    def _record(self) -> str:
        return self.given.get("record") or self.given.get("out", "")

    @property
    def _sim_time(self) -> bool:
        return bool(self.given.get("bag")) or self._is("use_sim_time")

    def _is(self, name: str) -> bool:
        return self.given.get(name) == "true"

    def _parameters(self) -> dict[str, Any]:
        """What the arguments say beyond params_file."""
        values: dict[str, Any] = {name: ParameterValue(self.given[name], value_type=str) for name in PARAMETERS if self.given[name]}
        if not self._is("composed"):
            values.pop("systems", None)  # each node has its own
        values |= {"use_sim_time": True} if self._sim_time else {}
        return values | ({"input.compressed": True} if self.compressed else {})

    def _absolute(self, topic: str) -> str:
        namespace = self.given["namespace"].strip("/")
        return topic if topic.startswith("/") else f"/{namespace}/{topic}" if namespace else f"/{topic}"


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


def _of_bag(path: str, topics: dict[str, str]) -> tuple[dict[str, str], bool, list[str]]:
    """Topics with those of the bag where they were left at their default; whether images are compressed; what to play."""
    import re

    from depth_perception.bag import Bag, guess_topics  # reading a bag needs packages that driving does not

    options = {"image": "image_topic", "camera_info": "info_topic", "points": "points_topic"}
    given = {options[name]: topic for name, topic in topics.items() if topic != ARGUMENTS[name].default}
    try:
        bag = Bag(path)
        guessed = guess_topics(bag, **given)
    except BadInput as error:
        sentence = str(error)
        for name, option in options.items():  # it names the command line's options
            flag = f"--{option.replace('_', '-')}"
            sentence = sentence.replace(f"{flag}: ", f"{name}: ").replace(flag, f"{name}:=")
        raise BadInput(sentence) from None
    found = {"image": guessed.image, "camera_info": guessed.camera_info, "points": guessed.points}
    played = [name for name in bag.topics if not re.fullmatch(NOT_PLAYED, name)]
    compressed = bag.topics[guessed.image][0] == "sensor_msgs/msg/CompressedImage"
    return topics | {name: topic for name, topic in found.items() if topic}, compressed, played


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
