"""Batches by number, and an evolution of real networks on them."""

import pytest
import torch

from nslab.analysis.run_tables import batches_of
from nslab.configs import TrainConfig
from nslab.configs.initial_populations import last_epochs
from nslab.datasets import load
from nslab.datasets.loader import Loader
from nslab.evolve import EVOLVERS
from nslab.networks import build_network
from nslab.neuroevolution import EvolveOptions, evolve
from nslab.runs.store import weights_of


def loader(augment: str = "crop") -> Loader:
    """Digits in batches of 500: two whole ones and a shorter one an epoch."""
    data = load("digits")
    x, y = torch.tensor(data.arrays.train_x), torch.tensor(data.arrays.train_y)
    return Loader(x, y, data.dataset, batch_size=500, seed=3, augment=augment)


def test_nth_batch_is_that_of_its_epoch() -> None:
    """In order and out of order; epochs differ."""
    expected = [b for e in range(3) for b in loader().epoch(e)]
    assert len(expected) == 9
    made = loader()
    for k in (0, 1, 2, 3, 4, 8, 0, 5, 6, 6, 2):
        batch = made.nth(k)
        assert torch.equal(batch.x, expected[k].x), k
        assert torch.equal(batch.index, expected[k].index), k
        assert batch.epoch == expected[k].epoch


def test_asked_in_order_nothing_is_made_twice() -> None:
    """An epoch is begun once for all its batches."""
    made, begun = loader(), []
    epoch = made.epoch
    made.epoch = lambda e, start=0: begun.append(e) or epoch(e, start)  # type: ignore[method-assign]
    for k in range(6):
        made.nth(k)
    assert begun == [0, 1]


def test_what_comes_before_is_not_made() -> None:
    """An epoch that begins in its middle crops no earlier image."""
    made, cropped = loader(), []
    crop = made._crop
    made._crop = lambda index, *at: cropped.append(len(index)) or crop(index, *at)  # type: ignore[method-assign]
    assert len(list(made.epoch(0, 1))) == 2
    assert cropped == [500, 294]


@pytest.mark.slow
def test_digits_networks_evolve() -> None:
    """The last epochs of one run evolve on augmented batches: the loss there falls."""
    config = TrainConfig(network="lenet5", epochs=7, lr=0.02, batch_size=64, augment="crop")
    parents = weights_of(last_epochs(config, 6), show=False)
    model = build_network("lenet5", (1, 32, 32), 10, 0)
    batches = loader()
    evolved = evolve(
        model,
        parents,
        batches.nth,
        EVOLVERS["sa-shade-tri-ensin"],
        EvolveOptions(batches=2, generations=5),
        show=False,
    )
    for k in range(2):
        best = [row["best"] for row in evolved.history if row["batch"] == k]
        assert best == sorted(best, reverse=True)
    assert sum(row["wins"] for row in evolved.history) > 3
    batch = next(batches_of(load("digits"), 503, 0).epoch(0))
    with torch.no_grad():
        right = (evolved.network()(batch.x).argmax(1) == batch.y).float().mean()
    assert right > 0.8
