"""A subscription that knows why nothing comes through it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rclpy.event_handler import QoSRequestedIncompatibleQoSInfo, SubscriptionEventCallbacks
from rclpy.exceptions import ParameterException
from rclpy.node import Node
from rclpy.qos import QoSCompatibility, QoSPolicyKind, QoSProfile, qos_check_compatible
from rclpy.qos_overriding_options import InvalidQosOverridesError, QoSOverridingOptions

from depth_perception.frame import BadInput
from depth_perception.nodes.listener import Apart

OVERRIDES = (QoSPolicyKind.HISTORY, QoSPolicyKind.DEPTH, QoSPolicyKind.RELIABILITY, QoSPolicyKind.DURABILITY)


def overridable(create: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Calls `create_subscription` or `create_publisher` so that `qos_overrides.*` parameters count; BadInput for one that cannot be."""
    try:
        return create(*args, qos_overriding_options=QoSOverridingOptions(OVERRIDES), **options)
    except (InvalidQosOverridesError, ParameterException, RuntimeError, ValueError, TypeError) as error:
        raise BadInput(f"qos_overrides of {args[1]}: {' '.join(str(error).split())}") from None


class Gaps:
    """Messages that were published and never taken, by the publisher's numbers: replaced by newer ones, or lost on the way.

    Where the middleware tells no numbers there are none. A step back or a leap is another publisher's, and so is the way up again.
    """

    LEAP = 1000

    def __init__(self) -> None:
        self.missed = 0
        self._last: int | None = None
        self._same = True  # whether the last two were of one publisher

    def see(self, number: int | None) -> None:
        """The number of a message that was taken."""
        if number is None:
            return
        if self._last is not None:
            gap, told = number - self._last - 1, self._same
            self._same = 0 <= gap < self.LEAP
            self.missed += gap * (told and self._same)
        self._last = number


class Watch:
    """One subscription. topic: its resolved name. gaps: what of it was never taken, of a subscription `apart`.

    apart: the executor leaves its messages alone, a `Listener` calls `take`. serialized: the callback gets bytes.
    """

    def __init__(
        self,
        node: Node,
        message_type: Any,
        topic: str,
        callback: Callable[[Any], None],
        qos: QoSProfile | int,
        *,
        apart: bool = False,
        serialized: bool = False,
    ) -> None:
        self._node, self._type, self._callback = node, message_type, callback
        self.topic = node.resolve_topic_name(topic)
        self._heard_at = time.monotonic()
        self.gaps = Gaps()
        events = SubscriptionEventCallbacks(incompatible_qos=self._on_incompatible_qos)
        options: dict[str, Any] = {"event_callbacks": events, "raw": serialized}
        if apart:
            options["callback_group"] = Apart()
        self.subscription = overridable(node.create_subscription, message_type, topic, self._on_message, qos, **options)

    def take(self) -> None:
        """Takes one message, if there is one, and calls back."""
        with self.subscription.handle:
            taken = self.subscription.handle.take_message(self._type, self.subscription.raw)
        if taken is not None:
            message, about = taken
            self.gaps.see(about.get("publication_sequence_number"))
            self._on_message(message)

    def close(self) -> None:
        """Unsubscribes."""
        self._node.destroy_subscription(self.subscription)

    def silence(self, longer_than_s: float) -> str | None:
        """One sentence when nothing has come for so long: who publishes the topic, and why it does not arrive."""
        silent_s = time.monotonic() - self._heard_at
        if silent_s < longer_than_s:
            return None
        said = f"no message on {self.topic} for {int(silent_s)} s"
        publishers = self._node.get_publishers_info_by_topic(self.topic)
        if not publishers:
            return f"{said}: nobody publishes it"
        wanted = type_name(self._type)
        for publisher in publishers:
            name = f"{publisher.node_namespace.rstrip('/')}/{publisher.node_name}"
            name = "somebody" if "_UNKNOWN_" in name else name  # just discovered, or not a ROS node
            if publisher.topic_type != wanted:
                return f"{said}: {name} publishes it as {publisher.topic_type}, not {wanted}"
            compatibility, reason = qos_check_compatible(publisher.qos_profile, self.subscription.qos_profile)
            if compatibility == QoSCompatibility.ERROR:
                return f"{said}: the QoS that {name} offers does not fit: {reason.removeprefix('ERROR: ').strip(' ;')}"
        lost = "is it paused, or are large messages lost on the way (both ends need config/fastdds.xml)?"
        return f"{said}, though {name} publishes it: {lost}"

    def crowd(self) -> str | None:
        """One sentence when several publishers share the topic."""
        count = self._node.count_publishers(self.topic)
        return f"{count} publishers on {self.topic}: this node takes one sensor" if count > 1 else None

    def _on_message(self, message: Any) -> None:
        self._heard_at = time.monotonic()
        self._callback(message)

    def _on_incompatible_qos(self, event: QoSRequestedIncompatibleQoSInfo) -> None:
        policy = QoSPolicyKind(event.last_policy_kind).name.lower()
        self._node.get_logger().warning(f"a publisher of {self.topic} offers a QoS that does not fit ({policy}): nothing comes from it")


def type_name(message_type: Any) -> str:
    """The ROS name of a message class: package/msg/Name."""
    return f"{message_type.__module__.split('.')[0]}/msg/{message_type.__name__}"
