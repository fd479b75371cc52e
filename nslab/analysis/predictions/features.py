"""Features of predictions: numbers that do not depend on what the classes are called."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from nslab.lossnet.synthetic_predictions import Predictions, at_label

Values = Float[np.ndarray, " n"]
Cells = Float[np.ndarray, " c"]
NamedNumbers = dict[str, float]

QUANTILES = (5, 25, 50, 75, 95)  # percent
# Cells: log10 odds of p_y, to where no synthetic ones are, by the share of the largest wrong class.
ODDS = np.concatenate([[-np.inf], np.arange(-7, 7.25, 0.5), [np.inf]])
SHARES = np.linspace(0, 1, 9)
TINY = 1e-300


def views(sample: Predictions) -> dict[str, Values]:
    """What a prediction has, whatever its classes are called.

    ``p_y``; ``surprise``, -log10 p_y; ``odds``, log10(p_y / (1 - p_y)); ``rival``, the largest
    probability of a wrong class; ``rival_share``, its part of 1 - p_y; ``entropy`` over log K;
    ``effective_classes``, 1 / sum p^2.
    """
    p, y = sample
    own, others = at_label(p, y).clamp(min=TINY), p.scatter(1, y[:, None], 0)
    rest, rival = others.sum(1).clamp(min=TINY), others.amax(1)
    found = {
        "p_y": own,
        "surprise": -own.log10(),
        "odds": own.log10() - rest.log10(),  # 1 - p_y from the others keeps its digits
        "rival": rival,
        "rival_share": (rival / rest).clamp(0, 1),
        "entropy": torch.special.entr(p).sum(1) / np.log(p.shape[1]),
        "effective_classes": 1 / p.square().sum(1),
    }
    return {name: values.numpy() for name, values in found.items()}


def statistics(sample: Predictions) -> NamedNumbers:
    """Mean and quantiles (in percent: 5, 25, 50, 75, 95) of all `views`; accuracy in percent."""
    found = {"accuracy": 100 * float((sample.p.argmax(1) == sample.y).double().mean())}
    for name, values in views(sample).items():
        found[f"{name}_mean"] = float(values.mean())
        for q, value in zip(QUANTILES, np.percentile(values, QUANTILES), strict=True):
            found[f"{name}_q{q}"] = float(value)
    return found


def cells(sample: Predictions, weight: Values | None = None) -> Cells:
    """Shares of predictions, or of their weight, in the cells of a grid: `ODDS` by `SHARES`.

    The largest wrong probability is its share times 1 - p_y: this is a histogram of p_y and it.
    """
    seen = views(sample)
    grid = [ODDS, SHARES]
    counts = np.histogram2d(seen["odds"], seen["rival_share"], grid, weights=weight)[0]
    return counts.ravel() / counts.sum()


def steepness(sample: Predictions) -> Float[Tensor, " n"]:
    """|p - onehot(y)|, the gradient of cross-entropy by the logits."""
    p, y = sample
    others = p.scatter(1, y[:, None], 0)
    return torch.cat([others, others.sum(1, keepdim=True)], 1).norm(dim=1)
