"""Compiled networks: which batches, how, and whose parameters."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from nslab.networks.modes import scoring, unwrap_ddp, unwrap_model
from nslab.training.compilation import CompiledForSizes, compiled


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the compiler is asked for; what it makes marks its results by adding 1,000."""
    options: list[dict[str, Any]] = []

    def compile_(network: nn.Module, **given: Any) -> Any:
        options.append(given)
        return lambda x: network(x) + 1000

    monkeypatch.setattr(torch, "compile", compile_)
    return options


def test_a_gpu_gets_graphs_of_the_batches_of_training(asked: list[dict[str, Any]]) -> None:
    """And of NS's composites; other sizes go to the network itself, whose parameters there are
    once, and whose modes a scoring pass borrows and gives back."""
    network = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5)).eval()
    net = compiled(network, torch.device("cuda"), 8, 4)
    assert asked == [{"mode": "reduce-overhead", "dynamic": False}]
    assert isinstance(net, CompiledForSizes)

    def fast(n: int) -> bool:
        out: Tensor = net(torch.zeros(n, 3))
        return bool((out > 500).all())

    assert [n for n in range(1, 20) if fast(n)] == [2, 8]
    assert unwrap_model(net) is network
    assert unwrap_ddp(net) is net
    assert sum(p.numel() for p in net.parameters()) == 8
    net.train()
    assert network[1].training
    with scoring(net):
        assert not network[1].training
    assert network[1].training


@pytest.mark.parametrize(
    ("device", "more"), [("cpu", {}), ("cuda", {"processes": 2}), ("cuda", {"accumulate": 2})]
)
def test_elsewhere_it_is_compiled_as_ever(
    asked: list[dict[str, Any]], device: str, more: dict[str, int]
) -> None:
    """On a CPU, among processes, and where gradients add up over passes."""
    net = compiled(nn.Linear(3, 2), torch.device(device), 8, **more)
    assert asked == [{}]
    assert not isinstance(net, CompiledForSizes)
