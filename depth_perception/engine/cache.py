"""Built engines on disk, found by what they were built from: never by a name that a retrained model could share.

NETWORK.DIGEST16.engine        what TensorRT built
NETWORK.DIGEST16.json          its manifest, written last: the whole key, the engine's size and sha256, how it was built
NETWORK.DIGEST16.layers.json   its layers
NETWORK.DIGEST16.lock          held while somebody builds it

A manifest is one exact text and holds its own sha256, so any changed byte of either file is seen. That catches damage, mix-ups and
killed writers. It is no signature: who may write here may also forge, so keep the directory as safe as the models.
SHA-256 because today's CPUs do it in hardware (50 MB: 27 ms, blake2b 38 ms) and `sha256sum` can check it by hand.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from depth_perception import model
from depth_perception.engine import lock
from depth_perception.engine import manifest as manifests
from depth_perception.engine.manifest import Key
from depth_perception.frame import BadInput

OTHERS = 8
STEM = re.compile(r"([\w-]+\.[0-9a-f]{16})\.(?!lock$)")


@dataclass(frozen=True)
class Entry:
    """A checked engine.

    Attributes:
        engine: its file.
        manifest: the key's fields, digest, engine_bytes, engine_sha256, and what `put` was given.
        content: the file's bytes as they were checked: give these to TensorRT, the file may be replaced meanwhile.
    """

    engine: Path
    manifest: dict[str, Any]
    content: bytes = field(default=b"", repr=False)


def directories(model_directory: Path) -> list[Path]:
    """Where a model's engines may lie: beside it, and in the user's cache for models that are installed read-only."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    try:
        cache = Path(home) if os.path.isabs(home) else Path.home() / ".cache"  # the XDG specification: a relative path is ignored
    except RuntimeError:  # a number without a name and a home, as in a container: what is written lies beside the model, or nowhere
        cache = Path("/.cache")
    return [model_directory / "engines", cache / "depth_perception" / "engines"]


def writable(places: list[Path]) -> Path:
    """The first of the directories that is or can be made writable; BadInput when none is."""
    for place in places:
        existing = next(path for path in (place, *place.parents) if os.path.exists(path))
        if existing.is_dir() and os.access(existing, os.W_OK | os.X_OK, effective_ids=True):
            return place
    raise BadInput(f"engines: wanted a directory to write, neither {' nor '.join(map(str, places))} is writable; name one with --out")


def listed(directory: Path, pattern: str) -> list[Path]:
    """Files of a directory by a shell pattern, sorted; none where it does not exist or may not be read (Path.glob raises there)."""
    try:
        return [directory / name for name in sorted(os.listdir(directory)) if fnmatch(name, pattern)]
    except OSError:
        return []


def find(directory: Path, key: Key, *, may_rebuild: bool = False) -> Entry | None:
    """The engine of a key, checked to the last byte.

    Anything that is not exactly it is BadInput, with one sentence that names what differs; None instead where the caller may build.
    """
    try:
        return _checked(Path(directory), key)
    except BadInput:
        if may_rebuild:
            return None
        raise


def put(directory: Path, key: Key, engine: bytes, manifest: dict[str, Any], *, layers: dict[str, Any] | None = None) -> Entry:
    """Writes an engine, and last its manifest, each whole or not at all; call it inside `building`. BadInput where it cannot write."""
    directory = Path(directory)
    facts = {"format": manifests.FORMAT, **asdict(key), "digest": key.digest(),
             "engine_bytes": len(engine), "engine_sha256": manifests.sha256(engine)}
    if clash := facts.keys() & manifest.keys():
        raise BadInput(f"manifest: {sorted(clash)} are the cache's own words")
    body = {**facts, **manifest}
    entry = Entry(directory / f"{key.stem()}.engine", body, engine)
    with _writing(directory):
        (directory / f"{key.stem()}.json").unlink(missing_ok=True)  # an old manifest beside a new engine would be called damage
        model.write_atomically(entry.engine, engine)
        if layers is not None:
            model.write_atomically(directory / f"{key.stem()}.layers.json", json.dumps(layers) + "\n")
        model.write_atomically(directory / f"{key.stem()}.json", manifests.text_of(body))
    return entry


@contextmanager
def building(directory: Path, key: Key, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Held by one process (or thread) at a time: look again with `find` inside, another may have built meanwhile.

    waiting: called once if somebody else holds it. The kernel frees the lock of a killed builder, and what that one left half-written
    is removed here.
    """
    directory = Path(directory)
    with ExitStack() as stack:
        with _writing(directory):
            directory.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(directory / f"{key.stem()}.lock", waiting=waiting))
            for left in directory.glob(f".{key.stem()}.*"):
                left.unlink(missing_ok=True)
        yield


def prune(directory: Path, *, keep: Collection[str], others: int = OTHERS) -> list[Path]:
    """Removes what nobody needs: all but the engines of these ONNX hashes and the `others` newest ones. What is being built stays.

    Returns:
        the removed files.
    """
    directory = Path(directory)
    files: dict[str, list[Path]] = {}
    for file in listed(directory, "*"):
        if match := STEM.match(file.name):
            files.setdefault(match[1], []).append(file)
    written = {stem: _written(directory / f"{stem}.json", keep) for stem in files}
    newest = sorted(written, key=written.__getitem__, reverse=True)
    current = [stem for stem in newest if written[stem] == math.inf]
    needed = {*current, *[stem for stem in newest if 0 <= written[stem] < math.inf][:others]}
    removed = []
    with _writing(directory):
        for stem in files.keys() - needed:
            with lock.held(directory / f"{stem}.lock", block=False) as ours:
                if not ours or _written(directory / f"{stem}.json", keep) != written[stem]:  # being built, or built just now
                    continue
                for file in sorted(files[stem], key=lambda file: file.name != f"{stem}.json"):  # the manifest first
                    file.unlink(missing_ok=True)
                    removed.append(file)
    return removed


def _written(manifest: Path, keep: Collection[str]) -> float:
    """When, in seconds of the file system; infinity for an engine of an ONNX file to keep, -1 for one that would never load."""
    try:
        return math.inf if manifests.read(manifest)["onnx_sha256"] in keep else manifest.stat().st_mtime
    except (BadInput, OSError):
        return -1.0


def _checked(directory: Path, key: Key) -> Entry:
    file = directory / f"{key.stem()}.json"
    if not os.path.isfile(file):  # Path.is_file raises where we may not look
        raise BadInput(f"engines {directory}: none of {key.words()}{_nearest(directory, key)}; run `python -m depth_perception compile`")
    manifest = manifests.read(file)
    if (differs := manifests.differences(manifest, key)) or manifest.get("digest") != key.digest():
        raise BadInput(f"engine {file}: is another engine's manifest, its {' and '.join(differs) or 'digest'} differs from {key.words()}")
    engine = directory / f"{key.stem()}.engine"
    try:
        content = engine.read_bytes()
    except OSError as error:
        raise BadInput(f"engine {engine}: cannot be read: {error.strerror}") from error
    if len(content) != manifest["engine_bytes"]:
        raise BadInput(f"engine {engine}: wanted {manifest['engine_bytes']} bytes as its manifest says, it has {len(content)}")
    if manifests.sha256(content) != manifest["engine_sha256"]:
        raise BadInput(f"engine {engine}: is damaged, its content is not what its manifest says")
    return Entry(engine, manifest, content)


def _nearest(directory: Path, key: Key) -> str:
    """What the most similar engine of that network differs in, for a sentence."""
    found = []
    for file in listed(directory, f"{key.network}.*.json"):
        try:
            manifest = manifests.read(file)
        except BadInput:  # layer reports and damaged ones
            continue
        words = [f"{manifests.WORDS.get(name, name)} {manifest[name] if name in ('version', 'capability', 'precision') else ''}".rstrip()
                 for name in manifests.differences(manifest, key)]
        found.append((len(words), f" ({file.stem} has another {' and '.join(words)})"))
    return min(found)[1] if found else ""


@contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """The operating system's refusals (read-only, full, no directory) as one sentence."""
    try:
        yield
    except OSError as error:
        raise BadInput(f"engines {directory}: cannot write there: {error.strerror or error}") from error
