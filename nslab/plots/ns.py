"""Figures of Natural Selection, from tables and tensors."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from nslab.analysis.run_tables import GroupScores
from nslab.configs.labels import LABELS, colour_of, text_of
from nslab.plots.marks import accuracy_limits, legend_below, page, whole_numbers
from nslab.plots.style import GREY, PALETTE, TEXT, method_colour, method_colours
from nslab.plots.titles import heading, panel_title, wrapped

CURVES: tuple[dict, ...] = tuple(
    {"linestyle": line, "marker": marker, "markersize": 4, "linewidth": 1.5}
    for line, marker in (("-", "o"), ("--", "s"), ("-.", "D"), (":", "^"), ((0, (5, 1)), "v"))
)
LABEL = {"facecolor": "white", "edgecolor": "none", "pad": 1}


def stretched(image: Tensor) -> np.ndarray:
    """An image (c, h, w) as an array matplotlib shows, its range stretched to [0, 1]."""
    pixels: np.ndarray = image.permute(1, 2, 0).numpy()
    span = pixels.max() - pixels.min()
    return (pixels - pixels.min()) / (span if span else 1)


def draw_image(axes: Axes, image: Tensor, title: str) -> None:
    """Draw an image without ticks."""
    axes.imshow(stretched(image), cmap="gray", interpolation="nearest")
    axes.set(xticks=[], yticks=[])
    panel_title(axes, title)
    for spine in axes.spines.values():
        spine.set_visible(False)


def images(batch: Tensor, titles: Sequence[str], columns: int = 8) -> Figure:
    """A grid of images with their class names."""
    rows = -(-len(batch) // columns)
    figure = page(1.3 * rows, 1.05 * columns)
    for axes, image, title in zip(
        figure.subplots(rows, columns, squeeze=False).flat, batch, titles, strict=False
    ):
        draw_image(axes, image, wrapped(str(title), 0.95))
    return figure


def competition(result: GroupScores, classes: Sequence[str]) -> Figure:
    """The paper's Fig. 1(b) for one group: images, stitched, resized, q and scores [NS Fig. 1]."""
    m, (rows, cols) = len(result.labels), result.grid
    names = [f"{i + 1}: {classes[k]}" for i, k in enumerate(result.labels.tolist())]
    figure = page(6.2)
    upper, lower = np.asarray(figure.subfigures(2, 1, height_ratios=(1.25, 1)))
    widths = [max(0.6, cols / rows), max(0.6, cols / rows), 1]
    left, middle, right = np.asarray(upper.subfigures(1, 3, width_ratios=widths))
    for axes, image, name in zip(
        left.subplots(rows, cols, squeeze=False).flat, result.images, names, strict=True
    ):
        draw_image(axes, image, name)
    height, width = result.stitched.shape[1:]
    draw_image(middle.subplots(), result.stitched, f"stitched, {height} × {width} pixels")
    height, width = result.composite.shape[1:]
    draw_image(right.subplots(), result.composite, f"resized to {height} × {width}")
    colours = sns.color_palette(PALETTE, m)
    for axes, values, label, title in zip(
        lower.subplots(1, 2),
        (result.q, result.scores),
        ("probability q of own class", "natural-selection score s"),
        ("what the network makes of the composite", "scores: m q / sum of q"),
        strict=True,
    ):
        bars = axes.barh(range(m), values.tolist(), color=colours)
        axes.bar_label(bars, fmt="%.2g", padding=3, fontsize=TEXT, bbox=LABEL)
        axes.set_xlim(0, 1.2 * float(values.max()))
        axes.set(yticks=range(m), xlabel=label)
        axes.set_yticklabels(names)
        axes.invert_yaxis()
        panel_title(axes, title)
    axes.axvline(1, color=GREY, linestyle="--", linewidth=1, label="mean of the group, 1")
    line = axes.get_legend_handles_labels()[0]
    lower.legend(handles=line, loc="outside lower right")
    best = int(result.scores.argmax())
    heading(
        figure,
        "",
        f"Image {best + 1} of {m} in the composite wins: its score is "
        f"{float(result.scores[best]):.2f}, where the mean is 1",
    )
    return figure


def weight_curves(scores: Tensor, lf: float, ws: float, source: str) -> Figure:
    """Sorted weights of both strategies, ``ws`` + s and ``lf`` - s, beside the scores s
    [NS Fig. 2]. ``source`` says where the scores come from."""
    s = np.sort(scores.numpy())[::-1]
    share = np.linspace(0, 100, len(s))
    figure = page(4.0, 7.0)
    axes = figure.subplots()
    # Every curve is sorted in its own descending order, as in the paper.
    for values, label, colour, line in (
        (s, "s (original)", sns.color_palette(PALETTE)[3], "-"),
        (ws + s, f"NS-WS: {ws:g} + s", colour_of("ns_ws"), "--"),
        (np.sort(lf - s)[::-1], f"NS-LF: {lf:g} − s", colour_of("ns_lf"), "-."),
        (np.ones_like(s), "equal weight", GREY, ":"),
    ):
        axes.plot(share, values, line, color=colour, label=label, linewidth=2)
    axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
    axes.set(xlabel="samples, by descending weight (%)", ylabel="weight w", xlim=(0, 100))
    axes.legend()
    heading(figure, f"Weights from {source}")
    return figure


def training_curves(history: pd.DataFrame, title: str) -> Figure:
    """Loss, accuracy and weights over epochs: mean over seeds, band from lowest to highest."""
    panels = (
        ("train_loss", "training objective (nats, weighted)"),
        ("test_accuracy", "test accuracy (%)"),
        ("weight_sd", "sd of the weights w"),
    )
    figure = page(5.6)
    grid = figure.subplot_mosaic([["test_accuracy", "test_accuracy"], ["train_loss", "weight_sd"]])
    order = list(dict.fromkeys(history["method"]))
    colours = method_colours(order)
    for column, label in panels:
        axes = grid[column]
        for k, method in enumerate(order):
            grouped = history[history["method"] == method].groupby("epoch")[column]
            mean, low, high = grouped.mean(), grouped.min(), grouped.max()
            axes.plot(mean, color=colours[method], **CURVES[k % len(CURVES)])
            axes.fill_between(low.index, low, high, color=colours[method], alpha=0.15, linewidth=0)
        axes.set(xlabel="epoch", ylabel=label)
    accuracy_limits(grid["test_accuracy"])
    whole_numbers(*grid.values())
    handles = [
        Line2D([], [], color=colours[m], label=text_of(m), **CURVES[k % len(CURVES)])
        for k, m in enumerate(order)
    ]
    legend_below(figure, handles)
    seeds = history["seed"].nunique()
    heading(figure, f"{title} (n = {seeds}; band: range over seeds)")
    return figure


def class_accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Test accuracy of each class: a point per seed, a dash for their mean."""
    methods = set(table["method"])
    order = [key for key in dict.fromkeys([*LABELS, *table["method"]]) if key in methods]
    classes = list(dict.fromkeys(table["class"]))
    figure = page(1.5 + 0.2 * (1 + len(order)) * len(classes) ** 0.5 + 0.16 * len(classes))
    axes = figure.subplots()
    for k, method in enumerate(order):
        apart = 0.8 * ((k + 0.5) / len(order) - 0.5)
        for place, name in enumerate(classes):
            mine = table[(table["method"] == method) & (table["class"] == name)]["accuracy"]
            colour = method_colour(method)
            x = [place + apart] * len(mine)
            axes.plot(x, mine, "o", color=colour, alpha=0.6, markersize=4)
            axes.plot(x[:1], [mine.mean()], "_", color=colour, markersize=9, markeredgewidth=2.5)
    for place in range(len(classes) - 1):
        axes.axvline(place + 0.5, color="0.9", linewidth=0.8, zorder=0)
    axes.set(xlabel="class", ylabel="test accuracy (%)", xlim=(-0.5, len(classes) - 0.5))
    axes.set_xticks(range(len(classes)), classes)
    accuracy_limits(axes, least=25.0)  # a class has few test images
    axes.tick_params(axis="x", rotation=30 if max(map(len, classes)) > 3 else 0)
    look: dict = {"marker": "o", "linestyle": "", "markersize": 5}
    handles = [Line2D([], [], color=method_colour(m), label=text_of(m), **look) for m in order]
    dash: dict = {"marker": "_", "linestyle": "", "markersize": 9, "markeredgewidth": 2.5}
    legend_below(figure, [*handles, Line2D([], [], color="0.3", label="mean of seeds", **dash)])
    heading(figure, title)
    return figure


def score_distribution(table: pd.DataFrame, m: int, title: str, points: int = 200) -> Figure:
    """Scores by class: a box plot, and up to ``points`` samples per class [NS Fig. 3]; ``m`` is the
    size of a group, the largest possible score."""
    figure = page(4.0)
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
    axes.tick_params(axis="x", rotation=30 if table["class"].astype(str).str.len().max() > 3 else 0)
    dot: dict = {"marker": "o", "linestyle": "", "markersize": 3, "color": red}
    handles = [
        Line2D([], [], label="one sample", **dot),
        Line2D([], [], color=blue, linewidth=2.2, label="median (box: middle half)"),
        Line2D([], [], color=GREY, linestyle="--", linewidth=1, label="mean of every group, 1"),
    ]
    legend_below(figure, handles)
    heading(figure, title)
    return figure
