"""A model is written beside the last one and takes its place when it is whole."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from depth_perception.frame import BadInput

MANIFEST = "manifest.json"
# What belongs to the weights beside it: the last model's would be wrong for the new one.
_DERIVED = ("*.onnx", "selftest.npz")


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A directory inside `out`; when the block ends well, its files take their places in `out` by renaming, the manifest last.

    Nothing of `out` changes before everything is written: a full disk, an error or a kill while writing leaves the last model.
    """
    stage: Path | None = None
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left in (*out.glob(".new.*"), *out.glob("..new.*")):  # of a run that was killed, and of its export
            shutil.rmtree(left, ignore_errors=True)
        stage = Path(tempfile.mkdtemp(dir=out, prefix=".new."))
        yield stage
        files = [file for file in sorted(stage.rglob("*")) if file.is_file()]
        for file in files:
            with file.open("rb") as stream:
                os.fsync(stream.fileno())
            (out / file.relative_to(stage)).parent.mkdir(parents=True, exist_ok=True)
        if (stage / MANIFEST).is_file():
            for pattern in _DERIVED:
                for old in out.glob(pattern):
                    if not (stage / old.name).exists():
                        old.unlink()
        for file in sorted(files, key=lambda file: file.name == MANIFEST):
            os.chmod(file, 0o644)
            os.replace(file, out / file.relative_to(stage))
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror or error
        raise BadInput(f"{out}: the model cannot be written ({reason}); what was there is as it was") from error
    finally:
        if stage is not None:
            shutil.rmtree(stage, ignore_errors=True)
