"""A model directory: networks, how to feed them, what they must answer, and where they came from. Never pickle.

manifest.json              everything that is not a tensor
NETWORK.safetensors        weights for training (written by train)
NETWORK.onnx               the network for driving (written by export)
selftest.npz               stored inputs and the network's own outputs, replayed before an engine may drive
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput

FORMAT = 1


@dataclass(frozen=True)
class Model:
    """An opened model directory.

    Attributes:
        path: the directory.
        kind: what it does: "depth", "contrast", "objects" or "markings".
        networks: name -> {"class", "config", "inputs", "outputs"}; sizes are lists, NCHW. "indices", where there are any: inputs that are
            int64, each below its number.
        height, width: the networks' input size, pixels.
        canonical_focal_px: vertical focal length, in pixels of the network's input, at which the depth network's
            output is metres. Another focal length f scales it by f / canonical_focal_px.
        lineage: bags, command, seed, commit, steps, metrics.
    """

    path: Path
    kind: str
    networks: dict[str, dict[str, Any]]
    height: int
    width: int
    canonical_focal_px: float
    lineage: dict[str, Any] = field(default_factory=dict)

    def onnx(self, network: str) -> Path:
        """The ONNX file of a network; BadInput when the model was never exported."""
        return self._file(network, "onnx", f"run `python -m depth_perception export --model {self.path}`")

    def weights(self, network: str) -> Path:
        """The safetensors file of a network."""
        return self._file(network, "safetensors", "was its training cut off?")

    def _file(self, network: str, suffix: str, hint: str) -> Path:
        if network not in self.networks:
            raise BadInput(f"model {self.path}: has networks {sorted(self.networks)}, no {network!r}")
        file = self.path / f"{network}.{suffix}"
        if not file.is_file():
            raise BadInput(f"model {self.path}: {file.name} is missing; {hint}")
        return file

    def manifest(self) -> dict[str, Any]:
        """What manifest.json holds."""
        return {
            "format": FORMAT,
            "kind": self.kind,
            "networks": self.networks,
            "height": self.height,
            "width": self.width,
            "canonical_focal_px": self.canonical_focal_px,
            "lineage": self.lineage,
        }


def load(path: str | os.PathLike[str]) -> Model:
    """Opens a model directory; BadInput with one sentence if it is not one, or may not be read."""
    path = Path(path)
    file = path / "manifest.json"
    try:
        if not path.is_dir():
            raise BadInput(
                f"model {path}: wanted a model directory (manifest.json and networks), found {'a file' if path.exists() else 'nothing'}"
            )
        if not file.is_file():
            raise BadInput(f"model {path}: is not a model directory, it has no manifest.json")
        data = json.loads(file.read_text())
        if data["format"] != FORMAT:
            raise BadInput(f"model {path}: its manifest is of format {data['format']}, this package reads format {FORMAT}")
        if min(int(data["height"]), int(data["width"])) <= 0 or not 0 < float(data["canonical_focal_px"]) < math.inf:
            sizes = f"{data['width']}x{data['height']} at {data['canonical_focal_px']} px"
            raise BadInput(f"model {path}: manifest.json has an impossible input of {sizes}")
        return Model(
            path,
            data["kind"],
            data["networks"],
            int(data["height"]),
            int(data["width"]),
            float(data["canonical_focal_px"]),
            data["lineage"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, BadInput):
            raise
        raise BadInput(f"model {path}: manifest.json cannot be read: {type(error).__name__}: {error}") from error
    except OSError as error:
        raise BadInput(f"model {path}: cannot be read: {error.strerror or error}") from error


def save_manifest(model: Model) -> None:
    """Writes manifest.json, whole or not at all."""
    write_atomically(model.path / "manifest.json", json.dumps(model.manifest(), indent=2) + "\n")


def shipped(name: str = "student") -> Path:
    """The directory of a shipped model: beside the package in a checkout, under share/ when installed. BadInput where none is."""
    path = share_directory() / "models" / name
    if not path.is_dir():
        raise BadInput(f"no model of {name} is shipped with this version: name one that `train {name}` has made")
    return path


def share_directory() -> Path:
    """Where config/, launch/ and models/ lie: the checkout, or PREFIX/share/depth_perception of an installation."""
    checkout = Path(__file__).resolve().parent.parent
    if (checkout / "models").is_dir() and (checkout / "package.xml").is_file():
        return checkout
    import sys

    prefixes = [*os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep), sys.prefix]
    for prefix in filter(None, prefixes):
        share = Path(prefix) / "share" / "depth_perception"
        if share.is_dir():
            return share
    raise BadInput(f"depth_perception's share directory is in none of {prefixes}: is the package installed?")


def sha256(file: Path) -> str:
    """Hex digest of a file's content."""
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: Path, content: str | bytes) -> None:
    """Writes beside the target and renames, so that a reader sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        raise BadInput(f"{path}: wanted a file to write, it is a directory")
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        try:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        except BaseException:
            os.unlink(stream.name)
            raise
    os.chmod(stream.name, 0o644)
    os.replace(stream.name, path)


def as_json(value: Any) -> str:
    """Readable JSON that every parser takes: what is not a number (a mean of nothing) is null."""

    def plain(item: Any) -> Any:
        if isinstance(item, dict):
            return {str(key): plain(each) for key, each in item.items()}
        if isinstance(item, (list, tuple)):
            return [plain(each) for each in item]
        return None if isinstance(item, float) and not math.isfinite(item) else item

    return json.dumps(plain(value), indent=2, allow_nan=False) + "\n"


@contextmanager
def written_directory(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary directory beside `path` that takes its place when the block ends well, and vanishes otherwise."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))
    os.chmod(temporary, 0o755)
    try:
        yield temporary
        if path.exists():
            shutil.rmtree(path)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
