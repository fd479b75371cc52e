"""Figure of the overhead of Natural Selection."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nslab.analysis.overhead import STAGES
from nslab.configs.labels import colour_of, text_of
from nslab.plots.marks import legend_below, page
from nslab.plots.style import TEXT
from nslab.plots.titles import heading, panel_title, wrapped
from nslab.plots.wording import dataset_words, network_words

_PLAIN = "0.75"
_NOTE: dict = {"textcoords": "offset points", "va": "center", "fontsize": TEXT}
_BAR: dict = {"height": 0.6, "edgecolor": "white", "linewidth": 0.5}


def step_by_stage(table: pd.DataFrame, title: str) -> Figure:
    """An NS step's time by stage in percent of a plain step, a bar per source and data set.

    ``table`` has the columns source, dataset, network, device, method, part, percent, q1, q3 (see
    `nslab.analysis.overhead_tables.percent_table`). Above is the whole step, below, enlarged, what
    NS adds; a diamond there is the measured excess of the whole step, with quartiles if known.
    """
    shown = table[(table["method"] == "ns_ws") & table["part"].isin([*STAGES, "time"])]
    keys = ["source", "dataset", "network", "device"]
    bars = [group.set_index("part") for _, group in shown.groupby(keys, sort=False)]
    figure = page(2.4 + 1.16 * len(bars))
    whole, added = figure.subplots(2, 1)
    whole.barh(range(len(bars)), 100, height=0.6, color=_PLAIN, label="plain step (CE)")
    _stack(whole, bars, 100)
    _stack(added, bars, 0)
    for place, parts in enumerate(bars):
        percent, q1, q3 = (float(parts[column]["time"]) for column in ("percent", "q1", "q3"))
        error = np.nan_to_num([[percent - q1], [q3 - percent]])
        added.errorbar(
            percent,
            place,
            xerr=error,
            fmt="D",
            color="black",
            markeredgecolor="white",
            markersize=7,
            capsize=4,
            label=None if place else "whole NS step minus plain step (quartiles)",
        )
        text = f"+{percent:.1f} %" if percent >= 0 else f"{percent:.1f} %"
        added.annotate(text, (max(percent, percent + error[1, 0]), place), (9, 0), **_NOTE)
    for axes in (whole, added):
        axes.set_yticks(range(len(bars)), [_name(*parts.iloc[0][keys]) for parts in bars])
        axes.invert_yaxis()
        axes.set_xlabel("% of the time of a plain step")
    panel_title(whole, "plain step and stages of NS")
    panel_title(added, "what NS adds, enlarged")
    added.margins(x=0.15)
    handles, labels = added.get_legend_handles_labels()
    first, name = whole.get_legend_handles_labels()
    entries = [first[0], *handles]
    for entry, text in zip(entries, [name[0], *labels], strict=True):
        entry.set_label(text)
    legend_below(figure, entries)
    heading(figure, title)
    return figure


def _stack(axes: Axes, bars: list[pd.DataFrame], start: float) -> None:
    """Stack the stages in bars; stages that a source lacks have no width."""
    left = np.full(len(bars), start)
    for part in STAGES:
        width = np.array([parts["percent"].get(part, 0.0) for parts in bars])
        look = {"color": colour_of(f"stage:{part}"), "label": text_of(f"stage:{part}")}
        axes.barh(range(len(bars)), width, left=left, **_BAR, **look)
        left = left + width


def _name(source: str, dataset: str, network: str, device: str) -> str:
    what = f"{source}: {dataset_words(dataset)}, {network_words(network)}"
    return "\n".join(wrapped(text, 2.6) for text in (what, device) if text)
