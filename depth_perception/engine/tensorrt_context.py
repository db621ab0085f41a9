"""TensorRT's own objects for one engine: loaded, told its addresses, put on a stream. Refusals are BadInput with TensorRT's reason."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.model import write_atomically


class Package(Protocol):
    """What is needed of `tensorrt_package`: which of NVIDIA's two packages this is, and its process's one logger."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def module(self) -> Any: ...
    @property
    def log(self) -> Any: ...


class Tensor(NamedTuple):
    """An input or output of the engine."""

    name: str
    is_input: bool
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Context:
    """One engine, ready to be put on streams.

    Args:
        engine: what the builder serialised.
        runtime_cache: file of the kernels that TensorRT for RTX compiles when an engine runs first; the `tensorrt` package has them in
            the engine, and no such file.
    """

    def __init__(self, engine: bytes, *, package: Package, runtime_cache: Path | None) -> None:
        self._package, self._cache_file = package, runtime_cache
        trt = package.module
        self._cache, self._cached = None, b""
        self._runtime = self._ask("Runtime", lambda: trt.Runtime(package.log))
        self._engine = self._ask("deserialize_cuda_engine", lambda: self._runtime.deserialize_cuda_engine(engine))
        if hasattr(trt, "IRuntimeCache"):
            config = self._ask("create_runtime_config", self._engine.create_runtime_config)
            self._cache = self._ask("create_runtime_cache", config.create_runtime_cache)
            kernels = _read(runtime_cache)
            if kernels and self._cache.deserialize(kernels):
                self._cached = kernels  # else of another driver, version or GPU: compiled and written anew
            self._ask("set_runtime_cache", lambda: config.set_runtime_cache(self._cache))
            self._context = self._ask("create_execution_context", lambda: self._engine.create_execution_context(config))
        else:
            self._context = self._ask("create_execution_context", self._engine.create_execution_context)

    def tensors(self) -> Iterator[Tensor]:
        """Every input, then every output; BadInput for one without a fixed shape or a type that numpy has."""
        trt, engine = self._package.module, self._engine
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        kinds = {name: engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        for name in sorted(names, key=lambda name: not kinds[name]):
            if kinds[name] and min(engine.get_tensor_shape(name), default=1) < 1:  # built for a profile: of one shape, see tensorrt_build
                wanted = engine.get_tensor_profile_shape(name, 0)[1]
                self._ask("set_input_shape", lambda name=name, wanted=wanted: self._context.set_input_shape(name, wanted))  # type: ignore[misc]
            shape = tuple(self._context.get_tensor_shape(name))
            if min(shape, default=1) < 1:
                raise BadInput(f"engine tensor {name}: wanted a fixed shape, it has {shape}")
            dtype = self._ask("nptype", lambda name=name: trt.nptype(engine.get_tensor_dtype(name)))  # type: ignore[misc]
            yield Tensor(name, kinds[name], shape, np.dtype(dtype))

    def bind(self, name: str, address: int) -> None:
        """Tells where on the device a tensor lies."""
        self._ask("set_tensor_address", lambda: self._context.set_tensor_address(name, address))

    def enqueue(self, stream: int) -> None:
        """Puts the network on a stream."""
        self._ask("execute_async_v3", lambda: self._context.execute_async_v3(stream))

    def recordable(self, stream: int) -> bool:
        """Whether a CUDA graph of it can be recorded. The `tensorrt` package cannot tell: there, trying does."""
        return bool(getattr(self._context, "is_stream_capturable", lambda stream: True)(stream))

    def keep_kernels(self) -> None:
        """Writes newly compiled kernels for the next start; where the folder cannot be written, the next start compiles again."""
        if self._cache_file is None or self._cache is None:
            return
        kernels = bytes(self._ask("serialize", self._cache.serialize))
        if kernels != self._cached:
            with contextlib.suppress(OSError):
                write_atomically(self._cache_file, hashlib.sha256(kernels).digest() + kernels)

    def close(self) -> None:
        """Lets TensorRT's objects go, each before what it stands on."""
        self._context = None
        self._cache = None
        self._engine = None
        self._runtime = None

    def _ask(self, call: str, work: Callable[[], Any]) -> Any:
        """What a call of TensorRT gives; None, False or an exception is BadInput with the first error that TensorRT logged."""
        errors = self._package.log.errors
        errors.clear()
        try:
            result = work()
        except (RuntimeError, TypeError, ValueError) as error:
            errors.append(str(error))
            result = None
        if result is None or result is False:
            said = " ".join(errors[0].split()) if errors else "it does not say why"
            raise BadInput(f"{self._package.name} {self._package.version}: {call} failed: {said}")
        return result


def _read(file: Path | None) -> bytes:
    """The kernels of a runtime cache file: nothing when there is none, or when it is not what was written."""
    try:
        content = file.read_bytes() if file is not None else b""
    except OSError:
        return b""
    digest, kernels = content[:32], content[32:]
    return kernels if hashlib.sha256(kernels).digest() == digest else b""
