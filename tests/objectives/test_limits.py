"""Losses by hand: special cases that are other losses, numbers worked out on paper, and LOW."""

import math
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.objectives import OBJECTIVES
from nslab.types import Batch, DataInfo, Scored
from nslab.workbench.device_check.loss_cases import CASES, hard, loss_and_gradient, loss_of

HALF = torch.log(torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64)).repeat(2, 1)
Y = torch.tensor([0, 1])  # p_y is 1/2, then 1/4
L2, L10000 = math.log(2), math.log(1e4)


def hard_tensors() -> tuple[Tensor, Tensor]:
    """Hard logits of ten classes, in float64, and labels."""
    logits, y = hard(10)
    return torch.from_numpy(logits).double(), torch.from_numpy(y)


def normal(n: int, k: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """n rows of normal logits of k classes, and labels in turn."""
    draws = torch.Generator().manual_seed(n)
    return torch.randn(n, k, generator=draws, dtype=dtype), torch.arange(n) % k


def scored(key: str, logits: Tensor, y: Tensor, **fields: Any) -> Scored:
    """What a fresh objective says of logits."""
    objective = OBJECTIVES[key](**fields).build(DataInfo.of(y, logits.shape[1]))
    return objective(nn.Identity(), Batch(logits, y, torch.arange(len(y))))


# --- losses that are other losses --------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ("label_smoothing", {"epsilon": 0}),
        ("focal", {"gamma": 0}),
        ("focal", {"gamma": 0, "detach": True}),
        ("poly1", {"epsilon": 0}),
        ("sce", {"alpha": 1, "beta": 0}),
    ],
)
def test_cross_entropy_as_a_special_case(key: str, fields: dict[str, Any]) -> None:
    """Values and derivatives."""
    logits, y = hard_tensors()
    loss, slope = loss_and_gradient((key, fields), logits, y)
    expected, steps = loss_and_gradient(("ce", {}), logits, y)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(slope, steps, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "fields", "atol"),
    [
        ("gce", {"q": 1}, 1e-12),
        ("apl", {"passive": "mae", "alpha": 0, "beta": 1}, 1e-12),
        ("apl", {"passive": "rce", "alpha": 0, "beta": 1 / L10000}, 1e-5),
        ("asymmetric", {"kind": "aul", "a": 3, "q": 1}, 1e-12),
        ("asymmetric", {"kind": "agce", "a": 0.6, "q": 1}, 1e-12),
    ],
)
def test_mean_absolute_error_as_a_special_case(
    key: str, fields: dict[str, Any], atol: float
) -> None:
    """1 - p_y; reverse cross-entropy is log 1e4 times as much, but for its bound of 1e-7."""
    logits, y = hard_tensors()
    loss, slope = loss_and_gradient((key, fields), logits, y)
    p = logits.softmax(1)
    p_y = p.gather(1, y[:, None])
    torch.testing.assert_close(loss, 1 - p_y[:, 0], rtol=0, atol=atol)
    torch.testing.assert_close(slope, p_y * (p - F.one_hot(y, 10)), rtol=0, atol=atol)


def test_generalised_cross_entropy_between_its_limits() -> None:
    """Towards q = 0 it is cross-entropy, and AGCE with a towards 0 is GCE."""
    logits, y = normal(16, 5)
    nearly = loss_of(("gce", {"q": 1e-6}), logits, y)
    torch.testing.assert_close(
        nearly, F.cross_entropy(logits, y, reduction="none"), rtol=1e-5, atol=0
    )
    shifted = loss_of(("asymmetric", {"kind": "agce", "a": 1e-13, "q": 0.7}), logits, y)
    torch.testing.assert_close(shifted, loss_of(("gce", {"q": 0.7}), logits, y))


@pytest.mark.parametrize("epsilon", [0.1, 0.5, 0.9])
def test_label_smoothing_is_torchs(epsilon: float) -> None:
    """Including what it leaves to the label's own class."""
    logits, y = hard_tensors()
    expected = F.cross_entropy(logits, y, reduction="none", label_smoothing=epsilon)
    found = loss_of(("label_smoothing", {"epsilon": epsilon}), logits, y)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


# --- by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "fields", "expected"),
    [
        ("ce", {}, [L2, 2 * L2]),
        ("label_smoothing", {"epsilon": 0.3}, [1.2 * L2, 1.9 * L2]),
        ("focal", {"gamma": 2}, [0.25 * L2, 0.5625 * 2 * L2]),
        ("gce", {"q": 0.5}, [2 - math.sqrt(2), 1]),
        ("sce", {"alpha": 2, "beta": 3}, [2 * L2 + 1.5 * L10000, 4 * L2 + 2.25 * L10000]),
        ("apl", {"passive": "mae", "alpha": 2, "beta": 3}, [0.4 + 1.5, 0.8 + 2.25]),
        ("apl", {"passive": "rce", "alpha": 2, "beta": 1}, [0.4 + L10000 / 2, 0.8 + L10000 * 0.75]),
        ("poly1", {"epsilon": 2}, [L2 + 1, 2 * L2 + 1.5]),
        ("asymmetric", {"kind": "aul", "a": 2, "q": 2}, [0.625, 1.03125]),
        ("asymmetric", {"kind": "agce", "a": 1, "q": 2}, [0.875, 1.21875]),
        ("asymmetric", {"kind": "ael", "a": 0.5}, [math.exp(-1), math.exp(-0.5)]),
        ("asymmetric", {"kind": "aul", "a": 2, "q": 2, "alpha": 5, "beta": 8}, [6, 10.25]),
        ("ogc", {}, [L2, 2 * L2]),
    ],
)
def test_by_hand(key: str, fields: dict[str, Any], expected: list[float]) -> None:
    """p_y = 1/2 and 1/4 among three classes."""
    assert loss_of((key, fields), HALF, Y).tolist() == pytest.approx(expected, rel=1e-12)


def test_normalised_losses_of_all_labels_sum_to_one() -> None:
    """Active ones to 1, negative ones to K - 1."""
    logits, y = normal(7, 7)
    logits = 3 * logits[:1].expand(7, -1)
    for base in ("ce", "focal"):
        for alpha, beta, total in ((1, 0, 1), (0, 1, 6)):
            loss = loss_of(("anl", {"base": base, "alpha": alpha, "beta": beta}), logits, y)
            assert loss.sum().item() == pytest.approx(total)


@pytest.mark.parametrize("gamma", [0.1, 0.5, 0.9, 1, 2])
@pytest.mark.parametrize("detach", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_focal_rests_at_certainty(gamma: float, detach: bool, dtype: torch.dtype) -> None:
    """Where p_y is 1, loss and derivatives are 0, not 0 times infinity."""
    y = torch.arange(4)
    for scale in (40, 160, 2000):
        logits = scale * F.one_hot(y, 4).to(dtype)
        loss, slope = loss_and_gradient(("focal", {"gamma": gamma, "detach": detach}), logits, y)
        assert torch.isfinite(slope).all()
        assert loss.abs().max() < 1e-12
        assert slope.abs().max() < 1e-12


def test_truncated_gce_drops_samples_below_k() -> None:
    """p_y = 1/2 counts for k = 0.4, 1/4 does not; losses are counted from L(k)."""
    loss, slope = loss_and_gradient(("gce", {"q": 0.7, "k": 0.4}), HALF, Y)
    assert loss[0].item() == pytest.approx((0.4**0.7 - 0.5**0.7) / 0.7)
    assert loss[1] == 0
    assert slope[0].abs().min() > 0
    assert (slope[1] == 0).all()


def test_eps_softmax_ignores_hopeless_samples() -> None:
    """Misclassified and p_y < 1e-8 (m + 1): only the MAE pulls. Classified right: CE is 0."""
    for p_y, ce in ((0.9e-3, -math.log(1e-8)), (0.01, math.log((1e5 + 1) / 0.01)), (0.6, 0.0)):
        logits = torch.tensor([[p_y, 1 - p_y]], dtype=torch.float64).log()
        y = torch.tensor([0])
        whole, slope = loss_and_gradient(
            ("ce_eps_mae", {"alpha": 1, "beta": 1, "m": 1e5}), logits, y
        )
        mae, pull = loss_and_gradient(("ce_eps_mae", {"alpha": 0, "beta": 1, "m": 1e5}), logits, y)
        assert mae.item() == pytest.approx(2 * (1 - p_y))
        assert (whole - mae).item() == pytest.approx(ce, abs=1e-5)
        assert torch.equal(slope, pull) == (p_y < 1e-3)


@pytest.mark.parametrize("base", ["ce", "focal"])
def test_anl_penalises_every_parameter(base: str) -> None:
    """delta times the sum of absolute values, BatchNorm's and biases included."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    x, y = normal(6, 4, torch.float32)
    y = y.clamp(max=2)
    b = Batch(x, y, torch.arange(6))
    found = {
        delta: OBJECTIVES["anl"](base=base, delta=delta).build(DataInfo.of(y, 3))(model, b)
        for delta in (0, 0.5)
    }
    total = sum(parameter.abs().sum() for parameter in model.parameters())
    penalty = found[0.5].penalty
    torch.testing.assert_close(penalty, 0.5 * total)
    assert found[0].penalty is None or found[0].penalty == 0
    torch.testing.assert_close(found[0].loss, found[0.5].loss)
    signs = torch.autograd.grad(penalty, list(model.parameters()))
    for parameter, sign in zip(model.parameters(), signs, strict=True):
        torch.testing.assert_close(sign, 0.5 * parameter.sign())


# --- LOW ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["batch", "sample"])
@pytest.mark.parametrize("lam", [1e-4, 1e-3, 0.1, 10])
def test_low_weights_are_optimal(lam: float, norm: str) -> None:
    """Feasible, by the Kuhn-Tucker conditions, and no worse than any mixture with others."""
    logits, y = hard_tensors()
    weight = scored("low", logits, y, lam=lam, norm=norm).weight
    assert weight is not None
    n, w = len(y), weight.numpy()
    size = (logits.softmax(1) - F.one_hot(y, 10)).norm(dim=1).numpy()
    gain = (size / (n if norm == "batch" else 1)) ** 2 + lam
    assert (w >= 0).all()
    assert w.sum() == pytest.approx(n, rel=1e-12)
    slope = 2 * lam * w - gain
    level = slope[w > 0]
    assert np.ptp(level) < 1e-9
    assert (slope >= level.mean() - 1e-9).all()
    draw = np.random.default_rng(0)
    for other in n * draw.dirichlet(np.full(n, 0.2), 50):
        moved = 0.9 * w + 0.1 * other
        assert lam * w @ w - gain @ w <= lam * moved @ moved - gain @ moved + 1e-12


def test_low_between_its_limits() -> None:
    """Much lam: all alike. Little: everything on the worst sample. Equal samples: ones."""
    logits, y = normal(8, 5)
    worst = (logits.softmax(1) - F.one_hot(y, 5)).norm(dim=1).argmax()
    weights = {lam: scored("low", logits, y, lam=lam, norm="sample").weight for lam in (1e-9, 1e9)}
    torch.testing.assert_close(weights[1e9], torch.ones(8, dtype=torch.float64))
    torch.testing.assert_close(weights[1e-9], 8 * F.one_hot(worst, 8).double())
    same = scored("low", torch.zeros(8, 5), y, lam=1e-3, norm="sample").weight
    torch.testing.assert_close(same, torch.ones(8))


def test_low_is_nearly_cross_entropy_by_default() -> None:
    """Weights of a batch of 128 lie within 1e-3 of 1: gradients are those of the mean loss."""
    logits, y = normal(128, 10)
    weight = scored("low", 5 * logits, y).weight
    assert 1e-5 < (weight - 1).abs().max() < 1e-3


def test_16_bits_do_not_coarsen_weights() -> None:
    """Weights of logits in bfloat16 are those of the same numbers in float32."""
    logits, y = normal(32, 10, torch.bfloat16)
    for key in {key for key, _ in CASES} | {"nlnl"}:
        found, wanted = (scored(key, z, y).weight for z in (logits, logits.float()))
        assert (found is None) == (wanted is None)
        assert found is None or torch.equal(found, wanted)
