"""The main of every perception node: start, spin, stop cleanly on SIGINT or SIGTERM."""

from __future__ import annotations

import sys

import cv2
import rclpy
from rclpy.exceptions import InvalidParameterTypeException, ParameterException
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.impl.implementation_singleton import rclpy_implementation as rcl
from rclpy.lifecycle import TransitionCallbackReturn

from depth_perception.frame import BadInput
from depth_perception.memory import keep_freed_memory
from depth_perception.nodes.interrupt import Interrupt
from depth_perception.nodes.perception import Perception


def run(name: str, publishes: tuple[str, ...]) -> int:
    """Exit code 0: it ended as it was told to; 2: it could not start, and has said why."""
    # The worker gives the interpreter to the executor and back many times per frame; 5 ms a turn would be the latency.
    sys.setswitchinterval(5e-4)
    cv2.setNumThreads(1)  # a second thread wins a quarter of a millisecond on an idle machine, and loses several on a busy one
    keep_freed_memory()
    interrupt = Interrupt()  # before rclpy's own handler, which then wakes the executor and calls this one
    node, code = None, 0
    try:
        rclpy.init()
        node = Perception(name, publishes)
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        if node.get_parameter("autostart").value:
            for trigger in (node.trigger_configure, node.trigger_activate):
                # A node that refuses to start, with nobody there to try again, ends: its reason has been logged.
                if code == 0 and not interrupt.came and trigger() != TransitionCallbackReturn.SUCCESS:
                    code = 2
        if code == 0:
            executor.spin()
    except ExternalShutdownException:
        pass
    except Exception as error:
        if node is not None and not rclpy.ok():
            pass  # what fails because ROS was shut down under it is no failure
        elif isinstance(error, BadInput | ParameterException | InvalidParameterTypeException | rcl.RCLError):
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
            code = 2
        else:
            raise
    finally:
        if node is not None:
            node.stop()
        rclpy.try_shutdown()
    return 0 if interrupt.came else code
