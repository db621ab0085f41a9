"""One call for a network that drives: `load(model, "depth")(image=array) -> {"depth": array}`. No torch.

onnx_runtime                                   on the CPU, or on a CUDA GPU
tensorrt_runtime, tensorrt_context             on a CUDA GPU, with an engine built for it
device_memory, cuda                            a GPU's memory, stream and graph
preparation, kernels, image_kernels.cu         camera images to network inputs on the GPU
tensorrt_build, tensorrt_package, compiled     builds engines
cache, manifest, lock                          keeps them
selftest, selection                            proves an engine before it drives, and takes the next best when it fails
failover                                       takes the next best when one fails while it drives
trial                                          tries and times one, for `doctor --gpu`
"""

from depth_perception.engine.failover import Failover, Preparation
from depth_perception.engine.failover import load as load_with_standby
from depth_perception.engine.onnx_runtime import Engine
from depth_perception.engine.selection import DEVICES, Proven, load
from depth_perception.engine.selftest import BOUNDS

__all__ = ["BOUNDS", "DEVICES", "Engine", "Failover", "Preparation", "Proven", "load", "load_with_standby"]
