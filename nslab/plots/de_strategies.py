"""Figures of the strategies that differential evolution chooses from: their probabilities,
successes and memories, see `nslab.analysis.de.strategy_table`."""

from typing import Any

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nslab.analysis.de import SYMBOLS
from nslab.configs.labels import colour_of, text_of
from nslab.plots.marks import legend_below, page, whole_numbers
from nslab.plots.style import TEXT
from nslab.plots.titles import heading, panel_title

# By the operator's name, in the paper's order.
STRATEGY_DASHES: dict[str, Any] = dict(
    zip(SYMBOLS, ("-", "--", "-.", ":", (0, (5, 1))), strict=True)
)


def memories(table: pd.DataFrame, title: str) -> Figure:
    """Mean archived F and Cr of every strategy over the generations [DE Fig. 5]."""
    figure = page(3.9)
    panels = figure.subplots(1, 2)
    for axes, value in zip(panels, ("F", "Cr"), strict=True):
        _by_strategy(axes, table, value)
        axes.set(xlabel="generation", ylabel=f"mean of the archive of {value}")
        whole_numbers(axes)
    legend_below(figure, panels[1].get_legend_handles_labels()[0])
    heading(figure, title)
    return figure


def strategy_shares(table: pd.DataFrame, success: pd.DataFrame, title: str) -> Figure:
    """Probability of each strategy over the generations; below, its success rate in windows of
    generations, with the number of trials written in [DE Fig. 6]."""
    figure = page(6.2)
    upper, lower = figure.subplots(2, 1, height_ratios=(3, 2.6))
    _by_strategy(upper, table, "probability")
    upper.set(xlabel="generation", ylabel="probability")
    upper.legend(ncols=5, loc="upper left")
    upper.set_ylim(0, 1.3 * upper.get_ylim()[1])
    whole_numbers(upper)
    panel_title(upper, "probability of each strategy")
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
        annot_kws={"fontsize": TEXT},
        linewidths=0.5,
    )
    lower.set(xlabel="generations up to", ylabel="strategy")
    panel_title(lower, "success rate of its trials (numbers: how many trials)")
    lower.set_yticklabels([text_of(name) for name in order.values()], rotation=0)
    heading(figure, title)
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
