"""TensorRT's runtime objects for engines that are a few words of JSON; what they compute is given by the test.

The real classes' names and parameters; test_tensorrt_runtime compares them where a real package is installed.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np


class TensorIOMode(enum.Enum):
    NONE, INPUT, OUTPUT = range(3)


class DataType(enum.Enum):
    FLOAT, HALF, BF16 = 0, 1, 7


# (stream, address of each tensor, shape of each tensor, type of each tensor)
Kernel = Callable[[int, dict[str, int], dict[str, tuple[int, ...]], dict[str, Any]], None]


def engine_bytes(*tensors: tuple[str, str, list[int], str], package: str = "tensorrt_rtx") -> bytes:
    """An engine of (name, "INPUT" or "OUTPUT", shape, "FLOAT" or "HALF")."""
    return json.dumps({"package": package, "tensors": tensors}).encode()


def array_at(address: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """What lies at an address."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    return np.frombuffer((ctypes.c_byte * size).from_address(address), dtype).reshape(shape)


class IRuntimeCache:
    def __init__(self) -> None:
        self.kernels = b""

    def serialize(self):
        return self.kernels

    def deserialize(self, blob):
        if not bytes(blob).startswith(b"kernels"):
            return False
        self.kernels = bytes(blob)
        return True


class IRuntimeConfig:
    def __init__(self) -> None:
        self.cache: IRuntimeCache | None = None

    def create_runtime_cache(self):
        return IRuntimeCache()

    def set_runtime_cache(self, cache):
        self.cache = cache
        return True


class IExecutionContext:
    def __init__(self, engine: ICudaEngine, config: IRuntimeConfig | None) -> None:
        self._engine, self._cache = engine, config.cache if config else None
        self._addresses: dict[str, int] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}

    def set_input_shape(self, name, shape):
        self._shapes[name] = tuple(shape)
        return True

    def get_tensor_shape(self, name):
        return self._shapes.get(name, self._engine.get_tensor_shape(name))

    def set_tensor_address(self, name, memory):
        if name not in self._engine.tensors:
            return False
        self._addresses[name] = memory
        return True

    def is_stream_capturable(self, stream):
        return self._engine.double.capturable

    def execute_async_v3(self, stream_handle):
        double = self._engine.double
        if double.refuses == "execute_async_v3":
            double.package.log.errors.append("IExecutionContext::enqueueV3: Error Code 7\nmore")
            return False
        if self._cache is not None and not self._cache.kernels:
            double.compiled += 1
            self._cache.kernels = b"kernels of the double"
        types = {name: double.nptype(tensor[3]) for name, tensor in self._engine.tensors.items()}
        shapes = {name: tuple(self.get_tensor_shape(name)) for name in self._engine.tensors}
        double.kernel(stream_handle, dict(self._addresses), shapes, types)
        return True


class ICudaEngine:
    def __init__(self, double: TensorRTDouble, tensors: list[Any]) -> None:
        self.double = double
        self.tensors = {tensor[0]: tensor for tensor in tensors}

    @property
    def num_io_tensors(self):
        return len(self.tensors)

    def get_tensor_name(self, index):
        return list(self.tensors)[index]

    def get_tensor_mode(self, name):
        return TensorIOMode[self.tensors[name][1]]

    def get_tensor_shape(self, name):
        return tuple(self.tensors[name][2])

    def get_tensor_profile_shape(self, name, profile_index):
        return [[1, 3, 4, 8]] * 3

    def get_tensor_dtype(self, name):
        return self.tensors[name][3]

    def create_runtime_config(self):
        return IRuntimeConfig()

    def create_execution_context(self, runtime_config=None):
        self.double.configs.append(runtime_config)
        return None if self.double.refuses == "create_execution_context" else IExecutionContext(self, runtime_config)


class Runtime:
    """Made by TensorRTDouble, which it needs besides the logger."""

    double: TensorRTDouble

    def __init__(self, logger: Any) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine):
        try:
            words = json.loads(bytes(serialized_engine))
        except ValueError:
            self._logger.errors.append("IRuntime::deserializeCudaEngine: Error Code 1: Serialization (magic tag does not match)")
            return None
        return ICudaEngine(self.double, words["tensors"])


class TensorRTDouble:
    """A package whose engines run `kernel`.

    Attributes:
        package: give this to TensorRT.
        refuses: name of the call that fails.
        compiled: how often an RTX engine had to compile its kernels.
    """

    def __init__(self, kernel: Kernel, *, name: str = "tensorrt_rtx", capturable: bool = True) -> None:
        self.kernel, self.capturable, self.refuses, self.compiled = kernel, capturable, "", 0
        self.configs: list[Any] = []
        runtime = type("Runtime", (Runtime,), {"double": self})
        module = SimpleNamespace(Runtime=runtime, TensorIOMode=TensorIOMode, nptype=self.nptype)
        if name == "tensorrt_rtx":
            module.IRuntimeCache = IRuntimeCache
        log = SimpleNamespace(errors=deque(maxlen=20))
        self.package = SimpleNamespace(name=name, version="1.7.1", module=module, log=log, capability=lambda target: target)

    @staticmethod
    def nptype(trt_type: Any) -> Any:
        if trt_type == "BF16":
            raise TypeError("Could not resolve TensorRT datatype to an equivalent numpy datatype.")
        return {"FLOAT": np.float32, "HALF": np.float16}[trt_type]
