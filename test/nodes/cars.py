"""A node in a process of its own, and this process as its sensors, its operator and its listener."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from listening import client_of
from worlds import CALIBRATION, T_BASE_CAMERA, T_BASE_LIDAR, scan

from depth_perception import bag as bags
from depth_perception.bag import messages

START, TENTH = 1_700_000_000_000_000_000, 100_000_000
LINKS = [("base_link", "camera", T_BASE_CAMERA), ("base_link", "lidar", T_BASE_LIDAR)]


def image_at(i, encoding="rgb8", size=(96, 192, 3), grey=60, frame_id="camera"):
    """The image of tenth number i."""
    return messages.image(np.full(size, grey, np.uint8), encoding, stamp_ns=START + i * TENTH, frame_id=frame_id)


def info_at(i, calibration=CALIBRATION):
    return messages.camera_info(calibration, stamp_ns=START + i * TENTH)


def scan_at(i, frame_id="lidar"):
    message = messages.points(scan(stamp_ns=START + i * TENTH))
    message.header.frame_id = frame_id
    return message


def static_tf(links=LINKS):
    return messages.transforms(links, stamp_ns=START)


class Car:
    """`send` what sensors say, wait `until` something has happened, `call` services and set parameters."""

    def __init__(
        self,
        model,
        folder,
        *,
        executable="drive",
        program=None,
        namespace="",
        parameters=(),
        arguments=(),
        topics=("image", "camera_info", "points"),
        systems=("depth", "odometry", "bev"),
    ):
        """program: what Python runs in the executable's place. systems: whose topics are listened to."""
        from depth_perception.nodes.rehearsal import make_observer

        self.observer = make_observer(folder, keep_every=1, namespace=namespace, node=executable, systems=systems)
        import rclpy
        from sensor_msgs.msg import CameraInfo, Image, PointCloud2
        from tf2_msgs.msg import TFMessage

        self._rclpy = rclpy
        self.name = f"{namespace}/{executable}"
        command = [sys.executable, *(program or ("-m", f"depth_perception.nodes.{executable}")), "--ros-args", *arguments]
        command += [word for value in (f"model:={model}", *parameters) for word in ("-p", value)]
        command += ["-r", f"__ns:={namespace}"] if namespace else []
        self._says = (Path(folder) / "says.txt").open("w+")
        self.process = subprocess.Popen(command, stderr=self._says, stdout=self._says)
        types = {"image": Image, "camera_info": CameraInfo, "points": PointCloud2}
        self.sensors = {topic: self.observer.create_publisher(types[topic], f"{namespace}/{topic}", 10) for topic in topics}
        self.sensors["/tf_static"] = self.observer.create_publisher(TFMessage, "/tf_static", _latched())
        self._clients = {}

    def until(self, condition, what, seconds=30.0):
        """Spins until the condition holds; what it gave."""
        end = time.monotonic() + seconds
        while not (held := condition()):
            assert self.process.poll() is None, f"the node died while waiting for {what}: {self.said()}"
            assert time.monotonic() < end, f"waited {seconds:g} s for {what}; it says {self.observer.message}: {self.observer.status}"
            self._rclpy.spin_once(self.observer, timeout_sec=0.02)
        return held

    def until_listening(self):
        """Until the node is active and every sensor has met it."""
        self.until(lambda: self.observer.active and all(p.get_subscription_count() for p in self.sensors.values()), "the node to listen")
        return self

    def send(self, topic, message):
        self.sensors[topic].publish(bytes(bags.TYPES.serialize_cdr(message, message.__msgtype__)))

    def depth_of(self, i, **look):
        """Sends image i and waits for its depth, (H, W)."""
        stamp = START + i * TENTH
        before = self.observer.depth_stamps.count(stamp)
        self.send("image", image_at(i, **look))
        self.until(lambda: self.observer.depth_stamps.count(stamp) > before, f"the depth of image {i}")
        return np.asarray(self.observer.kept("depth")[stamp])

    def ask(self, service_type, service, **fields):
        """The future answer of one of the node's services; `~` stands for its name."""
        name = service.replace("~", self.name, 1)
        if name not in self._clients:
            self._clients[name] = client_of(self.observer, service_type, name, lambda met: self.until(met, f"the service {name}"))
        return self._clients[name].call_async(service_type.Request(**fields))

    def call(self, service_type, service, **fields):
        """The answer of one of the node's services."""
        future = self.ask(service_type, service, **fields)
        self.until(future.done, f"an answer of {service}")
        return future.result()

    def set(self, name, value):
        """Sets one parameter, to a value or to a Parameter of that name: (whether it was taken, why not)."""
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        parameter = value if isinstance(value, Parameter) else Parameter(name, value=value)
        result = self.call(SetParameters, "~/set_parameters", parameters=[parameter.to_parameter_msg()]).results[0]
        return result.successful, result.reason

    def change_state(self, transition):
        """Asks for a lifecycle transition (configure, activate, deactivate, cleanup) as a lifecycle manager does; whether it worked."""
        from lifecycle_msgs.msg import Transition
        from lifecycle_msgs.srv import ChangeState

        id_ = getattr(Transition, f"TRANSITION_{transition.upper()}")
        return self.call(ChangeState, "~/change_state", transition=Transition(id=id_, label=transition)).success

    def said(self):
        self._says.seek(0)
        return self._says.read()

    def close(self):
        """SIGINT, as Ctrl-C; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10.0)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.observer.destroy_node()
        self._says.close()
        return self.process.returncode


def _latched():
    from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

    return QoSProfile(depth=10, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
