"""Figures of how differential evolution works; nothing is trained and nothing evolves here."""

from collections.abc import Sequence
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

from nslab.evolution_tables import SYMBOLS
from nslab.landscapes import Brood, Course, Sketch
from nslab.plots.evolve import LABELS, STRATEGIES, STYLES
from nslab.plots.style import PALETTE

BLUE, ORANGE, GREEN, RED = sns.color_palette(PALETTE)[:4]
# By the operator's name, in the paper's order: what it is called, and how it is drawn everywhere.
NAMES = {name: f"{LABELS[symbol]} {name}" for name, symbol in SYMBOLS.items()}
COLOURS = {name: STRATEGIES[symbol] for name, symbol in SYMBOLS.items()}
LINES: dict[str, Any] = {name: STYLES[symbol] for name, symbol in SYMBOLS.items()}
MARKERS = dict(zip(SYMBOLS, "osD^P", strict=True))
OTHERS: tuple[tuple[Any, str], ...] = (
    ("-", "s"),
    ("--", "D"),
    ("-.", "o"),
    (":", "^"),
    ((0, (5, 1)), "v"),
)
CLEAR: dict = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
Plane = tuple[Float[Tensor, " a"], Float[Tensor, "a a"]]


def mutations(
    plane: Plane, x: Float[Tensor, "np 2"], target: int, made: Sequence[Sketch], title: str
) -> Figure:
    """How each strategy makes a mutant of one member (the paper's Fig. S1, right); in the last
    panel all mutants, and the trials that crossover makes of them."""
    figure = _wide(8.2)
    panels, reach = figure.subplots(2, 3, sharex=True, sharey=True), float(plane[0].max())
    for axes, sketch in zip(panels.flat, made, strict=False):
        _contours(axes, plane)
        axes.plot(*x.T, "o", color="0.6", markersize=4)
        here = sketch.start
        for step in sketch.steps:
            _line(axes, [step.origin, step.end], ":", color="black", linewidth=1)
            there = here + step.vector
            _arrow(axes, here, there, COLOURS[sketch.strategy])
            here, reach = there, max(reach, 0.2 + float(there.abs().max()))
        if sketch.strategy == "trigonometric":
            _line(axes, [sketch.start], "x", color="black", markersize=7)
            _name(axes, sketch.start, "mean", left=True)
        _mutant(axes, sketch)
        for member in dict.fromkeys(sketch.used.values()):
            names = [name for name, same in sketch.used.items() if same == member]
            _line(axes, [x[member]], "s" if "i" in names else "o", color="black", markersize=6)
            _name(axes, x[member], " = ".join(names))
        axes.set_title(NAMES[sketch.strategy])
    last = panels.flat[len(made)]
    _contours(last, plane)
    last.plot(*x.T, "o", color="0.6", markersize=4)
    for sketch in made:
        colour = COLOURS[sketch.strategy]
        _line(last, [x[target], sketch.trial, sketch.mutant], ":", color=colour, linewidth=1.5)
        _mutant(last, sketch)
        _line(last, [sketch.trial], MARKERS[sketch.strategy], color=colour, markersize=8)
        if sketch.survives:
            ring: dict = {"markerfacecolor": "none", "markersize": 15, "markeredgewidth": 1.2}
            _line(last, [sketch.trial], "o", color="black", **ring)
    _line(last, [x[target]], "s", color="black", markersize=6)
    _name(last, x[target], "i")
    last.set_title("crossover: trials filled, ringed: better than i")
    _edges(panels, reach)
    figure.suptitle(title, fontsize=11)
    return figure


def course(plane: Plane, course: Course, shown: Sequence[int], title: str) -> Figure:
    """A population at some generations: how each member was made, and its way since the last
    generation shown."""
    figure = Figure(figsize=(2.9 * len(shown), 3.9))
    panels = figure.subplots(1, len(shown), sharex=True, sharey=True, squeeze=False)
    before = 0
    for axes, g in zip(panels[0], shown, strict=True):
        _contours(axes, plane)
        for way in course.x[before : g + 1].unbind(1):
            axes.plot(*way.T, "-", color="0.45", linewidth=0.7)
        axes.plot(*course.x[g, course.strategy[g] < 0].T, "o", color="0.5", markersize=4)
        for k, name in enumerate(SYMBOLS):
            mine = course.x[g, course.strategy[g] == k]
            axes.plot(*mine.T, MARKERS[name], color=COLOURS[name], markersize=6)
        axes.set_title(f"generation {g}\nmean loss {course.losses[g].mean():.2f}")
        before = g
    _edges(panels, float(plane[0].max()))
    figure.legend(handles=_handles("initial"), loc="outside lower center", ncols=6)
    figure.suptitle(title, fontsize=11)
    return figure


def factors(
    waves: pd.DataFrame, drawn: pd.DataFrame, within: tuple[float, float], middle: float
) -> Figure:
    """Where F comes from: two sinusoids in a batch's first half, the archive after ``middle``.

    ``waves``, ``drawn``: see `nslab.landscapes.sinusoids` and `drawn_factors`.
    """
    figure = _wide(4.3)
    falling, rising, law = figure.subplots(1, 3)
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
        axes.set(xlabel="generation g in a batch", ylabel="F (scaled to its range)", title=words)
        axes.set(xticks=range(1, last + 1), xlim=(0.5, last + 0.5), ylim=within)
    handles = [
        Line2D([], [], linestyle=line, marker=marker, color=colour, label=f"{frequency:g}")
        for frequency, (line, marker), colour in zip(
            waves["frequency"].unique(), OTHERS, colours, strict=False
        )
    ]
    figure.legend(
        handles=handles,
        title="frequency ν; marks: whole generations; grey: F comes from the archive instead",
        title_fontsize=9,
        loc="outside lower left",
        ncols=len(handles),
    )
    bins = np.linspace(*within, 41)
    for k, (name, words) in enumerate((("normal", "normal (ours)"), ("cauchy", "Cauchy (SHADE)"))):
        f = drawn.loc[drawn["law"] == name, "f"]
        share = np.full(len(f), 100 / len(f))
        style: dict = {"color": colours[k], "linestyle": OTHERS[k][0], "linewidth": 1.5}
        law.hist(f, bins, weights=share, histtype="step", **style)
        law.plot([], [], label=words, **style)
    law.set(xlabel="F drawn about a cell's value", ylabel="share of draws (%)", xlim=within)
    law.set(title="the archive's draws", ylim=(0, 1.3 * law.get_ylim()[1]))
    law.xaxis.set_major_locator(MaxNLocator(5))
    law.legend(loc="upper left")
    return figure


def archive(
    first: tuple[Sequence[float], Sequence[float]],
    means: dict[str, float],
    cells: Float[Tensor, "g h"],
) -> Figure:
    """One generation's successes, their weights and means; then the archive, written cell by cell.

    ``first``: values and gains of the first generation; ``cells``: before it and after every one.
    """
    figure = _wide(3.6)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.5))
    values, gains = np.array(first[0]), np.array(first[1])
    left.vlines(values, 0, gains / gains.sum(), color="0.4", linewidth=5)
    styles = zip((BLUE, GREEN, RED), ("-.", "--", "-"), strict=True)
    for (name, mean), (colour, line) in zip(means.items(), styles, strict=False):
        left.axvline(mean, 0, 0.68, color=colour, linestyle=line, label=f"{name}: {mean:.3f}")
    left.set(xlabel="F of the trials that won", ylabel="weight w (share of the gains)", ylim=(0, 1))
    left.set_title("successes of generation 1")
    left.legend(loc="upper left")
    wide = cells.T.numpy()
    sns.heatmap(
        wide,
        annot=True,
        fmt=".3f",
        cmap="cividis",
        ax=right,
        cbar_kws={"label": "F in the cell"},
        annot_kws={"fontsize": 9},
        linewidths=0.5,
    )
    for g, cell in zip(*np.nonzero(np.diff(wide.T, axis=0)), strict=True):
        right.add_patch(_frame(int(g) + 1, int(cell)))
    right.set(xlabel="after generation", ylabel="cell", title="archive (framed: just written)")
    right.set_yticklabels(range(1, len(wide) + 1), rotation=0)
    return figure


def rivalry(table: pd.DataFrame, history: int) -> Figure:
    """Success rates that are made up, and the probabilities that follow them."""
    figure = _wide(4.0)
    panels = figure.subplots(1, 2)
    for name, part in table.groupby("strategy", sort=False):
        style: dict = {"color": COLOURS[str(name)], "linestyle": LINES[str(name)]}
        style |= {"marker": MARKERS[str(name)], "markersize": 5, "markevery": (0, 5)}
        panels[0].step(part["generation"], 100 * part["rate"], where="mid", **style)
        panels[1].plot(part["generation"], part["probability"], **style)
    panels[1].axvspan(0.5, history - 0.5, color="0.88", zorder=0)
    panels[0].set(xlabel="generation", ylabel="success rate given (%)", title="made up", ylim=0)
    panels[1].set(xlabel="generation", ylabel="probability of a strategy", ylim=0)
    panels[1].set_title(f"learnt (grey: fewer than H = {history} generations)")
    figure.legend(handles=_handles(lines=True), loc="outside lower center", ncols=5)
    return figure


def brood(found: Brood, title: str) -> Figure:
    """Losses of one network's children by strategy: a point each, a box, the share that wins.

    Each panel has its own scale; parents much worse than all children are left out.
    """
    figure = _wide(4.8)
    panels = figure.subplots(1, 2)
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
            style: dict = {"color": COLOURS[name], "markersize": 5, "alpha": 0.8}
            axes.plot(place + aside, losses, MARKERS[name], **style)
            ticks.append(f"{LABELS[SYMBOLS[name]]}\n{name}\n{100 * np.mean(losses < own):.0f} %")
        seen = [own, *table["loss"]]
        if kind == "mutant":
            seen += [loss for loss in found.losses.tolist() if loss < 1.5 * max(seen)]
        margin = 0.08 * (max(seen) - min(seen))
        axes.set(ylim=(min(seen) - margin, max(seen) + margin), ylabel="loss on the batch (nats)")
        axes.set_xticks(range(len(ticks)), ticks, fontsize=8)
        axes.set_xlabel("strategy; share of its children that beat the target")
    panels[0].set_title("mutants: all genes new")
    panels[1].set_title("trials: after crossover (finer scale)")
    figure.suptitle(f"{title}; dashed: the target, grey: other parents", fontsize=11)
    return figure


def genes(
    apart: dict[str, Float[Tensor, " d"]], changes: dict[str, Float[Tensor, " d"]], title: str
) -> Figure:
    """How far the genes of two parents lie apart, and how far mutants lie from their target."""
    figure = _wide(4.0)
    left, right = figure.subplots(1, 2)
    styles = zip((BLUE, ORANGE, GREEN), ("-", "--", "-."), strict=True)
    shown = dict(zip(apart, styles, strict=False))
    _outlines(left, apart, shown)
    _outlines(
        right,
        {NAMES[name]: values for name, values in changes.items()},
        {NAMES[name]: (COLOURS[name], LINES[name]) for name in changes},
    )
    left.set(xlabel="difference of a gene in two parents", ylabel="share of genes (%)")
    right.set(xlabel="change of a gene from target to mutant", ylabel="share of genes (%)")
    figure.suptitle(title, fontsize=11)
    return figure


def losses(table: pd.DataFrame, members: int, title: str) -> Figure:
    """Best and mean loss of a population over the generations, and how many of its trials won.

    ``table``: as `nslab.evolution_tables.generation_table` gives it.
    """
    figure = _wide(3.8)
    left, right = figure.subplots(1, 2)
    for value, colour, line, marker in (("mean", ORANGE, "--", "s"), ("best", BLUE, "-", "o")):
        style: dict = {"color": colour, "linestyle": line, "marker": marker, "markersize": 5}
        left.plot(table["step"], table[value], label=value, **style)
    left.set(xlabel="generation", ylabel="loss on the batch (nats)")
    left.set_ylim(0, 1.1 * left.get_ylim()[1])
    left.legend(ncols=2, loc="upper right")
    right.bar(table["step"], table["wins"], color=BLUE)
    right.axhline(members, color="black", linestyle="--", linewidth=1)
    right.set(xlabel="generation", ylabel="trials that won (dashed: all)")
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for change in table.loc[table["batch"].diff() > 0, "step"]:
            axes.axvline(change - 0.5, color="0.6", linestyle=":", zorder=0)
    figure.suptitle(f"{title}; dotted: a new batch", fontsize=11)
    return figure


def _wide(height: float) -> Figure:
    figure = Figure(figsize=(11.5, height))
    figure.set_layout_engine("constrained", wspace=0.04)
    return figure


def _line(axes: Axes, points: Sequence[Tensor], form: str, **style: Any) -> None:
    axes.plot(*np.array([p.tolist() for p in points]).T, form, **style)


def _arrow(axes: Axes, tail: Tensor, head: Tensor, colour: tuple) -> None:
    form: dict = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tuple(head.tolist()), tuple(tail.tolist()), arrowprops=form)


def _name(axes: Axes, point: Tensor, text: str, left: bool = False) -> None:
    form: dict = {"textcoords": "offset points", "fontsize": 9, "bbox": CLEAR}
    form |= {"ha": "right" if left else "left"}
    axes.annotate(text, tuple(point.tolist()), (-7, -3) if left else (5, 5), **form)


def _mutant(axes: Axes, sketch: Sketch) -> None:
    style: dict = {"markerfacecolor": "white", "markersize": 8, "markeredgewidth": 2}
    colour = COLOURS[sketch.strategy]
    _line(axes, [sketch.mutant], MARKERS[sketch.strategy], color=colour, **style)


def _contours(axes: Axes, plane: Plane) -> None:
    place, loss = (part.numpy() for part in plane)
    axes.contourf(place, place, loss, 14, cmap="Greys", alpha=0.15)
    axes.contour(place, place, loss, 14, colors="0.7", linewidths=0.5)


def _edges(panels: np.ndarray, reach: float) -> None:
    """Labels on the outer axes only; all in one square."""
    for axes in panels.flat:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for axes in panels[-1]:
        axes.set_xlabel("gene 1")
    for axes in panels[:, 0]:
        axes.set_ylabel("gene 2")


def _handles(first: str = "", lines: bool = False) -> list[Line2D]:
    """A legend of the strategies."""
    grey = [Line2D([], [], marker="o", linestyle="", color="0.5", label=first)] if first else []
    return grey + [
        Line2D(
            [],
            [],
            marker=MARKERS[name],
            linestyle=LINES[name] if lines else "",
            color=COLOURS[name],
            label=NAMES[name],
        )
        for name in SYMBOLS
    ]


def _frame(column: int, row: int) -> Rectangle:
    return Rectangle((column, row), 1, 1, fill=False, edgecolor=RED, linewidth=2.5, zorder=3)


def _outlines(axes: Axes, parts: dict[str, Tensor], styles: dict[str, tuple[tuple, Any]]) -> None:
    """Histograms in percent, as outlines over the same bins."""
    reach = max(float(values.abs().max()) for values in parts.values())
    for name, values in parts.items():
        share, edges = np.histogram(values.numpy(), 61, (-reach, reach))
        colour, line = styles[name]
        axes.stairs(100 * share / len(values), edges, color=colour, linestyle=line, label=name)
    axes.set_yscale("log")
    axes.legend(loc="upper left", fontsize=8)
