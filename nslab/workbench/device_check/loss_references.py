"""Losses written a second time: in extended precision, with derivatives by the complex step.

A loss is a function of `Probabilities`, complex numbers whose imaginary part carries a step of
1e-40 along one logit, so ``imag / step`` is the derivative without any subtraction. Constants of
the backward pass (weights, thresholds, detached factors, the argmax) are made of real parts only.
Everything starts from log p and log(1 - p), so that neither logits of ±80 nor one-hot
probabilities lose digits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

STEP = np.longdouble("1e-40")


def log_sum_exp(z: np.ndarray) -> np.ndarray:
    """log sum_k exp(z_k) of complex z, along the last axis."""
    top = z.real.max(-1)
    return top + np.log(np.exp(z - top[..., None]).sum(-1))


@dataclass
class Probabilities:
    """softmax(z) for logits z of shape (directions, n, k), and the labels."""

    z: np.ndarray
    y: np.ndarray

    @property
    def classes(self) -> int:
        """K, the number of classes."""
        return self.z.shape[-1]

    @cached_property
    def onehot(self) -> np.ndarray:
        """One-hot labels, shape (n, k)."""
        return np.eye(self.classes, dtype=np.longdouble)[self.y]

    @cached_property
    def log(self) -> np.ndarray:
        """log p, shape (directions, n, k)."""
        return self.z - log_sum_exp(self.z)[..., None]

    @cached_property
    def p(self) -> np.ndarray:
        """p, shape (directions, n, k)."""
        return np.exp(self.log)

    @cached_property
    def log_y(self) -> np.ndarray:
        """log p of the label."""
        return (self.log * self.onehot).sum(-1)

    @cached_property
    def p_y(self) -> np.ndarray:
        """p of the label."""
        return np.exp(self.log_y)

    @cached_property
    def log_miss(self) -> np.ndarray:
        """log(1 - p_y), computed from the other classes' logits."""
        others = np.where(self.onehot == 1, -1e9, self.z)
        return log_sum_exp(others) - log_sum_exp(self.z)

    @cached_property
    def miss(self) -> np.ndarray:
        """1 - p_y."""
        return np.exp(self.log_miss)

    @cached_property
    def rest(self) -> np.ndarray:
        """1 - p_k for every class, as constants."""
        p = self.p[0].real
        holes = p[:, None, :] * (1 - np.eye(self.classes, dtype=np.longdouble))
        return holes.sum(-1)


Reference = Callable[..., np.ndarray]


def evaluate(
    reference: Reference, logits: np.ndarray, y: np.ndarray, **fields: object
) -> tuple[np.ndarray, np.ndarray]:
    """Loss per sample, shape (n,), and its derivatives with respect to the sample's logits, shape
    (n, k)."""
    z = logits.astype(np.longdouble)
    steps = 1j * STEP * np.eye(z.shape[1], dtype=np.longdouble)
    loss = reference(Probabilities(z + steps[:, None, :], y), **fields)
    return loss[0].real, (loss.imag / STEP).T


def at_least(x: np.ndarray, low: Any) -> np.ndarray:
    """max(x, low), constant below."""
    return np.where(x.real < low, low, x)


def at_most(x: np.ndarray, high: Any) -> np.ndarray:
    """min(x, high), constant above."""
    return np.where(x.real > high, high, x)


def ce(p: Probabilities) -> np.ndarray:
    """-log p_y."""
    return -p.log_y


def label_smoothing(p: Probabilities, epsilon: float) -> np.ndarray:
    """Cross-entropy with part of each target spread over all classes."""
    return -(1 - epsilon) * p.log_y - epsilon * p.log.mean(-1)


def focal(p: Probabilities, gamma: float, detach: bool = False) -> np.ndarray:
    """-(1 - p_y)^gamma log p_y."""
    factor = np.exp(gamma * p.log_miss)
    return -(factor.real if detach else factor) * p.log_y


def gce(
    p: Probabilities, q: float, k: float | None = None, clamp: float | None = None
) -> np.ndarray:
    """(1 - p_y^q) / q. ``clamp``: a lower bound of p_y; ``k``: truncated, so that the loss is 0 for
    p_y <= k."""
    log_y = p.log_y if clamp is None else at_least(p.log_y, np.log(np.longdouble(clamp)))
    loss = (1 - np.exp(q * log_y)) / q
    return loss if k is None else (p.p_y.real > k) * (loss - (1 - np.longdouble(k) ** q) / q)


def mae(p: Probabilities) -> np.ndarray:
    """1 - p_y."""
    return p.miss


def rce(p: Probabilities) -> np.ndarray:
    """Reverse cross-entropy: p and the label exchange their roles."""
    target = np.log(np.clip(p.onehot, np.longdouble("1e-4"), 1))
    return -(at_most(at_least(p.p, np.longdouble("1e-7")), 1) * target).sum(-1)


def nce(p: Probabilities) -> np.ndarray:
    """log p_y / sum_k log p_k."""
    return p.log_y / p.log.sum(-1)


def sce(p: Probabilities, alpha: float, beta: float) -> np.ndarray:
    """alpha CE + beta RCE."""
    return alpha * ce(p) + beta * rce(p)


def apl(p: Probabilities, active: str, passive: str, alpha: float, beta: float) -> np.ndarray:
    """alpha NCE + beta times a passive loss, MAE or RCE."""
    assert active == "nce"
    return alpha * nce(p) + beta * {"mae": mae, "rce": rce}[passive](p)


def low_weights(p: Probabilities, lam: float, norm: str) -> np.ndarray:
    """The weights of LOW, with their threshold found by bisection."""
    size = len(p.y) if norm == "batch" else 1
    wrong = np.where(p.onehot == 1, p.rest, p.p[0].real)
    wanted = ((wrong**2).sum(-1) / np.longdouble(size) ** 2 + lam) / (2 * np.longdouble(lam))
    low, high = wanted.min() - len(p.y), wanted.max()
    for _ in range(200):
        middle = (low + high) / 2
        total = np.maximum(wanted - middle, 0).sum()
        low, high = (middle, high) if total > len(p.y) else (low, middle)
    return np.maximum(wanted - low, 0)


def low(p: Probabilities, lam: float, norm: str = "batch") -> np.ndarray:
    """Cross-entropy times LOW's weights."""
    return low_weights(p, lam, norm) * ce(p)


def poly1(p: Probabilities, epsilon: float) -> np.ndarray:
    """CE + epsilon (1 - p_y)."""
    return ce(p) + epsilon * p.miss


def anl(
    p: Probabilities, base: str, alpha: float, beta: float, gamma: float = 0.5, delta: float = 0
) -> np.ndarray:
    """ANL: an active loss and its normalised negative counterpart, without the L1 regularisation of
    the parameters."""
    floor = np.longdouble("1e-7")
    clamped = at_least(p.log, np.log(floor))
    if base == "ce":
        top, room = -np.log(floor), clamped - np.log(floor)
        active = nce(p)
    else:
        top = -((1 - floor) ** np.longdouble(gamma)) * np.log(floor)
        rest = np.where(p.log[0].real < np.log(floor), 1 - floor, p.rest)
        room = top + rest**gamma * clamped
        f = -(p.rest**gamma) * p.log
        active = (f * p.onehot).sum(-1) / f.sum(-1)
    negative = 1 - (room * p.onehot).sum(-1) / room.sum(-1)
    return alpha * active + beta * negative


def asymmetric(
    p: Probabilities, kind: str, a: float, q: float = 1, alpha: float = 0, beta: float = 1
) -> np.ndarray:
    """beta times an asymmetric loss (AUL, AGCE or AEL), plus alpha NCE."""
    a = np.longdouble(a)  # type: ignore[assignment]
    if kind == "aul":  # a - p_y = (a - 1) + (1 - p_y)
        loss = ((a - 1 + p.miss) ** q - (a - 1) ** q) / q
    elif kind == "agce":
        loss = ((a + 1) ** q - (a + p.p_y) ** q) / q
    else:
        loss = np.exp(-p.p_y / a)
    return beta * loss + (alpha * nce(p) if alpha else 0)


def ce_eps_mae(p: Probabilities, alpha: float, beta: float, m: float) -> np.ndarray:
    """alpha CE of (p + m [k = argmax p]) / (m + 1), bounded from below, + 2 beta (1 - p_y)."""
    found = p.z[0].real.argmax(-1) == p.y
    sharp = (p.p_y + np.longdouble(m) * found) / (np.longdouble(m) + 1)
    return -alpha * np.log(at_least(sharp, np.longdouble("1e-8"))) + 2 * beta * p.miss


def ogc(p: Probabilities, epsilon: float = 0, threshold: float = 1e-7) -> np.ndarray:
    """CE, continued by its tangent where p_y is below a threshold."""
    limit = np.longdouble("1e-7")
    inside = (p.p_y.real > limit) & (p.miss.real > limit)
    bounded = np.where(p.p_y.real < 0.5, limit, 1 - limit)
    p_y = np.where(inside, p.p_y, bounded)
    threshold = np.longdouble(threshold)  # type: ignore[assignment]
    return np.where(p_y.real <= threshold, 1 - p_y / threshold - np.log(threshold), -np.log(p_y))


def smooth_top_k(p: Probabilities, k: int, tau: float = 1.0, margin: float = 1.0) -> np.ndarray:
    """The smooth top-k loss, from sums over all sets of k - 1 and of k classes other than the
    label, which are computed class by class."""
    k = min(k, p.classes - 1)
    z = (p.z - (p.z * p.onehot).sum(-1, keepdims=True)) / (k * np.longdouble(tau))
    sums = [np.ones(z.shape[:-1], z.dtype)] + [np.zeros(z.shape[:-1], z.dtype)] * k
    for j in range(p.classes):
        e = np.where(p.y == j, 0, np.exp(z[..., j]))
        sums = [sums[0], *(sums[d] + e * sums[d - 1] for d in range(1, k + 1))]
    bound = np.exp(np.longdouble(margin) / np.longdouble(tau))
    return np.longdouble(tau) * log_one_plus(bound * sums[k] / sums[k - 1])


def log_one_plus(x: np.ndarray) -> np.ndarray:
    """log(1 + x), exact for small real parts and to first order in the imaginary part."""
    return np.log1p(x.real) + 1j * x.imag / (1 + x.real)


REFERENCES: dict[str, Reference] = {
    "ce": ce,
    "label_smoothing": label_smoothing,
    "focal": focal,
    "gce": gce,
    "sce": sce,
    "apl": apl,
    "low": low,
    "poly1": poly1,
    "anl": anl,
    "asymmetric": asymmetric,
    "ce_eps_mae": ce_eps_mae,
    "ogc": ogc,
    "smooth_top_k": smooth_top_k,
}
