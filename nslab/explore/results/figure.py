"""Figure of the results panel: accuracy over epochs, and each setting's accuracy at one of them."""

from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.ticker import MaxNLocator

from nslab.explore.ui.canvas import Canvas
from nslab.plots.style import PALETTE, method_colours

WIDTH, HEIGHT = 840, 420
ROWS, LETTERS = 14, 44  # most settings shown, and most characters of a label
_MARKERS = "osD^vP*X<"


class ResultsFigure:
    """The figure of the panel; `build` for other runs, then `draw`."""

    def __init__(self) -> None:
        self.canvas = Canvas(
            "results",
            WIDTH,
            HEIGHT,
            "Test accuracy of finished runs over their epochs, and of each method at one epoch",
        )

    def build(self, runs: pd.DataFrame) -> None:
        """Lay out the figure for some runs of `nslab.explore.results.panel.finished_runs`: a row
        per ``setting``, named by the column ``label``."""
        self.canvas.clear()
        figure = self.canvas.figure
        curves = figure.add_axes((0.07, 0.13, 0.28, 0.79))
        methods = figure.add_axes((0.665, 0.13, 0.32, 0.79))
        groups = [part for _, part in runs.groupby("setting", sort=False)]
        self.left_out = max(0, len(groups) - ROWS)
        self.rows: list[tuple[list[list[float]], Any, Any]] = []
        names, values = [], list[float]()
        firsts = [part.iloc[0] for part in groups[:ROWS]]
        apart = len({first["method"] for first in firsts}) == len(firsts)
        palette, known = sns.color_palette(PALETTE), method_colours(f["method"] for f in firsts)
        for place, (part, first) in enumerate(zip(groups, firsts, strict=False)):
            colour = known[first["method"]] if apart else palette[place % 10]
            for course in part["course"]:
                curves.plot(range(1, len(course) + 1), course, color=colour, linewidth=1.2)
            courses = [c or [a] for c, a in zip(part["course"], part["accuracy"], strict=True)]
            values += [value for course in courses for value in course]
            style: dict = {"color": colour, "alpha": 0.6, "markersize": 6}
            (points,) = methods.plot([], [], _MARKERS[place % 9], **style)
            (mean,) = methods.plot([], [], "|", color=colour, markersize=16, mew=2.5)
            self.rows.append((courses, points, mean))
            label = str(first["label"])
            names.append(label if len(label) <= LETTERS else label[: LETTERS - 1] + "…")
            methods.axhline(place, color="0.92", linewidth=0.8, zorder=0)
        self.longest = max([1, *(len(course) for row in self.rows for course in row[0])])
        curves.set(
            xlim=(0.5, max(2, self.longest) + 0.5), xlabel="epoch", ylabel="test accuracy (%)"
        )
        curves.set(ylim=(0, 101), title="runs with a test accuracy per epoch")
        curves.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.cursor = curves.axvline(1, color="0.4", linewidth=5, alpha=0.25)
        low, high = min(values, default=0.0), max(values, default=100.0)
        margin = 0.05 * (high - low) or 1.0
        methods.set(xlim=(low - margin, high + margin), ylim=(max(1, len(names)) - 0.4, -0.6))
        methods.set_yticks(range(len(names)), names, fontsize=9)
        methods.set(xlabel="test accuracy (%) at epoch e", title="points: seeds; bar: their mean")
        self.canvas.follow(self.cursor, *(artist for row in self.rows for artist in row[1:]))
        self.canvas.redraw()

    def draw(self, epoch: int) -> None:
        """Show accuracies after an epoch; of shorter trainings, those after their last epoch."""
        for place, (courses, points, mean) in enumerate(self.rows):
            now = np.array([course[min(epoch, len(course)) - 1] for course in courses])
            points.set_data(now, np.full(len(now), place))
            mean.set_data([now.mean()], [place])
        self.cursor.set_xdata([epoch, epoch])
        self.canvas.show()
