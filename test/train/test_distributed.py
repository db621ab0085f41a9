"""Several processes take the very step of one process on the joint batch, and end together. All of them on loopback.

Run as a script, this file is one of the processes: `python test_distributed.py WORK BAG OUT [OPTION]`, under torchrun's variables.
"""

import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from depth_perception import model
from depth_perception.frame import BadInput
from depth_perception.networks.pose import PoseNetConfig
from depth_perception.networks.student import StudentConfig
from depth_perception.samples import Batches, SampleConfig
from depth_perception.train import depth
from depth_perception.train.distributed import World, joined
from depth_perception.train.fit import FitConfig

STEPS, BATCH = 12, 3  # places 0 | 1, 2: the processes' shares differ in size too
TINY = depth.Config(height=32, width=64, student=StudentConfig(channels=(4,) * 5), pose=PoseNetConfig(channels=(4,) * 5), validate=0.2,
                    fit=FitConfig(threads=2, checkpoint_s=0, snapshot_every=2, validate_every=5, learning_rate=1e-3, timeout_s=300))


# Every term of S1 and S2 at once, and the second pass through a batch norm that teaches nothing.
ALL = replace(TINY, reconstruction="residual", smooth=1.0, style=1.0, alignment=1.0, density=1.0, mask="voted+weighted", both_learn=False)


def step_of(world, bag, *, naive=False):
    """{name: gradient}, {name: running statistic} after one step's backward, and the sum of the terms.

    In float64: a batch norm over as few values as here makes 1e-4 of float32's rounding, as does another order of one and the same batch.
    """
    torch.manual_seed(0)
    networks = depth.new_networks(ALL).train().double()
    world.join(networks)
    drives, _ = depth.read([bag], TINY, aloud=world.first)
    data = Batches(drives, height=32, width=64, batch=BATCH, seed=0, places=world.share(BATCH))(0, pairs=True)
    data = {name: values.double() for name, values in data.items()}
    for row, place in enumerate(world.share(BATCH)):
        data["depth"][row, :, :, [3, 40, 64][place] :] = float("nan")  # very different numbers of measured pixels
        data["motions"][row, place % 2] = float("nan")
    if naive:
        losses = depth.terms(networks, data, ALL)
    else:
        with world.joint():
            losses = depth.terms(networks, data, ALL)
    total = torch.stack(list(losses.values())).sum()
    total.backward()
    world.add_gradients(networks)
    share = world.size if naive else 1
    seen = {name: parameter.grad / share for name, parameter in networks.named_parameters() if parameter.grad is not None}
    statistics = {name: value for name, value in networks.named_buffers() if "running" in name}
    return seen, statistics, world.add(total.detach()) / share


def train(world, bag, out, option=""):
    """The recipe; option: "resume", or "EVENT STEP RANK" with the event kill, nan or bad for processes whose rank is in RANK."""
    event, at, ranks = option.split() if " " in option else ("", "-1", "")
    steps, honest = [], depth.terms

    def terms(networks, data, config):
        out = honest(networks, data, config)
        if torch.is_grad_enabled():
            steps.append(None)
        if str(world.rank) in ranks and len(steps) - 1 == int(at):
            if event == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if event == "bad":
                raise BadInput("the disk burns")
            out["distance"] = out["distance"] * float("nan")
        return out

    depth.terms = terms
    try:
        history = depth.train([bag], out, config=TINY, budget=depth.Budget(steps=STEPS), batch=BATCH, seed=5, resume=option == "resume",
                              world=world)
    finally:
        depth.terms = honest
    return history, steps


def work(job, bag, out, option=""):
    try:
        with joined(timeout_s=300) as world:
            if job == "step":
                torch.save([step_of(world, bag), step_of(world, bag, naive=True)], f"{out}.{world.rank}")
            else:
                history, _ = train(world, bag, out, option)
                torch.save((history.rows, history.scores, history.recoveries, history.best), f"{out}.{world.rank}")
    except BadInput as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None


def start(*words, size=2):
    """The processes of one job, on a free port of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port),
            "GLOO_SOCKET_IFNAME": "lo", "WORLD_SIZE": str(size), "LOCAL_WORLD_SIZE": str(size)}
    return [subprocess.Popen([sys.executable, __file__, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                             env={**here, "RANK": str(rank)}) for rank in range(size)]


def end(processes):
    """[(exit code, what it said)]; none outlives this."""
    try:
        said = [process.communicate(timeout=900) for process in processes]
        return [(process.returncode, out + error) for process, (out, error) in zip(processes, said, strict=True)]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    write_bag = runpy.run_path(str(Path(__file__).with_name("test_killed_training.py")))["write_bag"]
    return write_bag(tmp_path_factory.mktemp("bags") / "bag")


@pytest.fixture(scope="module")
def whole(bag, tmp_path_factory):
    """A training by two processes that nobody disturbs."""
    out = tmp_path_factory.mktemp("whole") / "model"
    for code, said in end(start("train", bag, out)):
        assert code == 0, said
    return out


def apart(a, b):
    """The norm of the difference of two dicts of tensors, relative."""
    names = [name for name in a if a[name] is not None]
    x, y = (torch.cat([each[name].flatten().double() for name in names]) for each in (a, b))
    return float((x - y).norm() / y.norm())


def test_two_processes_give_the_gradient_of_the_joint_batch(bag, tmp_path):
    for code, said in end(start("step", bag, tmp_path / "seen")):
        assert code == 0, said
    gradients, statistics, total = step_of(World(), bag)
    ranks = [torch.load(f"{tmp_path}/seen.{rank}") for rank in range(2)]
    assert all(torch.equal(ranks[0][0][0][name], ranks[1][0][0][name]) for name in gradients)  # the same bits everywhere
    (theirs, running, sum_of_terms), (naive, _, _) = ranks[0]
    assert apart(theirs, gradients) < 1e-9
    for network in ("depth", "pose", "residual", "offset"):
        assert apart({name: theirs[name] for name in theirs if name.startswith(network)}, gradients) < 1e-9, network
    assert apart(running, statistics) < 1e-9 and sum_of_terms.item() == pytest.approx(total.item(), rel=1e-9)
    assert apart(naive, gradients) > 0.1  # a mean of the processes' means is another gradient


def test_every_mean_over_a_batch_is_a_joint_one():
    package = Path(depth.__file__).parent.parent
    in_one_process = {"contrast.py", "depth_distribution.py", "centres.py", "occupancy.py", "discrepancy.py", "lovasz.py",
                      "marking_terms.py"}
    files = {file.name: file for file in (*package.glob("losses/*.py"), *package.glob("train/*_terms.py"))}
    assert in_one_process < files.keys()
    for file in (file for name, file in files.items() if name not in in_one_process):
        plain = [line for line in file.read_text().splitlines() if ".mean()" in line and "torch.stack(" not in line]  # of terms' scalars
        assert file.name == "reduce.py" or not plain, f"{file.name}: wanted losses.reduce.mean, got {plain}"


def test_training_by_two_is_the_training_by_one(bag, whole, tmp_path):
    history, _ = train(World(), bag, tmp_path / "one")
    seen = [torch.load(f"{whole}.{rank}") for rank in range(2)]
    assert seen[0] == seen[1]
    (rows, scores, recoveries, _) = seen[0]
    for ours, theirs in zip(rows, history.rows, strict=True):
        assert ours == pytest.approx(theirs, rel=0.02), "float32's rounding, enlarged by Adam's first steps, and no more"
    assert [row["step"] for row in scores] == [0, 5, 10, 12] and scores[0] == pytest.approx(history.scores[0], rel=1e-4)
    assert not recoveries and model.load(whole).lineage["processes"] == 2


def test_all_killed_and_resumed_equals_uninterrupted(bag, whole, tmp_path):
    out, alone = tmp_path / "cut", tmp_path / "alone"
    assert [code for code, _ in end(start("train", bag, out, "kill 7 01"))] == [-signal.SIGKILL] * 2
    shutil.copytree(out, alone)
    for code, said in end(start("train", bag, out, "resume")):
        assert code == 0, said
    for name in ("depth.safetensors", "pose.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    history, steps = train(World(), bag, alone, "resume")  # another number of processes goes on as well
    assert len(steps) == STEPS - 6
    for ours, theirs in zip(history.rows, torch.load(f"{whole}.0")[0], strict=True):
        assert ours == pytest.approx(theirs, rel=0.02)


FAILURES = [("kill 4 1", -signal.SIGKILL, "process 0 of 2 lost another one"), ("bad 4 1", 2, "the disk burns")]


@pytest.mark.parametrize(("event", "code", "said"), FAILURES)
def test_one_that_fails_ends_all_with_one_sentence(bag, tmp_path, event, code, said):
    out = tmp_path / "model"
    (first, told), (second, told_by_second) = end(start("train", bag, out, event))
    assert (first, second) == (2, code)
    sentences = re.findall(r"^.*(?:lost another|disk burns).*$", told + told_by_second, re.MULTILINE)
    assert len(sentences) == 1 and said in sentences[0]
    assert (out / "checkpoint.safetensors").is_file() and not (out / "manifest.json").exists()


def test_a_term_that_is_no_number_is_met_by_all_alike(bag, tmp_path):
    out = tmp_path / "model"
    results = end(start("train", bag, out, "nan 4 1"))
    assert [code for code, _ in results] == [0, 0], results
    seen = [torch.load(f"{out}.{rank}") for rank in range(2)]
    assert seen[0] == seen[1]
    (recovery,) = seen[0][2]
    drives, _ = depth.read([bag], TINY)
    guilty = Batches(drives, height=32, width=64, batch=BATCH, seed=5).describe(4, [1, 2])  # the second process's places
    assert recovery["step"] == 4 and f"the term 'distance' became nan at step 4, on {guilty}" in recovery["sentence"]
    assert sum(said.count("became nan") for _, said in results) == 1 and seen[0][0][4] == {"step": 5}


def test_the_command_under_torchrun(bag, tmp_path):
    sizes = {"channels": [4, 4, 4, 4, 4]}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({"height": 32, "width": 64, "student": sizes, "pose": sizes,
                                                        "samples": {"by_stretch": True}, "fit": {"threads": 2, "precision": "bfloat16"}}))
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=2", "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0",
              "--local-addr=127.0.0.1", "-m", "depth_perception", "train", "depth", "--steps", "2", "--batch", "4",
              "--config", tmp_path / "tiny.yaml", "--out", tmp_path / "model", "--bag"]
    here = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [subprocess.Popen([*map(str, launch), str(each)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=here)
                 for each in (bag, tmp_path / "nothing")]
    (good, said), (bad, complaint) = end(processes)
    assert good == 0 and said.count("2 steps in") == 1, said
    lineage = model.load(tmp_path / "model").lineage
    assert lineage["processes"] == 2 and lineage["batch"] == 4 and lineage["export"]
    assert bad != 0 and len(re.findall("^train: .*nothing.*$", complaint, re.MULTILINE)) == 1, complaint


def test_stretches_share_the_windows_and_the_memory(bag):
    config = replace(TINY, samples=SampleConfig(by_stretch=True))
    whole, _ = depth.read([bag, bag], config)
    everything = Batches(whole, height=32, width=64, batch=BATCH, seed=0)
    drawn = sorted(window for step in range(100) for window in everything.windows_of(step))
    assert set(drawn) == set(whole.windows)
    stretches = whole.stretches(BATCH)
    assert sorted(index for stretch in stretches for index in stretch) == list(range(len(whole.windows)))
    assert max(map(len, stretches)) - min(map(len, stretches)) <= 2
    for world in (World(rank, 2) for rank in range(2)):
        places = world.share(BATCH)
        drives, _ = depth.read([bag, bag], config, batch=BATCH, places=places, aloud=False)
        assert drives.windows == whole.windows and len(drives.at_hand) < 0.8 * len(whole.at_hand)
        share = Batches(drives, height=32, width=64, batch=BATCH, seed=0, places=places)
        for step in range(6):
            ours, joint = share(step, pairs=True), everything(step, pairs=True)
            assert all(torch.equal(ours[name].nan_to_num(), joint[name][places.start : places.stop].nan_to_num()) for name in joint)


def test_every_process_needs_a_window(bag, tmp_path):
    with pytest.raises(BadInput, match="--batch: wanted at least one window for each of 4 processes, got 3"):
        depth.train([bag], tmp_path / "model", config=TINY, budget=depth.Budget(steps=1), batch=3, world=World(0, 4))
    with pytest.raises(BadInput, match="by_stretch: wanted at least one window for each of 50 places"):
        drives, _ = depth.read([bag], replace(TINY, samples=SampleConfig(by_stretch=True)))
        Batches(drives, height=32, width=64, batch=50, seed=0)


if __name__ == "__main__":
    work(*sys.argv[1:])
