"""Negative learning: values for known draws, and the draws themselves."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.objectives import OBJECTIVES
from nslab.types import Batch, DataInfo
from nslab.workbench.device_check.loss_cases import hard

INFO = DataInfo(10, 550, torch.arange(10, 101, 10))  # class k has 10 (k + 1) samples


def score(
    logits: Tensor, y: Tensor, negatives: int = 1, epoch: int = 0, info: DataInfo | None = None
) -> Tensor:
    """Loss per sample; positions are 0, 1, ..."""
    objective = OBJECTIVES["nlnl"](negatives=negatives).build(
        info or DataInfo.of(y, logits.shape[1])
    )
    return objective(nn.Identity(), Batch(logits, y, torch.arange(len(y)), epoch)).loss


def draws(n: int, negatives: int, epoch: int, label: int = 3) -> np.ndarray:
    """Counts of complementary labels among four classes, shape (n, 4), read off losses.

    -log(1 - p_c) of a class c is 1e-4 (negatives + 1)^c: the sum over draws is a number whose
    digits tell how often each class was drawn.
    """
    wanted = 1e-4 * (negatives + 1.0) ** torch.arange(4, dtype=torch.float64)
    p = -torch.expm1(-wanted)
    p[label] = 1 - p.sum() + p[label]
    y = torch.full((n,), label)
    loss = score(p.log().expand(n, -1), y, negatives, epoch) / 1e-4
    number = loss.round().long().numpy()
    assert np.abs(loss.numpy() - number).max() < 1e-6
    digits = [number // (negatives + 1) ** c % (negatives + 1) for c in range(4)]
    return np.stack(digits, 1)


def close_to_uniform(counts: np.ndarray) -> bool:
    """Chi-square within five standard deviations of its mean."""
    mean, freedom = counts.mean(), counts.size - 1
    return ((counts - mean) ** 2 / mean).sum() < freedom + 5 * math.sqrt(2 * freedom)


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize("negatives", [1, 3])
def test_two_classes_leave_no_choice(negatives: int) -> None:
    """-w log max(p_y, 1e-5) for every draw, without derivatives below."""
    logits, y = (torch.from_numpy(array) for array in hard(2))
    z = logits.double().requires_grad_()
    info = DataInfo(2, 40, torch.tensor([30, 10]))
    loss = score(z, y, negatives, info=info)
    weight = negatives * torch.tensor([1.0, 3.0], dtype=torch.float64)[y]
    p = logits.double().softmax(1)
    p_y = p.gather(1, y[:, None])
    expected = -p_y[:, 0].clamp(min=1e-5).log() * weight
    torch.testing.assert_close(loss, expected, rtol=1e-9, atol=1e-9)
    loss.sum().backward()
    slope = weight[:, None] * (p - F.one_hot(y, 2)) * (p_y >= 1e-5)
    torch.testing.assert_close(z.grad, slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("negatives", [1, 2])
def test_losses_are_sums_over_wrong_classes(negatives: int, dtype: torch.dtype) -> None:
    """One of the possible values, times largest class size over the label's."""
    logits, y = (torch.from_numpy(array) for array in hard(10))
    loss = score(logits.to(dtype), y, negatives, info=INFO).double()
    rest = (1 - logits.double().softmax(1)).clamp(min=1e-5)
    weight = 100 / INFO.class_counts[y].double()
    rtol, atol, unit = (1e-9, 1e-9, 0) if dtype == torch.float64 else (2e-5, 6e-6, 2.4e-7)
    for i, label in enumerate(y.tolist()):
        left = torch.tensor([c for c in range(10) if c != label])
        single = -weight[i] * rest[i, left].log()
        slack = weight[i] * unit / rest[i, left]  # 1 - p is known to a unit of p, its log to this
        if negatives == 2:
            single = (single[:, None] + single).flatten()
            slack = (slack[:, None] + slack).flatten()
        assert ((single - loss[i]).abs() < atol + rtol * single + slack).any()


@pytest.mark.parametrize("negatives", [1, 110])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_finite_everywhere(negatives: int, dtype: torch.dtype) -> None:
    """Values and derivatives, for hard logits of 100 classes, and classes without samples."""
    logits, y = (torch.from_numpy(array) for array in hard(100))
    z = logits.to(dtype).requires_grad_()
    counts = torch.bincount(y, minlength=100)
    loss = score(z, y, negatives, info=DataInfo(100, len(y), counts))
    loss.sum().backward()
    assert loss.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.isfinite(loss).all()
    assert torch.isfinite(z.grad).all()


def test_mean_over_samples() -> None:
    """Near the expectation over the wrong classes."""
    p = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05], dtype=torch.float64)
    n, y = 20000, torch.zeros(20000, dtype=torch.long)
    info = DataInfo(5, 5, torch.ones(5, dtype=torch.long))
    losses = -torch.log(1 - p[1:])
    for epoch in range(3):
        mean = score(p.log().expand(n, -1), y, epoch=epoch, info=info).mean()
        assert abs(mean - losses.mean()) < 5 * losses.std() / math.sqrt(n)


# --- draws -------------------------------------------------------------------------------------


def test_draws_are_uniform_over_wrong_classes() -> None:
    """For each label, with one draw and with several; the label itself never comes."""
    for label in range(4):
        for negatives, epoch in ((1, 0), (1, 7), (3, 2)):
            counts = draws(6000, negatives, epoch, label)
            assert (counts.sum(1) == negatives).all()
            assert (counts[:, label] == 0).all()
            assert close_to_uniform(np.delete(counts.sum(0), label))


def test_draws_are_independent() -> None:
    """Of the draw before, of the neighbour's, of the epoch before, and of the class drawn there."""
    first, second = (draws(9000, 1, epoch).argmax(1) for epoch in (0, 1))
    for one, other in ((first, second), (first[1:], first[:-1]), (first[16:], first[:-16])):
        pairs = np.zeros((3, 3))
        np.add.at(pairs, (one, other), 1)
        assert close_to_uniform(pairs)
    pairs_drawn = draws(9000, 2, 0)[:, :3]
    twice = (pairs_drawn == 2).any(1).mean()
    assert abs(twice - 1 / 3) < 5 * math.sqrt(2 / 9 / 9000)  # with replacement


def test_draws_depend_on_position_and_epoch_alone() -> None:
    """Not on the order of the batch, nor on anything drawn before."""
    logits, y = (
        torch.randn(64, 10, generator=torch.Generator().manual_seed(0)),
        torch.arange(64) % 10,
    )
    index, order = torch.arange(64) * 31, torch.arange(63, -1, -1)
    objective = OBJECTIVES["nlnl"](negatives=2).build(INFO)

    def loss(keep: Tensor, epoch: int) -> Tensor:
        return objective(nn.Identity(), Batch(logits[keep], y[keep], index[keep], epoch)).loss

    straight = loss(torch.arange(64), 5)
    torch.manual_seed(1)
    assert torch.equal(loss(order, 5), straight[order])
    assert torch.equal(loss(torch.arange(8), 5), straight[:8])
    assert (loss(torch.arange(64), 6) != straight).float().mean() > 0.8
