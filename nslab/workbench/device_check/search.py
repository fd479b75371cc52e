"""Compare the objective of EDL's search on a device with one computed in float64, prediction by
prediction."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nslab.lossnet import LossForm, Regimes, pretrain
from nslab.lossnet.ranking import margins, pair_losses, ranking_loss
from nslab.lossnet.synthetic_predictions import Pairs, draw_pairs
from nslab.rng import generator
from nslab.workbench.device_check.findings import Finding, largest_error, worst

PART = "EDL's search"


def loss(form: LossForm, w: np.ndarray, p: np.ndarray, y: int) -> float:
    """The loss of one prediction: a sum over its classes, minus its value at the one-hot label."""
    h = form.hidden
    into, bias, out = w[: form.inputs * h].reshape(-1, h), w[-2 * h : -h], w[-h:]
    own = np.eye(len(p))[y]

    def total(q: np.ndarray) -> float:
        rows = [2 * q - 1]
        if form.log_feature:
            rows.append(2 * np.log1p(q / 1e-4) / np.log1p(1e4) - 1)
        return float((np.tanh(np.stack([*rows, 2 * own - 1], -1) @ into + bias) @ out).sum())

    return total(p) - total(own)


def objective(form: LossForm, w: np.ndarray, pairs: Sequence[Pairs], margin: str) -> float:
    """The mean softplus of the margins by which pairs miss the wanted gap, plus the mean excess of
    losses below 0; both in units of the losses' standard deviation."""
    sides: list[list[float]] = [[], []]
    at_label: list[list[float]] = [[], []]
    for group in pairs:
        for side, (p, y) in enumerate(
            ((group.worse, group.worse_y), (group.better, group.better_y))
        ):
            for row, label in zip(p.double().numpy(), y.tolist(), strict=True):
                sides[side].append(loss(form, w, row, label))
                at_label[side].append(row[label])
    worse, better = (np.array(v) for v in sides)
    std = np.concatenate([worse, better]).std(ddof=1)
    asked = np.zeros(len(worse))
    if margin == "log":
        low, high = (np.log(np.maximum(v, 1e-7)) for v in at_label)
        asked = (high - low) / np.concatenate([low, high]).std(ddof=1)
    gap = (asked / 2 - (worse - better) / std) / 0.1
    below = np.maximum(-np.concatenate([worse, better]) / std, 0).mean()
    return float(0.1 * np.logaddexp(0, gap).mean() + below)


def check_search(device: torch.device) -> Iterator[Finding]:
    """Check candidates of both shipped forms on the same pairs, then a search of one generation,
    which always runs on the CPU."""
    pairs = draw_pairs(Regimes(), 64, generator(3, "device check"))
    there = [Pairs(*(part.to(device) for part in group)) for group in pairs]
    why = "float32: differences of losses in units of their standard deviation"
    for margin, form in (("order", LossForm()), ("log", LossForm(log_feature=True))):
        w = form.initial(4, generator(4, "device check"))
        both = pair_losses(form, w.float().to(device), there)
        found = ranking_loss(*both, margins(there, margin))  # type: ignore[arg-type]
        wanted = [objective(form, one, pairs, margin) for one in w.float().double().numpy()]
        error = largest_error(found, np.array(wanted))
        yield Finding(PART, f"four candidates, margin {margin}", error, 1e-4, why)
    form, seed = LossForm(), 11
    made = pretrain(form, generations=1, pairs=64, held_out=64, rays=8, seed=seed)
    unseen = draw_pairs(Regimes(), 64, generator(seed, "lossnet", "held-out pairs"))
    wanted_value = objective(form, made.net.w.float().double().numpy(), unseen, "order")
    told = made.history[-1]["objective"]
    improved = made.history[-1]["best"] <= made.history[0]["best"] or told < 1
    error = worst([largest_error(np.array([told]), np.array([wanted_value]))])
    yield Finding(
        PART, "a generation (always on the CPU)", error if improved else np.inf, 1e-4, why
    )
