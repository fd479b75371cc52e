"""Optimised gradient clipping: cross-entropy, linear in p below a threshold adapted in training.

Source: Ye et al. 2025, "Optimized Gradient Clipping for Noisy Label Learning", and their released
code. The focal and GCE versions there are discontinuous at the threshold and are left out.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from nslab.networks.logits import logits_of
from nslab.objectives.probabilities import SMALLEST, log_probabilities, of_label
from nslab.objectives.recommended import Setting
from nslab.system.validation import check_fields
from nslab.types import Batch, DataInfo, PerSample, Scored

GRID = np.linspace(-math.log1p(-SMALLEST), -math.log(SMALLEST), 1000)  # of losses H = -log p


def clipped_cross_entropy(log_p: PerSample, threshold: float) -> PerSample:
    """-log p above the threshold and its tangent at the threshold below, so that the slope in p
    never exceeds 1 / threshold. p is clamped to [1e-7, 1 - 1e-7]."""
    p = log_p.exp().clamp(SMALLEST, 1 - SMALLEST)
    return torch.where(p <= threshold, 1 - p / threshold - math.log(threshold), -p.log())


def mixture(losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Densities of clean and noisy losses on `GRID`, each summing to 1: two normal distributions
    fitted to the losses, cut at the grid's ends; the clean one has the lower mean."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    model = GaussianMixture(2, max_iter=10, reg_covar=1e-3, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # ten iterations are the method's
        model.fit(losses[:, None])
    densities = []
    for k in np.argsort(model.means_[:, 0]):
        log_density = -((GRID - model.means_[k, 0]) ** 2) / (2 * model.covariances_[k, 0, 0])
        density = np.exp(log_density - log_density.max())
        densities.append(density / density.sum())
    return densities[0], densities[1]


def gradient_ratio(threshold: float, clean: np.ndarray, noisy: np.ndarray) -> float:
    """Mean clipped gradient of noisy samples over that of clean ones; the higher the threshold,
    the lower the ratio."""
    gradient = np.minimum(np.exp(GRID), 1 / threshold)
    return float((noisy * gradient).sum() / (clean * gradient).sum())


def solve_threshold(losses: np.ndarray, target: float, steps: int, tolerance: float) -> float:
    """The threshold where `gradient_ratio` is ``target``, by bisection in p: at most ``steps``
    steps, fewer once the ratio is within ``tolerance``.

    It is 1e-7, which clips nothing, if even then the ratio does not exceed the target.
    """
    clean, noisy = mixture(losses)
    if gradient_ratio(SMALLEST, clean, noisy) <= target:
        return SMALLEST
    low, high = SMALLEST, 1.0
    for _ in range(steps):
        middle = (low + high) / 2
        ratio = gradient_ratio(middle, clean, noisy)
        if abs(ratio - target) < tolerance:
            break
        low, high = (middle, high) if ratio > target else (low, middle)
    return (low + high) / 2


class ClippedByQueue:
    """The objective of `OGC`: keeps the latest losses and the threshold found from them.

    NOTE: with several processes each has its own queue and threshold.
    """

    min_batch = 1

    def __init__(self, config: "OGC") -> None:
        self.config = config
        self.queue = torch.zeros(config.queue, dtype=torch.float64)
        self.seen, self.step, self.threshold = 0, 0, SMALLEST

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        logits = logits_of(model(batch.x))
        log_p = of_label(log_probabilities(logits, batch.y), batch.y)
        loss = clipped_cross_entropy(log_p, self.threshold)
        if model.training:
            self.remember(-log_p.detach(), self.config.lr if batch.lr is None else batch.lr)
        return Scored(loss, logits)

    def remember(self, losses: Float[Tensor, " b"], lr: float) -> None:
        """Add the losses of a batch to the queue; once it is full, find the threshold anew in
        every ``config.every``-th step."""
        self.queue = self.queue.to(losses.device)
        size = len(self.queue)
        latest = losses.clamp(GRID[0], GRID[-1]).to(self.queue)[-size:]
        self.queue = torch.cat([self.queue[len(latest) :], latest])
        self.seen, self.step = min(size, self.seen + len(latest)), self.step + 1
        if self.seen == size and self.step % self.config.every == 0:
            target = 1 + lr * self.config.epsilon
            self.threshold = solve_threshold(
                self.queue.cpu().numpy(), target, self.config.steps, self.config.tolerance
            )

    def state_dict(self) -> dict[str, Any]:
        """Queue, counters and threshold."""
        return {name: getattr(self, name) for name in ("queue", "seen", "step", "threshold")}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with what `state_dict` returned."""
        for name in ("queue", "seen", "step", "threshold"):
            setattr(self, name, state[name])


@dataclass(frozen=True)
class OGC:
    """Clipped cross-entropy whose threshold keeps the mean gradient of noisy samples at
    1 + lr * epsilon times that of clean ones.

    Attributes:
        epsilon: excess gradient of noisy samples per unit of learning rate.
        every: steps from one search for the threshold to the next.
        queue: number of latest losses that a search uses; until the queue is full, nothing is
            clipped.
        steps, tolerance: of the bisection. Ten steps determine the threshold to 1e-3.
        lr: learning rate for training loops that do not set ``Batch.lr``.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batch = Batch(torch.zeros(6, 1, 8, 8), torch.arange(6), torch.arange(6))
    >>> objective = OGC(queue=4, every=2).build(DataInfo.of(batch.y, 10))
    >>> for _ in range(2):
    ...     scored = objective(model, batch)
    >>> scored.loss.shape, 0 < objective.threshold < 1
    (torch.Size([6]), True)
    """

    epsilon: float = 20.0
    every: int = 32
    queue: int = 4096
    steps: int = 10
    tolerance: float = 1e-7
    lr: float = 0.1

    def __post_init__(self) -> None:
        check_fields(
            self,
            positive=("epsilon", "tolerance", "lr"),
            at_least={"every": 1, "queue": 2, "steps": 1},
        )

    def build(self, info: DataInfo) -> ClippedByQueue:
        """The objective for a training set, with an empty queue."""
        return ClippedByQueue(self)


SETTINGS: dict[str, Setting[OGC]] = {
    name: Setting(OGC(), "Ye et al. 2025, released scripts", {"clip_norm": 5.0})
    for name in ("cifar10", "cifar100")
}
