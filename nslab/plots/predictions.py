"""Figures of real predictions beside synthetic ones.

``table`` is that of `nslab.analysis.predictions.prediction_table` for a single mode; several seeds
are averaged.
"""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import NullLocator

from nslab.configs.labels import colour_of, text_of
from nslab.lossnet import Regimes
from nslab.plots.marks import legend_below, page
from nslab.plots.style import GREY
from nslab.plots.titles import heading, panel_title, wrapped

LIGHT = "0.88"
_LINES: dict[str, tuple[Any, str]] = {"ce": ("--", "s"), "edl_order": ("-.", "^")}
REGIMES = tuple(Regimes().weights)
DISTANCES = {
    "js": ("Jensen-Shannon", "divergence (bits)"),
    "w_p": ("Wasserstein-1 of $p_y$", "distance"),
    "w_log": ("Wasserstein-1 of log10 $p_y$", "distance (decades)"),
    "energy": ("energy distance", "distance"),
    "told_apart": ("random forest, real or synthetic", "accuracy (%)"),
    "covered": ("covered by synthetic ones", "real predictions (%)"),
    "covered_gradient": ("covered by synthetic ones", "of CE's gradient (%)"),
    "fainter": ("$p_y$ below 99.9 % of synthetic", "real predictions (%)"),
    "surer": ("$p_y$ above 99.9 % of synthetic", "real predictions (%)"),
}
IN_PERCENT = ("covered", "covered_gradient", "fainter", "surer")
_MEDIAN: dict[str, Any] = {"color": "white", "markeredgecolor": "black", "markersize": 4}
_LEVELS = (-50, -20, -8, -4, -2, 0, 2, 4, 8, 20, 50)  # log10 odds, and the p_y they mean
_P_Y = ["$10^{-50}$", "$10^{-20}$", "$10^{-8}$", "0.0001", "0.01", "0.5", "0.99", "0.9999"]
_P_Y += ["$1-10^{-8}$", "$1-10^{-20}$", "$1-10^{-50}$"]


def distributions(table: pd.DataFrame, title: str) -> Figure:
    """Quantiles of the label's odds after each epoch, a panel per training loss; the last panel has
    those of synthetic predictions, by regime."""
    real, methods = by_epoch(table)
    across = 2
    down = -(-(len(methods) + 1) // across)
    figure = page(0.9 + 3.3 * down)
    whole = figure.subplots(down, across, sharey=True)
    panels = list(whole.flat)[: len(methods) + 1]
    for spare in list(whole.flat)[len(methods) + 1 :]:
        spare.remove()
    for axes, method in zip(panels, methods, strict=False):
        own, style = real.loc[method], look(method)
        for low, high, alpha in ((5, 95, 0.25), (25, 75, 0.45)):
            band = own[f"odds_q{low}"], own[f"odds_q{high}"]
            axes.fill_between(own.index, *band, color=style["color"], alpha=alpha, linewidth=0)
        axes.plot(own["odds_q50"], **style | {"linestyle": "-"})
        epoch_axis(axes, own.index)
        panel_title(axes, f"trained with {text_of(method)}")
    made = table[table["kind"] == "regime"]
    again = table[table["kind"] == "redraw"]
    drawn = pd.concat([again.iloc[:1].assign(regime="all"), made]).set_index("regime")
    for place, (regime, row) in enumerate(drawn.iterrows()):
        colour = colour_of(f"regime:{regime}", "black")
        panels[-1].vlines(place, row["odds_q5"], row["odds_q95"], color=colour, linewidth=3)
        panels[-1].vlines(place, row["odds_q25"], row["odds_q75"], color=colour, linewidth=9)
        panels[-1].plot(place, row["odds_q50"], "D", **_MEDIAN)
    names = [text_of(f"regime:{name}") for name in drawn.index]
    panels[-1].set_xticks(range(len(names)), names, rotation=40, ha="right")
    panels[-1].set(xlim=(-0.6, len(names) - 0.4), xlabel="regime")
    panel_title(panels[-1], "synthetic predictions")
    panels[0].set_yscale("symlog", linthresh=4, linscale=1.3)
    panels[0].set_yticks(_LEVELS, _P_Y)
    panels[0].yaxis.set_minor_locator(NullLocator())
    for axes in panels[::across]:
        axes.set_ylabel("probability of the label $p_y$ (by its odds)")
    panels[0].set_ylim(real["odds_q5"].min() - 1, real["odds_q95"].max() + 1)
    for axes in panels:
        for value in (again["odds_q5"].mean(), again["odds_q95"].mean()):
            axes.axhline(value, color=GREY, linestyle=":", linewidth=1)
    handles: list[Any] = [
        Line2D([], [], color="0.3", marker="o", markersize=5, label="median"),
        Patch(facecolor="0.3", alpha=0.6, label="middle 50 %"),
        Patch(facecolor="0.3", alpha=0.25, label="middle 90 %"),
        Line2D([], [], color=GREY, linestyle=":", label="middle 90 % of all synthetic ones"),
    ]
    legend_below(figure, handles)
    heading(figure, title)
    return figure


def distances(table: pd.DataFrame, title: str) -> Figure:
    """Distances of real predictions from synthetic ones, and the share of them that is covered,
    over epochs; the grey band shows the same numbers of further synthetic draws."""
    real, methods = by_epoch(table)
    again = table[table["kind"] == "redraw"]
    figure = page(8.4)
    for axes, (measure, words) in zip(figure.subplots(3, 3).flat, DISTANCES.items(), strict=True):
        factor = 100 if measure in IN_PERCENT else 1
        chance = factor * again[measure]
        axes.axhspan(chance.min(), chance.max(), color=LIGHT, label="synthetic, drawn again")
        axes.axhline(chance.mean(), color="0.6", linewidth=1, label="mean of these draws")
        for method in methods:
            own = factor * real.loc[method][measure]
            axes.plot(own, label=f"trained with {text_of(method)}", **look(method))
        epoch_axis(axes, real.index.get_level_values("epoch"))
        axes.set_ylabel(words[1])
        panel_title(axes, words[0])
        if measure in (*IN_PERCENT, "told_apart"):
            axes.set_ylim(47 if measure == "told_apart" else -3, 103)
        else:
            axes.set_ylim(bottom=0)
    legend_below(figure, axes.get_legend_handles_labels()[0])
    heading(figure, title)
    return figure


def composition(table: pd.DataFrame, title: str) -> Figure:
    """Which regimes real predictions resemble: shares of the mixture of regimes that explains most
    of them; what no mixture explains is white. The bar ``all`` is for all epochs together."""
    real, methods = by_epoch(table)
    regimes = [name for name in REGIMES if f"like_{name}" in real]
    again = table[table["kind"] == "redraw"].mean(numeric_only=True)
    figure = page(4.4)
    ratios = [3] * len(methods) + [1.4]
    panels = figure.subplots(1, len(methods) + 1, sharey=True, width_ratios=ratios)
    room = 6.6 * 3 / sum(ratios)
    for axes, method in zip(panels, methods, strict=False):
        shares = real.loc[[method]].droplevel(0)
        shares.index = shares.index.astype(int)
        every = table[(table["kind"] == "pooled") & (table["method"] == method)]
        shares.loc["all"] = every.mean(numeric_only=True)
        stack(axes, shares, regimes)
        axes.set_xlabel("after epoch")
        panel_title(axes, f"trained with {text_of(method)}", room)
    stack(panels[-1], pd.DataFrame({"": again}).T, regimes)
    panels[-1].set_xlabel(wrapped("for comparison", 0.8))
    panel_title(panels[-1], "synthetic, drawn again", 0.5)
    panels[0].set(ylabel="predictions accounted for (%)", ylim=(0, 100))
    handles = [
        Patch(color=colour_of(f"regime:{name}"), label=text_of(f"regime:{name}"))
        for name in regimes
    ]
    handles.append(Patch(facecolor="white", edgecolor=GREY, label="like no mixture of them"))
    legend_below(figure, handles)
    heading(figure, title)
    return figure


def stack(axes: Axes, table: pd.DataFrame, regimes: list[str]) -> None:
    """Draw a stacked bar for each line of a table: the shares that each regime explains."""
    places, bottom = range(len(table)), 0 * table["images"]
    for name in regimes:
        share = 100 * table[f"like_{name}"]
        axes.bar(places, share, bottom=bottom, color=colour_of(f"regime:{name}"), edgecolor="white")
        bottom = bottom + share
    axes.set_xticks(places, [str(e) for e in table.index])


def loss_behaviour(table: pd.DataFrame, title: str) -> Figure:
    """How losses behave on real predictions over epochs: pairs in the wrong order, mean gradient,
    and the share with hardly any gradient; a column per training loss."""
    real, methods = by_epoch(table)
    again = table[table["kind"] == "redraw"].mean(numeric_only=True)
    figure = page(7.6)
    panels = figure.subplots(3, len(methods), sharey="row", sharex=True, squeeze=False)
    for column, method in zip(panels.T, methods, strict=True):
        own = real.loc[method]
        for loss in ("log", "order"):
            style = look(f"edl_{loss}")
            column[0].plot(100 - 100 * own[f"{loss}_independent"], **style)
            missed = 100 - 100 * again[f"{loss}_independent"]
            column[0].axhline(missed, color=style["color"], linestyle=":", linewidth=1)
            column[1].plot(own[f"{loss}_gradient"], label=text_of(f"edl_{loss}"), **style)
            column[2].plot(100 * own[f"{loss}_vanished"], **style)
            pale = style | {"alpha": 0.35}
            column[2].plot(100 * own[f"{loss}_vanished_wrong"], **pale)
        column[1].plot(own["ce_gradient"], label=text_of("ce"), **look("ce"))
        panel_title(column[0], f"trained with {text_of(method)}", 6.6 / len(methods))
        epoch_axis(column[2], own.index)
    panels[0, 0].set_ylabel("independent pairs\nmisordered (%)")
    panels[0, 0].set_ylim(0, max(1.0, panels[0, 0].get_ylim()[1]))
    panels[1, 0].set(ylabel="mean gradient |∂l/∂z|", yscale="log")
    panels[2, 0].set_ylabel("gradient below\n1 % of CE's (%)")
    panels[2, 0].set_ylim(-3, 103)
    handles = panels[1, 0].get_legend_handles_labels()[0]
    handles += [
        Line2D([], [], color="0.3", linestyle=":", linewidth=1, label="on synthetic predictions"),
        Line2D([], [], color="0.3", alpha=0.35, marker="o", label="pale: of errors alone"),
    ]
    legend_below(figure, handles, title="loss looked at", alignment="left")
    heading(figure, title)
    return figure


def by_epoch(table: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """Means over seeds by method and epoch, and the methods in order of appearance."""
    real = table[table["kind"] == "real"]
    means = real.groupby(["method", "epoch"], sort=False).mean(numeric_only=True)
    methods = list(dict.fromkeys(real["method"]))
    return means.sort_index(level="epoch", sort_remaining=False), methods


def epoch_axis(axes: Axes, epochs: pd.Index) -> None:
    """Give the x axis a logarithmic scale that includes epoch 0, so that early epochs can be told
    apart."""
    ticks = sorted(set(epochs.astype(int)))
    axes.set_xscale("symlog", linthresh=1, linscale=0.35)
    labelled = ticks[-1:]  # of late epochs, which stand close together, every other one or fewer
    for epoch in reversed(ticks[:-1]):
        if epoch < 2 or labelled[-1] / epoch > 1.25:
            labelled.append(epoch)
    axes.set_xticks(ticks, [str(epoch) if epoch in labelled else "" for epoch in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("after epoch")


def look(loss: str) -> dict[str, Any]:
    """Colour, dashes and marker of a loss's curve."""
    line, marker = _LINES.get(loss, ("-", "o"))
    colour = colour_of(loss)
    return {"color": colour, "linestyle": line, "marker": marker, "markersize": 5}
