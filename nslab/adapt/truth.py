"""Metrics of an adaptation that need the target's labels: they are computed when it is over."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.types import Row


@dataclass
class Records:
    """What an adaptation records for later, without any true label.

    Attributes:
        tested: the likeliest class of each test image, before adaptation and after each epoch;
            None after an epoch without a test.
        pseudo: the pseudo-labels of each epoch.
        values: for each epoch (2, n): the probability of the pseudo-label in the step that trained
            on the image, and the weight of its loss; NaN where there was none.
    """

    tested: list[Int[Tensor, " t"] | None]
    pseudo: list[Int[Tensor, " n"]] = field(default_factory=list)
    values: list[Float[Tensor, "2 n"]] = field(default_factory=list)

    def begin(self, labels: Int[Tensor, " n"]) -> None:
        """Begin an epoch with these pseudo-labels."""
        self.pseudo.append(labels.to("cpu", torch.int16))
        self.values.append(torch.full((2, len(labels)), math.nan))

    def test_accuracy(self, epochs: int, truth: Int[np.ndarray, " t"]) -> float:
        """Percent of test images classified correctly after this many epochs; NaN if not tested."""
        found = self.tested[epochs]
        return math.nan if found is None else 100 * float((found.numpy() == truth).mean())


def epoch_rows(
    seen: Records, truth: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " t"]], classes: int
) -> Iterator[Row]:
    """A row per epoch; ``truth`` holds the true labels of training and test images.

    ``pseudo_accuracy`` is the percentage of correct pseudo-labels at the start of the epoch,
    ``pseudo_class_accuracy`` the same for the images of each true class, and ``class_weight``
    their mean weight. ``auc_weight`` is the `auc` of the weights, ``auc_probability`` that of the
    probabilities of the pseudo-labels, the network's own confidence. ``test_accuracy`` is measured
    after the epoch. Numbers on weights are missing if the objective gives none.
    """
    images, tested = truth
    for epoch, (pseudo, values) in enumerate(zip(seen.pseudo, seen.values, strict=True)):
        right = pseudo.numpy() == images
        probability, weight = values.numpy()
        row: Row = {
            "pseudo_accuracy": 100 * float(right.mean()),
            "pseudo_class_accuracy": class_means(100.0 * right, images, classes),
            "auc_probability": auc(probability, right),
        }
        if not np.isnan(weight).all():
            row |= {
                "class_weight": class_means(weight, images, classes),
                "auc_weight": auc(weight, right),
            }
        if not math.isnan(accuracy := seen.test_accuracy(epoch + 1, tested)):
            row["test_accuracy"] = accuracy
        yield row


def class_means(
    values: Sequence[float] | Float[np.ndarray, " n"], y: Int[np.ndarray, " n"], classes: int
) -> list[float]:
    """The mean of each class's values without NaN; NaN for a class that has none.

    >>> class_means(np.array([1.0, 3.0, np.nan, 5.0]), np.array([0, 0, 1, 2]), 3)
    [2.0, nan, 5.0]
    """
    values = np.asarray(values, dtype=np.float64)
    there = ~np.isnan(values)
    counts = np.bincount(y[there], minlength=classes)
    sums = np.bincount(y[there], weights=values[there], minlength=classes)
    means = np.full(classes, np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means.tolist()


def auc(values: Float[np.ndarray, " n"], right: Bool[np.ndarray, " n"]) -> float:
    """Area under the ROC curve: the probability that a sample that is ``right`` has a larger value
    than one that is not, ties counting half. NaN values are left out; NaN if all samples left are
    right, or none.

    >>> auc(np.array([0.9, 0.8, 0.3, 0.8]), np.array([True, True, False, False]))
    0.875
    """
    there = ~np.isnan(values)
    values, right = values[there], right[there]
    good, bad = int(right.sum()), int((~right).sum())
    if not good or not bad:
        return math.nan
    from scipy.stats import rankdata  # takes a second to import

    ranks = rankdata(values)[right].sum()
    return float((ranks - good * (good + 1) / 2) / (good * bad))
