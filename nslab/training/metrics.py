"""Metrics of a classifier."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from scipy import special  # not stats, which takes a second to import
from torch import Tensor

from nslab.types import Labels, Logits


@dataclass
class Tally:
    """Sums over batches from which accuracy and loss are computed; on its device until read.

    Attributes:
        right, seen: correct predictions and samples of each class.
        loss: sum of cross-entropies.
        near: number of samples whose class is among the five likeliest.
    """

    right: Float[Tensor, " k"]
    seen: Float[Tensor, " k"]
    loss: Float[Tensor, ""]
    near: Float[Tensor, ""]

    @classmethod
    def empty(cls, num_classes: int, device: torch.device | str = "cpu") -> "Tally":
        """Nothing counted yet. Double precision: counts stay exact, sums accurate."""
        return cls.unpacked(torch.zeros(2 * num_classes + 2, dtype=torch.float64, device=device))

    def add(self, logits: Logits, y: Labels, accepted: Int[Tensor, "b l"] | None = None) -> None:
        """Count a batch: correct predictions per class, samples per class, cross-entropy.

        ``accepted``: all right labels of each sample, padded with -1, where there may be several: a
        prediction is then right if it is any of them, it counts for the class ``y``, and the loss
        is that of their probabilities together.

        >>> tally = Tally.empty(3)
        >>> logits = torch.tensor([[0.0, 2.0, 1.0], [0.0, 1.0, 2.0]])
        >>> tally.add(logits, torch.tensor([0, 0]), torch.tensor([[0, 1], [0, -1]]))
        >>> tally.accuracy
        50.0
        """
        right = y[:, None] if accepted is None else accepted
        own = logits.gather(1, right.clamp(min=0)).masked_fill(right < 0, -torch.inf)
        hit = (logits.argmax(1)[:, None] == right).any(1).double()
        # written so that a NaN counts as a likelier class, and no network scores by NaNs
        self.near += ((~(logits <= own.max(1, keepdim=True).values)).sum(1) < 5).sum()
        self.right.index_add_(0, y, hit)
        self.seen.index_add_(0, y, torch.ones_like(hit))
        if accepted is None:
            losses = F.cross_entropy(logits.float(), y, reduction="none")
        else:
            losses = logits.float().logsumexp(1) - own.float().logsumexp(1)
        self.loss += losses.double().sum()

    def packed(self) -> Float[Tensor, " n"]:
        """All sums in one vector, to be added up over processes."""
        return torch.cat([self.right, self.seen, self.loss[None], self.near[None]])

    @classmethod
    def unpacked(cls, sums: Float[Tensor, " n"]) -> "Tally":
        """The inverse of `packed`."""
        k = (len(sums) - 2) // 2
        return cls(sums[:k], sums[k:-2], sums[-2], sums[-1])

    @property
    def accuracy(self) -> float:
        """Share of correct predictions, in percent."""
        return 100 * float(self.right.sum() / self.seen.sum())

    @property
    def top5(self) -> float:
        """Share of samples for which fewer than five classes are likelier than their own, in
        percent; with at most five classes that is every sample."""
        return 100 * float(self.near / self.seen.sum())

    @property
    def per_class(self) -> list[float]:
        """Accuracy of each class in percent (nan for a class without samples)."""
        return (100 * self.right / self.seen).tolist()

    @property
    def balanced(self) -> float:
        """Mean of the accuracies of the classes, in percent."""
        return sum(self.per_class) / len(self.per_class)

    @property
    def mean_loss(self) -> float:
        """Mean cross-entropy in nats."""
        return float(self.loss / self.seen.sum())


def corruption_errors(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]
) -> dict[str, float]:
    """CE_c = 100 sum_s E_(c,s) / sum_s B_(c,s): a model's error rates E on corruption c, summed
    over its severities s, in percent of a baseline's error rates B.

    Source: Hendrycks & Dietterich 2019; the DE paper's baseline is LeNet-1 trained with Adam. The
    mean over the corruptions is `mean_corruption_error`. Raises ``ValueError`` if the two do not
    have the same corruptions and severities, or if the baseline makes no error.
    """
    if errors.keys() != baseline.keys():
        odd = ", ".join(sorted(errors.keys() ^ baseline.keys()))
        raise ValueError(f"measure model and baseline on the same corruptions; only one has {odd}")
    found = {}
    for name, measured in errors.items():
        reference = baseline[name]
        if len(measured) != len(reference):
            raise ValueError(
                f"measure {name} at the same severities: the model has {len(measured)}, "
                f"the baseline {len(reference)}"
            )
        if not sum(reference) > 0:
            raise ValueError(f"the baseline makes no error on {name}: take a weaker baseline")
        found[name] = 100 * sum(measured) / sum(reference)
    return found


def mean_corruption_error(
    errors: Mapping[str, Sequence[float]], baseline: Mapping[str, Sequence[float]]
) -> float:
    """mCE: the mean of `corruption_errors`, in percent; ``ValueError`` also without corruptions."""
    found = corruption_errors(errors, baseline)
    if not found:
        raise ValueError("no corruption was measured")
    return sum(found.values()) / len(found)


def above_chance(accuracy: float, classes: int, samples: int) -> bool:
    """Whether ``accuracy``, in percent of ``samples``, is better than guessing: one-sided binomial
    test at the 0.1 % level against a chance of one in ``classes``."""
    right = round(accuracy / 100 * samples)
    return bool(special.bdtrc(right - 1, samples, 1 / classes) < 0.001)
