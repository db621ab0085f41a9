"""nodes.listener: messages apart from the executor, in order, whatever goes wrong."""

import os
import threading

import pytest

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import Int32

from depth_perception.nodes.listener import Apart, Listener
from depth_perception.nodes.transport import environment, private_domain


class Broken:
    """An event that cannot be asked, twice; then nothing happens."""

    def __init__(self):
        self.asked = 0

    def add_to_wait_set(self, wait_set):
        pass

    def is_ready(self, wait_set):
        self.asked += 1
        if self.asked <= 2:
            raise RuntimeError("a wait set that is none")
        return False


@pytest.fixture
def node():
    os.environ.update(environment(loopback=True, domain=private_domain()))
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=private_domain())
    node = rclpy.create_node("listening", context=context)
    yield node
    node.destroy_node()
    context.try_shutdown()


def test_a_defect_costs_a_message_and_not_the_ears(node):
    heard, failures, came = [], [], threading.Event()
    subscription = node.create_subscription(Int32, "numbers", lambda message: None, 10, callback_group=Apart())

    def take():
        message = subscription.handle.take_message(Int32, False)[0]
        heard.append(message.data)
        if message.data == 2:
            raise ValueError("two")
        if message.data == 3:
            came.set()

    listener = Listener(node, [(subscription, take)], failed=failures.append)
    listener._events.append(Broken())
    publisher = node.create_publisher(Int32, "numbers", 10)
    try:
        for number in (1, 2, 3):
            publisher.publish(Int32(data=number))
        assert came.wait(20), (heard, failures)
    finally:
        listener.close()
    assert heard == [1, 2, 3]
    assert {type(failure) for failure in failures} == {RuntimeError, ValueError}
    assert not any(thread.name == "sensors" for thread in threading.enumerate()), "closed is closed"


def test_it_ends_when_ros_is_shut_down_under_it(node):
    subscription = node.create_subscription(Int32, "numbers", lambda message: None, 10, callback_group=Apart())
    failures = []
    listener = Listener(node, [(subscription, lambda: None)], failed=failures.append)
    node.context.try_shutdown()
    listener._thread.join(10)
    assert not listener._thread.is_alive() and not failures
    assert Apart().can_execute(subscription) is False
