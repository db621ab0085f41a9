"""`~/reset_odometry`, `~/reload_model`, `~/enable`: what an operator asks a running node for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.task import Future
from std_srvs.srv import SetBool, Trigger

from depth_perception.frame import BadInput

if TYPE_CHECKING:
    from depth_perception.nodes.networks import Networks
    from depth_perception.nodes.perception import Perception


def offer(node: Perception) -> None:
    """Makes the services of a node; they answer in every state of its lifecycle."""

    def reset_odometry(request: Any, response: Any) -> Any:
        node.start_anew()
        response.success, response.message = True, "the next image starts a new drive"
        return response

    async def reload_model(request: Any, response: Any) -> Any:
        drive = node.drive
        if drive is None:
            response.success, response.message = False, f"the node is {node.state}: it loads the model when it is configured"
            return response
        loaded, response.message = await _loading(node)
        if loaded is None:
            return response
        if node.drive is not drive:
            response.message = f"the node was configured anew meanwhile and is {node.state} with the model that it loaded then"
            return response
        networks, made = loaded
        node.use_networks(networks, made, drive)
        response.success = True
        return response

    def enable(request: Any, response: Any) -> Any:
        response.success, response.message = _switch(node, request.data)
        return response

    node.create_service(Trigger, "~/reset_odometry", reset_odometry)
    # A group of its own: until a coroutine is done, rclpy serves nobody else of its group.
    node.create_service(Trigger, "~/reload_model", reload_model, callback_group=MutuallyExclusiveCallbackGroup())
    node.create_service(SetBool, "~/enable", enable)


def _switch(node: Perception, on: bool) -> tuple[bool, str]:
    """Through the lifecycle to active, or from active to inactive."""
    transitions = {
        (True, "unconfigured"): [node.trigger_configure, node.trigger_activate],
        (True, "inactive"): [node.trigger_activate],
        (False, "active"): [node.trigger_deactivate],
    }.get((on, node.state), [])
    for trigger in transitions:
        if trigger() != TransitionCallbackReturn.SUCCESS:
            return False, f"the node is {node.state}: its log and /diagnostics say why"
    return node.state == "active" if on else node.state != "active", f"the node is {node.state}"


def _loading(node: Perception) -> Future:
    """(networks and what runs beside made of them, sentence), once a thread of its own has loaded the model; None when it failed.

    The executor goes on with images.
    """
    loaded = Future(executor=node.executor)

    def load() -> None:
        answer: tuple[tuple[dict[str, Networks], dict[str, Callable[[], None]]] | None, str]
        try:
            networks = node.load_networks()
            made = node.made_beside(networks)
        except BadInput as error:
            answer = None, f"{error}; the node goes on with the model it has"
        except Exception as error:  # a defect of ours must not cost the drive
            answer = None, f"internal error: {type(error).__name__}: {error}; the node goes on with the model it has"
        else:
            answer = (networks, made), f"{', '.join(each.path for each in networks.values())}, from the next image on"
        loaded.set_result(answer)
        node.executor.create_task(lambda: None)  # wakes it, for the answer to go out now

    threading.Thread(target=load, name="loading", daemon=True).start()
    return loaded
