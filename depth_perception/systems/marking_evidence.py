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


def digest(known: ReferenceMap) -> str:
    """Of a map, as evidence is named and checked by."""
    return hashlib.sha256(reference_map.to_json(known.frame, known.references, origin=known.origin).encode()).hexdigest()


def packed(missing: MissingMarkings) -> bytes:
    """Its evidence as an .npz file."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {"map": np.frombuffer(digest(missing.map).encode(), np.uint8), **missing.evidence()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def recall(data: bytes, missing: MissingMarkings) -> None:
    """Goes on from what was packed; BadInput when it is no evidence, or that of another map, and nothing has changed then."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as stored:
            found = {name: np.asarray(stored[name]) for name in stored.files}
    except (OSError, ValueError, EOFError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise BadInput(f"evidence: wanted that of a report ({error})") from None
    if found.pop("map", np.zeros(0, np.uint8)).tobytes() != digest(missing.map).encode():
        raise BadInput("evidence: it is that of another map")
    missing.recall(found)
