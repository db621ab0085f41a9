"""The parameters of the perception nodes: which Config stands behind which prefix."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from depth_perception import engine as engines
from depth_perception.frame import BadInput, check_ranges
from depth_perception.geometry import deskew
from depth_perception.nodes import health, input_config, markings_beside, objects_beside, parameters
from depth_perception.nodes.outputs import SYSTEMS
from depth_perception.systems import bev, depth, odometry


@dataclass(frozen=True)
class Config:
    """Attributes:
    systems: what this node publishes, some of depth, odometry, bev, objects and markings with spaces between; empty: what its executable
        is named for, and for drive depth, odometry and bev.
    model: model directory of depth and odometry; empty: the shipped one.
    engine: what runs the networks: tensorrt, cuda or cpu (ONNX Runtime); one that cannot falls back to the next of these and says so;
        auto: the best that this machine offers.
    engine_precision: what the networks compute in; fp32 where no engine of this machine has it, which is an ERROR in /diagnostics.
    engine_directory: where `compile` put TensorRT engines; empty: beside the model, and the user's cache.
    engine_threads: CPU threads of each engine.
    build_engines: build a TensorRT engine that is missing, at configuration or reload; false: fall back.
    odom_frame: name of the odometry frame.
    publish_tf: publish TF from the odometry frame to the body.
    autostart: configure and activate at start; false: wait for a lifecycle manager.
    """

    systems: str = field(default="", metadata={"when": parameters.WHEN_CONFIGURED})
    model: str = field(default="", metadata={"when": parameters.WHEN_LOADED})
    engine: Literal["auto", "cpu", "cuda", "tensorrt"] = field(default="auto", metadata={"when": parameters.WHEN_LOADED})
    engine_precision: Literal["fp32", "fp16", "int8"] = field(default="fp32", metadata={"when": parameters.WHEN_LOADED})
    engine_directory: str = field(default="", metadata={"when": parameters.WHEN_LOADED})
    engine_threads: int = field(default=2, metadata={"when": parameters.WHEN_LOADED, "range": (1, 256)})
    build_engines: bool = field(default=False, metadata={"when": parameters.WHEN_LOADED})
    odom_frame: str = "odom"
    publish_tf: bool = True
    autostart: bool = field(default=True, metadata={"when": parameters.NEVER})

    def __post_init__(self) -> None:
        check_ranges(self)
        if unknown := [name for name in self.systems.split() if name not in SYSTEMS]:
            raise BadInput(f"systems: wanted some of {', '.join(SYSTEMS)} with spaces between, got {unknown[0]!r}")
        if self.engine not in engines.DEVICES:
            raise BadInput(f"engine: wanted one of {', '.join(engines.DEVICES)}, got {self.engine!r}")
        if self.engine_precision not in engines.BOUNDS:
            raise BadInput(f"engine_precision: wanted one of {', '.join(engines.BOUNDS)}, got {self.engine_precision!r}")
        if not self.odom_frame or self.odom_frame.startswith("/"):
            raise BadInput(f"odom_frame: wanted a name without a slash before it, got {self.odom_frame!r}")


CONFIGS: dict[str, tuple[type, str]] = {
    "": (Config, parameters.NOW),
    "input": (input_config.Config, parameters.WHEN_ACTIVATED),
    "depth": (depth.Config, parameters.NOW),
    "odometry": (odometry.Config, parameters.NOW),
    "bev": (bev.Config, parameters.NOW),
    "objects": (objects_beside.Config, parameters.NOW),
    "markings": (markings_beside.Config, parameters.NOW),
    "deskew": (deskew.Config, parameters.NOW),
    "diagnostics": (health.Config, parameters.NOW),
}
