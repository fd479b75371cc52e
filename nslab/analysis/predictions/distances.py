"""Distances between real and synthetic predictions, and the share of real ones that are covered."""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy.optimize import linprog
from scipy.spatial.distance import cdist, jensenshannon
from scipy.stats import wasserstein_distance
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from torch import Tensor

from nslab.analysis.predictions.features import TINY, Cells, NamedNumbers, cells, steepness, views
from nslab.lossnet import Regimes
from nslab.lossnet.synthetic_predictions import Predictions, at_label, draw_predictions
from nslab.rng import generator

RARE = 0.001  # a cell with a smaller share of the synthetic predictions counts as empty
MANY = 100_000  # synthetic predictions from which the shares of cells and the tails are estimated
AT_MOST = 1000  # of either kind, for the energy distance (quadratic cost) and the random forest
SEEN = 1e-4  # probabilities are clipped to this for the classifier, as for a loss's log feature


class Synthetic(NamedTuple):
    """Synthetic predictions and their distribution.

    Attributes:
        drawn: a sample as large as the real ones.
        regimes: regime -> shares of its predictions in the `cells`.
        mixture: shares of all predictions in the `cells`.
        p_threshold: the value of p_y below which a share `RARE` of them lie.
        odds_threshold: the log10 odds above which a share `RARE` of them lie.
    """

    drawn: Predictions
    regimes: dict[str, Cells]
    mixture: Cells
    p_threshold: float
    odds_threshold: float


def synthetic_sample(regimes: Regimes, n: int, k: int, seed: int = 0) -> Synthetic:
    """Draw n predictions of k classes, and 100,000 more to estimate their distribution."""
    p, y, which = draw_predictions(regimes, MANY, k, generator(seed, "many synthetic"))
    seen = views(Predictions(p, y))
    parts = {
        name: cells(Predictions(p[which == i], y[which == i]))
        for i, name in enumerate(regimes.weights)
        if (which == i).any()
    }
    p_threshold = float(np.quantile(seen["p_y"], RARE))
    odds_threshold = float(np.quantile(seen["odds"], 1 - RARE))
    first = drawn(regimes, n, k, seed, "first")[0]
    return Synthetic(first, parts, cells(Predictions(p, y)), p_threshold, odds_threshold)


def drawn(
    regimes: Regimes, n: int, k: int, seed: int, name: str | int
) -> tuple[Predictions, Int[Tensor, " n"]]:
    """n synthetic predictions of k classes, and the regime of each; ``name`` names the random
    stream."""
    p, y, which = draw_predictions(regimes, n, k, generator(seed, "synthetic", name))
    return Predictions(p, y), which


def divergences(sample: Predictions, drawn: Predictions, seed: int = 0) -> NamedNumbers:
    """How far apart two sets of predictions are.

    ``js``: Jensen-Shannon divergence of their `cells`, in bits (0 to 1). ``w_p``, ``w_log``:
    Wasserstein-1 distance of p_y and of log10 p_y (in decades). ``energy``: energy distance of
    p_y followed by the other probabilities in descending order. ``told_apart``: cross-validated
    accuracy, in percent, of a random forest that tells the two sets apart by the same numbers
    (chance: 50). The last two use the first 1,000 of each set.
    """
    seen = views(sample), views(drawn)
    few = [_by_size(s)[:AT_MOST].numpy() for s in (sample, drawn)]
    few = [part[: min(map(len, few))] for part in few]
    forest = RandomForestClassifier(30, min_samples_leaf=5, random_state=seed)
    folds = StratifiedKFold(3, shuffle=True, random_state=seed)
    x, label = np.concatenate(few).clip(min=SEEN), np.repeat([0, 1], len(few[0]))
    return {
        "js": float(jensenshannon(cells(sample), cells(drawn), base=2) ** 2),
        "w_p": float(wasserstein_distance(*(v["p_y"] for v in seen))),
        "w_log": float(wasserstein_distance(*(v["surprise"] for v in seen))),
        "energy": energy_distance(*few),
        "told_apart": 100 * float(cross_val_score(forest, x, label, cv=folds).mean()),
    }


def energy_distance(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """sqrt(2 E|a - b| - E|a - a'| - E|b - b'|), which scipy computes in one dimension only."""
    apart, within = cdist(a, b).mean(), cdist(a, a).mean() + cdist(b, b).mean()
    return float(np.sqrt(max(0.0, 2 * apart - within)))


def _by_size(sample: Predictions) -> Float[Tensor, "n k"]:
    """p_y, then the other probabilities in descending order."""
    p, y = sample
    others = p.scatter(1, y[:, None], -1).sort(1, descending=True).values[:, :-1]
    return torch.cat([at_label(p, y)[:, None], others], 1)


def coverage(sample: Predictions, made: Synthetic) -> NamedNumbers:
    """Shares of predictions: ``covered``, in cells that hold at least 0.1 % of the synthetic ones;
    ``fainter``, with p_y below all but 0.1 % of theirs; ``surer``, with p_y above all but 0.1 %.

    ``covered_gradient``: the share of the sum of cross-entropy's gradient norms that the covered
    predictions have, because predictions that are nearly right hardly matter to a loss.
    """
    seen, there = views(sample), made.mixture >= RARE
    return {
        "covered": float(cells(sample)[there].sum()),
        "covered_gradient": float(cells(sample, steepness(sample).numpy())[there].sum()),
        "fainter": float((seen["p_y"] < made.p_threshold).mean()),
        "surer": float((seen["odds"] > made.odds_threshold).mean()),
    }


def mixture_shares(sample: Predictions, made: Synthetic) -> NamedNumbers:
    """The mixture of regimes, with any weights, that overlaps most with the predictions' cells.

    ``like_<regime>``: the share of predictions that it explains by each regime. Their sum is 1
    minus the total variation distance; the rest cannot be explained by any mixture.
    """
    wanted, parts = cells(sample), np.stack(list(made.regimes.values()), 1)
    inside = wanted > 0
    wanted, parts = wanted[inside], parts[inside]
    n, r = parts.shape  # maximise the sum of m over m <= wanted and m <= parts @ weights
    best = linprog(
        np.repeat([0.0, -1.0], [r, n]),
        A_ub=np.hstack([-parts, np.eye(n)]),
        b_ub=np.zeros(n),
        A_eq=np.repeat([[1.0, 0.0]], [r, n], axis=1),
        b_eq=[1.0],
        bounds=[(0, 1)] * r + [(0, b) for b in wanted],
    ).x
    mixed = parts * best[:r]
    owed = mixed * (best[r:] / mixed.sum(1).clip(min=TINY))[:, None]
    return {f"like_{name}": float(v) for name, v in zip(made.regimes, owed.sum(0), strict=True)}
