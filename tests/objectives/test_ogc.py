"""Optimised gradient clipping: the threshold against an independent solution, and the memory."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nslab.objectives import OBJECTIVES
from nslab.objectives.ogc import gradient_ratio, mixture, solve_threshold
from nslab.types import Batch, DataInfo
from nslab.workbench.device_check.loss_references import evaluate, ogc

HIGHEST = -np.log(1e-7)
H = np.linspace(1e-7, HIGHEST, 1000)  # losses at which densities are looked at
INFO = DataInfo(10, 1000, torch.full((10,), 100))


def losses(clean: float, noisy: float, share: float = 0.4, n: int = 4096) -> np.ndarray:
    """Losses around two means, in random order."""
    draw = np.random.default_rng(0)
    wrong = draw.random(n) < share
    values = np.where(wrong, draw.normal(noisy, 1.0, n), draw.normal(clean, 0.3, n))
    return values.clip(H[0], HIGHEST)


MIXTURES = [losses(1, 5), losses(0.5, 8), losses(2, 6, 0.2), losses(0.3, 3, 0.6)]


def fitted(values: np.ndarray) -> np.ndarray:
    """Clean and noisy densities on `H` by expectation maximisation, started at the mean."""
    member = np.stack([values <= values.mean(), values > values.mean()]).astype(float)
    for _ in range(11):
        share = member.mean(1)
        mean = (member * values).sum(1) / member.sum(1)
        variance = (member * (values - mean[:, None]) ** 2).sum(1) / member.sum(1) + 1e-3
        density = np.exp(-((values - mean[:, None]) ** 2) / (2 * variance[:, None]))
        density *= (share / np.sqrt(variance))[:, None]
        member = density / density.sum(0)
    bell = np.exp(-((H - mean[:, None]) ** 2) / (2 * variance[:, None]))
    return bell / bell.sum(1, keepdims=True)


def ratio_by_loop(threshold: float, clean: np.ndarray, noisy: np.ndarray) -> float:
    """Mean gradient of noisy over that of clean samples, point by point."""
    means = [0.0, 0.0]
    for h, c, n in zip(H, clean, noisy, strict=True):
        gradient = min(1 / np.exp(-h), 1 / threshold)
        means[0] += c / clean.sum() * gradient
        means[1] += n / noisy.sum() * gradient
    return means[1] / means[0]


def exact_threshold(clean: np.ndarray, noisy: np.ndarray, target: float) -> float:
    """Where the ratio is ``target``: with t = 1 / threshold between exp(H) of two neighbours, it is
    (a + b t) / (c + d t), so t follows from a linear equation; 1e-7 if there is no such t."""
    inverse = np.exp(H)
    for i in range(1, len(H)):
        a, b = (noisy[:i] * inverse[:i]).sum(), noisy[i:].sum()
        c, d = (clean[:i] * inverse[:i]).sum(), clean[i:].sum()
        t = (target * c - a) / (b - target * d)
        if inverse[i - 1] <= t <= inverse[i]:
            return 1 / t
    return 1e-7


def memory(**fields: Any) -> Any:
    """A fresh objective with a queue of 64 losses, looked at every 4 steps, unless said."""
    return OBJECTIVES["ogc"](**{"queue": 64, "every": 4, **fields}).build(INFO)


def batches(count: int, n: int = 16) -> list[Batch]:
    """Logits that fit half of the labels."""
    draws = torch.Generator().manual_seed(0)
    made = []
    for _ in range(count):
        y = torch.randint(0, 10, (n,), generator=draws)
        told = torch.where(torch.arange(n) % 2 == 0, y, (y + 1) % 10)
        logits = torch.randn(n, 10, generator=draws, dtype=torch.float64)
        made.append(Batch(logits + 6 * nn.functional.one_hot(y, 10), told, torch.arange(n)))
    return made


# --- the threshold -----------------------------------------------------------------------------


@pytest.mark.parametrize("values", MIXTURES)
@pytest.mark.parametrize("target", [1.02, 1.2, 3, 10])
def test_threshold_of_a_mixture(values: np.ndarray, target: float) -> None:
    """The exact solution of the densities found, and what an independent fit leads to; ten steps
    of bisection are within 1e-3 of it."""
    clean, noisy = mixture(values)
    exact = exact_threshold(clean, noisy, target)
    precise = solve_threshold(values, target, 60, 1e-13)
    assert precise == pytest.approx(exact, rel=1e-9)
    assert solve_threshold(values, target, 10, 1e-7) == pytest.approx(exact, abs=1e-3)
    assert precise == pytest.approx(exact_threshold(*fitted(values), target), rel=0.05, abs=1e-4)
    if exact > 1e-7:
        assert gradient_ratio(exact, clean, noisy) == pytest.approx(target, rel=1e-9)


@pytest.mark.parametrize("values", MIXTURES)
def test_densities(values: np.ndarray) -> None:
    """Truncated bells that sum to 1, the clean one lower; close to an independent fit."""
    found = np.stack(mixture(values))
    assert found.shape == (2, 1000)
    np.testing.assert_allclose(found.sum(1), 1)
    means = (found * H).sum(1)
    assert means[0] < means[1]
    np.testing.assert_allclose(means, (fitted(values) * H).sum(1), rtol=0.05)


@pytest.mark.parametrize("values", MIXTURES)
def test_ratio_falls_with_the_threshold(values: np.ndarray) -> None:
    """From that of unclipped gradients to 1; each value as summed point by point."""
    clean, noisy = mixture(values)
    thresholds = np.geomspace(1e-7, 1, 40)
    ratios = np.array([gradient_ratio(t, clean, noisy) for t in thresholds])
    assert (np.diff(ratios) <= 1e-12 * ratios[1:]).all()
    assert ratios[0] > ratios[-1]
    assert ratios[-1] == pytest.approx(1, abs=1e-6)
    for i in (0, 10, 25, 39):
        assert ratios[i] == pytest.approx(ratio_by_loop(thresholds[i], clean, noisy), rel=1e-5)


def test_more_room_clips_less() -> None:
    """The threshold falls with the target; one that no clipping exceeds gives 1e-7."""
    for values in MIXTURES:
        targets = [1.001, 1.1, 2, 5, 100, 1e5, 1e12]
        found = [solve_threshold(values, target, 40, 1e-12) for target in targets]
        assert found == sorted(found, reverse=True)
        assert found[0] > 0.05
        assert found[-1] == 1e-7


@pytest.mark.parametrize("value", [0.0, 1e-7, 2.3, HIGHEST])
def test_losses_without_spread(value: float) -> None:
    """All losses alike: some threshold within bounds, and no warning."""
    assert 1e-7 <= solve_threshold(np.full(64, value), 1.5, 10, 1e-7) <= 1


# --- the objective -----------------------------------------------------------------------------


def test_nothing_is_clipped_before_the_queue_is_full() -> None:
    """And never for a queue that no training fills; then from the step that is looked at."""
    objective, never = memory(), memory(queue=10**4)
    model = nn.Identity().train()
    for step, batch in enumerate(batches(12)):
        assert (objective.threshold == 1e-7) == (step < 4)
        expected = evaluate(ogc, batch.x.numpy(), batch.y.numpy())[0].astype(float)
        np.testing.assert_allclose(never(model, batch).loss.numpy(), expected, rtol=1e-9)
        loss = objective(model, batch).loss.numpy()
        assert step >= 4 or np.array_equal(loss, never(model, batch).loss.numpy())
        assert step < 4 or (loss < expected - 0.01).any()
    assert never.threshold == 1e-7


def test_clipped_loss_and_its_derivatives() -> None:
    """Of the reference at the threshold in force; the gradient in p is at most 1 / threshold."""
    objective, model = memory(), nn.Identity().train()
    for batch in batches(9):
        threshold = objective.threshold
        z = batch.x.clone().requires_grad_()
        loss = objective(model, Batch(z, batch.y, batch.index)).loss
        (gradient,) = torch.autograd.grad(loss.sum(), z)
        expected = evaluate(ogc, batch.x.numpy(), batch.y.numpy(), threshold=threshold)
        for found, wanted in zip((loss.detach(), gradient), expected, strict=True):
            np.testing.assert_allclose(found, wanted.astype(float), rtol=1e-9, atol=1e-9)
    assert 1e-3 < threshold < 1


def test_queue_holds_the_latest_losses() -> None:
    """Of training alone, bounded as probabilities are; a search looks at exactly these."""
    objective, made = memory(), batches(8)
    model = nn.Identity()
    for batch in made:
        objective(model.train(), batch)
        objective(model.eval(), Batch(-batch.x, batch.y, batch.index))
    latest = torch.cat([nn.functional.cross_entropy(b.x, b.y, reduction="none") for b in made[-4:]])
    queue = objective.state_dict()["queue"]
    torch.testing.assert_close(queue.sort().values, latest.clamp(1e-7, HIGHEST).sort().values)
    target = 1 + objective.config.lr * objective.config.epsilon
    assert objective.threshold == pytest.approx(solve_threshold(latest.numpy(), target, 10, 1e-7))
    y = torch.arange(64) % 2
    sure = 200 * nn.functional.one_hot(torch.zeros_like(y), 10).bfloat16()  # half of them right
    assert torch.isfinite(objective(model.train(), Batch(sure, y, y)).loss).all()
    queue = objective.state_dict()["queue"]
    torch.testing.assert_close(queue.unique(), torch.tensor([1e-7, HIGHEST], dtype=queue.dtype))


def test_evaluation_leaves_no_trace() -> None:
    """A model in evaluation mode is scored with the threshold in force, and nothing is learned."""
    objective, model = memory(), nn.Identity().train()
    for batch in batches(8):
        objective(model, batch)
    before = {name: torch.as_tensor(v).clone() for name, v in objective.state_dict().items()}
    for batch in batches(5):
        objective(model.eval(), batch)
    for name, value in objective.state_dict().items():
        assert torch.equal(torch.as_tensor(value), before[name]), name


@pytest.mark.parametrize("steps", [2, 6, 11])
def test_saved_state_goes_on_identically(steps: int, tmp_path: Any) -> None:
    """Before the queue is full, and after, between two searches; through a file."""
    straight, model = memory(), nn.Identity().train()
    made = batches(24)
    for batch in made[:steps]:
        straight(model, batch)
    torch.save(straight.state_dict(), tmp_path / "state")
    again = memory()
    again.load_state_dict(torch.load(tmp_path / "state"))
    thresholds = set()
    for batch in made[steps:]:
        assert torch.equal(straight(model, batch).loss, again(model, batch).loss)
        thresholds.add(again.threshold)
    assert len(thresholds) > 1


def threshold_after(told: float | None, **fields: Any) -> float:
    """The threshold after training with a learning rate that the loop tells, or does not."""
    objective = memory(steps=30, **fields)
    for batch in batches(8):
        objective(nn.Identity(), Batch(batch.x, batch.y, batch.index, lr=told))
    return objective.threshold


def test_learning_rate_and_epsilon_give_room() -> None:
    """More of either clips less; the loop's learning rate counts before the configured one."""
    by_lr = [threshold_after(lr) for lr in (0.01, 0.1, 1.0)]
    by_epsilon = [threshold_after(0.1, epsilon=epsilon) for epsilon in (2, 20, 200)]
    assert by_lr == sorted(by_lr, reverse=True)
    assert by_lr == pytest.approx(by_epsilon)
    assert by_lr[0] > by_lr[-1]
    assert threshold_after(None, lr=0.01) == by_lr[0]
    assert threshold_after(0.1, lr=0.01) == by_lr[1]
