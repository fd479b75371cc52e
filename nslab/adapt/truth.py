"""Numbers of an adaptation that need the target's labels: they are counted when it is over."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.types import Row


@dataclass
class Seen:
    """What an adaptation writes down for later, without any label.

    Attributes:
        tested: the likeliest class of each test image, before adaptation and after each epoch;
            None after an epoch without a look at them.
        pseudo: the pseudo-labels of each epoch.
        values: of each epoch (2, n): the probability that the pseudo-label had in the step that the
            image was trained on in, and the weight of its loss; NaN where there was none.
    """

    tested: list[Int[Tensor, " t"] | None]
    pseudo: list[Int[Tensor, " n"]] = field(default_factory=list)
    values: list[Float[Tensor, "2 n"]] = field(default_factory=list)

    def begin(self, labels: Int[Tensor, " n"]) -> None:
        """An epoch with these pseudo-labels begins."""
        self.pseudo.append(labels.to("cpu", torch.int16))
        self.values.append(torch.full((2, len(labels)), math.nan))

    def test_accuracy(self, looks: int, truth: Int[np.ndarray, " t"]) -> float:
        """Percent of test images classified correctly after this many epochs; NaN if not tested."""
        found = self.tested[looks]
        return math.nan if found is None else 100 * float((found.numpy() == truth).mean())


def judged(
    seen: Seen, truth: tuple[Int[np.ndarray, " n"], Int[np.ndarray, " t"]], classes: int
) -> Iterator[Row]:
    """A row an epoch. ``pseudo_accuracy``: percent of right pseudo-labels, as the epoch began;
    ``pseudo_class_accuracy``: the same of the images of each class; ``class_weight``: their mean
    weight; ``auc_weight``: `auc` of the weights, ``auc_probability`` of the probabilities of the
    pseudo-labels, the network's own confidence; ``test_accuracy`` after the epoch.

    Weights are missing where the objective gives none. A class is what an image truly is of.
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
    """The mean of each class's values, NaN left out; NaN for a class without any.

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
    """The chance that a right one has a larger value than a wrong one, ties counting half: the area
    under the ROC curve. NaN values are left out; NaN where there are no right or no wrong ones.

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
