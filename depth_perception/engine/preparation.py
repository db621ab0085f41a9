"""Network inputs that are made on the GPU, and stay there for the networks that look at them. No torch."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from depth_perception.engine import cuda
from depth_perception.engine.device_memory import Buffer, Pool, Stream, close_all
from depth_perception.engine.kernels import Kernels, launch_of, levels
from depth_perception.frame import BadInput

# (H, W, 3) uint8, height=, width= -> (1, 3, height, width) in 0..1.
Prepare = Callable[..., Any]

# A level of an image: what two builds of OpenCV may differ in, too.
BOUND = 1 / 255
ROUNDING = 1e-3  # of the levels themselves, in float16


class DeviceImage:
    """A network's input on the GPU. Whoever wants an array gets one, made on the CPU from the same camera image: it outlives the GPU.

    Attributes:
        address: where on the device, contiguous; valid as long as this object.
        shape, dtype: (1, 3, height, width), float32 or float16.
    """

    def __init__(self, pool: Pool, shape: tuple[int, ...], dtype: Any, *, source: Callable[[], np.ndarray]) -> None:
        self._pool, self._source = pool, source
        self._array: np.ndarray | None = None
        self._memory = pool.take()
        self.address, self.shape, self.dtype = self._memory.address, shape, np.dtype(dtype)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if self._array is None:
            self._array = self._source()
        return np.array(self._array, dtype, copy=copy) if copy else np.asarray(self._array, dtype)

    def __getitem__(self, key: Any) -> Any:
        return np.asarray(self)[key]

    def __del__(self) -> None:
        with contextlib.suppress(Exception):  # nobody is left to hear
            self._pool.give(self._memory)


class OnDevice:
    """`prepare` as a kernel: a camera image of any size is copied into pinned memory, sent, and made the input of networks of one size.

    Two launches for an image, and one wait: a recorded graph would save one launch and hold only for one size of cameras.
    One thread at a time. Device memory of an input that nobody holds any more is used again: no allocation while driving.

    Args:
        plain: the same on the CPU; the kernel must agree with it here, before it is used.
        dtype: of the networks' inputs, float32 or float16.
    Raises:
        BadInput: no GPU, no NVRTC, or a kernel that gives other numbers than `plain`.
    """

    def __init__(self, plain: Prepare, *, height: int, width: int, dtype: Any = np.float32) -> None:
        self._plain, self._shape, self._dtype = plain, (1, 3, height, width), np.dtype(dtype)
        camera: list[Buffer] = []
        # As in TensorRT: nothing in here may hold `self`, for a node switches Python's search for cycles off.
        with contextlib.ExitStack() as made:
            self._kernels = Kernels(cuda.this_gpu().capability)
            made.callback(self._kernels.close)
            self._stream = Stream()
            made.callback(self._stream.close)
            self._levels = Buffer((256,), self._dtype)
            made.callback(self._levels.close)
            self._pool = Pool(math.prod(self._shape) * self._dtype.itemsize)
            made.callback(self._pool.close)
            self._camera = camera
            made.callback(close_all, camera)
            made.callback(self._stream.wait)
            self._levels.host[...] = levels(self._dtype)
            self._stream.upload(self._levels)
            self.difference = self._proven()
            self._made = made.pop_all()

    def __call__(self, image: np.ndarray) -> DeviceImage:
        """(H, W, 3) uint8, any strides."""
        sent = self._of_size(image.shape)
        np.copyto(sent.host, image)
        plain, (*_, height, width) = self._plain, self._shape
        prepared = DeviceImage(self._pool, self._shape, self._dtype, source=lambda: plain(image, height=height, width=width))
        self._stream.upload(sent)
        launch = launch_of(sent.device, image.shape[:2], self._levels.device, prepared.address, (height, width), self._dtype)
        self._kernels.launch(launch, stream=self._stream.handle)
        self._stream.wait()  # another network's stream reads it next
        return prepared

    def downloaded(self, image: DeviceImage) -> np.ndarray:
        """What lies on the GPU, for a comparison."""
        buffer = Buffer(image.shape, image.dtype)
        try:
            self._stream.copy(buffer.host.ctypes.data, image.address, buffer.nbytes, "cudaMemcpyDeviceToHost")
            self._stream.wait()
            return buffer.host.copy()
        finally:
            buffer.close()

    def close(self) -> None:
        """Releases what nobody holds any more; a DeviceImage that is still held is released when it goes."""
        self._made.close()

    def __del__(self) -> None:
        with contextlib.suppress(Exception):
            self.close()

    def _proven(self) -> float:
        """The largest difference from `plain`, over images that take every path of the kernel: far larger, less so, smaller, and narrow."""
        *_, height, width = self._shape
        random, worst = np.random.default_rng(0), 0.0
        sizes = (3 * height + 1, 3 * width + 2), (height + 3, width + 1), (height // 2 + 1, width + 7), (height + 5, width // 2 + 1)
        for rows, columns in sizes:
            image = random.integers(0, 256, (rows, columns, 3), np.uint8)
            wanted = self._plain(image, height=height, width=width)
            worst = max(worst, float(np.abs(self.downloaded(self(image)).astype(np.float32) - wanted).max()))
        if not worst <= BOUND + ROUNDING:
            raise BadInput(f"CUDA: the kernel that prepares images is off by {worst:.2g} of 1, wanted {BOUND:.2g}")
        return worst

    def _of_size(self, shape: tuple[int, ...]) -> Buffer:
        """Where a camera's image is sent from; another one when the camera is another one."""
        if not self._camera or self._camera[0].host.shape != shape:
            while self._camera:
                self._camera.pop().close()
            self._camera.append(Buffer(shape, np.uint8))
        return self._camera[0]
