"""Natural Selection against hand-worked numbers, independent references and its properties."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from ns_models import Constant, Mean, images

from nslab.networks import build_network
from nslab.objectives.competition import group_scores, ns_scores, ns_weights
from nslab.objectives.composites import composite, stitch

GRIDS = list(itertools.product((1, 2, 3, 4), (1, 2, 3, 4)))


def reference_scores(logits: np.ndarray, y: np.ndarray, m: int) -> np.ndarray:
    """Eq. 5 to 7 for each group in extended precision, the way the paper writes them."""
    z = logits.astype(np.longdouble)
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    out = np.empty(len(y))
    for g in range(len(z)):
        q = [p[g, y[g * m + i]] for i in range(m)]
        for i in range(m):
            out[g * m + i] = m * q[i] / sum(q)
    return out


def test_stitch_places_images_row_by_row() -> None:
    """Eq. 3 on four 1x1 and on six 2x3 images, written out."""
    x = torch.arange(4.0).view(4, 1, 1, 1)
    assert stitch(x, (2, 2)).tolist() == [[[[0, 1], [2, 3]]]]
    assert stitch(x, (1, 2)).tolist() == [[[[0, 1]]], [[[2, 3]]]]
    assert stitch(x, (4, 1)).tolist() == [[[[0], [1], [2], [3]]]]
    x = images(6, 2, 2, 3)
    tall = stitch(x, (3, 2))
    for i in range(6):
        r, c = divmod(i, 2)
        assert torch.equal(tall[0, :, 2 * r : 2 * r + 2, 3 * c : 3 * c + 3], x[i])


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("size", [(24, 24), (12, 24), (32, 32), (7, 9), (28, 28)])
def test_composite_is_the_resized_stitch(grid: tuple[int, int], size: tuple[int, int]) -> None:
    """The fast path equals stitch-then-resize, in both memory layouts, wherever it is taken."""
    x = images(2 * math.prod(grid), 3, *size).double()
    plain = F.interpolate(stitch(x, grid), size, mode="bilinear", align_corners=False)
    torch.testing.assert_close(composite(x, grid), plain, rtol=0, atol=1e-12)
    last = x.to(memory_format=torch.channels_last)
    made = composite(last, grid)
    torch.testing.assert_close(made, plain, rtol=0, atol=1e-12)
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_composite_by_hand() -> None:
    """Two 2x2 images side by side: each pair of columns becomes its mean."""
    x = torch.tensor([[[[1.0, 3.0], [5.0, 7.0]]], [[[10.0, 20.0], [30.0, 50.0]]]])
    assert composite(x, (1, 2)).tolist() == [[[[2.0, 15.0], [6.0, 40.0]]]]


def test_composite_antialias_differs_and_smooths() -> None:
    """antialias=True is torch's own smoothing, not the paper's resize."""
    x = images(16, 1, 32, 32)
    smooth = F.interpolate(
        stitch(x, (4, 4)), (32, 32), mode="bilinear", align_corners=False, antialias=True
    )
    torch.testing.assert_close(composite(x, (4, 4), antialias=True), smooth)
    assert (composite(x, (4, 4)) - smooth).abs().max() > 0.5


def test_scores_by_hand() -> None:
    """Eq. 4 to 7 with p = (.1, .2, .3, .4) for every composite."""
    model = Constant(torch.log(torch.tensor([0.1, 0.2, 0.3, 0.4])))
    y = torch.tensor([0, 1, 2, 3, 3, 3, 3, 3])
    s = ns_scores(model, images(8), y, (2, 2))
    torch.testing.assert_close(s, torch.tensor([0.4, 0.8, 1.2, 1.6, 1, 1, 1, 1]))
    pairs = ns_scores(model, images(8), y, (1, 2))
    torch.testing.assert_close(pairs[:4], torch.tensor([2 / 3, 4 / 3, 6 / 7, 8 / 7]))


def test_weights_by_hand() -> None:
    """Eq. 8 for both strategies, unclamped unless asked."""
    s = torch.tensor([0.4, 0.8, 1.2, 3.6])
    torch.testing.assert_close(ns_weights(s, 0.7, 1.0), torch.tensor([1.1, 1.5, 1.9, 4.3]))
    torch.testing.assert_close(ns_weights(s, 1.5, -1.0), torch.tensor([1.1, 0.7, 0.3, -2.1]))
    torch.testing.assert_close(ns_weights(s, 1.5, -1.0, 0.0), torch.tensor([1.1, 0.7, 0.3, 0.0]))


@pytest.mark.parametrize("scale", [0.0, 1.0, 80.0, 1e4])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_scores_in_the_hard_range(scale: float, dtype: torch.dtype) -> None:
    """Extended-precision reference; logits up to 1e4 make every q of a group underflow."""
    gen = torch.Generator().manual_seed(1)
    logits = (torch.rand(64, 10, generator=gen) * 2 - 1).double() * scale
    logits = logits.to(dtype)
    y = torch.randint(0, 10, (256,), generator=gen)
    scores = group_scores(logits, y)
    assert torch.isfinite(scores).all()
    if scale <= 80:
        expected = reference_scores(logits.double().numpy(), y.numpy(), 4)
        rtol, atol = (1e-12, 1e-12) if dtype == torch.float64 else (2e-5, 6e-6)
        np.testing.assert_allclose(scores.double().numpy(), expected, rtol=rtol, atol=atol)


def test_underflowing_group_still_has_a_winner() -> None:
    """q = e^-1000, e^-1001: the naive sum is 0/0, the score is not."""
    logits = torch.tensor([[0.0, -1000.0, -1001.0]])
    s = group_scores(logits, torch.tensor([1, 2]))
    expected = 2 / (1 + math.exp(-1))
    torch.testing.assert_close(s, torch.tensor([expected, 2 - expected]))
    assert logits.softmax(-1)[0, 1:].sum() == 0
    nobody = torch.tensor([[0.0, -math.inf, -math.inf]])
    assert group_scores(nobody, torch.tensor([1, 2])).tolist() == [1.0, 1.0]


@given(
    seed=st.integers(0, 10**6),
    grid=st.sampled_from(GRIDS),
    groups=st.integers(1, 3),
    rest=st.integers(0, 15),
    scale=st.floats(0.01, 50),
)
@settings(deadline=None, max_examples=60)
def test_properties(seed: int, grid: tuple[int, int], groups: int, rest: int, scale: float) -> None:
    """Scores lie in [0, m], a group's sum to m, the remainder scores 1, weights average right."""
    m = math.prod(grid)
    b = m * groups + rest % m
    x = images(b, 3, 8, 8, seed)
    gen = torch.Generator().manual_seed(seed)
    model = Mean(scale * torch.randn(3, 5, generator=gen))
    y = torch.randint(0, 5, (b,), generator=gen)
    s = ns_scores(model, x, y, grid)
    assert ((s >= 0) & (s <= m * (1 + 1e-6))).all()
    torch.testing.assert_close(
        s[: m * groups].view(groups, m).sum(1), torch.full((groups,), 1.0 * m)
    )
    assert (s[m * groups :] == 1).all()
    for sigma, rho in ((0.7, 1.0), (2.5, -1.0)):
        mean = ns_weights(s, sigma, rho).mean()
        torch.testing.assert_close(mean, torch.tensor(sigma + rho), rtol=1e-4, atol=1e-5)


@given(seed=st.integers(0, 10**6), order=st.permutations(range(4)))
@settings(deadline=None, max_examples=30)
def test_permuting_a_group_permutes_its_scores(seed: int, order: list[int]) -> None:
    """For a network that reads the composite as a whole (its mean), places do not matter."""
    gen = torch.Generator().manual_seed(seed)
    x, y = images(4, seed=seed), torch.randint(0, 5, (4,), generator=gen)
    model = Mean(torch.randn(3, 5, generator=gen))
    s = ns_scores(model, x, y, (2, 2))
    torch.testing.assert_close(ns_scores(model, x[order], y[order], (2, 2)), s[order])


def test_identical_samples_score_one() -> None:
    """Same image and label: nobody wins."""
    model = build_network("lenet5", (3, 32, 32), 10, 0)
    x, y = images(1, 3, 32, 32).expand(8, -1, -1, -1), torch.full((8,), 3)
    torch.testing.assert_close(ns_scores(model, x, y, (2, 2)), torch.ones(8))
