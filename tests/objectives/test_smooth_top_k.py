"""The smooth top-k loss against its definition, set by set, and where it meets what is known."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from nslab.objectives import SmoothTopK

GEN = torch.Generator().manual_seed(4)
Z = torch.randn(20, 7, generator=GEN, dtype=torch.float64) * 3
Y = torch.randint(0, 7, (20,), generator=GEN)


@pytest.mark.parametrize(("k", "tau", "margin"), [(1, 1.0, 1.0), (3, 0.7, 1.0), (5, 2.0, 0.3)])
def test_by_its_definition(k: int, tau: float, margin: float) -> None:
    """The difference of two smoothed maxima over all sets of k classes, written out."""
    found = SmoothTopK(k, tau, margin).loss(Z, Y)
    for z, y, loss in zip(Z.tolist(), Y.tolist(), found.tolist(), strict=True):
        every, right = [], []
        for chosen in itertools.combinations(range(7), k):
            score = sum(z[j] for j in chosen) / k
            every.append((score + margin * (y not in chosen)) / tau)
            if y in chosen:
                right.append(score / tau)
        smooth = [tau * math.log(math.fsum(map(math.exp, values))) for values in (every, right)]
        assert loss == pytest.approx(smooth[0] - smooth[1], rel=1e-9)


def test_top_1_without_margin_is_cross_entropy() -> None:
    """At temperature 1."""
    expected = F.cross_entropy(Z, Y, reduction="none")
    torch.testing.assert_close(SmoothTopK(1, 1.0, 0.0).loss(Z, Y), expected)


def test_cold_it_is_the_hinge_of_the_top_k() -> None:
    """Towards tau = 0: zero where the label is ahead of the k-th other by k times the margin."""
    z = torch.tensor([[9.0, 8.0, 0.0, 0.0], [9.0, 8.0, 7.5, 0.0]], dtype=torch.float64)
    y = torch.tensor([1, 2])
    loss = SmoothTopK(2, 1e-3).loss(z, y)
    torch.testing.assert_close(loss, torch.tensor([0.0, 1 + (8.0 - 7.5) / 2], dtype=z.dtype))


def test_few_classes() -> None:
    """k is cut to K - 1."""
    torch.testing.assert_close(SmoothTopK(9).loss(Z, Y), SmoothTopK(6).loss(Z, Y))
