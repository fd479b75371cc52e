"""Figures of differential evolution in two dimensions, see `nslab.analysis.de_landscapes`."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch import Tensor

from nslab.analysis.de import SYMBOLS
from nslab.analysis.de_landscapes import MutantSketch, Trajectory
from nslab.configs.labels import colour_of, text_of
from nslab.plots.de_runs import STRATEGY_DASHES
from nslab.plots.marks import legend_below, page
from nslab.plots.style import TEXT
from nslab.plots.titles import heading, panel_title

# By the operator's name, in the paper's order.
STRATEGY_TEXTS = {name: f"{text_of(name)} {name}" for name in SYMBOLS}
STRATEGY_MARKERS = dict(zip(SYMBOLS, "osD^P", strict=True))
_CLEAR: dict = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5}
Plane = tuple[Float[Tensor, " a"], Float[Tensor, "a a"]]


def mutations(
    plane: Plane, x: Float[Tensor, "np 2"], target: int, made: Sequence[MutantSketch], title: str
) -> Figure:
    """How each strategy makes a mutant of one member (the paper's Fig. S1, right), a panel each;
    the last panel has all mutants, and the trials that crossover makes of them."""
    figure = page(10.6)
    panels, reach = figure.subplots(3, 2, sharex=True, sharey=True), float(plane[0].max())
    for axes, sketch in zip(panels.flat, made, strict=False):
        _contours(axes, plane)
        axes.plot(*x.T, "o", color="0.6", markersize=4)
        here = sketch.start
        for step in sketch.steps:
            _line(axes, [step.origin, step.end], ":", color="black", linewidth=1)
            there = here + step.vector
            _arrow(axes, here, there, colour_of(sketch.strategy))
            here, reach = there, max(reach, 0.2 + float(there.abs().max()))
        if sketch.strategy == "trigonometric":
            _line(axes, [sketch.start], "x", color="black", markersize=7)
            _name(axes, sketch.start, "mean", left=True)
        _mutant(axes, sketch)
        for member in dict.fromkeys(sketch.used.values()):
            names = [name for name, same in sketch.used.items() if same == member]
            _line(axes, [x[member]], "s" if "i" in names else "o", color="black", markersize=6)
            _name(axes, x[member], " = ".join(names))
        panel_title(axes, STRATEGY_TEXTS[sketch.strategy])
    last = panels.flat[len(made)]
    _contours(last, plane)
    last.plot(*x.T, "o", color="0.6", markersize=4)
    for sketch in made:
        colour = colour_of(sketch.strategy)
        _line(last, [x[target], sketch.trial, sketch.mutant], ":", color=colour, linewidth=1.5)
        _mutant(last, sketch)
        _line(last, [sketch.trial], STRATEGY_MARKERS[sketch.strategy], color=colour, markersize=8)
        if sketch.survives:
            ring: dict = {"markerfacecolor": "none", "markersize": 15, "markeredgewidth": 1.2}
            _line(last, [sketch.trial], "o", color="black", **ring)
    _line(last, [x[target]], "s", color="black", markersize=6)
    _name(last, x[target], "i")
    panel_title(last, "trials of crossover (filled; ringed: better than i)")
    _edges(panels, reach)
    mark: dict = {"linestyle": "", "color": "black", "markersize": 6}
    open_mark: dict = {"markerfacecolor": "white", "markeredgewidth": 2}
    handles = [
        Line2D([], [], marker="o", label="a member used", **mark),
        Line2D([], [], marker="s", label="the member i", **mark),
        Line2D([], [], marker="o", label="mutant", **mark | open_mark),
        Line2D([], [], color="black", linestyle=":", label="difference of two members"),
        Line2D([], [], color="0.3", linewidth=2, label="arrow: what of it is added"),
    ]
    legend_below(figure, handles)
    heading(figure, title)
    return figure


def course(plane: Plane, course: Trajectory, shown: Sequence[int], title: str) -> Figure:
    """A population at the generations ``shown``: markers tell which strategy made each member, and
    lines show its path since the previous panel."""
    across = min(len(shown), 3 if len(shown) != 4 else 2)
    down = -(-len(shown) // across)
    figure = page(1.0 + 8.0 / across * down + 0.3 * down)
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for spare in panels.flat[len(shown) :]:
        spare.set_axis_off()
    before = 0
    for axes, g in zip(panels.flat, shown, strict=False):
        _contours(axes, plane)
        for way in course.x[before : g + 1].unbind(1):
            axes.plot(*way.T, "-", color="0.45", linewidth=0.7)
        axes.plot(*course.x[g, course.strategy[g] < 0].T, "o", color="0.5", markersize=4)
        for k, name in enumerate(SYMBOLS):
            mine = course.x[g, course.strategy[g] == k]
            axes.plot(*mine.T, STRATEGY_MARKERS[name], color=colour_of(name), markersize=6)
        panel_title(axes, f"generation {g}, mean loss {course.losses[g].mean():.2f}")
        before = g
    _edges(panels, float(plane[0].max()))
    legend_below(figure, legend_handles("initial"))
    heading(figure, title)
    return figure


def _line(axes: Axes, points: Sequence[Tensor], form: str, **style: Any) -> None:
    axes.plot(*np.array([p.tolist() for p in points]).T, form, **style)


def _arrow(axes: Axes, tail: Tensor, head: Tensor, colour: str) -> None:
    form: dict = {"arrowstyle": "-|>", "color": colour, "linewidth": 2, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", tuple(head.tolist()), tuple(tail.tolist()), arrowprops=form)


def _name(axes: Axes, point: Tensor, text: str, left: bool = False) -> None:
    form: dict = {"textcoords": "offset points", "fontsize": TEXT, "bbox": _CLEAR}
    form |= {"ha": "right" if left else "left"}
    axes.annotate(text, tuple(point.tolist()), (-7, -3) if left else (5, 5), **form)


def _mutant(axes: Axes, sketch: MutantSketch) -> None:
    style: dict = {"markerfacecolor": "white", "markersize": 8, "markeredgewidth": 2}
    colour = colour_of(sketch.strategy)
    _line(axes, [sketch.mutant], STRATEGY_MARKERS[sketch.strategy], color=colour, **style)


def _contours(axes: Axes, plane: Plane) -> None:
    place, loss = (part.numpy() for part in plane)
    axes.contourf(place, place, loss, 14, cmap="Greys", alpha=0.15)
    axes.contour(place, place, loss, 14, colors="0.7", linewidths=0.5)


def _edges(panels: np.ndarray, reach: float) -> None:
    """Give all panels the same square limits, and labels to the outer axes only."""
    for axes in panels.flat:
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    for axes in panels[-1]:
        axes.set_xlabel("gene 1")
    for axes in panels[:, 0]:
        axes.set_ylabel("gene 2")


def legend_handles(first: str = "", lines: bool = False) -> list[Line2D]:
    """Legend entries of the strategies, with lines or without, after one called ``first``."""
    grey = [Line2D([], [], marker="o", linestyle="", color="0.5", label=first)] if first else []
    return grey + [
        Line2D(
            [],
            [],
            marker=STRATEGY_MARKERS[name],
            linestyle=STRATEGY_DASHES[name] if lines else "",
            color=colour_of(name),
            label=STRATEGY_TEXTS[name],
        )
        for name in SYMBOLS
    ]
