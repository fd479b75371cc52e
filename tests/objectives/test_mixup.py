"""Mixup by hand, and what it may stand on."""

import math

import pytest
import torch
from torch import nn

from nslab.objectives import NLNL, LabelSmoothing, Mixup
from nslab.objectives.competition import shuffled_order
from nslab.types import Batch, DataInfo

N, K = 64, 5
INFO = DataInfo(K, N, torch.full((K,), 12))


def batch(epoch: int = 0) -> Batch:
    """Logits as inputs, for a network that passes them on."""
    gen = torch.Generator().manual_seed(3)
    x, y = torch.randn(N, K, generator=gen), torch.randint(0, K, (N,), generator=gen)
    return Batch(x, y, torch.arange(N), epoch)


def test_half_and_half() -> None:
    """With alpha = 1e12 every blend is even: the mean of two images and of two losses."""
    b = batch()
    scored = Mixup(1e12, LabelSmoothing(0.2)).build(INFO)(nn.Identity(), b)
    other = shuffled_order(b, "mixup partner")
    blend = (b.x + b.x[other]) / 2
    torch.testing.assert_close(scored.logits, blend, rtol=1e-4, atol=1e-5)
    loss = LabelSmoothing(0.2).loss
    expected = (loss(blend, b.y) + loss(blend, b.y[other])) / 2
    torch.testing.assert_close(scored.loss, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_shares_follow_the_beta_distribution() -> None:
    """Found again from the blend; mean 1/2, variance 1 / (4 (2 alpha + 1)), new at each step."""
    b, shares = batch(), []
    objective = Mixup(0.5).build(INFO)
    other = shuffled_order(b, "mixup partner")
    for _ in range(2000):
        mixed = objective(nn.Identity(), b).logits
        apart = b.x - b.x[other]
        shares.append(float(((mixed - b.x[other]) * apart).sum() / apart.square().sum()))
    values = torch.tensor(shares)
    assert values.mean() == pytest.approx(0.5, abs=0.03)
    assert values.var() == pytest.approx(1 / 8, abs=0.01)
    assert len(set(shares)) > 1900
    assert not math.isclose(shares[0], shares[1])


def test_base_must_be_a_loss_per_sample(as_users_call: None) -> None:
    """An objective that is none is refused when the config is made."""
    with pytest.raises(TypeError, match="NLNL is not"):
        Mixup(base=NLNL())
