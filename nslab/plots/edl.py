"""Figures of evolved losses: tables in, a figure out; nothing is computed here."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nslab.analysis.statistics import Line
from nslab.configs.labels import colour_of, text_of
from nslab.lossnet import Regimes
from nslab.plots.comparison import GREY

_REGIMES = tuple(Regimes().weights)
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))


def loss_curves(table: pd.DataFrame, title: str) -> Figure:
    """Each loss over the label's probability, and what it teaches beside cross-entropy."""
    figure = Figure(figsize=(10, 4))
    left, right = figure.subplots(1, 2)
    for number, (method, part) in enumerate(table.groupby("method", sort=False)):
        look = {
            "label": text_of(str(method)),
            "color": colour_of(str(method)),
            "linestyle": _DASHES[number % len(_DASHES)],
        }
        left.plot(part["p"], part["loss"], **look)
        right.plot(part["p"], part["relative"], **look)
    left.set(
        xlabel="probability of the label, $p_y$",
        ylabel="loss (same slope at even predictions)",
        ylim=(-0.5, 8),
    )
    right.set(
        xlabel="probability of the label, $p_y$",
        ylabel="gradient $|\\partial\\ell/\\partial z_y|$ over CE's",
        xscale="log",
        yscale="log",
        ylim=(1e-5, 30),
    )
    right.axhline(1, color=GREY, linewidth=0.8)
    left.legend()
    figure.suptitle(title, fontsize=11)
    return figure


def corners(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Predictions of three classes in the plane: the label's corner on top."""
    x = (table["p3"] - table["p2"]) * 0.5
    return x.to_numpy(), (table["p1"] * np.sqrt(3) / 2).to_numpy()


def surfaces(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Losses over the simplex of three classes, all as steep as cross-entropy in the middle."""
    figure = Figure(figsize=(3.1 * len(tables), 3.4))
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    levels = np.linspace(0, 5, 21)
    for axes, (method, table) in zip(panels, tables.items(), strict=True):
        x, y = corners(table)
        drawn = axes.tricontourf(x, y, table["loss"], levels, cmap="cividis", extend="both")
        axes.tricontour(x, y, table["loss"], levels[::4], colors="white", linewidths=0.7)
        axes.text(0, np.sqrt(3) / 2 + 0.03, "the label", ha="center", fontsize=9)
        for side, name in ((-0.5, "class 2"), (0.5, "class 3")):
            axes.text(side, -0.09, name, ha="center", fontsize=9)
        axes.set(title=f"{text_of(method)}\n", aspect="equal")
        axes.axis("off")
    figure.colorbar(drawn, ax=list(panels), label="loss", shrink=0.8, ticks=range(6))
    figure.suptitle(title, fontsize=11)
    return figure


def synthetic_regimes(three: pd.DataFrame, ten: pd.DataFrame) -> Figure:
    """Synthetic predictions by regime: of three classes on the simplex, of ten by p_y."""
    figure = Figure(figsize=(10, 4))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.3))
    x, y = corners(three)
    for regime in _REGIMES:
        mine = (three["regime"] == regime).to_numpy()
        left.scatter(x[mine], y[mine], s=9, color=colour_of(f"regime:{regime}"), label=regime)
    left.plot([-0.5, 0.5, 0, -0.5], [0, 0, np.sqrt(3) / 2, 0], color=GREY, linewidth=0.8)
    left.text(0, np.sqrt(3) / 2 + 0.03, "the label", ha="center", fontsize=9)
    left.set(title=f"3 classes, {len(three)} predictions\n", aspect="equal")
    left.axis("off")
    left.legend(loc="upper left", title="regime", markerscale=2)
    right.hist(
        [ten.loc[ten["regime"] == regime, "p_y"] for regime in _REGIMES],
        bins=np.linspace(0, 1, 41),
        stacked=True,
        color=[colour_of(f"regime:{regime}") for regime in _REGIMES],
    )
    right.set(
        xlabel="probability of the label, $p_y$",
        ylabel="predictions",
        title=f"10 classes, {len(ten)} predictions",
    )
    return figure


def convergence(table: pd.DataFrame, title: str) -> Figure:
    """Held-out objective and share of pairs in a wrong order by generation: medians over seeds,
    bands from the 10th to the 90th percentile; a row per number of pairs."""
    numbers = list(dict.fromkeys(table["pairs"]))
    figure = Figure(figsize=(10, 3.4 * len(numbers)))
    rows = figure.subplots(len(numbers), 2, squeeze=False, sharex=True)
    for row, number in zip(rows, numbers, strict=True):
        part = table[table["pairs"] == number]
        for axes, column in zip(row, ("objective", "unranked"), strict=True):
            for search, mine in part.groupby("search", sort=False):
                wide = mine.pivot_table(index="generation", columns="seed", values=column)
                low, middle, high = (wide.quantile(q, axis=1) for q in (0.1, 0.5, 0.9))
                colour = colour_of(f"search:{search}")
                axes.fill_between(wide.index, low, high, color=colour, alpha=0.15, linewidth=0)
                axes.plot(middle, color=colour, label=text_of(f"search:{search}"))
            axes.set(yscale="log", title=f"{number} pairs a generation")
        row[0].set(ylabel="held-out objective")
        row[1].set(ylabel="held-out pairs misordered (share)", ylim=(3e-4, 1))
        row[1].axhline(0.005, color=GREY, linestyle=":", linewidth=1)
    for axes in rows[-1]:
        axes.set(xlabel="generation")
        axes.xaxis.get_major_locator().set_params(integer=True)
    rows[0][0].legend(title=f"mutation, n = {table['seed'].nunique()} seeds")
    figure.suptitle(title, fontsize=11)
    return figure


def ranking_and_accuracy(
    parts: Sequence[tuple[str, pd.DataFrame, Line]], column: str, label: str
) -> Figure:
    """Test accuracy of networks against a pretraining number of their losses, a panel per part."""
    figure = Figure(figsize=(5 * len(parts), 4))
    panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    for axes, (title, table, line) in zip(panels, parts, strict=True):
        points = axes.scatter(
            table[column], table["accuracy"], c=np.log10(table["generations"]), cmap="cividis", s=30
        )
        axes.set(xlabel=label)
        axes.locator_params(axis="x", nbins=5)
        axes.set_title(f"{title}\nrank correlation {line.rank:.2f}, n = {line.n} losses")
    panels[0].set(ylabel="test accuracy (%)")
    bar = figure.colorbar(points, ax=list(panels), label="generations evolved")
    ticks = sorted(set(np.concatenate([t["generations"] for _, t, _ in parts])))
    bar.set_ticks(list(np.log10(ticks)), labels=[str(t) for t in ticks])
    return figure


def accuracy_by_rate(table: pd.DataFrame, title: str) -> Figure:
    """Test accuracy by learning rate: a point per seed, a line through the means, per loss."""
    figure = Figure(figsize=(7, 4))
    axes = figure.subplots()
    for number, (method, part) in enumerate(table.groupby("method", sort=False)):
        colour = colour_of(str(method))
        means = part.groupby("lr")["value"].mean()
        dash = _DASHES[number % len(_DASHES)]
        axes.plot(means, color=colour, linestyle=dash, marker="|", label=text_of(str(method)))
        axes.plot(part["lr"], part["value"], "o", color=colour, alpha=0.5, markersize=4)
    axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy (%)", title=title)
    ticks = sorted(set(table["lr"]))
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
    axes.minorticks_off()
    axes.legend()
    return figure


def accuracy_by_factor(table: pd.DataFrame, finding: str) -> Figure:
    """Test accuracy by margin and feature of evolved losses: a point an evolution (the mean of its
    trainings), a line through the means of the cells; dashed: cross-entropy."""
    figure = Figure(figsize=(7, 4.2))
    axes = figure.subplots()
    losses = table[table["feature"] != "CE"]
    margins = list(dict.fromkeys(losses["margin"]))
    for number, (feature, part) in enumerate(losses.groupby("feature", sort=False)):
        colour = colour_of("edl_log" if feature == "log p" else "edl_order")
        means = part.groupby("margin")["value"].mean().loc[margins]
        label = f"sees {'p and log p' if feature == 'log p' else 'p alone'}"
        axes.plot(range(len(margins)), means, _DASHES[number], color=colour, label=label)
        place = part["margin"].map(margins.index) + 0.06 * (2 * number - 1)
        axes.plot(place, part["value"], "o", color=colour, alpha=0.6, markersize=5)
    ce = table.loc[table["feature"] == "CE", "value"].mean()
    axes.axhline(ce, color=GREY, linestyle=":", linewidth=1.2, label="cross-entropy")
    names = {"order": "order alone", "log": "differences of $-\\log p_y$"}
    axes.set_xticks(range(len(margins)), [names.get(m, m) for m in margins])
    axes.set(xlabel="margin that evolution asks for", ylabel="test accuracy (%)")
    axes.set(xlim=(-0.4, len(margins) - 0.6), title=finding)
    several, trainings = losses["evolution"].nunique(), losses["n"].max()
    axes.legend(title=f"{several} evolutions a cell, {trainings} trainings each")
    return figure
