"""`train markings` on a CUDA GPU: the terms of the CPU, but for rounding and for which pixels are drawn, and few looks at them."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from depth_perception.losses.discrepancy import discrepancy
from depth_perception.losses.lovasz import lovasz_softmax
from depth_perception.networks.markings import MarkingNet, MarkingNetConfig
from depth_perception.samples.markings import MarkingBatches, Pictures, ViewConfig
from depth_perception.train.branches import Branches
from depth_perception.train.device import onto
from depth_perception.train.fit import Budget, FitConfig, fit
from depth_perception.train.marking_teacher import new_teacher
from depth_perception.train.marking_terms import terms
from depth_perception.train.markings import Config

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU on this machine")
CUDA = torch.device("cuda", 0)
CONFIG = Config(
    height=64, width=128, pixels=64, ramp=0, mmd=1.0, views=ViewConfig(height=32, width=64),
    network=MarkingNetConfig(channels=(4, 6, 8, 8), blocks=(0, 1, 1, 1), pyramid=8, low=(4, 4), decoder=(8, 8), target=8))
VARIANTS = {
    "source": replace(CONFIG, mode="source"), "siamese": CONFIG, "apart": replace(CONFIG, apart=True), "copy": replace(CONFIG, mode="copy"),
    "taught": replace(CONFIG, pseudo=1.0, sure=0.0, teacher=0.9, views=replace(CONFIG.views, target_look=0.5))}


def batches(config):
    pictures = [Pictures(), Pictures()]
    for k in range(3):
        mask = np.zeros((64, 128), np.uint8)
        mask[30:, 30 + k : 36 + k], mask[40:50, 80:86] = 1, 2
        for each, light in zip(pictures, (200, 120), strict=True):
            grain = np.random.default_rng(k).normal(0, 6, (64, 128, 1))
            each.add(np.clip(np.where(mask[..., None] > 0, light, 70) + grain, 0, 255).astype(np.uint8).repeat(3, 2), mask)
    pictures[1].masks = []
    return MarkingBatches(pictures[0], pictures[1], classes=7, config=config.views, batch=3, seed=1)


def parts(config, device):
    torch.manual_seed(0)
    network = MarkingNet(config.network)
    networks = nn.ModuleDict({"markings": network} | ({"teacher": new_teacher(network)} if config.teacher else {}))
    return networks.train().to(device), Branches(mode=config.mode, statistics=config.statistics)


@pytest.mark.parametrize("name", VARIANTS)
def test_terms_are_the_cpus(name, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    # All pixels are compared, so it does not matter that the devices draw in another order.
    config, seen = replace(VARIANTS[name], pixels=8192), []
    for device in (torch.device("cpu"), CUDA):
        networks, branches = parts(config, device)
        losses = terms(networks, onto(device, batches(config)(0)), config, step=3, branches=branches, weights=torch.ones(7))
        sum(losses.values()).backward()
        assert all(loss.device == device for loss in losses.values())
        seen.append({key: loss.item() for key, loss in losses.items()})
    assert seen[1] == pytest.approx(seen[0], rel=1e-2, abs=1e-4)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", VARIANTS)
def test_some_steps_with_a_loader_lower_the_loss(name, precision, tmp_path):
    config = VARIANTS[name]
    networks, branches = parts(config, torch.device("cpu"))
    history = fit(networks, lambda step, data: terms(networks, data, config, step=step, branches=branches, weights=torch.ones(7)),
                  batches(config), out=tmp_path, budget=Budget(steps=30),
                  config=FitConfig(device="cuda", loaders=1, precision=precision, learning_rate=0.01))
    assert history.step == 30 and not history.recoveries
    assert sum(row["cross_entropy"] for row in history.rows[-5:]) < 0.7 * sum(row["cross_entropy"] for row in history.rows[:5])


def test_losses_do_not_wait_for_the_gpu():
    torch.manual_seed(0)
    labels = torch.randint(0, 7, (2, 16, 16), device=CUDA)
    logits = torch.randn(2, 7, 16, 16, device=CUDA, requires_grad=True)
    features = torch.randn(64, 8, device=CUDA, requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            (lovasz_softmax(logits.softmax(1), labels) + discrepancy(features[:32], features[32:])).backward()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert not [str(each.message) for each in caught if "synchroniz" in str(each.message)]
