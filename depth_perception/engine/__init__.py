"""One call for a network that drives: `load(model, "depth")(image=array) -> {"depth": array}`. No torch.

onnx_runtime                                   on the CPU, or on a CUDA GPU
tensorrt_runtime, tensorrt_context             on a CUDA GPU, with an engine built for it
device_memory, cuda                            a GPU's memory, stream and graph
tensorrt_build, tensorrt_package, compiled     builds engines
cache, manifest, lock                          keeps them
selftest, selection                            proves an engine before it drives, and takes the next best when it fails
trial                                          tries and times one, for `doctor --gpu`
"""

from depth_perception.engine.onnx_runtime import Engine
from depth_perception.engine.selection import DEVICES, Proven, load
from depth_perception.engine.selftest import BOUNDS

__all__ = ["BOUNDS", "DEVICES", "Engine", "Proven", "load"]
