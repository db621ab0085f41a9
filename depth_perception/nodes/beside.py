"""A system beside the drive: objects or markings, on a thread of its own, so that depth and odometry never wait for it."""

from __future__ import annotations

import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import rclpy
from rclpy.node import Node

from depth_perception.frame import BadInput, Frame
from depth_perception.nodes.mailbox import Mailbox

if TYPE_CHECKING:
    from depth_perception.nodes.inputs import Inputs
    from depth_perception.nodes.networks import Networks
    from depth_perception.nodes.outputs import Outputs
    from depth_perception.systems.depth import DepthOutput
    from depth_perception.systems.odometry import OdometryOutput


@dataclass(frozen=True, eq=False)
class Seen:
    """A frame, its scan at the image's time, and what the drive has made of it; None where the drive has no such system.

    road: (3,) the plane that a scan shows of the road, see systems.depth.
    """

    frame: Frame
    received: float
    depth: DepthOutput | None = None
    odometry: OdometryOutput | None = None
    road: np.ndarray | None = None


class Beside:
    """Takes the newest frame, and misses those that came while it worked.

    A kind of system says how it is made of networks (`made`) and what it does with a frame (`step`), and may look up when no
    frame has come for `patience_s` (`alone`).

    Args:
        name: of the system: the prefix of its parameters, and the kind of its model.
        node: whose log it writes to.
        configs: gives the Config of a prefix as the parameters have it; the system's own is that of its name.
    Attributes:
        published, missed: outputs that somebody took, frames that came while it worked.
        recent_ms: from an image's arrival to the output's publication, the last hundred.
        said: what is not as it should be, a sentence each: for /diagnostics.
    """

    patience_s: float | None = None

    def __init__(self, name: str, node: Node, configs: Callable[[str], Any]) -> None:
        self.name, self._node, self._configs = name, node, configs
        self.networks: Networks | None = None
        self.published = self._frames = 0
        self.recent_ms: deque[float] = deque(maxlen=100)
        self.said: list[str] = []
        self._orders: deque[Callable[[], None]] = deque()
        self._mail: Mailbox[Seen] | None = None
        self._thread: threading.Thread | None = None

    def _config(self) -> Any:
        return self._configs(self.name)

    # --- what a kind of system says ------------------------------------------------------------------------------

    def made(self, networks: Networks) -> Callable[[], None]:
        """A system of proven networks, as the order that puts it in the place of the one at work.

        Raises BadInput for a model that does not fit, and has changed nothing then. In any thread.
        """
        raise NotImplementedError

    def configure(self, config: Any) -> None:
        """Gives the system another Config."""
        raise NotImplementedError

    def reset(self) -> None:
        """A new drive: forgets what was seen."""
        raise NotImplementedError

    def wanted(self, outputs: Outputs) -> bool:
        """Whether anybody listens."""
        raise NotImplementedError

    def step(self, seen: Seen, outputs: Outputs) -> bool:
        """Looks at a frame and publishes; whether somebody took it."""
        raise NotImplementedError

    def alone(self, source: Inputs, outputs: Outputs) -> bool:
        """Nothing came for `patience_s`; whether something was published all the same."""
        return False

    # --- what the node does with it ------------------------------------------------------------------------------

    def use(self, networks: Networks, take: Callable[[], None]) -> None:
        """Works with these networks, from the next frame on; take: what `made` made of them."""
        self.networks = networks
        self.later(take)

    def later(self, order: Callable[[], None]) -> None:
        """Something to be done between two frames. In the executor's thread only."""
        self._orders.append(order)
        if self._thread is None:
            self._follow_orders()

    def start(self, source: Inputs, outputs: Outputs) -> None:
        """Begins to work, on a thread."""
        self.said = []
        self.reset()
        self._mail = Mailbox(patience_s=0.0)
        self._thread = threading.Thread(target=self._work, args=(self._mail, source, outputs), name=self.name, daemon=True)
        self._thread.start()

    def put(self, seen: Seen) -> None:
        """A new frame; one that still waits is missed."""
        if self._mail is not None:
            self._mail.put(seen)

    def stop(self) -> None:
        """Ends the thread, after the frame at hand."""
        if self._thread is not None and self._mail is not None:
            self._mail.close()
            self._thread.join()
            self._thread = None
        self._follow_orders()

    @property
    def missed(self) -> int:
        """Frames that were replaced by newer ones before this system looked at them."""
        return 0 if self._mail is None else self._mail.dropped

    def values(self) -> dict[str, str]:
        """For a diagnostic."""
        counts = {f"published_{self.name}": self.published, f"{self.name}_frames": self._frames, f"{self.name}_missed": self.missed}
        values = {key: str(count) for key, count in counts.items()}
        if self.recent_ms:
            values[f"{self.name}_latency_ms_p50"] = f"{np.median(self.recent_ms):.2f}"
        return values

    def _follow_orders(self) -> None:
        while self._orders:
            self._orders.popleft()()

    def _work(self, mail: Mailbox[Seen], source: Inputs, outputs: Outputs) -> None:
        while not mail.closed:
            seen = mail.get(self.patience_s)
            if mail.closed:
                return
            try:
                self._follow_orders()
                if not self.wanted(outputs):
                    self.said = []  # nobody looks whether it is still true
                    continue
                if seen is None:
                    self.published += self.alone(source, outputs)
                    continue
                self.published += self.step(seen, outputs)
                self._frames += 1
                self.recent_ms.append((time.perf_counter() - seen.received) * 1e3)
            except BadInput as error:
                source.skip(f"{self.name}: {error}")
            except Exception as error:  # a defect of ours costs a frame, not the drive
                if not rclpy.ok():
                    return  # told to stop in the middle of a frame
                self._node.get_logger().error(traceback.format_exc())
                source.skip(f"{self.name}: internal error: {type(error).__name__}: {' '.join(str(error).split())}")
