"""Figures of evolved losses, from the tables of `nslab.analysis.edl`."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.analysis.statistics import Line
from nslab.configs.labels import colour_of, text_of
from nslab.lossnet import Regimes
from nslab.plots.marks import accuracy_limits, columns_of, legend_below, page, whole_numbers
from nslab.plots.style import GREY, TEXT
from nslab.plots.titles import heading, panel_title

_REGIMES = tuple(Regimes().weights)
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 2)))


def loss_curves(table: pd.DataFrame, title: str) -> Figure:
    """Left: each loss against the label's probability. Right: its gradient relative to
    cross-entropy's."""
    figure = page(4.4)
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
    legend_below(figure, left.get_legend_handles_labels()[0])
    heading(figure, f"Losses and their gradients over the probability of the label: {title}")
    return figure


def corners(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates x and y of three-class predictions in a triangle whose top is the label."""
    x = (table["p3"] - table["p2"]) * 0.5
    return x.to_numpy(), (table["p1"] * np.sqrt(3) / 2).to_numpy()


def surfaces(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Losses over the simplex of three classes, scaled to cross-entropy's slope in the middle."""
    across = columns_of(len(tables))
    down = -(-len(tables) // across)
    figure = page(0.6 + (3.0 if across < 3 else 2.6) * down)
    panels = list(figure.subplots(down, across, squeeze=False).flat)
    levels = np.linspace(0, 5, 21)
    for axes, (method, table) in zip(panels, tables.items(), strict=False):
        x, y = corners(table)
        drawn = axes.tricontourf(x, y, table["loss"], levels, cmap="cividis", extend="both")
        axes.tricontour(x, y, table["loss"], levels[::4], colors="white", linewidths=0.7)
        axes.text(0, np.sqrt(3) / 2 + 0.03, "the label", ha="center", fontsize=TEXT)
        for side, name in ((-0.5, "class 2"), (0.5, "class 3")):
            axes.text(side, -0.09, name, ha="center", fontsize=TEXT)
        panel_title(axes, f"{text_of(method)}\n")
        axes.set(aspect="equal", xlim=(-0.72, 0.72))
        axes.axis("off")
    for spare in panels[len(tables) :]:
        spare.remove()
    shown = panels[: len(tables)]
    figure.colorbar(drawn, ax=shown, label="loss", shrink=0.8, ticks=range(6))
    heading(figure, title)
    return figure


def synthetic_regimes(three: pd.DataFrame, ten: pd.DataFrame) -> Figure:
    """Synthetic predictions by regime: of three classes on the simplex, of ten by p_y."""
    figure = page(4.2)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.2))
    x, y = corners(three)
    for regime in _REGIMES:
        mine = (three["regime"] == regime).to_numpy()
        left.scatter(x[mine], y[mine], s=9, color=colour_of(f"regime:{regime}"))
    left.plot([-0.5, 0.5, 0, -0.5], [0, 0, np.sqrt(3) / 2, 0], color=GREY, linewidth=0.8)
    left.text(0, np.sqrt(3) / 2 + 0.03, "the label", ha="center", fontsize=TEXT)
    panel_title(left, f"3 classes, {len(three)} predictions\n")
    left.set(aspect="equal")
    left.axis("off")
    right.hist(
        [ten.loc[ten["regime"] == regime, "p_y"] for regime in _REGIMES],
        bins=np.linspace(0, 1, 41),
        stacked=True,
        color=[colour_of(f"regime:{regime}") for regime in _REGIMES],
    )
    right.set(
        xlabel="probability of the label, $p_y$",
        ylabel="predictions",
    )
    panel_title(right, f"10 classes, {len(ten)} predictions")
    look: dict = {"marker": "o", "linestyle": ""}
    handles = [
        Line2D([], [], color=colour_of(key), label=text_of(key), **look)
        for key in (f"regime:{regime}" for regime in _REGIMES)
    ]
    legend_below(figure, handles)
    heading(figure, "Synthetic predictions, by the regime that each was drawn from")
    return figure


def convergence(table: pd.DataFrame, title: str) -> Figure:
    """Held-out objective, and share of pairs in the wrong order, over generations: medians over
    seeds, bands from the 10th to the 90th percentile; a row per number of pairs."""
    numbers = list(dict.fromkeys(table["pairs"]))
    figure = page(1.2 + 2.9 * len(numbers))
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
            axes.set(yscale="log")
            panel_title(axes, f"{number} pairs a generation")
        row[0].set(ylabel="held-out objective")
        row[1].set(ylabel="held-out pairs misordered (share)", ylim=(3e-4, 1))
        row[1].axhline(0.005, color=GREY, linestyle=":", linewidth=1, label="0.5 %")
    for axes in rows[-1]:
        axes.set(xlabel="generation")
        whole_numbers(axes)
    name = f"mutation; lines: medians of n = {table['seed'].nunique()} seeds, bands: middle 80 %"
    entries = rows[0][1].get_legend_handles_labels()[0]
    legend_below(figure, entries, title=name, alignment="left")
    heading(figure, title)
    return figure


def ranking_and_accuracy(
    parts: Sequence[tuple[str, pd.DataFrame, Line]], column: str, label: str
) -> Figure:
    """Test accuracy of networks against a number (``column``) from the pretraining of their losses;
    a panel per part (title, table, fitted line)."""
    across = min(len(parts), 2)
    down = -(-len(parts) // across)
    figure = page(0.5 + 3.6 * down, 8.4 if across > 1 else 6.0)
    panels = list(figure.subplots(down, across, squeeze=False, sharey=True).flat)
    for axes, (title, table, line) in zip(panels, parts, strict=False):
        points = axes.scatter(
            table[column], table["accuracy"], c=np.log10(table["generations"]), cmap="cividis", s=30
        )
        axes.set(xlabel=label)
        axes.locator_params(axis="x", nbins=5)
        told = f"rank correlation {line.rank:.2f} (p = {line.rank_p:.2g}), n = {line.n} losses"
        panel_title(axes, f"{title}\n{told}", 3.2)
    for spare in panels[len(parts) :]:
        spare.remove()
    for axes in panels[: len(parts) : across]:
        axes.set_ylabel("test accuracy (%)")
    accuracy_limits(panels[0])
    bar = figure.colorbar(points, ax=panels[: len(parts)], label="generations evolved")
    ticks = sorted(set(np.concatenate([t["generations"] for _, t, _ in parts])))
    bar.set_ticks(list(np.log10(ticks)), labels=[str(t) for t in ticks])
    return figure


def accuracy_by_rate(table: pd.DataFrame, title: str) -> Figure:
    """Test accuracy by learning rate: a point per seed, a line through the means, per loss."""
    figure = page(4.4)
    axes = figure.subplots()
    for number, (method, part) in enumerate(table.groupby("method", sort=False)):
        colour = colour_of(str(method))
        means = part.groupby("lr")["value"].mean()
        dash = _DASHES[number % len(_DASHES)]
        axes.plot(means, color=colour, linestyle=dash, marker="|", label=text_of(str(method)))
        axes.plot(part["lr"], part["value"], "o", color=colour, alpha=0.5, markersize=4)
    axes.set(xscale="log", xlabel="learning rate", ylabel="test accuracy (%)")
    accuracy_limits(axes)
    ticks = sorted(set(table["lr"]))
    axes.set_xticks(ticks, [f"{t:g}" for t in ticks], minor=False)
    axes.minorticks_off()
    dot = Line2D([], [], color="0.3", marker="o", linestyle="", markersize=4, label="one seed")
    legend_below(figure, [*axes.get_legend_handles_labels()[0], dot])
    heading(figure, title)
    return figure


def accuracy_by_factor(table: pd.DataFrame, finding: str) -> Figure:
    """Test accuracy by margin and feature of evolved losses: a point per evolution (the mean of its
    trainings), lines through the means of the cells; dotted: cross-entropy."""
    figure = page(4.6)
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
    axes.set(xlim=(-0.4, len(margins) - 0.6))
    accuracy_limits(axes)
    heading(figure, finding)
    several, trainings = losses["evolution"].nunique(), losses["n"].max()
    axes.legend(title=f"{several} evolutions a cell, {trainings} trainings each")
    return figure
