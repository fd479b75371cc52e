"""The training loop: it learns, it resumes to the bit, it stops at a bad loss."""

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

from nslab.configs import TrainConfig
from nslab.configs.schedules import Cosine, Step
from nslab.networks import NETWORKS, build_network
from nslab.objectives import NS, OBJECTIVES, OGC, CrossEntropy, Weighted
from nslab.training.checkpoint import (
    CHECKPOINT,
    load_weights,
    read_checkpoint,
    resume,
    save_checkpoint,
)
from nslab.training.epoch_sums import BLOCK, EpochSums
from nslab.training.loop import NonFiniteLoss, evaluate, fit
from nslab.types import Batch, DataInfo, Labels, Logits, PerSample, Scored

QUICK = TrainConfig(network="lenet5", epochs=3, lr=0.05, augment="crop", batch_size=64)


class Stop(Exception):
    """Raised to interrupt a training."""


def same(a: nn.Module, b: nn.Module) -> bool:
    """Equal to the bit, buffers too."""
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_learns_the_digits() -> None:
    """Above 90 % after six epochs, last and best both recorded, history complete."""
    trained = fit(replace(QUICK, epochs=6, lr=0.1, schedule=Cosine()), show=False)
    assert trained.metrics["test_accuracy"] > 90
    assert trained.metrics["test_accuracy"] == trained.history[-1]["test_accuracy"]
    best = max(row["test_accuracy"] for row in trained.history)
    assert trained.metrics["best_test_accuracy"] == best
    assert [row["epoch"] for row in trained.history] == list(range(6))
    assert len(trained.metrics["per_class_accuracy"]) == 10
    assert json.loads(json.dumps(trained.history)) == trained.history


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("network", ["resnet8", "dropout"])
def test_resumes_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, optimizer: str, network: str
) -> None:
    """Interrupted after the first and after the second epoch: the end is the same."""
    monkeypatch.setitem(NETWORKS, "dropout", with_dropout)
    config = replace(
        QUICK,
        network=network,
        optimizer=optimizer,
        lr=0.01,
        # an objective with a memory, under one that shuffles; a sampler that follows the epoch
        objective=NS((1, 2), 2.5, -1.0, grouping="shuffled", base=OGC(queue=256, every=3)),
        sampler="pbs",
        imbalance=2,
        noise="symmetric",
        noise_rate=0.1,
        schedule=Step((2,), (0.1,)),
        warmup_epochs=1.0,
    )
    whole = fit(config, show=False)

    def stop(row: dict) -> None:
        raise Stop

    for _ in range(2):
        with pytest.raises(Stop):
            fit(config, tmp_path, show=False, on_epoch=stop)
    resumed = fit(config, tmp_path, show=False)
    assert same(whole.model, resumed.model)
    without_time = [
        [{k: v for k, v in row.items() if k != "seconds"} for row in t.history]
        for t in (whole, resumed)
    ]
    assert without_time[0] == without_time[1]
    blank = build_network(network, (1, 32, 32), 10, 1)
    assert same(load_weights(blank, tmp_path), whole.model)


def with_dropout(shape: tuple[int, int, int], num_classes: int) -> nn.Module:
    """A network that draws random numbers while it trains."""
    return nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(1024, num_classes))


def test_same_seed_same_run_and_nothing_global() -> None:
    """Two runs agree to the bit, another seed does not; torch's generator is left alone."""
    torch.manual_seed(5)
    state = torch.get_rng_state()
    config = replace(QUICK, epochs=1)
    first, second = fit(config, show=False), fit(config, show=False)
    assert same(first.model, second.model)
    assert not same(first.model, fit(replace(config, seed=1), show=False).model)
    assert torch.equal(torch.get_rng_state(), state)


@dataclass(frozen=True)
class Exploding:
    """Cross-entropy that turns bad at its n-th call."""

    calls: int
    value: float

    def build(self, info: DataInfo) -> Weighted:
        """The objective, counting its calls."""
        left = iter(range(self.calls))

        def loss(logits: Logits, y: Labels) -> PerSample:
            good = CrossEntropy().loss(logits, y)
            return good if next(left, None) is not None else good * self.value

        return Weighted(loss)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_bad_loss_stops_and_says_where(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: float
) -> None:
    """Epoch, batch and objective are named; the state after the last whole epoch is kept."""
    monkeypatch.setitem(OBJECTIVES, "exploding", Exploding)
    per_epoch = -(-1294 // 64)
    config = replace(QUICK, objective=Exploding(per_epoch + 3, value))
    with pytest.raises(
        NonFiniteLoss, match=r"epoch 1, batch 3, .*Exploding.*keeps its state after epoch 0"
    ):
        fit(config, tmp_path, show=False)
    kept = read_checkpoint(tmp_path, config.id, torch.device("cpu"))
    assert kept is not None
    assert kept.epochs == 1
    assert all(torch.isfinite(t).all() for t in kept.model.values())
    with pytest.raises(NonFiniteLoss, match="before any whole epoch"):
        fit(replace(QUICK, objective=Exploding(2, value)), show=False)


def test_foreign_or_broken_checkpoint_is_not_trusted(tmp_path: Path) -> None:
    """Training starts again, with a warning that says why."""
    (tmp_path / CHECKPOINT).write_bytes(b"not a checkpoint")
    with pytest.warns(UserWarning, match="cannot be read"):
        first = fit(replace(QUICK, epochs=1), tmp_path, show=False)
    assert len(first.history) == 1
    with pytest.warns(UserWarning, match="belongs to run"):
        assert read_checkpoint(tmp_path, "another", torch.device("cpu")) is None


def test_objective_whose_state_does_not_fit_is_as_before(tmp_path: Path) -> None:
    """Also where it fails half-way."""

    class Remembers:
        def __init__(self) -> None:
            self.first, self.second = 1, 1

        min_batch = 1

        def __call__(self, model: nn.Module, batch: Batch) -> Scored:
            raise AssertionError

        def state_dict(self) -> dict[str, int]:
            return {"first": self.first, "second": self.second}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.first, self.second = state["first"], state["second"]

    net, accelerator, objective = nn.Linear(2, 2), Accelerator(cpu=True), Remembers()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    save_checkpoint(QUICK, tmp_path, net, objective, optimizer, accelerator, [], {})
    form = torch.load(tmp_path / CHECKPOINT, weights_only=True)
    assert form["objective"] == {"first": 1, "second": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Remembers, "state_dict", lambda self: {"first": 7})
        save_checkpoint(QUICK, tmp_path, net, objective, optimizer, accelerator, [], {})
    with pytest.warns(UserWarning, match="does not fit"):
        assert resume(QUICK, tmp_path, net, objective, optimizer, accelerator) is None
    assert (objective.first, objective.second) == (1, 1)


def test_checkpoint_with_code_in_it_is_not_run(tmp_path: Path) -> None:
    """A pickle that would run code is refused, not loaded."""
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> tuple:
            return (os.mkdir, (str(marker),))

    torch.save({"run": "x", "epochs": 1, "model": Evil(), "optimizer": {}}, tmp_path / CHECKPOINT)
    with pytest.warns(UserWarning, match="cannot be read"):
        assert read_checkpoint(tmp_path, "x", torch.device("cpu")) is None
    assert not marker.exists()


def test_weights_are_logged() -> None:
    """Mean, spread and share of negative weights: by hand for a batch, and in a run's rows."""
    loss, logits = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.eye(4)
    scored = Scored(loss, logits, torch.tensor([-1.0, 0.0, 2.0, 3.0]))
    wrong = torch.tensor([False, True, False, False])
    batch = Batch(torch.zeros(4, 1), torch.tensor([0, 1, 2, 0]), torch.arange(4))
    sums = EpochSums(wrong=wrong)
    sums.add(scored, batch)
    assert sums.total().tolist() == [[3, 2, 8, 4, 14, 1], [1, 1, 2, 0, 0, 0]]
    config = replace(QUICK, epochs=1, objective=NS(sigma=0.5, rho=-1))
    row = fit(config, show=False).history[0]
    assert row["weight_mean"] == pytest.approx(-0.5, abs=0.01)
    assert row["negative_weights"] > 0.5
    assert row["weight_sd"] > 0.01
    plain = fit(replace(QUICK, epochs=1), show=False).history[0]
    assert (plain["weight_mean"], plain["weight_sd"], plain["negative_weights"]) == (1, 0, 0)


def test_sums_do_not_depend_on_blocks() -> None:
    """To the bit: gathered, asked for after every batch, taken up in the middle."""
    gen = torch.Generator().manual_seed(0)
    batches = [
        Batch(torch.zeros(n, 1), torch.arange(n) % 3, torch.randint(200, (n,), generator=gen))
        for n in [64] * BLOCK + [63, 2]
    ]
    scores = [
        Scored(torch.rand(n, generator=gen), torch.rand(n, 3, generator=gen), weight)
        for n in (len(batch.y) for batch in batches)
        for weight in [torch.randn(n, generator=gen) if n % 2 else None]
    ]
    wrong = torch.rand(200, generator=gen) < 0.3
    gathered, single = EpochSums(wrong=wrong), EpochSums(wrong=wrong)
    halves = EpochSums(wrong=wrong)
    for i, (scored, batch) in enumerate(zip(scores, batches, strict=True)):
        for sums in (gathered, single, halves):
            sums.add(scored, batch)
        single.total()
        if i == 5:
            halves = EpochSums(wrong=wrong, begun=halves.total())
    assert gathered.total()[:, 0].sum() == sum(len(batch.y) for batch in batches)
    assert torch.equal(gathered.total(), single.total())
    assert torch.equal(gathered.total(), halves.total())


def test_clipping_limits_the_step() -> None:
    """With a tiny norm and no momentum, weights hardly move."""
    config = replace(QUICK, epochs=1, momentum=0.0, weight_decay=0.0)
    start = build_network("lenet5", (1, 32, 32), 10, config.seed).state_dict()

    def moved(clip: float | None) -> float:
        end = fit(replace(config, clip_norm=clip), show=False).model.state_dict()
        return sum(float((end[k] - start[k]).square().sum()) for k in start) ** 0.5

    steps = -(-1294 // 64)
    assert moved(1e-4) <= steps * 0.05 * 1e-4 * 1.001
    assert moved(None) > 0.02


def test_mixed_precision_follows_full_precision() -> None:
    """bf16 autocast, after a float32 run in the same process, ends near it."""
    config = replace(QUICK, epochs=2, objective=NS())
    full = fit(config, show=False).metrics["train_loss"]
    half = fit(replace(config, precision="bf16"), show=False).metrics["train_loss"]
    assert half == pytest.approx(full, rel=0.15)
    assert half != full


def test_evaluate_counts_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy and loss against NumPy, model left in training mode."""
    from nslab.analysis.run_tables import training_batches

    model = build_network("lenet5", (1, 32, 32), 10, 0).train()
    loader = training_batches("digits", 200, 0)
    tally = evaluate(model, loader, 10)
    assert model.training
    x = torch.cat([b.x for b in loader.in_order()])
    logits = model(x).double().detach().numpy()
    y = loader.y.numpy()
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    assert tally.mean_loss == pytest.approx(-log_p[np.arange(1294), y].mean(), rel=1e-6)
    assert tally.accuracy == pytest.approx(100 * (logits.argmax(1) == y).mean())


@pytest.mark.skipif(
    not any(map(shutil.which, ("g++", "c++", "clang++"))),
    reason="torch.compile needs a C++ compiler on a CPU, and there is none",
)
def test_compiled_training_agrees(tmp_path: Path) -> None:
    """torch.compile gives the eager losses up to rounding (own process: no shape checking)."""
    code = """
import json, sys
from dataclasses import replace
from nslab.configs import TrainConfig
from nslab.objectives import NS
from nslab.training.loop import fit
config = TrainConfig(network="resnet8", epochs=1, lr=0.01, batch_size=128, objective=NS())
rows = [fit(replace(config, compile=c), show=False).history[0] for c in (False, True)]
print(json.dumps([[row["train_loss"], row["weight_sd"], row["test_loss"]] for row in rows]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    eager, compiled = json.loads(done.stdout.splitlines()[-1])
    np.testing.assert_allclose(compiled, eager, rtol=2e-3)


def test_training_goes_on_from_another_runs_weights(tmp_path: Path) -> None:
    """From the final weights or those after a kept epoch; clear errors where there are none."""
    first = replace(QUICK, keep_last=2)
    folder = tmp_path / "data" / "runs" / first.id
    trained = fit(first, folder, show=False)
    assert sorted(f.name for f in folder.glob("epoch-*")) == [
        "epoch-2.safetensors",
        "epoch-3.safetensors",
    ]
    blank = build_network("lenet5", (1, 32, 32), 10, 0)
    assert same(load_weights(blank, folder, 3), trained.model)
    still = replace(QUICK, epochs=1, lr=1e-12, weight_decay=0.0)
    goes_on = fit(replace(still, start=first.id), show=False)
    assert goes_on.metrics["test_accuracy"] == trained.metrics["test_accuracy"]
    earlier = fit(replace(still, start=f"{first.id}@2"), show=False)
    assert earlier.metrics["test_accuracy"] == trained.history[1]["test_accuracy"]
    with pytest.raises(FileNotFoundError, match="keep_last"):
        fit(replace(still, start=f"{first.id}@1"), show=False)
    with pytest.raises(ValueError, match="another network"):
        fit(replace(still, network="mlp", start=first.id), show=False)
    with pytest.raises(ValueError, match="neither torchvision:WEIGHTS"):
        replace(still, start="the last one")
