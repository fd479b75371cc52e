"""Fast scores: where they are taken, and that they are the plain ones up to rounding."""

import dataclasses

import pytest
import torch

from nslab.experiments import experiment
from nslab.experiments.ns.presets import WHOLE_CIFAR
from nslab.networks import NETWORKS, build_network
from nslab.objectives import NS, CrossEntropy
from nslab.objectives.fast_scores import (
    FASTER_NETWORKS,
    agreement,
    exactly_scored,
    fast,
    fast_scored,
)


@pytest.mark.parametrize("network", ["resnet8", "resnet8b", "resnet20"])
def test_fast_scores_agree_on_trained_networks(network: str) -> None:
    """After some steps on images that can be told apart; `benchmarks/fast_scores.py` has all."""
    gen = torch.Generator().manual_seed(0)
    y = torch.arange(64) % 10
    x = 0.5 * torch.randn(64, 3, 16, 16, generator=gen)
    x[torch.arange(64), :, y] += 1.0  # a bright line, at a height that tells the class
    net = build_network(network, (3, 16, 16), 10, 0)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
    for _ in range(5):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net.train()(x), y).backward()
        optimizer.step()
    found = agreement(net, x, y)
    assert found.correlation > 0.99
    assert found.winners >= 0.9
    assert found.difference < 0.2
    assert found != agreement(net, x[:60], y[:60]), "of other samples other numbers"


def test_samples_that_fill_no_group() -> None:
    """They are left out; a batch of nothing else is refused."""
    net = build_network("resnet8", (3, 16, 16), 10, 0)
    x, y = torch.randn(11, 3, 16, 16), torch.arange(11) % 10
    shuffled = NS(grouping="shuffled")  # samples of a group must be neighbours here
    assert agreement(net, x, y, shuffled) == agreement(net, x[:8], y[:8])
    with pytest.raises(ValueError, match="3 samples are less than one group of 4"):
        agreement(net, x[:3], y[:3])


def test_what_stays_plain() -> None:
    """Other networks, other objectives, settings of one's own, and weights without scores."""
    own = NS(score_dtype="float16")
    for objective, network in (
        (NS(), "lenet5"),
        (NS(), "vit_b_16"),
        (CrossEntropy(), "resnet20"),
        (NS(rho=0.0), "resnet20"),
        (NS(mode="train"), "resnet20"),
        (NS(compose="tiled"), "resnet20"),
        (own, "resnet20"),
    ):
        assert fast_scored(objective, network) is objective
    assert exactly_scored(own) is own
    assert fast_scored(NS(), "resnet20") == fast(NS()) != NS()
    assert set(NETWORKS) >= FASTER_NETWORKS


def test_plans_take_them_where_proven() -> None:
    """By a parameter of every plan; without it a plan is what it was."""
    plain = experiment("ns/table5").plan("paper", seeds=(2024,))
    quick = experiment("ns/table5").plan("paper", seeds=(2024,), scores="fast")
    assert plain == experiment("ns/table5").plan("paper", seeds=(2024,), scores="exact")
    for a, b in zip(plain, quick, strict=True):
        assert b == dataclasses.replace(a, objective=fast_scored(a.objective, a.network))
    assert sum(a != b for a, b in zip(plain, quick, strict=True)) == 8  # ns_lf, 2 sets x 4 factors
    assert WHOLE_CIFAR["paper"].network in FASTER_NETWORKS
    with pytest.raises(ValueError, match="scores"):
        experiment("ns/table5").plan("paper", scores="quick")
