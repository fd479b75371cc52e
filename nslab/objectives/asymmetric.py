"""Asymmetric losses: unhinged (AUL), generalised cross-entropy (AGCE), exponential (AEL).

Source: Zhou et al. 2021, "Asymmetric Loss Functions for Learning with Noisy Labels", section 4.
"""

from dataclasses import dataclass
from typing import Literal

import torch

from nslab.objectives.probabilities import log_probabilities, normalised, of_label, one_minus_p
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import PlainLoss
from nslab.system.validation import check_fields
from nslab.types import Labels, Logits, PerSample

Kind = Literal["aul", "agce", "ael"]


def asymmetric(log_p: PerSample, kind: Kind, a: float, q: float) -> PerSample:
    """AUL ((a - p)^q - (a - 1)^q) / q, AGCE ((a + 1)^q - (a + p)^q) / q, or AEL exp(-p / a).

    ``log_p`` is log p. AUL and AGCE are computed with the power at p = 1 factored out: near p = 1
    the difference of the powers would lose its digits.
    """
    if kind == "ael":
        return (-log_p.exp() / a).exp()
    if kind == "aul":
        return (a - 1) ** q * torch.expm1(q * torch.log1p(one_minus_p(log_p) / (a - 1))) / q
    return -((a + 1) ** q) * torch.expm1(q * torch.log1p(-one_minus_p(log_p) / (a + 1))) / q


@dataclass(frozen=True)
class Asymmetric(PlainLoss):
    """beta times an asymmetric loss of p_y, plus alpha NCE (by default none).

    ``a`` must exceed 1 for AUL and be positive for the others; AEL has no ``q``.

    >>> logits, y = torch.tensor([[2.0, 0.0, 0.0]] * 2), torch.tensor([0, 1])
    >>> Asymmetric("agce", a=0.6, q=0.6).loss(logits, y)  # right, wrong
    tensor([0.1815, 0.8566])
    """

    kind: Kind = "aul"
    a: float = 5.5
    q: float = 3.0
    alpha: float = 0.0
    beta: float = 1.0

    def __post_init__(self) -> None:
        check_fields(self, positive=("a", "q"), at_least={"alpha": 0, "beta": 0})
        if self.kind == "aul" and self.a <= 1:
            raise ValueError(f"Asymmetric: a must be above 1 for aul, not {self.a}")

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The loss of each sample, NCE included."""
        log_p = log_probabilities(logits, y)
        loss = self.beta * asymmetric(of_label(log_p, y), self.kind, self.a, self.q)
        return loss + self.alpha * normalised(log_p, y) if self.alpha else loss


_SOURCE = "Zhou et al. 2021, released configs"
SETTINGS: dict[str, Setting[Asymmetric]] = {
    **{name: Setting(Asymmetric("aul", 5.5, 3.0), _SOURCE) for name in ("cifar10", "cifar100")},
    **{
        f"{name}_agce": Setting(Asymmetric("agce", 0.6, 0.6), _SOURCE)
        for name in ("cifar10", "cifar100")
    },
    **{f"{name}_ael": Setting(Asymmetric("ael", 2.5), _SOURCE) for name in ("cifar10", "cifar100")},
    "cifar10_nce_aul": Setting(Asymmetric("aul", 6.3, 1.5, 1.0, 4.0), _SOURCE),
    "cifar100_nce_aul": Setting(Asymmetric("aul", 6.0, 3.0, 10.0, 0.015), _SOURCE),
    "cifar10_nce_agce": Setting(Asymmetric("agce", 6.0, 1.5, 1.0, 4.0), _SOURCE),
    "cifar100_nce_agce": Setting(Asymmetric("agce", 1.8, 3.0, 10.0, 0.1), _SOURCE),
    "cifar10_nce_ael": Setting(Asymmetric("ael", 5.0, 1.0, 1.0, 4.0), _SOURCE),
    "cifar100_nce_ael": Setting(Asymmetric("ael", 1.5, 1.0, 10.0, 0.1), _SOURCE),
}
