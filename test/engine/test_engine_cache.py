"""The cache of engines: what it gives is exactly what was asked for, and nothing else ever loads."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from depth_perception.engine import cache, lock
from depth_perception.engine import manifest as manifests
from depth_perception.frame import BadInput

KEY = cache.Key(network="depth", onnx_sha256="ab" * 32, package="tensorrt_rtx", version="1.7.1.116", capability="sm86", precision="fp32",
                shapes={"image": [1, 3, 128, 416]}, calibration="", options={"workspace_mb": 1024, "tf32": False})
OTHER = {"network": "pose", "onnx_sha256": "cd" * 32, "package": "tensorrt", "version": "1.7.2.0", "capability": "sm89",
         "precision": "fp16", "shapes": {"image": [1, 3, 192, 640]}, "calibration": "ef" * 32,
         "options": {"workspace_mb": 512, "tf32": False}}
ENGINE = np.random.default_rng(0).bytes(20_000)


def put(directory, key=KEY, engine=ENGINE, **facts):
    with cache.building(directory, key):
        return cache.put(directory, key, engine, facts)


def names(directory):
    return sorted(file.name for file in directory.iterdir())


def test_what_was_put_is_found(tmp_path):
    entry = put(tmp_path, build_seconds=1.5)
    assert names(tmp_path) == [f"{KEY.stem()}.engine", f"{KEY.stem()}.json"]
    assert re.fullmatch(r"depth\.[0-9a-f]{16}\.engine", entry.engine.name)
    found = cache.find(tmp_path, KEY)
    assert (found.engine, found.content, found.engine.read_bytes()) == (entry.engine, ENGINE, ENGINE)
    assert found.manifest == entry.manifest
    assert found.manifest["build_seconds"] == 1.5
    assert found.manifest["engine_sha256"] == hashlib.sha256(ENGINE).hexdigest()
    assert {field.name for field in fields(cache.Key)} <= found.manifest.keys()


def test_every_field_is_in_the_key(tmp_path):
    assert OTHER.keys() == {field.name for field in fields(cache.Key)}
    digests = {KEY.digest()} | {replace(KEY, **{name: value}).digest() for name, value in OTHER.items()}
    assert len(digests) == 1 + len(OTHER)
    assert replace(KEY, options=dict(reversed(KEY.options.items()))).digest() == KEY.digest(), "an order is no content"


@pytest.mark.parametrize("name", [name for name in OTHER if name != "network"])
def test_another_gpu_version_or_precision_is_refused_by_name(tmp_path, name):
    put(tmp_path)
    asked = replace(KEY, **{name: OTHER[name]})
    assert cache.find(tmp_path, asked, may_rebuild=True) is None
    with pytest.raises(BadInput, match=f"none of depth for .*has another {manifests.WORDS.get(name, name)}.*; run `python"):
        cache.find(tmp_path, asked)


def test_another_s_manifest_in_its_place_is_refused_by_name(tmp_path):
    put(tmp_path)
    wrong = replace(KEY, capability="sm89")
    put(tmp_path, wrong)
    for kind in ("json", "engine"):
        shutil.copy(tmp_path / f"{wrong.stem()}.{kind}", tmp_path / f"{KEY.stem()}.{kind}")
    with pytest.raises(BadInput, match="another engine's manifest, its capability differs from depth for sm86"):
        cache.find(tmp_path, KEY)


def test_a_network_s_name_stays_in_the_directory():
    with pytest.raises(BadInput, match="network: wanted a name"):
        replace(KEY, network="../depth")


def mutate(rng, directory):
    """One random piece of damage to KEY's files, or another key to look for; other files lie beside them."""
    engine, manifest = (directory / f"{KEY.stem()}.{kind}" for kind in ("engine", "json"))
    file = (engine, manifest)[rng.integers(2)]
    content = bytearray(file.read_bytes())
    at = int(rng.integers(len(content)))
    match rng.integers(11):
        case 0:
            content[at] ^= 1 << int(rng.integers(8))
        case 1:
            del content[at:]
        case 2:
            content[at:at] = rng.bytes(int(rng.integers(1, 9)))
        case 3:
            del content[at:at + int(rng.integers(1, 9))]
        case 4:
            content[at:at + 1] = bytes([content[at] ^ int(rng.integers(1, 256))])
        case 5:
            content = bytearray(rng.bytes(len(content)))
        case 6:  # swapped files
            name = list(OTHER)[rng.integers(len(OTHER))]
            content = bytearray((directory / f"{replace(KEY, **{name: OTHER[name]}).stem()}.{file.suffix[1:]}").read_bytes())
        case 7:  # a manifest that is edited and sealed again
            body = json.loads(manifest.read_text())
            body.pop("manifest_sha256")
            name = [*OTHER, "engine_bytes", "engine_sha256", "digest", "format"][rng.integers(len(OTHER) + 4)]
            body[name] = OTHER.get(name, [None, -1, "", len(ENGINE) + 1, "0" * 64, True][rng.integers(6)])
            file, content = manifest, bytearray(manifests.text_of(body))
        case 8:  # the same, without one of its words
            body = json.loads(manifest.read_text())
            body.pop(sorted(manifests.WANTED)[rng.integers(len(manifests.WANTED))])
            body.pop("manifest_sha256", None)
            file, content = manifest, bytearray(manifests.text_of(body))
        case 9:
            file.unlink()
            return KEY
        case 10:
            names = rng.choice(list(OTHER), size=int(rng.integers(2, len(OTHER))), replace=False)  # of one there are files
            return replace(KEY, **{str(name): OTHER[name] for name in names})
    file.write_bytes(content)
    return KEY


def test_0_of_500_fuzzed_manifests_and_engines_load(tmp_path):
    rng = np.random.default_rng(7)
    whole = tmp_path / "whole"
    put(whole, build_seconds=0.5, commit=None)
    for name, value in OTHER.items():
        put(whole, replace(KEY, **{name: value}), rng.bytes(19_000))
    loaded = 0
    for k in range(500):
        directory = shutil.copytree(whole, tmp_path / "fuzzed")
        asked = mutate(rng, directory)
        loaded += cache.find(directory, asked, may_rebuild=True) is not None
        with pytest.raises(BadInput) as refusal:
            cache.find(directory, asked)
        assert "\n" not in str(refusal.value), k
        assert cache.find(whole, KEY).content == ENGINE
        shutil.rmtree(directory)
    assert loaded == 0


@settings(deadline=None, max_examples=60)
@given(bit=st.integers(0, 8 * 1000 - 1))
def test_any_flipped_bit_of_either_file_is_seen(tmp_path_factory, bit):
    directory = tmp_path_factory.mktemp("bits")
    entry = put(directory, engine=ENGINE[:1000])
    for file in (entry.engine, entry.engine.with_suffix(".json")):
        content = bytearray(whole := file.read_bytes())
        content[bit // 8 % len(content)] ^= 1 << bit % 8
        file.write_bytes(content)
        assert cache.find(directory, KEY, may_rebuild=True) is None
        file.write_bytes(whole)
    assert cache.find(directory, KEY) is not None


def test_a_directory_that_is_read_only_full_or_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    nowhere = [Path("/proc/engines")] if Path("/proc").is_dir() else []  # not even root can write there
    for directory in (tmp_path / "file", tmp_path / "file" / "below", *nowhere):
        with pytest.raises(BadInput, match=f"engines {directory}: cannot write there: "):
            put(directory)

    def full(path, content):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(cache.model, "write_atomically", full)
    with pytest.raises(BadInput, match="cannot write there: No space left on device"):
        put(tmp_path)
    assert names(tmp_path) == ["file"]


@pytest.fixture
def nobody(tmp_path):
    """Makes tmp_path one where we may do nothing, also when root runs the tests."""
    root = os.geteuid() == 0
    tmp_path.chmod(0)
    if root:
        os.seteuid(65534)
    yield
    if root:
        os.seteuid(0)
    tmp_path.chmod(0o700)


def test_where_nothing_is_allowed(tmp_path, nobody):
    assert cache.find(tmp_path / "engines", KEY, may_rebuild=True) is None
    with pytest.raises(BadInput, match="none of depth for sm86"):
        cache.find(tmp_path / "engines", KEY)
    with pytest.raises(BadInput, match="cannot write there: Permission denied"):
        put(tmp_path / "engines")
    with pytest.raises(BadInput, match="is writable; name one with --out"):
        cache.writable([tmp_path / "engines"])


def test_places(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("")
    beside, users = cache.directories(tmp_path / "model")
    assert (beside, users) == (tmp_path / "model" / "engines", tmp_path / "cache" / "depth_perception" / "engines")
    assert cache.writable([beside, users]) == beside
    assert cache.writable([tmp_path / "file" / "engines", users]) == users
    with pytest.raises(BadInput, match=r"neither .* is writable; name one with --out"):
        cache.writable([tmp_path / "file" / "engines"])


def test_a_user_without_a_home_has_the_place_beside_the_model(tmp_path, monkeypatch):
    """As in a container that runs under a number that it does not know."""
    import pwd

    def unknown(number):
        raise KeyError(number)

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    beside, users = cache.directories(tmp_path / "model")
    assert (beside, users) == (tmp_path / "model" / "engines", Path("/.cache/depth_perception/engines"))


def test_prune_keeps_the_current_and_the_newest(tmp_path):
    keys = [replace(KEY, onnx_sha256=f"{k:02d}" * 32) for k in range(5)]
    for k, key in enumerate(keys):
        manifest = put(tmp_path, key).engine.with_suffix(".json")
        os.utime(manifest, (1000 + k, 1000 + k))
        (tmp_path / f"{key.stem()}.layers.json").write_text("{}")
    damaged = tmp_path / f"{keys[4].stem()}.engine"
    (tmp_path / f"{keys[4].stem()}.json").write_text("{}")
    (tmp_path / "notes.json").write_text("{}")
    removed = cache.prune(tmp_path, keep={keys[0].onnx_sha256}, others=1)
    assert damaged in removed and len(removed) == 9
    kept = [keys[0], keys[3]]
    files = [f"{key.stem()}.{kind}" for key in kept for kind in ("engine", "json", "layers.json")]
    assert names(tmp_path) == sorted(["notes.json", *files])
    assert all(cache.find(tmp_path, key) for key in kept)


def test_prune_leaves_what_is_being_built(tmp_path):
    put(tmp_path)
    with cache.building(tmp_path, KEY):
        assert cache.prune(tmp_path, keep=(), others=0) == []
    assert len(cache.prune(tmp_path, keep=(), others=0)) == 2
    assert names(tmp_path) == []


def test_one_holds_the_lock_at_a_time(tmp_path):
    """Threads here (flock is per descriptor); processes in test_engine_builders.py."""
    inside, most, waited = 0, 0, []
    guard = threading.Lock()

    def work():
        nonlocal inside, most
        for _ in range(50):
            with lock.held(tmp_path / "lock", waiting=lambda: waited.append(1)):
                with guard:
                    inside += 1
                    most = max(most, inside)
                with guard:
                    inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert names(tmp_path) == []


def test_leftovers_of_a_killed_builder_go(tmp_path):
    (tmp_path / f".{KEY.stem()}.engine.x1y2").write_bytes(b"half")
    (tmp_path / f"{KEY.stem()}.lock").write_bytes(b"")
    put(tmp_path)
    assert names(tmp_path) == [f"{KEY.stem()}.engine", f"{KEY.stem()}.json"]
