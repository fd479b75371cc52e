"""Held-out samples: kept from training, and what they choose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nslab.configs import TrainConfig
from nslab.configs.initial_populations import last_epochs
from nslab.datasets import load
from nslab.runs import store
from nslab.runs.store import weights_of
from nslab.training.loop import chosen, ended, evaluate, fit, training_set
from nslab.training.setup import make_accelerator, make_loaders

TINY = TrainConfig(
    network="mlp", epochs=6, lr=0.3, batch_size=64, hold_out=150, patience=2, keep_last=2
)


def test_split_is_a_split() -> None:
    """Held-out and kept samples are the training set, in every run the same parts; the long tail
    is made of what is left."""
    whole, part = load("digits"), training_set(TINY)
    again = training_set(TINY.with_seed(7))
    assert part.held is not None
    assert again.held is not None
    assert len(part.held[1]) == 150
    assert np.array_equal(part.held[0], again.held[0])
    both = np.concatenate([part.arrays.train_x, part.held[0]])
    key = [np.lexsort(x.reshape(len(x), -1).T) for x in (both, whole.arrays.train_x)]
    assert np.array_equal(both[key[0]], whole.arrays.train_x[key[1]])
    assert np.array_equal(part.arrays.test_x, whole.arrays.test_x)
    tailed = training_set(replace(TINY, imbalance=10.0))
    assert tailed.held is not None
    assert np.array_equal(tailed.held[0], part.held[0])
    assert len(tailed.arrays.train_y) < 0.6 * len(part.arrays.train_y)
    few = training_set(replace(TINY, train_size=300))
    assert len(few.arrays.train_y) == 300
    assert few.held is not None
    assert np.array_equal(few.held[0], part.held[0])
    with pytest.raises(ValueError, match="cannot be held out"):
        training_set(replace(TINY, hold_out=1294))


def row(accuracy: float, loss: float = 1.0) -> dict[str, float]:
    """What choosing looks at."""
    return {"held_out_accuracy": accuracy, "held_out_loss": loss}


def test_chosen_and_ended() -> None:
    """By accuracy, of equals by loss, of equals the first; over when patience is lost, yet not
    before there are enough epochs to keep."""
    assert chosen([row(50), row(60), row(55)]) == 1
    assert chosen([row(60, 2.0), row(60, 1.0), row(60, 1.0)]) == 1
    assert chosen([{"test_loss": 1.0}, {"test_loss": 2.0}]) == 1
    two = [row(60), row(50), row(50)]
    assert not ended(two[:2], TINY)
    assert ended(two, TINY)
    assert not ended(two, replace(TINY, keep_last=4))
    assert not ended(two, replace(TINY, patience=0))
    assert ended(two * 2, TINY)


def test_final_network_is_the_chosen_one(tmp_path: Path) -> None:
    """Weights and numbers are those of the best held-out epoch, not of the last."""
    trained = fit(TINY, tmp_path, show=False)
    best = chosen(trained.history)
    assert len(trained.history) == min(6, best + 3)
    assert best < len(trained.history) - 1, "the case is of use only if the last is not the best"
    assert trained.metrics["chosen_epoch"] == best
    assert trained.metrics["test_accuracy"] == trained.history[best]["test_accuracy"]
    objective = TINY.objective.build(load("digits").info)
    loaders = make_loaders(TINY, training_set(TINY), objective, make_accelerator(TINY))
    assert loaders[2] is not None
    tally = evaluate(trained.model, loaders[2], 10)
    assert tally.accuracy == pytest.approx(trained.history[best]["held_out_accuracy"])
    kept = sorted(f.name for f in tmp_path.glob("epoch-*"))
    n = len(trained.history)
    assert kept == [f"epoch-{n - 1}.safetensors", f"epoch-{n}.safetensors"]


def test_interrupted_after_the_best_epoch(tmp_path: Path) -> None:
    """The network chosen before the interruption is still the result."""

    class Stop(Exception):
        pass

    whole = fit(TINY, show=False)

    def stop(row: dict) -> None:
        if row["epoch"] == chosen(whole.history) + 1:
            raise Stop

    with pytest.raises(Stop):
        fit(TINY, tmp_path, show=False, on_epoch=stop)
    again = fit(TINY, tmp_path, show=False)
    strip = [{k: v for k, v in r.items() if k != "seconds"} for r in again.history]
    assert strip == [{k: v for k, v in r.items() if k != "seconds"} for r in whole.history]
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_last_epochs_of_a_training_that_ended_early() -> None:
    """They count from the end it had."""
    parents = last_epochs(TINY, 2)
    states = weights_of(parents, show=False)
    result = store.run(parents[0].config, show=False)
    assert result.metrics["epochs"] < TINY.epochs
    assert result.folder is not None
    from safetensors.torch import load_file

    last = load_file(result.folder / f"epoch-{result.metrics['epochs']}.safetensors")
    assert all(torch.equal(states[1][k], v) for k, v in last.items())
    with pytest.raises(FileNotFoundError, match="kept its last 2"):
        weights_of([replace(parents[0], epoch=1)], show=False)


def test_an_ancestor_is_computed_first() -> None:
    """A run that starts from another asks for it by its config."""
    ancestor = TrainConfig(network="mlp", epochs=1, lr=0.05, batch_size=64)
    later = replace(ancestor, ancestor=ancestor, lr=1e-6)
    result = store.run(later, show=False)
    first = store.find(ancestor, weights=True)
    assert first is not None
    assert result.metrics["test_accuracy"] == pytest.approx(first.metrics["test_accuracy"], abs=0.5)
    assert later.id != replace(later, ancestor=ancestor.with_seed(1)).id
    with pytest.raises(TypeError, match="or neither"):
        replace(later, start="public")


@pytest.mark.parametrize("wrong", [{"hold_out": -1}, {"train_size": -1}, {"patience": 2}])
def test_impossible_wishes(wrong: dict[str, int]) -> None:
    """Patience needs something to look at."""
    with pytest.raises(ValueError, match=r"hold_out|train_size must be at least 0"):
        TrainConfig(**wrong)  # type: ignore[arg-type]
