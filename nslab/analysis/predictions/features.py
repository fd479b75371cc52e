"""Features of predictions that do not depend on the order of the classes."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nslab.lossnet.synthetic_predictions import Predictions, at_label

Values = Float[np.ndarray, " n"]
Cells = Float[np.ndarray, " c"]
NamedNumbers = dict[str, float]

QUANTILES = (5, 25, 50, 75, 95)  # percent
# Edges of the cells: log10 odds of p_y, further out than any synthetic prediction, and the share
# that the largest wrong class has of 1 - p_y.
ODDS = np.concatenate([[-np.inf], np.arange(-7, 7.25, 0.5), [np.inf]])
SHARES = np.linspace(0, 1, 9)
TINY = 1e-300


def views(sample: Predictions) -> dict[str, Values]:
    """Numbers of each prediction that do not depend on the order of the other classes.

    ``p_y``; ``surprise``, -log10 p_y; ``odds``, log10(p_y / (1 - p_y)); ``rival``, the largest
    probability of a wrong class; ``rival_share``, rival / (1 - p_y); ``entropy``, divided by log K;
    ``effective_classes``, 1 / sum p^2.
    """
    p, y = sample
    own, others = at_label(p, y).clamp(min=TINY), p.scatter(1, y[:, None], 0)
    rest, rival = others.sum(1).clamp(min=TINY), others.amax(1)
    found = {
        "p_y": own,
        "surprise": -own.log10(),
        "odds": own.log10() - rest.log10(),  # the sum of the others is more precise than 1 - p_y
        "rival": rival,
        "rival_share": (rival / rest).clamp(0, 1),
        "entropy": torch.special.entr(p).sum(1) / np.log(p.shape[1]),
        "effective_classes": 1 / p.square().sum(1),
    }
    return {name: values.numpy() for name, values in found.items()}


def statistics(sample: Predictions) -> NamedNumbers:
    """Accuracy in percent, and mean and quantiles (5, 25, 50, 75, 95 %) of all `views`."""
    found = {"accuracy": 100 * float((sample.p.argmax(1) == sample.y).double().mean())}
    for name, values in views(sample).items():
        found[f"{name}_mean"] = float(values.mean())
        for q, value in zip(QUANTILES, np.percentile(values, QUANTILES), strict=True):
            found[f"{name}_q{q}"] = float(value)
    return found


def cells(sample: Predictions, weight: Values | None = None) -> Cells:
    """Shares of predictions, or of their ``weight``, in the cells of a grid, `ODDS` by `SHARES`:
    a histogram of p_y and the largest wrong probability, on scales that resolve their extremes."""
    seen = views(sample)
    grid = [ODDS, SHARES]
    counts = np.histogram2d(seen["odds"], seen["rival_share"], grid, weights=weight)[0]
    return counts.ravel() / counts.sum()


def steepness(sample: Predictions) -> Float[Tensor, " n"]:
    """|p - onehot(y)|, the norm of cross-entropy's gradient with respect to the logits."""
    p, y = sample
    others = p.scatter(1, y[:, None], 0)
    return torch.cat([others, others.sum(1, keepdim=True)], 1).norm(dim=1)
