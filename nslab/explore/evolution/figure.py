"""Figure of the evolution panel: the population in a slice of the loss, and what DE adapts."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter

from nslab.analysis.de import SYMBOLS
from nslab.configs.labels import colour_of
from nslab.explore.evolution.stepwise import EvolutionStart, Moment
from nslab.explore.ui.canvas import Canvas
from nslab.plots.de_landscapes import STRATEGY_MARKERS, legend_handles
from nslab.plots.de_runs import STRATEGY_DASHES

WIDTH, HEIGHT = 840, 560


class EvolutionFigure:
    """The figure of the panel; `build` once per evolution, then `draw`."""

    def __init__(self, generations: int) -> None:
        self.generations = generations
        self.canvas = Canvas(
            "evolution",
            WIDTH,
            HEIGHT,
            "A population of networks in its first two principal components over a slice of the "
            "loss; by generation: losses, probabilities of the strategies, memories of F and Cr",
        )

    def build(self, origin: EvolutionStart) -> None:
        """Lay out the figure for an evolution that has not begun."""
        self.canvas.clear()
        figure = self.canvas.figure
        method: Any = origin.config.method  # an evolver with strategies
        self.strategies = method.strategies
        left = GridSpec(1, 1, figure, 0.095, 0.19, 0.445, 0.90)
        right = GridSpec(2, 2, figure, 0.535, 0.19, 0.985, 0.93, wspace=0.36, hspace=0.46)
        self._plane(figure.add_subplot(left[0]), origin)
        losses, shares, f, cr = (figure.add_subplot(right[i]) for i in range(4))
        self._losses(losses, origin.start)
        self.cursors = []
        self.probability = self._by_strategy(shares, "probability", "probability of a strategy")
        self.f = self._by_strategy(f, "F, mean of memory", "F, scaling factor")
        self.cr = self._by_strategy(cr, "Cr, mean of memory", "Cr, crossover rate")
        shares.set_ylim(0, 1.03)
        for axes, (low, high) in ((f, method.f_range), (cr, method.cr_range)):
            axes.set_ylim(low, 1.03 * high)
        for axes in (losses, shares, f, cr):
            cursor = axes.axvline(0, color="0.4", linewidth=5, alpha=0.25)
            self.cursors.append(cursor)
        self.canvas.follow(*self.cursors)
        handles = legend_handles("parents from training", lines=True)
        form: dict = {"ncols": 3, "columnspacing": 1.4, "handletextpad": 0.5, "handlelength": 1.8}
        figure.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 0.0), **form)
        self.canvas.redraw()

    def _plane(self, axes: Axes, origin: EvolutionStart) -> None:
        plane = origin.slice
        places, losses = plane.places.numpy(), plane.losses.numpy()
        levels = np.unique(np.quantile(losses[np.isfinite(losses)], np.linspace(0, 1, 15)))
        shades = BoundaryNorm(levels, 256)  # quantiles: every shade covers an equal area
        axes.contourf(places, places, losses, levels, cmap="Greys", norm=shades, alpha=0.45)
        axes.contour(places, places, losses, levels, colors="0.6", linewidths=0.5)
        (self.ways,) = axes.plot([], [], "-", color="0.35", linewidth=0.8)
        (self.parents,) = axes.plot([], [], "o", color="0.4", markersize=6, mec="white")
        self.places: dict[str, Any] = {
            name: axes.plot(
                [], [], STRATEGY_MARKERS[name], color=colour_of(name), markersize=8, mec="white"
            )[0]
            for name in SYMBOLS
        }
        (self.best,) = axes.plot([], [], "o", mfc="none", mec="black", markersize=15)
        first, second = (100 * share for share in plane.shares)
        reach = float(places[-1])
        axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
        axes.set(xlabel=f"first principal component ({first:.0f} % of variance)")
        axes.set(ylabel=f"second ({second:.0f} %)")
        axes.set_title(
            "members, projected (ringed: lowest loss)\ngrey: loss in this plane, dark is high",
        )
        self.canvas.follow(self.ways, self.parents, *self.places.values(), self.best)
        self._close_up(axes.inset_axes((0.64, 0.02, 0.34, 0.34)))

    def _close_up(self, axes: Axes) -> None:
        """An inset with the members alone, scaled to their spread."""
        (parents,) = axes.plot([], [], "o", color="0.4", markersize=5, mec="white")
        self.near: dict[str, Any] = {
            name: axes.plot(
                [], [], STRATEGY_MARKERS[name], color=colour_of(name), markersize=6, mec="white"
            )[0]
            for name in SYMBOLS
        }
        self.near_parents = parents
        self.scale = axes.text(-1.1, 1.05, "", va="top")
        axes.set(xlim=(-1.2, 1.2), ylim=(-1.2, 1.2), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set(visible=True, color="0.5")
        self.canvas.follow(parents, *self.near.values(), self.scale)

    def _losses(self, axes: Axes, start: Moment) -> None:
        losses = start.losses[start.losses.isfinite()]
        (self.each,) = axes.plot([], [], ".", color="0.65", markersize=3)
        (self.mean,) = axes.plot([], [], "--", color="black", linewidth=1.2, label="mean")
        (self.lowest,) = axes.plot([], [], "-", color="black", linewidth=1.8, label="lowest")
        axes.set(ylim=(0.25 * float(losses.min()), 2.5 * float(losses.max())), yscale="log")
        axes.set(title="loss on the batch (nats)")
        axes.yaxis.set_major_locator(LogLocator(10, (1, 2, 5)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
        self._generations(axes)
        axes.legend(loc="upper right", handlelength=1.6)
        self.canvas.follow(self.each, self.mean, self.lowest)

    def _by_strategy(self, axes: Axes, label: str, title: str) -> list:
        lines = [
            axes.plot(
                [], [], color=colour_of(name), linestyle=STRATEGY_DASHES[name], linewidth=1.8
            )[0]
            for name in self.strategies
        ]
        axes.set(title=title)
        self._generations(axes)
        self.canvas.follow(*lines)
        return lines

    def _generations(self, axes: Axes) -> None:
        axes.set(xlim=(0, self.generations), xlabel="g, generation")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))

    def draw(self, course: Sequence[Moment], shown: int) -> None:
        """Show the population of generation ``shown``, and curves over all generations so far."""
        now, before = course[shown], course[max(0, shown - 1)]
        points, made = now.points.numpy(), now.made.numpy()
        ways = np.full((len(points), 3, 2), np.nan)
        ways[:, 0], ways[:, 1] = before.points.numpy(), points
        self.ways.set_data(*ways.reshape(-1, 2).T)
        low, high = points.min(0), points.max(0)
        reach = float((high - low).max()) / 2 or 1.0
        near = (points - (low + high) / 2) / reach
        self.scale.set_text(f"{2 * reach:.2g} wide")
        self.parents.set_data(*points[made < 0].T)
        self.near_parents.set_data(*near[made < 0].T)
        for name in SYMBOLS:
            k = self.strategies.index(name) if name in self.strategies else len(SYMBOLS)
            self.places[name].set_data(*points[made == k].T)
            self.near[name].set_data(*near[made == k].T)
        self.best.set_data(*points[[int(now.losses.argmin())]].T)
        x = np.arange(len(course))
        losses = np.stack([moment.losses.numpy() for moment in course])
        losses = np.where(np.isfinite(losses), losses, np.nan)
        self.each.set_data(np.repeat(x, losses.shape[1]), losses.ravel())
        self.mean.set_data(x, np.nanmean(losses, 1))
        self.lowest.set_data(x, np.nanmin(losses, 1))
        rows = [moment.row for moment in course[1:]]
        for lines, key in (
            (self.probability, "strategy_probability"),
            (self.f, "f"),
            (self.cr, "cr"),
        ):
            for k, line in enumerate(lines):
                line.set_data(x[1:], [row[key][k] for row in rows])
        for cursor in self.cursors:
            cursor.set_xdata([shown, shown])
        self.canvas.show()
