"""A network borrowed for scoring is left as it was found."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from network_helpers import equal, images, state, train
from torch import Tensor, nn

from nslab.networks import build_network
from nslab.networks.modes import scoring, unwrap_ddp, unwrap_model


def frozen_in_part() -> nn.Module:
    """A network in training mode but for one BatchNorm, with dropout, some steps trained."""
    body = build_network("resnet8", (3, 16, 16), 7, 0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = train(nn.Sequential(body, nn.Dropout(0.5)), images(14, 3, 16, 16))
    body.bn1.eval()
    return model


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("raises", [False, True])
def test_scoring_leaves_no_trace(mode: Any, raises: bool) -> None:
    """Modes module by module and buffers are as before, also when the body fails."""
    model, x = frozen_in_part(), images(4, 3, 16, 16)
    modes = {name: module.training for name, module in model.named_modules()}
    buffers = dict(model.named_buffers())
    before = state(model)
    assert set(modes.values()) == {True, False}

    def score() -> None:
        with scoring(model, mode) as net:
            assert net is model
            assert all(module.training == (mode == "train") for module in net.modules())
            net(x)
            changed = not equal(state(net), before)
            assert changed == (mode == "train"), "in training mode BatchNorm learns, for a while"
            if raises:
                raise KeyError("stop")

    if raises:
        with pytest.raises(KeyError, match="stop"):
            score()
    else:
        score()
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert equal(state(model), before)
    assert all(buffer is buffers[name] for name, buffer in model.named_buffers())


def test_scoring_is_evaluation() -> None:
    """Inside, the network gives what ``eval()`` gives; in training mode, what ``train()`` gives."""
    x = images(4, 3, 16, 16)
    expected = {}
    for mode in ("eval", "train"):
        model = frozen_in_part()
        torch.manual_seed(5)
        expected[mode] = model.train(mode == "train")(x)
    model = frozen_in_part()
    with scoring(model) as net:
        assert torch.equal(net(x), expected["eval"])
    with scoring(model, "train") as net:
        torch.manual_seed(5)
        assert torch.equal(net(x), expected["train"])
    assert not torch.equal(expected["eval"], expected["train"])


def test_scoring_between_forward_and_backward() -> None:
    """A pass in between, in either mode, does not disturb the gradients of the batch."""
    gradients = []
    for mode in (None, "eval", "train"):
        model, x = build_network("resnet8", (3, 16, 16), 7, 0), images(4, 3, 16, 16)
        loss = F.cross_entropy(model(x), torch.arange(4))
        if mode is not None:
            with scoring(model, mode) as net, torch.no_grad():
                net(images(8, 3, 16, 16, seed=1))
        loss.backward()
        gradients.append([p.grad for p in model.parameters()])
    for other in gradients[1:]:
        assert all(torch.equal(a, b) for a, b in zip(gradients[0], other, strict=True))


def test_scoring_restores_buffers_that_were_replaced() -> None:
    """A module that assigns a new tensor to its buffer gets the old one back."""

    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("seen", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.seen = self.seen + len(x)
            return x

    model = Counter()
    with scoring(model, "train") as net:
        net(images(4))
        assert model.seen == 4
    assert model.seen == 0


def test_autocast_keeps_nothing_of_a_borrowed_pass() -> None:
    """A weight cast to 16 bits without gradient must not serve the training pass that follows:
    nothing is cached meanwhile, and afterwards as before."""
    model, x = build_network("resnet8", (3, 16, 16), 7, 0), images(4, 3, 16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with scoring(model) as net, torch.no_grad():
            assert not torch.is_autocast_cache_enabled()
            net(x)
        assert torch.is_autocast_cache_enabled()
        loss = F.cross_entropy(model(x), torch.arange(4))
    loss.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_unwrapping(tmp_path: Path) -> None:
    """The network inside the wrappers of compilation and of several processes."""
    model = build_network("mlp", (1, 4, 4), 3, 0)
    assert unwrap_ddp(model) is unwrap_model(model) is model
    compiled = torch.compile(model)
    assert unwrap_ddp(compiled) is compiled
    assert unwrap_model(compiled) is model
    parallel = nn.DataParallel(model)
    assert unwrap_ddp(parallel) is parallel
    assert unwrap_model(parallel) is unwrap_model(nn.DataParallel(compiled)) is model
    assert unwrap_model(torch.compile(parallel)) is model
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1
    )
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert unwrap_ddp(wrapped) is unwrap_model(wrapped) is model
        assert unwrap_ddp(torch.compile(wrapped)) is unwrap_model(torch.compile(wrapped)) is model
        around = nn.parallel.DistributedDataParallel(compiled)
        assert unwrap_ddp(around) is compiled
        assert unwrap_model(around) is model
    finally:
        torch.distributed.destroy_process_group()
