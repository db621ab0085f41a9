"""What several passes have seen of a map, as bytes to keep: a car drives on another day, and a process ends where a pass does not."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import Any

import numpy as np

from depth_perception.frame import BadInput
from depth_perception.systems import reference_map
from depth_perception.systems.missing_markings import MissingMarkings
from depth_perception.systems.reference_map import ReferenceMap


def packed(missing: MissingMarkings) -> bytes:
    """Its evidence as an .npz file."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"map": np.frombuffer(_digest(missing.map), np.uint8), **missing.evidence()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def recall(data: bytes, missing: MissingMarkings) -> None:
    """Goes on from what was packed; BadInput when it is no evidence, or that of another map, and nothing has changed then."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            found = dict(stored)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise BadInput(f"evidence: wanted that of a report ({error})") from None
    if found.pop("map", np.zeros(0, np.uint8)).tobytes() != _digest(missing.map):
        raise BadInput("evidence: it is that of another map")
    missing.recall(found)


def _digest(known: ReferenceMap) -> bytes:
    return hashlib.sha256(reference_map.to_json(known.frame, known.references, origin=known.origin).encode()).digest()
