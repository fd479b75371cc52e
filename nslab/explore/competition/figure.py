"""Figure of the competition panel: a composite, q and s, weights, and scores over epochs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import seaborn as sns
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator
from scipy.optimize import isotonic_regression
from torch import Tensor

from nslab.explore.ui.canvas import Canvas
from nslab.objectives.composites import Grid
from nslab.plots.ns import stretched
from nslab.plots.style import PALETTE

WIDTH, HEIGHT = 840, 560
_MARKERS = "osD^vP*X<"
LINES = ("-", "--", "-.", ":")
CLEAR = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1}


@dataclass(frozen=True, eq=False)
class Competitions:
    """g groups of m samples that compete: composites, labels, and for the network after each of e
    epochs (untrained first) each sample's q (the probability of its class) and score."""

    images: Float[Tensor, "g c h w"]
    labels: Int[Tensor, "g m"]
    q: Float[Tensor, "e g m"]
    scores: Float[Tensor, "e g m"]
    grid: Grid


class CompetitionFigure:
    """The figure of the panel; `build` once per grid and data set, then `draw`."""

    def __init__(self) -> None:
        self.canvas = Canvas(
            "competition",
            WIDTH,
            HEIGHT,
            "A composite image, the probability q and the score s of each image in it, the weight "
            "w against the score, and the scores over the epochs of a training",
        )

    def build(self, groups: Competitions, classes: Sequence[str], epochs: int) -> None:
        """Lay out the figure for groups on a grid."""
        self.canvas.clear()
        figure, m = self.canvas.figure, groups.grid[0] * groups.grid[1]
        self.m, self.classes = m, classes
        self.colours = [sns.color_palette(PALETTE)[i] for i in range(m)]
        upper = GridSpec(1, 3, figure, 0.03, 0.60, 0.985, 0.93, width_ratios=(1, 1.25, 1.25))
        upper.update(wspace=0.42)
        lower = GridSpec(1, 2, figure, 0.065, 0.10, 0.985, 0.46, width_ratios=(1, 1.25))
        lower.update(wspace=0.18)
        self._composite(figure.add_subplot(upper[0]), groups)
        self.q = self._bars(figure.add_subplot(upper[1]), 1.0, "q, probability of own class")
        self.s = self._bars(figure.add_subplot(upper[2]), float(m), "s, score (dashed: mean, 1)")
        self.s[0].axvline(1, color="0.4", linestyle="--", linewidth=1)
        self._weights(figure.add_subplot(lower[0]))
        self._ranking(figure.add_subplot(lower[1]), epochs)
        self.canvas.redraw()

    def _composite(self, axes: Axes, groups: Competitions) -> None:
        (rows, columns), (h, w) = groups.grid, groups.images.shape[2:]
        self.image = axes.imshow(stretched(groups.images[0]), cmap="gray", vmin=0, vmax=1)
        edges = (-0.5, w - 0.5, h - 0.5, -0.5)
        self.image.set_extent(edges)
        seams = []
        for i in range(1, rows):
            seams.append(axes.axhline(i * h / rows - 0.5, color="white", linewidth=1))
        for j in range(1, columns):
            seams.append(axes.axvline(j * w / columns - 0.5, color="white", linewidth=1))
        numbers = []
        for i in range(self.m):
            x, y = (i % columns) * w / columns, (i // columns) * h / rows
            box = {"facecolor": self.colours[i], "edgecolor": "white", "pad": 1.5}
            dark = sum(self.colours[i]) < 1.4
            style: dict = {"va": "top", "fontsize": 9, "color": "white" if dark else "black"}
            numbers.append(axes.text(x + 0.3, y + 0.3, f"{i + 1}", bbox=box, **style))
        axes.set(xticks=[], yticks=[], title="what the network sees")
        self.canvas.follow(self.image, *seams, *numbers)

    def _bars(self, axes: Axes, end: float, label: str) -> tuple:
        style: dict = {"color": self.colours, "edgecolor": "0.25", "height": 0.7}
        bars = axes.barh(range(self.m), [0.0] * self.m, **style)
        values = [axes.text(0, i, "", va="center", fontsize=9, bbox=CLEAR) for i in range(self.m)]
        names = [
            axes.text(
                -0.02,
                i,
                "",
                va="center",
                ha="right",
                fontsize=9,
                transform=axes.get_yaxis_transform(),
            )
            for i in range(self.m)
        ]
        axes.set(xlim=(0, 1.15 * end), ylim=(self.m - 0.4, -0.6), yticks=[], title=label)
        self.canvas.follow(*bars, *values, *names)
        return axes, bars, values, names

    def _weights(self, axes: Axes) -> None:
        m, ends = self.m, np.array([0.0, self.m])
        axes.axhline(0, color="0.4", linewidth=1)
        axes.axhspan(-2 * m, 0, color="0.93", zorder=0)
        axes.text(0.02, 0.04, "below 0: gradient ascent", fontsize=9, transform=axes.transAxes)
        (self.line,) = axes.plot(ends, ends, color="black", linewidth=1.5)
        self.points = [
            axes.plot([0], [0], _MARKERS[i], color=self.colours[i], markersize=9, mec="black")[0]
            for i in range(m)
        ]
        self.formula = axes.text(0.02, 0.93, "", va="top", transform=axes.transAxes, bbox=CLEAR)
        axes.set(xlim=(-0.03 * m, 1.03 * m), ylim=(-1.1 * m, 3 + 1.1 * m))
        axes.set(xlabel="s, score", ylabel="w, weight", title="w = σ + ρ s")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        self.canvas.follow(self.line, *self.points, self.formula)

    def _ranking(self, axes: Axes, epochs: int) -> None:
        self.now = axes.axvline(0, color="0.4", linewidth=6, alpha=0.25)
        self.courses = [
            axes.plot(
                [],
                [],
                color=self.colours[i],
                marker=_MARKERS[i],
                linestyle=LINES[i % 4],
                markersize=5,
            )[0]
            for i in range(self.m)
        ]
        self.ends = [axes.text(0, 0, f"{i + 1}", va="center", fontsize=9) for i in range(self.m)]
        axes.set(xlim=(-0.25, epochs + 0.5), ylim=(-0.25 * self.m, 1.05 * self.m))
        axes.set(
            xlabel="e, epochs trained", ylabel="s, score", title="the ranking as training goes on"
        )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.canvas.follow(self.now, *self.courses, *self.ends)

    def draw(self, groups: Competitions, group: int, epoch: int, sigma: float, rho: float) -> None:
        """Show a group as scored by the network after an epoch, with weights sigma + rho s."""
        self.image.set_data(stretched(groups.images[group]))
        q, s = groups.q[epoch, group].tolist(), groups.scores[epoch, group].tolist()
        names = [f"{i + 1}: {self.classes[k]}" for i, k in enumerate(groups.labels[group].tolist())]
        for (axes, bars, values, labels), found in ((self.q, q), (self.s, s)):
            end = axes.get_xlim()[1]
            for bar, value, label, name, number in zip(
                bars, values, labels, names, found, strict=True
            ):
                bar.set_width(number)
                value.set(x=min(number + 0.02 * end, 0.87 * end), text=f"{number:.2f}")
                label.set_text(name)
        self.line.set_ydata([sigma, sigma + rho * self.m])
        self.formula.set_text(f"w = {sigma:.2f} {'+' if rho >= 0 else '−'} {abs(rho):.2f} s")
        past = range(len(groups.scores))
        self.now.set_xdata([epoch, epoch])
        for i, point in enumerate(self.points):
            point.set_data([s[i]], [sigma + rho * s[i]])
            course = groups.scores[:, group, i].tolist()
            self.courses[i].set_data(past, course)
        last = groups.scores[-1, group].numpy()
        for text, place in zip(self.ends, score_spread(last, 0.075 * self.m), strict=True):
            text.set_position((len(past) - 1 + 0.15, place))
        self.canvas.show()


def score_spread(values: np.ndarray, gap: float) -> np.ndarray:
    """Positions for labels at least ``gap`` apart, in the order of their values and as near to them
    as possible (in the least-squares sense)."""
    order = np.argsort(values, kind="stable")
    steps = gap * np.arange(len(values))
    # after subtracting the steps, positions only need to be in order: isotonic regression
    placed = isotonic_regression(values[order] - steps).x + steps
    out = np.empty(len(values))
    out[order] = placed
    return out
