"""Figures of evolution: lineages, strategies, memories, diversity. Nothing is computed here."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nslab.analysis.de import SYMBOLS
from nslab.configs.labels import colour_of, text_of
from nslab.plots.style import PALETTE

# By the operator's name, in the paper's order.
STRATEGY_DASHES: dict[str, Any] = dict(
    zip(SYMBOLS, ("-", "--", "-.", ":", (0, (5, 1))), strict=True)
)
_COUNTED = {
    "train_loss": "training loss (nats)",
    "held_out_loss": "held-out loss (nats)",
    "held_out_accuracy": "held-out accuracy (%)",
    "test_accuracy": "test accuracy (%)",
    "best": "best loss on the batch (nats)",
    "diversity": "mean distance of two members",
}


def lineage(
    table: pd.DataFrame, by: str, title: str, values: Sequence[str] = ("held_out_loss",)
) -> Figure:
    """Adam's epochs as a line, evolution's batches as points after it [DE Fig. S2].

    A column per value of ``by``, a row per number; means over seeds, with their standard error.
    Where trainings end at different epochs, Adam's line ends with the first of them, and evolution
    begins after the last.
    """
    columns = list(dict.fromkeys(table[by]))
    figure = Figure(figsize=(1.2 + 3.2 * len(columns), 0.9 + 2.1 * len(values)))
    axes = figure.subplots(len(values), len(columns), squeeze=False, sharex="col")
    for j, column in enumerate(columns):
        part = table[table[by] == column]
        for i, value in enumerate(values):
            _phases(axes[i][j], part, value)
            axes[i][j].set_ylabel(_COUNTED[value] if j == 0 else "")
        axes[0][j].set_title(str(column))
        axes[-1][j].set_xlabel("epochs, then batches of evolution")
        axes[-1][j].xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes[0][0].legend()
    figure.suptitle(title, fontsize=11)
    return figure


def _phases(axes: Axes, part: pd.DataFrame, value: str) -> None:
    trained = part[part["phase"] == "adam"]
    adam = trained.groupby("x")[value].agg(["mean", "sem", "count"])
    adam = adam[adam["count"] == adam["count"].max()]
    end = trained["x"].max() if len(trained) else 0
    axes.plot(adam.index, adam["mean"], color=colour_of("adam"), label="Adam")
    low, high = adam["mean"] - adam["sem"], adam["mean"] + adam["sem"]
    axes.fill_between(adam.index, low, high, color=colour_of("adam"), alpha=0.25, linewidth=0)
    later = part[part["phase"] == "evolution"]
    for method, mine in later.groupby("method", sort=False):
        mean = mine.groupby("batch")[value].mean()
        axes.plot(
            end + mean.index,
            mean,
            "o-",
            color=colour_of(str(method)),
            markersize=4,
            linewidth=0.8,
            label=text_of(str(method)),
        )


def gains(table: pd.DataFrame, baseline: str, methods: Sequence[str], title: str) -> Figure:
    """Gain in test accuracy over a baseline, a line per network and data set: a point per seed and
    method, and a bar for the mean [DE Fig. S5].

    ``table``: columns ``dataset``, ``network``, ``method``, ``seed``, ``value``.
    """
    wide = table.pivot_table("value", ["dataset", "network", "seed"], "method", sort=False)
    difference = wide[list(methods)].sub(wide[baseline], axis=0)
    rows = list(dict.fromkeys((dataset, network) for dataset, network, _ in difference.index))
    figure = Figure(figsize=(6.5, 1.4 + 0.5 * len(rows)))
    axes = figure.subplots()
    for k, method in enumerate(methods):
        shift = (k - (len(methods) - 1) / 2) * 0.3
        colour, marker = colour_of(method), "oDs^"[k % 4]
        for place, row in enumerate(rows):
            values = difference.loc[row, method]
            y, label = place + shift, text_of(method) if place == 0 else None
            axes.plot(values, [y] * len(values), marker, color=colour, alpha=0.6, label=label)
            axes.plot([values.mean()], [y], "|", color=colour, markersize=14, markeredgewidth=2.5)
    axes.axvline(0, color="0.4", linestyle="--", linewidth=1)
    axes.set_yticks(range(len(rows)), [f"{network}, {dataset}" for dataset, network in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(axis="y", color="0.92")
    seeds = table["seed"].nunique()
    axes.set(ylabel="network, data set", title=f"{title}, n = {seeds}")
    axes.set_xlabel(f"test accuracy over {text_of(baseline)}'s (points)")
    axes.legend()
    return figure


def over_batches(table: pd.DataFrame, value: str, by: str, title: str) -> Figure:
    """A number against the batch of evolution, a line per ``by`` (mean of seeds, which are thin):
    losses and accuracies [DE Fig. 2], diversity [DE Fig. 3], methods [DE Fig. 4].

    ``table``: as `generation_table` gives it; rows without the number are left out.
    """
    figure = Figure(figsize=(6.5, 3.8))
    axes = figure.subplots()
    known = table.dropna(subset=value)
    palette = sns.color_palette(PALETTE)
    for k, (key, part) in enumerate(known.groupby(by, sort=False)):
        colour = colour_of(str(key), palette[k % len(palette)])
        x = part["batch"] + 1
        for _, mine in part.groupby("seed"):
            axes.plot(x[mine.index], mine[value], color=colour, linewidth=0.7, alpha=0.5)
        mean = part.groupby(x)[value].mean()
        marker = "osD^vP*X"[k % 8]
        axes.plot(mean.index, mean, f"{marker}-", color=colour, label=text_of(str(key)))
    seeds = known["seed"].nunique()
    axes.set(xlabel="batches of evolution", ylabel=_COUNTED[value], title=f"{title}, n = {seeds}")
    axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    axes.legend(title=by)
    return figure


def factor_curves(table: pd.DataFrame, fixed: str, varied: str, title: str) -> Figure:
    """Best loss over the generations, a panel per value of ``fixed``, a line per value of
    ``varied`` [DE Fig. S6], [DE Fig. S7]; means over seeds."""
    values = sorted(table[fixed].unique())
    figure = Figure(figsize=(1.0 + 2.4 * len(values), 3.2))
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    lines, palette = sorted(table[varied].unique()), sns.color_palette(PALETTE)
    for axes, value in zip(panels, values, strict=True):
        for k, setting in enumerate(lines):
            part = table[(table[fixed] == value) & (table[varied] == setting)]
            mean = part.groupby("step")["best"].mean()
            style = ("-", "--", "-.", ":")[k % 4]
            axes.plot(mean.index, mean, style, color=palette[k], label=f"{setting:g}")
        axes.set(title=f"{fixed} = {value:g}", xlabel="generation")
    panels[0].set_ylabel(_COUNTED["best"])
    panels[-1].legend(title=varied)
    figure.suptitle(title, fontsize=11)
    return figure


def by_setting(table: pd.DataFrame, key: str, title: str) -> Figure:
    """Test accuracy against a number: a point per seed and the line of means; with it that of the
    parent it began with."""
    names = {"size": "members of the population", "batch_size": "samples of a batch"}
    figure = Figure(figsize=(5.5, 3.4))
    axes = figure.subplots()
    for column, label, marker, colour in (
        ("value", "evolved", "o", colour_of("sa_shade_tri_ensin")),
        ("start_test_accuracy", "best parent", "s", colour_of("pretrained")),
    ):
        axes.plot(table[key], table[column], marker, color=colour, alpha=0.6, markersize=5)
        mean = table.groupby(key)[column].mean()
        axes.plot(mean.index, mean, color=colour, marker=marker, label=label)
    axes.set_xscale("log", base=2)
    ticks = sorted(table[key].unique())
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel=names[key], ylabel="test accuracy (%)", title=title)
    axes.legend()
    return figure


def memories(table: pd.DataFrame, title: str) -> Figure:
    """Mean archived F and Cr of every strategy over the generations [DE Fig. 5]."""
    figure = Figure(figsize=(8.5, 3.6))
    panels = figure.subplots(1, 2)
    for axes, value in zip(panels, ("F", "Cr"), strict=True):
        _by_strategy(axes, table, value)
        axes.set(xlabel="generation", ylabel=f"mean of the archive of {value}")
        axes.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    panels[1].legend(title="strategy")
    figure.suptitle(title, fontsize=11)
    return figure


def strategy_shares(table: pd.DataFrame, success: pd.DataFrame, title: str) -> Figure:
    """Probability of each strategy over the generations; below, its success rate in windows of
    generations, with the number of trials written in [DE Fig. 6]."""
    figure = Figure(figsize=(8.0, 6.0))
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2.6))
    _by_strategy(upper, table, "probability")
    upper.set(xlabel="generation", ylabel="probability", title=title)
    upper.legend(title="strategy", ncols=5, loc="upper center")
    upper.set_ylim(0, 1.3 * upper.get_ylim()[1])
    upper.xaxis.set_major_locator(mpl.ticker.MaxNLocator(integer=True))
    rates = success.pivot_table(index="strategy", columns="until", values="rate", sort=False)
    trials = success.pivot_table(index="strategy", columns="until", values="asked", sort=False)
    order = {s: name for name, s in SYMBOLS.items() if s in trials.index}
    sns.heatmap(
        rates.reindex(index=list(order), columns=trials.columns),
        annot=trials.loc[list(order)].astype(int),
        fmt="d",
        cmap="cividis",
        vmin=0,
        vmax=100,
        ax=lower,
        cbar_kws={"label": "success rate (%)"},
        annot_kws={"fontsize": 9},
        linewidths=0.5,
    )
    lower.set(xlabel="generations up to", ylabel="strategy", title="numbers: trials")
    lower.set_yticklabels([text_of(name) for name in order.values()], rotation=0)
    return figure


def _by_strategy(axes: Axes, table: pd.DataFrame, value: str) -> None:
    names = {symbol: name for name, symbol in SYMBOLS.items()}
    for symbol, part in table.groupby("strategy", sort=False):
        mean, name = part.groupby("step")[value].mean(), names.get(str(symbol), str(symbol))
        axes.plot(
            mean.index,
            mean,
            color=colour_of(name),
            linestyle=STRATEGY_DASHES.get(name, "-"),
            label=text_of(name),
        )
