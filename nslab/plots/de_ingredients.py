"""Figures of the ingredients of differential evolution, from the tables of
`nslab.analysis.de_ingredients`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from nslab.analysis.de_ingredients import Children
from nslab.configs.labels import colour_of, text_of
from nslab.plots.de_landscapes import (
    STRATEGY_MARKERS,
    STRATEGY_TEXTS,
    legend_handles,
)
from nslab.plots.de_runs import STRATEGY_DASHES
from nslab.plots.marks import legend_below, page, whole_numbers
from nslab.plots.style import PALETTE, TEXT
from nslab.plots.titles import heading, panel_title

BLUE, ORANGE, GREEN, RED = sns.color_palette(PALETTE)[:4]
OTHERS: tuple[tuple[Any, str], ...] = (
    ("-", "s"),
    ("--", "D"),
    ("-.", "o"),
    (":", "^"),
    ((0, (5, 1)), "v"),
)


def sources_of_f(
    waves: pd.DataFrame, drawn: pd.DataFrame, within: tuple[float, float], middle: float
) -> Figure:
    """How F is drawn: by two sinusoids up to generation ``middle`` of a batch, then from the
    archive.

    ``waves``, ``drawn``: see `nslab.analysis.de_ingredients.sinusoids` and `drawn_factors`;
    ``within``: the range of F.
    """
    figure = page(6.6)
    grid = figure.subplot_mosaic([["falling", "rising"], ["law", "law"]])
    falling, rising, law = (grid[name] for name in ("falling", "rising", "law"))
    last = int(waves["g"].max())
    colours = sns.color_palette(PALETTE)
    for axes, kind, words in (
        (falling, "decreasing", "sinusoid with falling swing"),
        (rising, "increasing", "sinusoid with rising swing"),
    ):
        wave = waves[waves["kind"] == kind]
        for k, (_, curve) in enumerate(wave.groupby("frequency", sort=False)):
            (line, marker), whole = OTHERS[k], curve[curve["whole"]]
            axes.plot(curve["g"], curve["f"], linestyle=line, color=colours[k], linewidth=1)
            axes.plot(whole["g"], whole["f"], marker, color=colours[k], markersize=7 - k)
        axes.axvspan(middle + 0.5, last + 0.5, color="0.88", zorder=0)
        axes.set(xlabel="generation g in a batch", ylabel="F (scaled to its range)")
        panel_title(axes, words)
        axes.set(xticks=range(1, last + 1), xlim=(0.5, last + 0.5), ylim=within)
    handles = [
        Line2D([], [], linestyle=line, marker=marker, color=colour, label=f"{frequency:g}")
        for frequency, (line, marker), colour in zip(
            waves["frequency"].unique(), OTHERS, colours, strict=False
        )
    ]
    name = "frequency ν; marks: whole generations; grey: F comes from the archive instead"
    legend_below(figure, handles, title=name, alignment="left")
    bins = list(np.linspace(*within, 41))
    for k, (name, words) in enumerate((("normal", "normal (ours)"), ("cauchy", "Cauchy (SHADE)"))):
        f = drawn.loc[drawn["law"] == name, "f"]
        share = np.full(len(f), 100 / len(f))
        style: dict = {"color": colours[k], "linestyle": OTHERS[k][0], "linewidth": 1.5}
        law.hist(f, bins, weights=share, histtype="step", **style)
        law.plot([], [], label=words, **style)
    law.set(xlabel="F drawn about a cell's value", ylabel="share of draws (%)", xlim=within)
    law.set(ylim=(0, 1.3 * law.get_ylim()[1]))
    panel_title(law, "the archive's draws")
    law.xaxis.set_major_locator(MaxNLocator(5))
    law.legend(loc="upper left")
    heading(figure, "Where F comes from: sinusoids in the first half of a batch, then the archive")
    return figure


def archive(
    first: tuple[Sequence[float], Sequence[float]],
    means: dict[str, float],
    cells: Float[Tensor, "g h"],
) -> Figure:
    """The successes of one generation with their weights and means, and the archive's cells over
    the generations.

    ``first``: values and gains of the first generation; ``means``: name -> mean of its values;
    ``cells``: those before it and after every generation.
    """
    figure = page(6.0)
    left, right = figure.subplots(2, 1)
    values, gains = np.array(first[0]), np.array(first[1])
    left.vlines(values, 0, gains / gains.sum(), color="0.4", linewidth=5)
    styles = zip((BLUE, GREEN, RED), ("-.", "--", "-"), strict=True)
    for (name, mean), (colour, line) in zip(means.items(), styles, strict=False):
        left.axvline(mean, 0, 0.68, color=colour, linestyle=line, label=f"{name}: {mean:.3f}")
    left.set(xlabel="F of the trials that won", ylabel="weight w (share of the gains)", ylim=(0, 1))
    panel_title(left, "successes of generation 1 (grey bars), and their means")
    left.legend(loc="upper left")
    wide = cells.T.numpy()
    sns.heatmap(
        wide,
        annot=True,
        fmt=".3f",
        cmap="cividis",
        ax=right,
        cbar_kws={"label": "F in the cell"},
        annot_kws={"fontsize": TEXT},
        linewidths=0.5,
    )
    for g, cell in zip(*np.nonzero(np.diff(wide.T, axis=0)), strict=True):
        right.add_patch(_frame(int(g) + 1, int(cell)))
    right.set(xlabel="after generation", ylabel="cell")
    panel_title(right, "archive (framed: just written)")
    right.set_yticklabels(range(1, len(wide) + 1), rotation=0)
    heading(figure, "What wins is averaged, weighted by its gain, and written into the archive")
    return figure


def rivalry(table: pd.DataFrame, history: int) -> Figure:
    """Given success rates, and the probabilities that strategies learn from them; see
    `nslab.analysis.de_ingredients.rivalry_table`."""
    figure = page(4.4)
    panels = figure.subplots(1, 2)
    for name, part in table.groupby("strategy", sort=False):
        style: dict = {"color": colour_of(str(name)), "linestyle": STRATEGY_DASHES[str(name)]}
        style |= {"marker": STRATEGY_MARKERS[str(name)], "markersize": 5, "markevery": (0, 5)}
        panels[0].step(part["generation"], 100 * part["rate"], where="mid", **style)
        panels[1].plot(part["generation"], part["probability"], **style)
    panels[1].axvspan(0.5, history - 0.5, color="0.88", zorder=0)
    panels[0].set(xlabel="generation", ylabel="success rate (%)", ylim=0)
    panel_title(panels[0], "prescribed")
    panels[1].set(xlabel="generation", ylabel="probability of a strategy", ylim=0)
    panel_title(panels[1], f"learnt (grey: fewer than H = {history} generations)")
    legend_below(figure, legend_handles(lines=True))
    heading(figure, "Probabilities of the strategies follow prescribed success rates")
    return figure


def children(found: Children, title: str) -> Figure:
    """Losses of one network's children by strategy: a point per child, a box plot, and the share
    that beats the target. Panels have their own scales."""
    figure = page(8.2)
    panels = figure.subplots(2, 1)
    own = float(found.losses[found.target])
    for axes, kind in zip(panels, ("mutant", "trial"), strict=True):
        for loss in found.losses.tolist():
            axes.axhline(loss, color="0.75", linewidth=1, zorder=0)
        axes.axhline(own, color="black", linestyle="--", linewidth=1.2)
        table = found.table[found.table["kind"] == kind]
        ticks = []
        for place, (key, part) in enumerate(table.groupby("strategy", sort=False)):
            name, losses = str(key), part["loss"].to_numpy()
            axes.boxplot(
                [losses],
                positions=[place],
                widths=0.7,
                showfliers=False,
                medianprops={"color": "black", "linewidth": 2},
                boxprops={"color": "0.35"},
            )
            # Jitter from the golden ratio: spread evenly, and the same every time.
            aside = 0.5 * ((np.arange(len(losses)) * 0.6180339887) % 1 - 0.5)
            style: dict = {"color": colour_of(name), "markersize": 5, "alpha": 0.8}
            axes.plot(place + aside, losses, STRATEGY_MARKERS[name], **style)
            ticks.append(f"{text_of(name)}\n{name}\n{100 * np.mean(losses < own):.0f} %")
        seen = [own, *table["loss"]]
        if kind == "mutant":
            seen += [loss for loss in found.losses.tolist() if loss < 1.5 * max(seen)]
        margin = 0.08 * (max(seen) - min(seen))
        axes.set(ylim=(min(seen) - margin, max(seen) + margin), ylabel="loss on the batch (nats)")
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlabel("strategy; share of its children that beat the target")
    panel_title(panels[0], "mutants: all genes new")
    panel_title(panels[1], "trials: after crossover (finer scale)")
    handles = [
        Line2D([], [], color="black", linestyle="--", linewidth=1.2, label="the target"),
        Line2D([], [], color="0.75", linewidth=1, label="another parent"),
        Line2D([], [], color="black", linewidth=2, label="median (box: middle half)"),
    ]
    legend_below(figure, handles)
    heading(figure, title)
    return figure


def genes(
    apart: dict[str, Float[Tensor, " d"]], changes: dict[str, Float[Tensor, " d"]], title: str
) -> Figure:
    """Histograms of the differences between the genes of two parents, and of the changes from the
    target to its mutants."""
    figure = page(4.4)
    left, right = figure.subplots(1, 2)
    styles = zip((BLUE, ORANGE, GREEN), ("-", "--", "-."), strict=True)
    shown = dict(zip(apart, styles, strict=False))
    _outlines(left, apart, shown)
    _outlines(
        right,
        {STRATEGY_TEXTS[name]: values for name, values in changes.items()},
        {STRATEGY_TEXTS[name]: (colour_of(name), STRATEGY_DASHES[name]) for name in changes},
    )
    left.set(xlabel="difference of a gene in two parents", ylabel="share of genes (%)")
    right.set(xlabel="change of a gene from target to mutant", ylabel="share of genes (%)")
    heading(figure, title)
    return figure


def offspring(table: pd.DataFrame, members: int, title: str) -> Figure:
    """Best and mean loss of a population over the generations, and how many of its trials won.

    ``table``: see `nslab.analysis.de.generation_table`; ``members``: size of the population.
    """
    figure = page(4.0)
    left, right = figure.subplots(1, 2)
    for value, colour, line, marker in (("mean", ORANGE, "--", "s"), ("best", BLUE, "-", "o")):
        style: dict = {"color": colour, "linestyle": line, "marker": marker, "markersize": 5}
        left.plot(table["step"], table[value], label=value, **style)
    left.set(xlabel="generation", ylabel="loss on the batch (nats)")
    left.set_ylim(0, 1.1 * left.get_ylim()[1])
    left.legend(ncols=2, loc="upper right")
    right.bar(table["step"], table["wins"], color=BLUE)
    right.axhline(members, color="black", linestyle="--", linewidth=1, label="all of them")
    right.set(xlabel="generation", ylabel="trials that won", ylim=(0, 1.2 * members))
    whole_numbers(left, right)
    for axes in (left, right):
        label = "a new batch"
        for change in table.loc[table["batch"].diff() > 0, "step"]:
            axes.axvline(change - 0.5, color="0.6", linestyle=":", zorder=0, label=label)
            label = ""
    right.legend(ncols=2, loc="upper right")
    heading(figure, title)
    return figure


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column, row), 1, 1, fill=False, edgecolor=RED, linewidth=2.5, zorder=3)


def _outlines(axes: Axes, parts: dict[str, Tensor], styles: Mapping[str, tuple[Any, Any]]) -> None:
    """Histograms in percent, as outlines over the same bins."""
    reach = max(float(values.abs().max()) for values in parts.values())
    for name, values in parts.items():
        share, edges = np.histogram(values.numpy(), 61, (-reach, reach))
        colour, line = styles[name]
        axes.stairs(100 * share / len(values), edges, color=colour, linestyle=line, label=name)
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.legend(loc="upper left", bbox_to_anchor=(-0.1, -0.18), ncols=1 + len(parts) // 3)
