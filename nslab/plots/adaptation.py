"""Figures of adaptations: pseudo-labels over epochs, and scores of classes."""

from collections.abc import Mapping

import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nslab.configs.labels import text_of
from nslab.plots.marks import (
    RULED,
    accuracy_limits,
    legend_below,
    page,
    seed_handles,
    seeds_and_mean,
    whole_numbers,
)
from nslab.plots.style import GREY, PALETTE, TEXT, method_colours
from nslab.plots.titles import heading


def tasks(table: pd.DataFrame, title: str) -> Figure:
    """Test accuracy by task and method: a point per seed, a bar for their mean; columns ``task``,
    ``method``, ``value``. Parts of the title between semicolons get a line each."""
    order = list(dict.fromkeys(table["method"]))
    names = list(dict.fromkeys(table["task"]))
    colours = method_colours(order)
    figure = page(1.6 + (0.25 * len(order) + 0.3) * len(names))
    axes, ticks, place = figure.subplots(), [], 0.0
    for name in names:
        axes.text(0.01, place - 0.75, name, transform=axes.get_yaxis_transform(), fontsize=TEXT)
        for method in order:
            values = table.loc[(table["task"] == name) & (table["method"] == method), "value"]
            seeds_and_mean(axes, place, values, colours[method])
            ticks.append((place, text_of(method)))
            place += 1
        place += 1.2
    axes.set_yticks(*zip(*ticks, strict=True))
    axes.set(ylim=(place - 1.5, -1.5), xlabel="test accuracy on the target domain (%)")
    axes.grid(**RULED)
    accuracy_limits(axes, "x")
    legend_below(figure, seed_handles(" of them"))
    heading(figure, "\n".join(title.split("; ")))
    return figure


def pseudo_label_curves(history: pd.DataFrame, title: str) -> Figure:
    """Percent of right pseudo-labels, and how well weights and probabilities tell right ones from
    wrong ones (AUC), over epochs: means over tasks and seeds; bands are the range over seeds of the
    mean over tasks."""
    keys = ["method", "seed", "epoch"]
    history = history.groupby(keys, sort=False).mean(numeric_only=True).reset_index()
    figure = page(4.2)
    left, right = figure.subplots(1, 2)
    colours = method_colours(history["method"])
    dashes = ("-", "--", "-.", ":")
    for k, (method, part) in enumerate(history.groupby("method", sort=False)):
        grouped, colour = part.groupby("epoch")["pseudo_accuracy"], colours[str(method)]
        look = {"color": colour, "linestyle": dashes[k % 4], "label": text_of(str(method))}
        left.plot(grouped.mean(), **look)
        low, high = grouped.min(), grouped.max()
        left.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
    left.set(xlabel="epoch", ylabel="right pseudo-labels (%)")
    accuracy_limits(left)
    scored = history[history["method"].str.startswith("ns_")]
    colours = sns.color_palette(PALETTE)
    for column, label, colour, line in (
        ("auc_probability", "probability of the pseudo-label", colours[0], "-"),
        ("auc_weight", "weight by NS", colours[3], "--"),
    ):
        grouped = scored.groupby("epoch")[column]
        middle, low, high = grouped.mean(), grouped.min(), grouped.max()
        right.plot(middle.index, middle, color=colour, linestyle=line, label=label)
        right.fill_between(middle.index, low, high, color=colour, alpha=0.2, linewidth=0)
    right.axhline(0.5, color=GREY, linestyle=":", linewidth=1, label="chance")
    right.set(xlabel="epoch", ylabel="chance to be larger on a right\npseudo-label (AUC)")
    right.set_ylim(0, 1.02)
    whole_numbers(left, right)
    for axes in (left, right):
        axes.legend(loc="upper left", bbox_to_anchor=(-0.02, -0.2))
    heading(figure, title)
    return figure


def class_maps(table: pd.DataFrame, title: str) -> Figure:
    """Percent of right pseudo-labels, and mean scores, by class and epoch; columns ``class``,
    ``epoch``, ``pseudo``, ``score``. Colours of scores are centred on 1, the mean of all scores."""
    count = table["class"].nunique()
    figure = page(1.6 + 0.26 * min(count, 30))
    shown: Mapping[str, tuple[str, str, float | None]] = {
        "pseudo": ("right pseudo-labels (%)", "cividis", None),
        "score": ("mean score s", "vlag", 1.0),
    }
    for axes, (column, (label, cmap, centre)) in zip(
        figure.subplots(1, 2), shown.items(), strict=True
    ):
        wide = table.pivot_table(index="class", columns="epoch", values=column, sort=False)
        limits: dict[str, float] = {}
        if centre is not None:  # the same range on either side of the centre
            reach = float((wide - centre).abs().max().max()) or 1.0
            limits = {"vmin": centre - reach, "vmax": centre + reach}
        few = count <= 20 and len(wide.columns) <= 6
        sns.heatmap(
            wide,
            cmap=cmap,
            ax=axes,
            annot=few,
            fmt=".0f" if centre is None else ".2f",
            annot_kws={"fontsize": TEXT},
            cbar_kws={"label": label},
            yticklabels=True if count <= 30 else "auto",
            **limits,
        )
        axes.set(xlabel="epoch", ylabel="class" if column == "pseudo" else "")
        axes.tick_params(axis="y", rotation=0)
    heading(figure, title)
    return figure
