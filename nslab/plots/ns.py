"""Figures of Natural Selection: tables and tensors in, a figure out; nothing is computed here."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from nslab.analysis.run_tables import GroupScores
from nslab.configs.labels import LABELS, colour_of, text_of
from nslab.plots.style import PALETTE

GREY = "0.4"
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def stretched(image: Tensor) -> np.ndarray:
    """An image (c, h, w) as an array matplotlib shows, its range stretched to [0, 1]."""
    pixels: np.ndarray = image.permute(1, 2, 0).numpy()
    span = pixels.max() - pixels.min()
    return (pixels - pixels.min()) / (span if span else 1)


def draw_image(axes: Axes, image: Tensor, title: str) -> None:
    """Draw an image without ticks."""
    axes.imshow(stretched(image), cmap="gray", interpolation="nearest")
    axes.set(title=title, xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)


def images(batch: Tensor, titles: Sequence[str], columns: int = 8) -> Figure:
    """A wall of images with their class names."""
    rows = -(-len(batch) // columns)
    figure = Figure(figsize=(1.1 * columns, 1.35 * rows))
    for axes, image, title in zip(
        figure.subplots(rows, columns, squeeze=False).flat, batch, titles, strict=False
    ):
        draw_image(axes, image, title)
    return figure


def competition(result: GroupScores, classes: Sequence[str]) -> Figure:
    """The paper's Fig. 1(b) for one group: images, stitched, resized, q and scores [NS Fig. 1]."""
    m, (rows, cols) = len(result.labels), result.grid
    names = [f"{i + 1}: {classes[k]}" for i, k in enumerate(result.labels.tolist())]
    figure = Figure(figsize=(11, 3.2))
    widths = [cols / rows, cols / rows, 1, 1.3, 1.3]
    parts = np.asarray(figure.subfigures(1, 5, width_ratios=widths))
    left, middle, right, bars_q, bars_s = parts
    for axes, image, name in zip(
        left.subplots(rows, cols, squeeze=False).flat, result.images, names, strict=True
    ):
        draw_image(axes, image, name)
    left.suptitle("a group of samples", fontsize=11)
    height, width = result.stitched.shape[1:]
    draw_image(middle.subplots(), result.stitched, f"stitched, {height} x {width} pixels")
    height, width = result.composite.shape[1:]
    draw_image(right.subplots(), result.composite, f"resized to {height} x {width}")
    colours = sns.color_palette(PALETTE, m)
    for part, values, label, mean in (
        (bars_q, result.q, "probability q of own class", None),
        (bars_s, result.scores, "natural-selection score s", 1.0),
    ):
        axes = part.subplots()
        bars = axes.barh(range(m), values.tolist(), color=colours)
        axes.bar_label(bars, fmt="%.2g", padding=3, fontsize=9, bbox=LABEL)
        axes.set_xlim(0, 1.2 * float(values.max()))
        axes.set(yticks=range(m), xlabel=label)
        axes.set_yticklabels(names)
        axes.invert_yaxis()
        if mean is not None:
            axes.axvline(mean, color=GREY, linestyle="--", linewidth=1)
            axes.set_title("dashed: the group's mean, 1", fontsize=9)
    return figure


def weight_curves(scores: Tensor, lf: float, ws: float, source: str) -> Figure:
    """Sorted weights of both strategies beside the scores themselves [NS Fig. 2]."""
    s = np.sort(scores.numpy())[::-1]
    share = np.linspace(0, 100, len(s))
    figure = Figure(figsize=(5.5, 3.6))
    axes = figure.subplots()
    # Every curve is sorted in its own descending order, as in the paper.
    for values, label, colour, line in (
        (s, "s (original)", sns.color_palette(PALETTE)[3], "-"),
        (ws + s, f"NS-WS: {ws:g} + s", colour_of("ns_ws"), "--"),
        (np.sort(lf - s)[::-1], f"NS-LF: {lf:g} - s", colour_of("ns_lf"), "-."),
        (np.ones_like(s), "equal weight", GREY, ":"),
    ):
        axes.plot(share, values, line, color=colour, label=label, linewidth=2)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="samples, by descending weight (%)", ylabel="weight w", xlim=(0, 100))
    axes.set_title(f"Weights from {source}")
    axes.legend()
    return figure


def training_curves(history: pd.DataFrame, title: str) -> Figure:
    """Loss, accuracy and weights over epochs: mean over seeds, band from lowest to highest."""
    panels = (
        ("train_loss", "training objective (nats, weighted)"),
        ("test_accuracy", "test accuracy (%)"),
        ("weight_sd", "sd of the weights w"),
    )
    figure = Figure(figsize=(11, 3.4))
    for axes, (column, label) in zip(figure.subplots(1, 3), panels, strict=True):
        sns.lineplot(
            history.assign(method=history["method"].map(text_of)),
            x="epoch",
            y=column,
            hue="method",
            style="method",
            palette={text_of(k): colour_of(k) for k in history["method"].unique()},
            errorbar=("pi", 100),
            markers=True,
            ax=axes,
        )
        axes.set(xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.get_legend().set_title(None)
        if column != "test_accuracy":
            axes.get_legend().remove()
    seeds = history["seed"].nunique()
    figure.suptitle(f"{title} (n = {seeds}; band: range over seeds)", fontsize=11)
    return figure


def class_accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Test accuracy of each class: a point per seed, a dash for their mean."""
    named = table.assign(method=table["method"].map(text_of))
    methods = set(table["method"])
    order = [key for key in dict.fromkeys([*LABELS, *table["method"]]) if key in methods]
    palette = {text_of(key): colour_of(key) for key in order}
    figure = Figure(figsize=(max(7.0, 0.85 * table["class"].nunique()), 3.6))
    axes = figure.subplots()
    style = {"x": "class", "y": "accuracy", "hue": "method", "hue_order": list(palette), "ax": axes}
    sns.stripplot(
        named, palette=palette, dodge=True, size=5, alpha=0.6, jitter=False, legend=False, **style
    )
    sns.pointplot(
        named,
        palette=palette,
        dodge=0.8 - 0.8 / len(palette) if len(palette) > 1 else False,  # over the points
        errorbar=None,
        linestyle="none",
        marker="_",
        markersize=15,
        markeredgewidth=2.5,
        **style,
    )
    for place in range(table["class"].nunique() - 1):
        axes.axvline(place + 0.5, color="0.9", linewidth=0.8, zorder=0)
    axes.set(xlabel="class", ylabel="test accuracy (%)")
    axes.set_title(title, loc="left")
    axes.tick_params(axis="x", rotation=30 if table["class"].str.len().max() > 3 else 0)
    axes.legend(title=None, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def score_distribution(table: pd.DataFrame, m: int, title: str, points: int = 200) -> Figure:
    """Scores of each class: a box, and up to ``points`` samples of it [NS Fig. 3]."""
    figure = Figure(figsize=(max(7.0, 0.8 * table["class"].nunique()), 3.8))
    axes = figure.subplots()
    sample = table.groupby("class", observed=True).head(points)
    red, blue = (sns.color_palette(PALETTE)[i] for i in (3, 0))
    # Jitter from the golden ratio: spread evenly, and the same every time.
    place = sample["class"].cat.codes + 0.6 * ((np.arange(len(sample)) * 0.6180339887) % 1 - 0.5)
    axes.scatter(place, sample["score"], s=4, color=red, alpha=0.35, linewidths=0)
    names = table["class"].cat.categories
    axes.boxplot(
        [table.loc[table["class"] == name, "score"] for name in names],
        positions=range(len(names)),
        widths=0.7,
        showfliers=False,
        medianprops={"color": blue, "linewidth": 2.2},
    )
    axes.set_xticks(range(len(names)), names)
    axes.axhline(1, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="class", ylabel="natural-selection score s", ylim=(-0.05 * m, 1.05 * m))
    axes.set_title(f"{title}; dashed: mean of every group, 1")
    axes.tick_params(axis="x", rotation=30 if table["class"].astype(str).str.len().max() > 3 else 0)
    return figure
