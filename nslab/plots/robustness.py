"""Figures of errors on corrupted images, from the tables of `nslab.compare` for Tables S4 to S6."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from nslab.analysis.robustness import AVERAGE, CLEAN
from nslab.configs.labels import colour_of, text_of
from nslab.datasets.corruption.sets import CORRUPTIONS
from nslab.plots.marks import legend_below, page
from nslab.plots.style import GREY, TEXT
from nslab.plots.titles import heading, panel_title
from nslab.plots.wording import network_words

LIGHT = "0.95"
SHAPES = "osD^vP"  # of networks in their order, the first one open
PAPER: dict = {"color": "black", "marker": "D", "markersize": 6, "markeredgecolor": "white"}


def errors(table: pd.DataFrame, title: str, paper: str = "the paper") -> Figure:
    """Error on each corruption, ours (means over seeds with sd) and the paper's; a marker per
    network and method. ``paper`` is the title of the paper's panel."""
    shown = table[(table["metric"] == "error") & (table["n"] > 0)]
    known = CORRUPTIONS[shown["dataset"].iloc[0]]
    there = set(shown["corruption"])
    order = [name for name in (CLEAN, *known, AVERAGE) if name in there]
    series = series_of(shown)
    networks = list(dict.fromkeys(network for network, _ in series))
    figure = page(2.0 + max(0.36, 0.08 * len(series)) * len(order))
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for k, (network, method) in enumerate(series):
        own = shown[(shown["network"] == network) & (shown["method"] == method)]
        own = own.sort_values("corruption", key=lambda column: column.map(order.index))
        apart = 0.72 * (k - (len(series) - 1) / 2) / max(4, len(series))
        place = own["corruption"].map(order.index) + apart
        colour, shape = colour_of(method), networks.index(network) % len(SHAPES)
        mark = {
            "fmt": SHAPES[shape],
            "color": colour,
            "markersize": 5,
            "markerfacecolor": colour if shape else "white",
            "markeredgewidth": 1.3,
        }
        label = f"{network_words(network)}, {text_of(method)}"
        panels[0].errorbar(own["ours"], place, xerr=own["sd"].fillna(0), label=label, **mark)
        paper_too = own["paper"].where(own["part"] == "")  # means over the same corruptions only
        panels[1].errorbar(paper_too, place, **mark)
    for panel in panels:
        for row in range(0, len(order), 2):
            panel.axhspan(row - 0.5, row + 0.5, color=LIGHT, zorder=0)
        panel.set_xlabel("error (%)")
    panels[0].set_yticks(range(len(order)), [name.replace("_", " ") for name in order])
    panels[0].set_ylim(len(order) - 0.5, -0.5)
    panels[0].set_ylabel("corruption")
    panel_title(panels[0], f"ours, n = {shown['n'].max()} (line: sd)")
    panel_title(panels[1], paper)
    legend_below(figure, panels[0].get_legend_handles_labels()[0], across=4)
    heading(figure, title)
    return figure


def mce(table: pd.DataFrame, title: str, paper: str = "the paper") -> Figure:
    """Mean error over the corruptions, and mCE, of each network and method: a bar with its sd, the
    paper's as a diamond, and a tick for the error on clean images. ``paper`` is the paper's name in
    the legend."""
    ours = table[table["n"] > 0]
    series = series_of(ours)
    keys = ["corruption", "metric", "network", "method"]
    ours = ours.assign(paper=ours["paper"].where(ours["part"] == ""))
    values = ours.set_index(keys)[["ours", "sd", "paper"]].astype(float).T.to_dict()
    figure = page(2.0 + 0.5 * len(series))
    panels = figure.subplots(1, 2, sharey=True)
    for panel, metric in zip(panels, ("error", "mce"), strict=True):
        for place, (network, method) in enumerate(series):
            line = values["average", metric, network, method]
            value, sd = line["ours"], float(np.nan_to_num(line["sd"]))
            bar = {"color": colour_of(method), "alpha": 0.75}
            panel.barh(place, value, height=0.6, **bar)
            panel.errorbar(value, place, xerr=sd, fmt="none", color="black", capsize=4)
            label = None if place else paper
            panel.plot(line["paper"], place, linestyle="none", **PAPER, label=label)
            if clean := values.get(("clean", metric, network, method)):
                label = None if place else "ours, clean images"
                panel.plot(clean["ours"], place, "|", color="black", markersize=15, label=label)
            edge = panel.get_yaxis_transform()
            panel.text(
                0.99, place, f"{value:.1f}", transform=edge, ha="right", va="center", size=TEXT
            )
        end = 1.25 * panel.dataLim.x1
        ticks = MaxNLocator(5).tick_values(0, end)
        # a label at the end would reach over the edge
        panel.set_xticks([tick for tick in ticks if tick <= 0.93 * end])
        panel.set_xlim(0, end)
    panels[0].set_yticks(
        range(len(series)), [f"{network_words(n)}, {text_of(m)}" for n, m in series]
    )
    panels[0].set_ylim(len(series) - 0.4, -0.6)
    seeds = ours["n"].max()
    panels[0].set_xlabel("mean error over the corruptions (%)")
    panel_title(panels[0], f"bars: ours, n = {seeds} (line: sd)")
    line = panels[1].axvline(100, color=GREY, linestyle="--", linewidth=1, label="LeNet-1 by Adam")
    panels[1].set_xlabel("mCE (% of the errors of LeNet-1 by Adam)")
    panel_title(panels[1], "mean corruption error")
    legend_below(figure, [*panels[0].get_legend_handles_labels()[0], line])
    heading(figure, title)
    return figure


def series_of(table: pd.DataFrame) -> list[tuple[str, str]]:
    """The pairs of network and method in a table, sorted by name."""
    return sorted(set(zip(table["network"], table["method"], strict=True)))
