"""The networks. Torch is a guest here: what drives runs their ONNX twins."""
