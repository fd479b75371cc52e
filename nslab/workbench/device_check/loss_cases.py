"""Settings and logits for the check of losses, and the computation of an objective's loss."""

from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nslab.objectives import OBJECTIVES
from nslab.types import Batch, DataInfo
from nslab.workbench.device_check.loss_references import REFERENCES, evaluate

Case = tuple[str, dict[str, Any]]

GRID: dict[str, list[dict[str, Any]]] = {
    "ce": [{}],
    "label_smoothing": [{"epsilon": 0.1}, {"epsilon": 0.4}],
    "focal": [{"gamma": g} for g in (0.5, 1, 2, 5)] + [{"gamma": 0.5, "detach": True}],
    "gce": [{"q": 0.7}, {"q": 0.1}, {"q": 1}, {"q": 0.7, "k": 0.5}, {"q": 0.7, "clamp": 1e-7}],
    "sce": [{"alpha": 0.1, "beta": 1}, {"alpha": 6, "beta": 0.1}],
    "apl": [
        {"active": "nce", "passive": passive, "alpha": alpha, "beta": beta}
        for passive in ("mae", "rce")
        for alpha, beta in ((1, 1), (10, 0.1))
    ],
    "low": [{"lam": lam, "norm": norm} for lam in (0.1, 0.001, 10) for norm in ("batch", "sample")],
    "poly1": [{"epsilon": e} for e in (1, 2, -0.5)],
    "anl": [
        {"base": base, "alpha": alpha, "beta": beta, "delta": delta, "gamma": 0.5}
        for base in ("ce", "focal")
        for alpha, beta, delta in ((5, 5, 5e-5), (10, 1, 5e-7))
    ],
    "asymmetric": [
        {"kind": "aul", "a": 5.5, "q": 3},
        {"kind": "agce", "a": 0.6, "q": 0.6},
        {"kind": "ael", "a": 2.5},
        {"kind": "aul", "a": 6.3, "q": 1.5, "alpha": 1, "beta": 4},
        {"kind": "aul", "a": 6, "q": 3, "alpha": 10, "beta": 0.015},
        {"kind": "agce", "a": 6, "q": 1.5, "alpha": 1, "beta": 4},
        {"kind": "agce", "a": 1.8, "q": 3, "alpha": 10, "beta": 0.1},
        {"kind": "ael", "a": 5, "alpha": 1, "beta": 4},
        {"kind": "ael", "a": 1.5, "alpha": 10, "beta": 0.1},
    ],
    "ce_eps_mae": [{"alpha": 0.01, "beta": 5, "m": 1e5}, {"alpha": 0.1, "beta": 1, "m": 1e4}],
    "ogc": [{"epsilon": 20}],
    "smooth_top_k": [{"k": 5}, {"k": 1, "tau": 0.5, "margin": 0}, {"k": 2, "tau": 3}],
}
CASES: list[Case] = [(key, fields) for key, settings in GRID.items() for fields in settings]


def name(case: Case) -> str:
    """The name of a test of this case."""
    return "-".join([case[0], *(f"{field}={value}" for field, value in case[1].items())])


@lru_cache
def hard(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (34, ``classes``) and labels (34,): uniform, random up to ±80, one-hot, moderate,
    confident; right and wrong.

    All logits are float32 numbers, so that one reference serves every precision. No probability is
    so close to the corner of a loss that rounding could move it to the other side.
    """
    draw = np.random.default_rng(classes)
    n = 34
    y = draw.integers(0, classes, n)
    onehot = np.eye(classes)[y]
    wrong = np.roll(onehot, 1, axis=1)
    logits = draw.normal(size=(n, classes)) * np.where(np.arange(n) % 2, 1, 3)[:, None]
    logits[:2] = 0
    logits[2] = 3.7
    logits[3:9] = draw.uniform(-80, 80, (6, classes))
    logits[9:11] = 160 * onehot[9:11] - 80
    logits[11:13] = 160 * wrong[11:13] - 80
    logits[13] = 2000 * onehot[13]
    logits[14] = 2000 * wrong[14]
    margins = np.linspace(5, 19, 5)[:, None]
    logits[15:20] += margins * onehot[15:20]
    logits[20:25] += margins * wrong[20:25]
    return logits.astype(np.float32), y


def inputs(case: Case, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """`hard` logits and labels for a case, without those at its own corner: p_y = k of the
    truncated GCE."""
    logits, y = hard(classes)
    at_corner = case[1].get("k") == 1 / classes
    return (logits[3:], y[3:]) if at_corner else (logits, y)


def expected(case: Case, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Loss per sample and its gradient with respect to the logits, by the reference."""
    logits, y = inputs(case, classes)
    loss, gradient = evaluate(REFERENCES[case[0]], logits, y, **case[1])
    assert np.isfinite(loss).all()
    assert np.isfinite(gradient).all()
    return loss.astype(np.float64), gradient.astype(np.float64)


def loss_of(case: Case, logits: Tensor, y: Tensor, info: DataInfo | None = None) -> Tensor:
    """Loss per sample of a newly built objective."""
    objective = OBJECTIVES[case[0]](**case[1]).build(info or DataInfo.of(y, logits.shape[1]))
    return objective(nn.Identity(), Batch(logits, y, torch.arange(len(y)))).loss


def loss_and_gradient(case: Case, logits: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Loss per sample, and the gradient of their sum with respect to the logits."""
    z = logits.clone().requires_grad_()
    loss = loss_of(case, z, y)
    loss.sum().backward()
    assert z.grad is not None
    return loss.detach(), z.grad
