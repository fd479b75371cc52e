"""Which samples an epoch shows: shares of classes, cycling, the same for any number of ranks."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nslab.datasets import Dataset, MissingDataset
from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.loader import Loader
from nslab.datasets.samplers import SAMPLERS, shares
from nslab.rng import generator

SIZES = (200, 90, 40, 12, 3)  # samples of each class
Y = torch.repeat_interleave(torch.arange(5), torch.tensor(SIZES))[
    torch.randperm(345, generator=torch.Generator().manual_seed(0))
]
POWER = {"cbs": 0.0, "srs": 0.5}
REBALANCING = sorted(set(SAMPLERS) - {"shuffle"})


def epoch_of(key: str, y: Tensor = Y, epoch: int = 0, epochs: int = 10, seed: int = 0) -> Tensor:
    """Positions that a sampler shows, with the random stream a loader would give it."""
    return SAMPLERS[key](y, epoch, epochs, generator(seed, "order", epoch))


def close_to(counts: np.ndarray, probability: np.ndarray) -> bool:
    """Chi-square of class counts within five standard deviations of its mean."""
    mean, freedom = counts.sum() * probability, len(counts) - 1
    return ((counts - mean) ** 2 / mean).sum() < freedom + 5 * math.sqrt(2 * freedom)


def class_counts(key: str, epoch: int, epochs: int, seeds: int = 40) -> np.ndarray:
    """How often each class comes in an epoch, summed over seeds."""
    orders = [epoch_of(key, Y, epoch, epochs, seed) for seed in range(seeds)]
    return torch.bincount(Y[torch.cat(orders)], minlength=5).numpy()


# --- what every sampler must do ----------------------------------------------------------------


@pytest.mark.parametrize("key", SAMPLERS)
@given(
    labels=st.lists(st.integers(0, 6), min_size=1, max_size=60),
    epochs=st.integers(1, 5),
    data=st.data(),
)
@settings(deadline=None, max_examples=30)
def test_contract(key: str, labels: list[int], epochs: int, data: st.DataObject) -> None:
    """As many positions as samples, all of them valid, whatever classes are missing."""
    epoch = data.draw(st.integers(0, epochs - 1))
    y = torch.tensor(labels)
    before = y.clone()
    order = epoch_of(key, y, epoch, epochs)
    assert order.dtype == torch.int64
    assert order.shape == y.shape
    assert order.min() >= 0
    assert order.max() < len(y)
    assert torch.equal(y, before)


@pytest.mark.parametrize("key", SAMPLERS)
def test_random_but_the_same_again(key: str) -> None:
    """Every seed and every epoch has an order of its own, and torch's generator is not used."""
    orders = {(s, e): tuple(epoch_of(key, Y, e, 10, s).tolist()) for s in range(3) for e in (0, 1)}
    assert len(set(orders.values())) == 6
    state = torch.get_rng_state()
    for (seed, epoch), order in orders.items():
        assert tuple(epoch_of(key, Y, epoch, 10, seed).tolist()) == order
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("key", SAMPLERS)
def test_order_of_classes_is_mixed(key: str) -> None:
    """The first half of an epoch has about the same classes as the second."""
    halves = np.zeros((2, 5))
    for seed in range(30):
        order = Y[epoch_of(key, seed=seed)]
        for half, part in zip(halves, (order[:172], order[172:344]), strict=True):
            half += torch.bincount(part, minlength=5).numpy()
    total = halves.sum(0)
    assert (abs(halves[0] - total / 2) < 5 * np.sqrt(total / 4)).all()


def test_shuffle_shows_everything_once() -> None:
    """A permutation."""
    assert epoch_of("shuffle").sort().values.tolist() == list(range(345))


# --- shares of classes -------------------------------------------------------------------------


@pytest.mark.parametrize("key", POWER)
@pytest.mark.parametrize("epoch", [0, 9])
def test_shares_of_classes(key: str, epoch: int) -> None:
    """n_j^power over their sum, in every epoch."""
    weights = np.array(SIZES) ** POWER[key]
    assert close_to(class_counts(key, epoch, 10), weights / weights.sum())


def test_progressive_goes_from_samples_to_classes() -> None:
    """The first epoch as the data are, the last with equal classes, linear between."""
    start, end = np.array(SIZES) / sum(SIZES), np.full(5, 0.2)
    for epoch in (0, 3, 8, 10):
        part = epoch / 10
        assert close_to(class_counts("pbs", epoch, 11), (1 - part) * start + part * end)
    assert not close_to(class_counts("pbs", 5, 11), start)
    assert not close_to(class_counts("pbs", 5, 11), end)
    assert close_to(class_counts("pbs", 0, 1), start)


def test_shares_by_hand() -> None:
    """Classes of 9, 0, 4 and 1 samples."""
    y = torch.tensor([0] * 9 + [2] * 4 + [3])
    expected = {0.0: [1 / 3, 0, 1 / 3, 1 / 3], 0.5: [1 / 2, 0, 1 / 3, 1 / 6], 1.0: [9, 0, 4, 1]}
    for power, values in expected.items():
        wanted = torch.tensor(values, dtype=torch.float64)
        torch.testing.assert_close(shares(y, power), wanted / wanted.sum())


# --- samples of a class ------------------------------------------------------------------------


@pytest.mark.parametrize("key", REBALANCING)
def test_classes_cycle_through_their_samples(key: str) -> None:
    """No sample comes again before all others of its class have come; passes differ in order."""
    orders = set()
    for epoch in range(6):
        order = epoch_of(key, Y, epoch, 6)
        for label, size in enumerate(SIZES):
            shown = order[Y[order] == label].tolist()
            passes = [shown[i : i + size] for i in range(0, len(shown), size)]
            for turn in passes:
                assert len(set(turn)) == len(turn)
                if label == 3 and len(turn) == size:
                    orders.add(tuple(turn))
    assert len(orders) >= 5


@pytest.mark.parametrize("key", REBALANCING)
def test_samples_of_a_class_are_alike(key: str) -> None:
    """Over many epochs each is shown about equally often."""
    shown = torch.cat([epoch_of(key, Y, 2, 5, seed) for seed in range(60)])
    counts = torch.bincount(shown, minlength=345).numpy()
    for label in range(5):
        mine = counts[Y.numpy() == label]
        # Cycling makes counts more even than independent draws would.
        assert close_to(mine, np.full(len(mine), 1 / len(mine)))


# --- through a loader --------------------------------------------------------------------------


def loader(key: str, rank: int = 0, world: int = 1, seed: int = 0) -> Loader:
    """A loader of single pixels."""

    def fetch(folder: object, name: str) -> Arrays:
        raise MissingDataset(name)

    dataset = Dataset(Layout(1, 1, (1, 1, 1), 5), (0.0,), (1.0,), tuple("abcde"), fetch)
    x = (torch.arange(345) % 251).to(torch.uint8).view(345, 1, 1, 1)
    return Loader(
        x, Y, dataset, batch_size=32, rank=rank, world=world, seed=seed, sampler=key, epochs=4
    )


@pytest.mark.parametrize("key", SAMPLERS)
def test_ranks_share_the_batches_of_one_process(key: str) -> None:
    """Images and labels go with the positions; two ranks end to end are the batch of one."""
    for epoch in (0, 3):
        whole, left, right = (
            list(loader(key, rank, world).epoch(epoch)) for rank, world in ((0, 1), (0, 2), (1, 2))
        )
        assert len(whole) == len(left) == len(right) == 11
        for one, a, b in zip(whole, left, right, strict=True):
            both = torch.cat([a.index, b.index])
            assert torch.equal(both, one.index[: len(both)])
            assert len(both) >= len(one.index) - 1
            assert torch.equal(torch.cat([a.x, b.x]), one.x[: len(both)])
            assert torch.equal(one.y, Y[one.index])
            assert torch.equal((one.x.flatten() * 255).round().long(), one.index % 251)
        expected = epoch_of(key, Y, epoch, 4)
        assert torch.equal(torch.cat([b.index for b in whole]), expected)


def test_unknown_sampler() -> None:
    """The error lists those there are."""
    with pytest.raises(ValueError, match="unknown sampler 'balanced'; there are shuffle, cbs"):
        loader("balanced")
