"""`~/reset_odometry`, `~/reload_model`, `~/enable`: what an operator asks a running node for."""

from __future__ import annotations

import threading
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from rclpy.lifecycle import TransitionCallbackReturn
from std_srvs.srv import SetBool, Trigger

from depth_perception.frame import BadInput

if TYPE_CHECKING:
    from depth_perception.nodes.perception import Perception


def offer(node: Perception) -> None:
    """Makes the services of a node; they answer in every state of its lifecycle."""

    def reset_odometry(request: Any, response: Any) -> Any:
        node.start_anew()
        response.success, response.message = True, "the next image starts a new drive"
        return response

    async def reload_model(request: Any, response: Any) -> Any:
        if node.state not in ("inactive", "active"):
            response.success, response.message = False, f"the node is {node.state}: it loads the model when it is configured"
            return response
        loading = _Loading(node)
        response.success, response.message = await loading
        return response

    def enable(request: Any, response: Any) -> Any:
        response.success, response.message = _switch(node, request.data)
        return response

    node.create_service(Trigger, "~/reset_odometry", reset_odometry)
    node.create_service(Trigger, "~/reload_model", reload_model)
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


class _Loading:
    """Loads in a thread of its own while the executor goes on with images; awaited for (success, sentence)."""

    def __init__(self, node: Perception) -> None:
        self._node = node
        self._answer = (False, "")
        self._thread = threading.Thread(target=self._load, name="loading", daemon=True)
        self._thread.start()

    def _load(self) -> None:
        try:
            networks = self._node.load_networks()
        except BadInput as error:
            self._answer = False, f"{error}; the node goes on with the model it has"
        except Exception as error:  # a defect of ours must not cost the drive
            self._answer = False, f"internal error: {type(error).__name__}: {error}; the node goes on with the model it has"
        else:
            self._node.use_networks(networks)
            self._answer = True, f"{networks.path}, from the next image on"

    def __await__(self) -> Generator[None, None, tuple[bool, str]]:
        while self._thread.is_alive():
            yield  # the executor serves whoever is waiting, and comes back
            self._thread.join(0.005)
        return self._answer
