"""What an engine depends on, and the manifest beside it that says so: one exact text with its own sha256."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from depth_perception.frame import BadInput

# Part of every key: raise it when engines of the same key would be built differently, or manifests read differently.
FORMAT = 1
WORDS = {"onnx_sha256": "ONNX file", "capability": "GPU", "options": "builder options"}


@dataclass(frozen=True)
class Key:
    """Everything that an engine depends on; what differs in any of it is another engine.

    Attributes:
        network: its name in the model.
        onnx_sha256: of the ONNX file it is built from.
        package, version: who builds it, "tensorrt_rtx" "1.7.1.116".
        capability: of the GPU it is for, "sm86".
        precision: fp32, fp16 or int8.
        shapes: input name -> NCHW.
        calibration: sha256 of an INT8 calibration; "" where there is none.
        options: what else the builder was told, and the machine's kind.
    """

    network: str
    onnx_sha256: str
    package: str
    version: str
    capability: str
    precision: str
    shapes: dict[str, list[int]]
    calibration: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\w-]+", self.network):  # it becomes a file's name
            raise BadInput(f"network: wanted a name of letters, digits, _ and -, got {self.network!r}")

    def digest(self) -> str:
        """Hex sha256 of all of it."""
        return sha256(canonical({"format": FORMAT, **asdict(self)}))

    def stem(self) -> str:
        """NETWORK.DIGEST16: what the key's files are called."""
        return f"{self.network}.{self.digest()[:16]}"

    def words(self) -> str:
        """For a sentence."""
        return f"{self.network} for {self.capability} in {self.precision} by {self.package} {self.version}"


WANTED = {"format", "digest", "engine_bytes", "engine_sha256", *(word.name for word in fields(Key))}


def read(file: Path) -> dict[str, Any]:
    """A manifest as `put` wrote it, to the byte."""
    try:
        content = file.read_bytes()
        manifest = json.loads(content)
        sealed = manifest.pop("manifest_sha256")
        whole = content == text_of(manifest) and sealed == sha256(canonical(manifest))
        known = manifest.keys() >= WANTED and canonical(manifest["format"]) == canonical(FORMAT)
    except OSError as error:
        raise BadInput(f"engine {file}: its manifest cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput(f"engine {file}: its manifest is damaged: {type(error).__name__}: {error}") from error
    if not (whole and known):
        raise BadInput(f"engine {file}: its manifest is {'of another format' if whole else 'damaged'}")
    return manifest


def differences(manifest: dict[str, Any], key: Key) -> list[str]:
    """Names of the key's fields that a manifest has otherwise; as text, for True would equal 1."""
    return [name for name, value in asdict(key).items() if canonical(manifest.get(name)) != canonical(value)]


def text_of(manifest: dict[str, Any]) -> bytes:
    """The file's content."""
    sealed = {**manifest, "manifest_sha256": sha256(canonical(manifest))}
    return (json.dumps(sealed, indent=2, sort_keys=True) + "\n").encode()


def canonical(value: Any) -> bytes:
    """JSON that is the same for what is the same."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(content: bytes) -> str:
    """Hex."""
    return hashlib.sha256(content).hexdigest()
