"""Losses as tables for figures: curves and surfaces, their evolution, and trainings with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from nslab.analysis.statistics import excludes_zero, paired
from nslab.configs.loss_search import losses_of
from nslab.configs.serialization import decode
from nslab.experiments.edl import loss_name, search_of, transfer_row
from nslab.experiments.edl_factors import feature_margin_row as factor_row
from nslab.lossnet import Regimes
from nslab.lossnet.ranking import SMALLEST_P, Margin, margins, ranking_accuracy, ranking_loss
from nslab.lossnet.synthetic_predictions import DRAW, draw_pairs, draw_predictions
from nslab.rng import generator
from nslab.runs.store import Result, finished
from nslab.types import Loss

MARGINS: tuple[Margin, ...] = ("order", "log")
REACHED = 0.995  # a loss ranks once this share of held-out pairs is in the right order


def curve_table(losses: Mapping[str, Loss], classes: int = 10, points: int = 400) -> pd.DataFrame:
    """Each loss for predictions in which the label has probability p and the other classes share
    the rest evenly.

    Columns: ``method``, ``p``; ``loss``, scaled so that its slope at uniform predictions is
    cross-entropy's, 1 - 1 / classes; ``relative``, -dl / dz_y over cross-entropy's, which is 1 at
    uniform predictions and 0 where the gradient vanishes.
    """
    p = torch.cat([torch.logspace(-6, -1, points // 2), torch.linspace(0.1, 0.999, points // 2)])
    p = p.double().unique()
    even = torch.tensor([1 / classes], dtype=torch.float64)
    tables = []
    for method, loss in losses.items():
        value, slope = along(loss, p, classes)
        unit = float(along(loss, even, classes)[1]) / (1 - 1 / classes)
        relative = slope / unit / (1 - p)
        tables.append(
            pd.DataFrame({"p": p, "loss": value / abs(unit), "relative": relative}).assign(
                method=method
            )
        )
    return pd.concat(tables, ignore_index=True)


def along(
    loss: Loss, p: Float[Tensor, " n"], classes: int
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """A loss, and -dl / dz_y, for predictions in which the label 0 has probability p and the other
    classes share the rest evenly."""
    others = ((1 - p) / (classes - 1))[:, None].expand(-1, classes - 1)
    z = torch.cat([p[:, None], others], 1).log().requires_grad_()
    value = loss(z, torch.zeros(len(p), dtype=torch.long))
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return value.detach(), -gradient[:, 0]


def surface(loss: Loss, side: int = 60) -> pd.DataFrame:
    """A loss over all predictions for three classes, the first being the label: ``p1``, ``p2``,
    ``p3``, and ``loss``, scaled as in `curve_table`. The grid has ``side`` steps along an edge."""
    i, j = np.meshgrid(np.arange(side + 1), np.arange(side + 1), indexing="ij")
    inside = i + j <= side
    p = np.stack([i[inside], j[inside], side - i[inside] - j[inside]], 1) / side
    p = (p + 1e-5) / (1 + 3e-5)  # the corners themselves have no finite cross-entropy
    z = torch.tensor(p).log()
    values = loss(z, torch.zeros(len(z), dtype=torch.long))
    even = torch.tensor([1 / 3], dtype=torch.float64)
    unit = abs(float(along(loss, even, 3)[1])) / (2 / 3)
    return pd.DataFrame(p, columns=["p1", "p2", "p3"]).assign(loss=(values.detach() / unit).numpy())


def synthetic_table(regimes: Regimes, n: int, classes: int, seed: int = 0) -> pd.DataFrame:
    """``n`` synthetic predictions, a line each: ``regime``; ``p_y``; ``largest``, the largest
    probability of another class; and for three classes ``p1`` (the label's) to ``p3``."""
    p, y, which = draw_predictions(regimes, n, classes, generator(seed, "shown predictions"))
    rolled = torch.stack([row.roll(-int(k)) for row, k in zip(p, y, strict=True)])
    table = pd.DataFrame(
        {
            "regime": [list(DRAW)[i] for i in which.tolist()],
            "p_y": rolled[:, 0],
            "largest": rolled[:, 1:].max(1).values,
        }
    )
    if classes == 3:
        table[["p1", "p2", "p3"]] = rolled.numpy()
    return table


def ranking_table(losses: Mapping[str, Loss], regimes: Regimes, n: int, seed: int) -> pd.DataFrame:
    """How well losses rank n synthetic pairs: a line per loss with its ``ranking_accuracy`` and the
    objective by margin, ``order`` and ``log``."""
    pairs = draw_pairs(regimes, n, generator(seed, "ranked pairs"))
    lines = {}
    for name, loss in losses.items():
        worse = torch.cat([loss(_logits(g.worse), g.worse_y) for g in pairs])[None]
        better = torch.cat([loss(_logits(g.better), g.better_y) for g in pairs])[None]
        lines[name] = {"ranking_accuracy": float(ranking_accuracy(worse, better))} | {
            margin: float(ranking_loss(worse, better, margins(pairs, margin))) for margin in MARGINS
        }
    return pd.DataFrame.from_dict(lines, orient="index")


def _logits(p: Float[Tensor, "n k"]) -> Float[Tensor, "n k"]:
    return p.clamp(min=SMALLEST_P).log()


def pretraining_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per evolution of a loss and generation: ``search``, ``pairs``, ``seed``, the numbers
    measured on held-out pairs, and ``unranked``, the share of pairs in the wrong order."""
    lines: list[dict[str, Any]] = []
    for result in results:
        config = decode(result.config)
        about = {"search": search_of(config), "pairs": config.pairs, "seed": config.seed}
        lines += [about | row for row in result.history]
    return pd.DataFrame(lines).assign(unranked=lambda t: 1 - t["ranking_accuracy"])


def reached_table(table: pd.DataFrame, threshold: float = REACHED) -> pd.DataFrame:
    """For each evolution in a `pretraining_table`, as ``value`` the first generation with a ranking
    accuracy of at least ``threshold``; the last generation + 1 if it is never reached."""
    by = ["pairs", "search", "seed"]
    last = table.groupby(by, sort=False)["generation"].max() + 1
    good = table[table["ranking_accuracy"] >= threshold]
    first = good.groupby(by, sort=False)["generation"].min().reindex(last.index).fillna(last)
    return first.rename("value").reset_index().rename(columns={"search": "method"})


def final_table(table: pd.DataFrame, generation: int, column: str) -> pd.DataFrame:
    """A ``column`` of a `pretraining_table` after one generation, as ``value``."""
    at = table[table["generation"] == generation]
    return at.assign(value=at[column]).rename(columns={"search": "method"})[
        ["pairs", "method", "seed", "value"]
    ]


def accuracy_table(results: Sequence[Result]) -> pd.DataFrame:
    """A line per training: its loss by name, learning rate, seed, test accuracy in percent, and
    whether it has ``learnt`` (is above chance)."""
    lines = []
    for result in results:
        config = decode(result.config)
        lines.append(
            {
                "dataset": config.dataset,
                "network": config.network,
                "method": loss_name(config.objective),
                "lr": config.lr,
                "seed": config.seed,
                "value": result.metrics["test_accuracy"],
                "learnt": result.learnt,
            }
        )
    return pd.DataFrame(lines)


def transfer_table(results: Sequence[Result], *, frozen_only: bool = False) -> pd.DataFrame:
    """A line per evolved loss: how it was evolved, its numbers on held-out synthetic pairs, and the
    mean test ``accuracy`` of the ``n`` networks trained with it. ``frozen_only``: see
    `nslab.runs.store.finished`.

    Raises ``ValueError`` if the evolution of a loss is not among the finished runs.
    """
    lines: list[dict[str, Any]] = []
    for result in results:
        config = decode(result.config)
        evolution = finished(losses_of(config), frozen_only=frozen_only)
        if not evolution:
            raise ValueError(
                f"run {result.id} is here, but the run {losses_of(config)[0].id} that evolved its "
                "loss is not: compute it with nslab.run"
            )
        about = transfer_row(config) | evolution[0].metrics
        lines.append(about | {"accuracy": result.metrics["test_accuracy"]})
    table = pd.DataFrame(lines)
    keys = [column for column in table.columns if column != "accuracy"]
    grouped = table.groupby(keys, sort=False)["accuracy"]
    return (
        grouped.agg(["mean", "count"])
        .reset_index()
        .rename(columns={"mean": "accuracy", "count": "n"})
    )


def factor_table(results: Sequence[Result]) -> pd.DataFrame:
    """For runs of ``edl/factors``, a line per evolved loss: ``feature``, ``margin``, ``classes``,
    the seed of its ``evolution``, and as ``value`` the mean test accuracy of the ``n`` networks
    trained with it; and a line for cross-entropy, with feature and margin ``CE``."""
    lines = [factor_row(decode(r.config)) | {"value": r.metrics["test_accuracy"]} for r in results]
    keys = ["feature", "margin", "classes", "evolution"]
    grouped = pd.DataFrame(lines).groupby(keys, sort=False)["value"]
    return grouped.agg(value="mean", n="count").reset_index()


def factor_cells(table: pd.DataFrame) -> pd.DataFrame:
    """A line per feature and margin of a `factor_table`: mean ``accuracy``, and the `Paired`
    differences of its evolutions to cross-entropy; ``sd`` is over evolutions, not trainings."""
    ce = float(table.loc[table["feature"] == "CE", "value"].iloc[0])
    lines = []
    for (feature, margin), part in table[table["feature"] != "CE"].groupby(
        ["feature", "margin"], sort=False
    ):
        about = {"feature": feature, "margin": margin, "accuracy": part["value"].mean()}
        lines.append(about | vars(paired(part["value"], part["value"] * 0 + ce)))
    return pd.DataFrame(lines)


def factor_effects(table: pd.DataFrame) -> pd.DataFrame:
    """The effects in a `factor_table` of log margin and log feature, each averaged over the other,
    and their interaction (the effect of the margin with log p minus that with p): `Paired` over
    evolutions, in points; evolutions of the same seed are compared."""
    wide = table[table["feature"] != "CE"].pivot_table(
        index="evolution", columns=["feature", "margin"], values="value"
    )
    p, log_p = wide["p"], wide["log p"]
    effects = {
        "log margin": paired((p["log"] + log_p["log"]) / 2, (p["order"] + log_p["order"]) / 2),
        "log feature": paired((log_p["order"] + log_p["log"]) / 2, (p["order"] + p["log"]) / 2),
        "interaction": paired(log_p["log"] - log_p["order"], p["log"] - p["order"]),
    }
    return pd.DataFrame.from_dict({name: vars(e) for name, e in effects.items()}, orient="index")


def factor_finding(effects: pd.DataFrame) -> str:
    """The result of `factor_effects` in words: which effects' intervals exclude 0, and numbers."""
    main = effects.loc[["log margin", "log feature"]]
    clear = [str(n) for n, line in main.iterrows() if excludes_zero(line["low"], line["high"])]
    said = "Margin and feature both have a clear effect" if clear else "No clear effect of either"
    if len(clear) == 1:
        said = f"Only the {clear[0]} has a clear effect"
    numbers = [
        f"{name} {line['mean']:+.1f} points ({line['low']:+.1f} to {line['high']:+.1f})"
        for name, line in main.iterrows()
    ]
    return f"{said}:\n{', '.join(numbers)}"
