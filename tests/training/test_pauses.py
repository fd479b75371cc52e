"""Long epochs go on where they were; partial epochs, batches in parts, frozen parts, own rates."""

import dataclasses
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from nslab.configs.schedules import Cosine
from nslab.configs.train import TrainConfig
from nslab.networks import NETWORKS
from nslab.objectives import NS, OGC
from nslab.rng import generator
from nslab.training import pauses
from nslab.training.checkpoint import read_checkpoint
from nslab.training.epoch import split_batch
from nslab.training.loop import fit
from nslab.types import Batch

CPU = torch.device("cpu")


def dropping(shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A network with BatchNorm that draws random numbers while it trains."""
    return nn.Sequential(
        nn.Conv2d(shape[0], 4, 3, stride=4),
        nn.BatchNorm2d(4),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(256, num_classes),
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> TrainConfig:
    """A short training of that network on image files."""
    monkeypatch.setitem(NETWORKS, "dropping", dropping)
    return TrainConfig(
        "digits_folder", "dropping", epochs=2, batch_size=64, train_size=400, lr=0.01
    )


class Killed(Exception):
    """Stands for a signal."""


def kill_after(monkeypatch: pytest.MonkeyPatch, keeps: int) -> None:
    """Have the next training die right after so many checkpoints inside epochs."""
    real, left = pauses.Pauses.keep, iter(range(keeps))

    def keep(self: pauses.Pauses, step: int, sums: Any) -> None:
        real(self, step, sums)
        if next(left, None) is None:
            raise Killed

    monkeypatch.setattr(pauses.Pauses, "keep", keep)


def states_equal(a: nn.Module, b: nn.Module) -> bool:
    """Whether two networks agree to the bit."""
    mine, theirs = a.state_dict(), b.state_dict()
    return all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("changes", [
    {"augment": "crop_flip", "objective": NS((1, 2), 2.5, -1.0)},
    {
            "dataset": "digits",
            "image_size": 0,
            "augment": "crop",
            "objective": NS((1, 2), base=OGC(queue=128, every=2)),
        },
    {"epoch_parts": 2, "augment": "crop", "schedule": Cosine(), "accumulate": 2},
    {
            "dataset": "docstrings",
            "image_size": 0,
            "network": "textcnn_64",
            "vocabulary": 500,
            "text_length": 12,
            "objective": NS((1, 2), 2.5, -1.0, compose="literal"),
        },
])  # fmt: skip
def test_a_training_killed_inside_an_epoch_ends_the_same(
    small: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    """To the bit: weights, statistics, rows; with dropout, a loss that remembers, image files."""
    config = replace(small, **changes)
    whole = fit(config, show=False)
    monkeypatch.setenv(pauses.MINUTES, "0")
    for keeps in (0, 0, 1):
        with monkeypatch.context() as patch:
            kill_after(patch, keeps)
            with pytest.raises(Killed):
                fit(config, tmp_path, show=False)
    kept = read_checkpoint(tmp_path, config.id, CPU)
    assert kept is not None
    assert kept.partial["step"] > 0
    resumed = fit(config, tmp_path, show=False)
    assert states_equal(whole.model, resumed.model)
    rows = [[r | {"seconds": 0} for r in t.history] for t in (whole, resumed)]
    assert rows[0] == rows[1]


def test_an_epoch_taken_up_by_other_numbers_of_processes_keeps_its_sums() -> None:
    """The first process takes the sums of all."""

    class Two:
        num_processes, process_index, device = 1, 0, CPU

    ranks = [
        {"sums": torch.full((2, 6), float(k)), "stream": torch.get_rng_state()} for k in (1, 2)
    ]
    with torch.random.fork_rng(devices=[]):
        step, sums = pauses.resume_partial({"epoch": 0, "step": 7, "ranks": ranks}, 0, Two())  # type: ignore[arg-type]
    assert step == 7
    assert sums is not None
    assert torch.equal(sums, torch.full((2, 6), 3.0))


@pytest.mark.parametrize("given", ["-1", "soon", "nan"])
def test_minutes_that_are_none_are_told(monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """The variable and what it may be are named."""
    monkeypatch.setenv(pauses.MINUTES, given)
    with pytest.raises(ValueError, match=pauses.MINUTES):
        pauses.minutes()


def test_parts_of_a_batch_add_up_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without BatchNorm and dropout, gradients of parts are those of the whole, by a method that
    groups within parts too, whatever rest there is."""
    monkeypatch.setitem(NETWORKS, "plain", lambda shape, k: nn.Sequential(
        nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], k)))  # fmt: skip
    config = TrainConfig("digits", "plain", NS((1, 2), 2.5, -1.0), epochs=1, batch_size=60, lr=0.01)
    whole = fit(config, show=False)
    for parts in (2, 5):
        cut_up = fit(replace(config, accumulate=parts), show=False)
        for a, b in zip(whole.model.parameters(), cut_up.model.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6)
        assert cut_up.history[0]["weight_mean"] == pytest.approx(whole.history[0]["weight_mean"])


@pytest.mark.parametrize(("n", "size", "smallest", "expected"), [
    (8, 4, 2, [4, 4]), (9, 4, 2, [4, 5]), (10, 4, 2, [4, 4, 2]), (3, 4, 2, [3]), (5, 4, 8, [5]),
])  # fmt: skip
def test_a_short_rest_stays_with_the_part_before(
    n: int, size: int, smallest: int, expected: list[int]
) -> None:
    """No part is too small for the method, and every sample is in one."""
    batch = Batch(
        torch.arange(float(n))[:, None], torch.zeros(n, dtype=torch.long), torch.arange(n)
    )
    parts = split_batch(batch, size, smallest)
    assert [len(part.y) for part in parts] == expected
    assert torch.equal(torch.cat([part.index for part in parts]), torch.arange(n))


def test_frozen_parts_do_not_move(small: TrainConfig) -> None:
    """Neither weights nor BatchNorm statistics; the head learns, at its own rate."""
    start = dropping((3, 32, 32), 10)
    config = replace(small, epochs=1, frozen=("backbone",))
    trained = fit(config, show=False).model
    fresh = fit(replace(config, lr=1e-30), show=False).model
    moved = {
        name
        for name, tensor in trained.state_dict().items()
        if not torch.equal(tensor, fresh.state_dict()[name])
    }
    assert moved == {"4.weight", "4.bias"}
    part = fit(replace(config, frozen=("1",)), show=False).model
    still = {n for n, t in part.state_dict().items() if torch.equal(t, fresh.state_dict()[n])}
    assert still == {n for n in start.state_dict() if n.startswith("1.")}
    slow = fit(replace(small, epochs=1, backbone_lr=0.0), show=False).model
    assert torch.equal(slow.state_dict()["0.weight"], fresh.state_dict()["0.weight"])
    assert not torch.equal(slow.state_dict()["4.weight"], fresh.state_dict()["4.weight"])
    with pytest.raises(ValueError, match=r"freeze 'layer9'"):
        fit(replace(config, frozen=("layer9",)), show=False)
    with pytest.raises(ValueError, match="nothing is left to train"):
        fit(replace(config, frozen=("0", "1", "4")), show=False)


def test_parts_of_an_epoch_are_one_pass() -> None:
    """Together they show what the whole pass shows, in its order."""
    from nslab.datasets import load
    from nslab.datasets.batches import make_batches

    data, seen = load("digits"), []
    options = {"batch_size": 100, "seed": 3}
    whole = make_batches(data.arrays.train_x, data.arrays.train_y, data.dataset, CPU, **options)
    cut_up = make_batches(
        data.arrays.train_x, data.arrays.train_y, data.dataset, CPU, epoch_parts=3, **options
    )
    assert len(cut_up) == len(data.arrays.train_y) // 100 // 3
    for epoch in range(6):
        seen += [batch.index for batch in cut_up.epoch(epoch)]
    for half in (0, 1):
        order = torch.cat(seen[half * len(seen) // 2 : (half + 1) * len(seen) // 2])
        assert torch.equal(order, whole.order(half)[: len(order)])
    with pytest.raises(ValueError, match="too few for 50 partial epochs"):
        make_batches(
            data.arrays.train_x, data.arrays.train_y, data.dataset, CPU, epoch_parts=50, **options
        )


def test_numbers_are_of_the_same_config_fields() -> None:
    """None of the new fields changes the identity of a config that does not use it."""
    plain = TrainConfig("digits", "mlp")
    given = {"backbone_lr": 1.0, "frozen": (), "epoch_parts": 1, "accumulate": 1}
    assert dataclasses.replace(plain, **given, decoding="exact").id == plain.id == "e87eb0fa8ccc"
    assert generator(0, "x").initial_seed() == generator(0, "x").initial_seed()
