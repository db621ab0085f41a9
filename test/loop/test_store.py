"""Whoever looks at a models directory, at any moment and after any kill, finds one whole, working model."""

import json
import os
import subprocess
import sys
import threading
from dataclasses import replace

import pytest

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.loop import Store


def candidate(tiny_model, place, name):
    """A model that says its name."""
    import shutil

    shutil.copytree(tiny_model, place / name)
    opened = model.load(place / name)
    model.save_manifest(replace(opened, lineage={"name": name}))
    return place / name


def name_of(store):
    return model.load(store.into / "current").lineage.get("name")


def history(store):
    return [(row["what"], row["from"], row["to"]) for row in json.loads((store.state / "history.json").read_text())]


def test_the_first_is_a_copy_and_stays_the_current_one(tiny_model, tmp_path):
    store = Store(tmp_path / "models")
    assert store.current is None
    first = store.begin(tiny_model)
    assert (first.name, store.current, (store.into / "current").is_symlink()) == ("0001", first, True)
    assert (first / "depth.onnx").read_bytes() == (tiny_model / "depth.onnx").read_bytes()
    assert store.begin(tmp_path / "nothing") == first
    assert os.readlink(store.into / "current") == "versions/0001", "the directory can be moved"


def test_promotion_keeps_lineage_and_rollback_goes_back(tiny_model, tmp_path):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    for name in ("a", "b"):
        store.promote(candidate(tiny_model, tmp_path, name), {"run": f"run {name}", "why": f"{name} is better"})
        assert name_of(store) == name
        assert not (tmp_path / name).exists()
    facts = json.loads((store.into / "current" / "promotion.json").read_text())
    assert (facts["version"], facts["replaces"], facts["run"], facts["why"]) == ("0003", "0002", "run b", "b is better")
    assert [path.name for path in store.rollback()] == ["0003", "0002"]
    assert name_of(store) == "a"
    store.promote(candidate(tiny_model, tmp_path, "c"), {"run": "run c"})
    assert (name_of(store), store.current.name) == ("c", "0004")
    assert json.loads((store.into / "current" / "promotion.json").read_text())["replaces"] == "0002"
    assert history(store) == [("promoted", None, "0001"), ("promoted", "0001", "0002"), ("promoted", "0002", "0003"),
                              ("rolled back", "0003", "0002"), ("promoted", "0002", "0004")]
    store.rollback()
    store.rollback()
    with pytest.raises(BadInput, match="--rollback: 0001 replaced nothing"):
        store.rollback()


def test_a_promotion_that_was_cut_off_is_finished_and_not_made_twice(tiny_model, tmp_path, monkeypatch):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    made = candidate(tiny_model, tmp_path, "a")
    with monkeypatch.context() as patched:
        def killed(self, version):
            raise KeyboardInterrupt

        patched.setattr(Store, "_point_to", killed)
        with pytest.raises(KeyboardInterrupt):
            store.promote(made, {"run": "run a"})
    assert name_of(store) is None
    store.promote(made, {"run": "run a"})
    assert (name_of(store), sorted(path.name for path in store.versions.iterdir())) == ("a", ["0001", "0002"])


def test_a_promotion_against_a_rollback(tiny_model, tmp_path):
    """Only what was scored against is replaced, and what was rolled back does not come back by itself."""
    store = Store(tmp_path / "models")
    first = store.begin(tiny_model)
    second = store.promote(candidate(tiny_model, tmp_path, "a"), {"run": "run a"}, base=first)
    assert store.gone_back_on("run a") is None
    made = candidate(tiny_model, tmp_path, "b")
    with store.alone(waiting=lambda: None), store.alone() as idle:
        assert not idle
        store.rollback()  # does not wait
    assert store.gone_back_on("run a") == "0002"
    with pytest.raises(BadInput, match="the current model changed meanwhile: it was 0002, and is 0001"):
        store.promote(made, {"run": "run b"}, base=second)
    with pytest.raises(BadInput, match="the current model changed meanwhile: 0002 was promoted, and is no longer current"):
        store.promote(made, {"run": "run a"}, base=first)
    assert (store.current, sorted(path.name for path in store.versions.iterdir())) == (first, ["0001", "0002"])


def test_rolled_back_while_the_version_was_copied(tiny_model, tmp_path, monkeypatch):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    second = store.promote(candidate(tiny_model, tmp_path, "a"), {"run": "run a"})
    check = Store._check_base

    def check_then_rollback(self, base, now):
        check(self, base, now)
        monkeypatch.undo()
        store.rollback()

    monkeypatch.setattr(Store, "_check_base", check_then_rollback)
    with pytest.raises(BadInput, match="it was 0002, and is 0001"):
        store.promote(candidate(tiny_model, tmp_path, "b"), {"run": "run b"}, base=second)
    assert (store.current.name, sorted(path.name for path in store.versions.iterdir())) == ("0001", ["0001", "0002"])


def test_failures_are_counted_until_the_bag_changes(tmp_path):
    store = Store(tmp_path / "models")
    for said, files, count in (("failed", [1], 1), ("failed", [1], 2), ("failed", [2], 1), ("not better", [2], 0)):
        store.see({"/a": files}, {"/a": said})
        assert store.seen()["/a"] == {"path": "/a", "files": files, "said": said, "failed": count}


def test_a_broken_candidate_changes_nothing(tiny_model, tmp_path):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    broken = candidate(tiny_model, tmp_path, "broken")
    (broken / "manifest.json").write_text("{")
    with pytest.raises(BadInput, match=r"manifest\.json cannot be read"):
        store.promote(broken, {"run": "run broken"})
    assert [path.name for path in store.versions.iterdir()] == ["0001"]
    assert (name_of(store), len(history(store))) == (None, 1)


def test_killed_while_promoting_again_and_again(tiny_model, tmp_path):
    """The processes promote as fast as they can and are killed; every time, what is current is whole."""
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    code = (
        "import sys, itertools, os\n"
        "from depth_perception.loop import Store\n"
        "store = Store(sys.argv[1])\n"
        "from pathlib import Path\n"
        "for i in itertools.count():\n"
        "    store.promote(Path(sys.argv[2]), {'run': f'{os.getpid()} {i}'}, move=False)\n"
        "    store.prune(3)\n"
        "    print(i, flush=True)\n"
    )
    whole = {file.name: file.read_bytes() for file in tiny_model.iterdir()}
    for wait in range(6):
        process = subprocess.Popen([sys.executable, "-c", code, str(store.into), str(tiny_model)], stdout=subprocess.PIPE, text=True,
                                   env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
        for _ in range(1 + wait):
            assert process.stdout.readline()
        process.kill()
        process.communicate()
        now = store.current
        assert {name: (now / name).read_bytes() for name in whole} == whole
        assert model.load(now).height == 32
    assert len([path for path in store.versions.iterdir() if path.name.isdigit()]) <= 5


def test_pruning_spares_what_drives_and_what_one_may_go_back_to(tiny_model, tmp_path):
    store = Store(tmp_path / "models")
    store.begin(tiny_model)
    for name in "abcde":
        store.promote(candidate(tiny_model, tmp_path, name), {"run": name})
    store.rollback()
    store.rollback()
    assert store.current.name == "0004"
    assert store.prune(1) == ["0001", "0002", "0005"]
    assert sorted(path.name for path in store.versions.iterdir()) == ["0003", "0004", "0006"]


def test_one_works_and_the_other_waits(tmp_path):
    store, events, inside = Store(tmp_path / "models"), [], threading.Event()

    def second():
        with Store(tmp_path / "models").alone(waiting=lambda: (events.append("waits"), inside.set())):
            events.append("second")

    with store.alone(waiting=lambda: events.append("never")):
        thread = threading.Thread(target=second)
        thread.start()
        assert inside.wait(60)
        events.append("first")
    thread.join(60)
    assert events == ["waits", "first", "second"]


def test_doors(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=r"--into .*file: models cannot be kept there"):
        Store(tmp_path / "file")
    store = Store(tmp_path / "models")
    with pytest.raises(BadInput, match="has no current model"):
        store.rollback()
    (store.state / "seen.json").write_text("{")
    with pytest.raises(BadInput, match=r"seen.json: cannot be read .*remove it to begin anew"):
        store.seen()
    (store.state / "seen.json").write_text("[]")
    with pytest.raises(BadInput, match=r"seen.json: cannot be read \(it holds no dict\)"):
        store.seen()
    (store.into / "current").symlink_to("versions/0009")
    store.say("idle")  # best effort
    with pytest.raises(BadInput, match=r"current: wanted a symbolic link to a version, it links to versions/0009, where no directory is"):
        store.begin(tmp_path)
    (store.into / "current").unlink()
    (store.into / "current").mkdir()
    with pytest.raises(BadInput, match=r"current: wanted a symbolic link to a version, but something else is there"):
        store.rollback()
