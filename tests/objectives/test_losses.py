"""Values and derivatives of the losses against independent references, in the hard range too."""

from functools import lru_cache

import numpy as np
import pytest
import torch

from nslab.objectives import OBJECTIVES
from nslab.workbench.device_check import loss_references
from nslab.workbench.device_check.loss_cases import (
    CASES,
    Case,
    expected,
    hard,
    inputs,
    loss_and_gradient,
    name,
)
from nslab.workbench.device_check.loss_references import REFERENCES, Probabilities, evaluate

CLASSES = (2, 10, 100)
cases = pytest.mark.parametrize("case", CASES, ids=name)
classes = pytest.mark.parametrize("classes", CLASSES)


@lru_cache(1)
def reference(number: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """The reference of a case, once for all precisions."""
    return expected(CASES[number], classes)


# --- the implementation ------------------------------------------------------------------------


@classes
@cases
def test_losses(case: Case, classes: int) -> None:
    """Float64 to 1e-9, float32 as closely as float32 can; bfloat16 is computed in float32."""
    logits, y = (torch.from_numpy(array) for array in inputs(case, classes))
    loss, gradient = reference(CASES.index(case), classes)
    found, slope = loss_and_gradient(case, logits.double(), y)
    assert found.dtype == torch.float64
    np.testing.assert_allclose(found.numpy(), loss, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(slope.numpy(), gradient, rtol=1e-9, atol=1e-9)

    found, slope = loss_and_gradient(case, logits, y)
    assert found.dtype == torch.float32
    n = len(y)
    np.testing.assert_allclose(found.numpy(), loss, rtol=2e-5, atol=6e-6)
    np.testing.assert_allclose(slope.numpy() / n, gradient / n, rtol=2e-4, atol=3e-6)

    rounded = logits.bfloat16()
    found, slope = loss_and_gradient(case, rounded, y)
    assert found.dtype == torch.float32
    assert torch.isfinite(found).all()
    assert torch.isfinite(slope).all()
    torch.testing.assert_close(found, loss_and_gradient(case, rounded.float(), y)[0])


@cases
def test_extreme_logits(case: Case) -> None:
    """Far beyond what any network gives, ±1e4 in float32: finite."""
    gen = torch.Generator().manual_seed(0)
    y = torch.randint(0, 10, (12,), generator=gen)
    onehot = torch.nn.functional.one_hot(y, 10).float()
    signs = torch.randint(0, 2, (12, 10), generator=gen) * 2.0 - 1
    for logits in (1e4 * onehot, -1e4 * onehot, 1e4 * signs):
        loss, gradient = loss_and_gradient(case, logits, y)
        assert torch.isfinite(loss).all()
        assert torch.isfinite(gradient).all()


def test_every_loss_has_a_reference() -> None:
    """Those without are no functions of the logits alone, or checked elsewhere."""
    elsewhere = {"ns", "nlnl", "mixup", "edl"}  # each against a reference in its own file
    for key in set(OBJECTIVES) - elsewhere:
        assert key in REFERENCES, (
            f"write {key}'s loss a second time, from its source, into REFERENCES of "
            "nslab/workbench/device_check/loss_references.py"
        )
        assert key in {case[0] for case in CASES}, (
            f"write settings of {key}, its source's among them, into GRID of "
            "nslab/workbench/device_check/loss_cases.py"
        )


# --- the references ----------------------------------------------------------------------------


@classes
def test_no_input_lies_on_a_corner(classes: int) -> None:
    """Probabilities keep away from 1e-7, 1e-3, 1e-4 and 1/2, where losses have corners."""
    logits, y = hard(classes)
    p = Probabilities(logits.astype(np.longdouble)[None], y)
    log = p.log[0].real
    for corner in (1e-7, 1e-3, 1e-4, 0.5):
        near = abs(log - np.log(corner)) < 1e-4
        assert not near[3:].any()
        assert corner == 0.5 or not near.any()


@pytest.mark.parametrize(
    "case", [c for c in CASES if c[0] not in ("low", "anl") and not c[1].get("detach")], ids=name
)
def test_reference_derivatives_by_differences(case: Case) -> None:
    """Five-point differences in extended precision, where nothing is held constant."""
    draw = np.random.default_rng(0)
    y = draw.integers(0, 4, 8)
    logits = draw.normal(size=(8, 4)).astype(np.longdouble) * 2
    gradient = evaluate(REFERENCES[case[0]], logits, y, **case[1])[1]
    step = np.longdouble(1e-3)
    for k in range(4):
        loss = {}
        for moved in (-2, -1, 1, 2):
            z = logits.copy()
            z[:, k] += moved * step
            loss[moved] = REFERENCES[case[0]](Probabilities(z[None] + 0j, y), **case[1])[0].real
        slope = (loss[-2] - 8 * loss[-1] + 8 * loss[1] - loss[2]) / (12 * step)
        np.testing.assert_allclose(gradient[:, k], slope, rtol=0, atol=1e-9)


def test_reference_of_constants_by_hand() -> None:
    """A detached factor or a weight leaves weight times the derivative of the rest, p - o."""
    draw = np.random.default_rng(1)
    y = draw.integers(0, 5, 8)
    logits = draw.normal(size=(8, 5))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    rest = 1 - p[np.arange(8), y]
    slope = p - np.eye(5)[y]
    gradient = evaluate(loss_references.focal, logits, y, gamma=0.5, detach=True)[1]
    np.testing.assert_allclose(gradient, np.sqrt(rest)[:, None] * slope, rtol=1e-12)
    weight = loss_references.low_weights(Probabilities(logits[None] + 0j, y), 0.01, "sample")
    gradient = evaluate(loss_references.low, logits, y, lam=0.01, norm="sample")[1]
    np.testing.assert_allclose(gradient, weight[:, None] * slope, rtol=1e-12)


def test_reference_of_anl_by_hand() -> None:
    """p = (1/2, 1/4, 1/4): log p_y over the sum is 1/5 or 2/5; nothing is clamped."""
    logits = np.log([[0.5, 0.25, 0.25]]).repeat(2, 0)
    y, a = np.array([0, 1]), -np.log(1e-7)
    log = np.log([0.5, 0.25])
    negative = 1 - (a + log) / (3 * a + np.log(0.5) + 2 * np.log(0.25))
    loss = evaluate(loss_references.anl, logits, y, base="ce", alpha=2, beta=3)[0]
    np.testing.assert_allclose(loss, 2 * np.array([0.2, 0.4]) + 3 * negative, rtol=1e-12)
    f = -np.sqrt(1 - np.exp(log)) * log
    total = f[0] + 2 * f[1]
    a = -np.sqrt(1 - 1e-7) * np.log(1e-7)
    loss = evaluate(loss_references.anl, logits, y, base="focal", alpha=2, beta=3)[0]
    negative = 1 - (a - f) / (3 * a - total)
    np.testing.assert_allclose(loss, 2 * f / total + 3 * negative, rtol=1e-12)
