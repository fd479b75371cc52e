"""Figure of the training panel: loss, accuracy, the histogram of weights, scores by class."""

from typing import Any

import numpy as np
import seaborn as sns
import torch
from jaxtyping import Float, Int
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from nslab.datasets import DATASETS
from nslab.explore.ui.canvas import Canvas
from nslab.plots.style import PALETTE

WIDTH, HEIGHT = 840, 520
SMOOTHED = 20  # mini-batches in a running mean
BLUE, ORANGE, GREEN, RED = sns.color_palette(PALETTE)[:4]


class TrainingFigure:
    """The figure of the panel, and the numbers posted by the training it shows."""

    def __init__(self, epochs: int) -> None:
        self.epochs = epochs
        self.canvas = Canvas(
            "training",
            WIDTH,
            HEIGHT,
            "Loss and accuracy of a training, the histogram of its weights, and the mean score of "
            "each class",
        )

    def build(self, dataset: str, m: int) -> None:
        """Lay out the figure for a training that has not begun; ``m`` is the size of a group."""
        self.canvas.clear()
        self.m, self.classes = m, DATASETS[dataset].classes
        self.epoch: list[float] = []
        self.loss: list[float] = []
        self.right: list[float] = []
        self.test: list[tuple[float, float]] = []
        figure = self.canvas.figure
        grid = GridSpec(2, 2, figure, 0.085, 0.1, 0.985, 0.94, wspace=0.24, hspace=0.5)
        loss, accuracy, weights, scores = (figure.add_subplot(grid[i]) for i in range(4))
        self._losses(loss)
        self._accuracies(accuracy)
        self._histogram(weights)
        self._classes(scores)
        self.canvas.redraw()

    def _losses(self, axes: Axes) -> None:
        (self.each,) = axes.plot([], [], color=BLUE, alpha=0.35, linewidth=1)
        (self.mean,) = axes.plot([], [], color=BLUE, linewidth=2)
        axes.set(xlim=(0, self.epochs), ylim=(2e-3, 10), yscale="log", xlabel="epochs")
        axes.set(ylabel="cross-entropy (nats)", title="loss of the mini-batches")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        self.canvas.follow(self.each, self.mean)

    def _accuracies(self, axes: Axes) -> None:
        (self.fitted,) = axes.plot([], [], color=BLUE, linewidth=2, label="mini-batches")
        (self.tested,) = axes.plot([], [], "s--", color=ORANGE, linewidth=2, label="test images")
        axes.set(xlim=(0, self.epochs), ylim=(0, 102), xlabel="epochs")
        axes.set(ylabel="accuracy (%)", title="accuracy")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend(loc="lower right")
        self.canvas.follow(self.fitted, self.tested)

    def _histogram(self, axes: Axes) -> None:
        low, high = -1.1 * self.m, 3 + 1.1 * self.m
        self.edges = np.linspace(low, high, 71)
        axes.axvspan(low, 0, color="0.93", zorder=0)
        self.steps_of = axes.stairs(np.zeros(70), self.edges, fill=True, color=GREEN)
        self.middle = axes.axvline(0, color="black", linestyle="--", linewidth=1.5)
        axes.set(xlim=(low, high), ylim=(0, 1.05), xlabel="w, weight (dashed: mean; grey: below 0)")
        axes.set(ylabel="share of the fullest bin", title="histogram of the weights")
        self.canvas.follow(self.steps_of, self.middle)

    def _classes(self, axes: Axes) -> None:
        k = len(self.classes)
        self.bars = axes.bar(range(k), [0.0] * k, color=RED, width=0.75)
        axes.axhline(1, color="0.4", linestyle="--", linewidth=1)
        few = range(0, k, max(1, k // 10))
        axes.set_xticks(few, [self.classes[i][:10] for i in few])
        if max(map(len, self.classes)) > 3:
            axes.tick_params(axis="x", rotation=20)
        axes.set(ylim=(0, self.m), xlim=(-0.6, k - 0.4), ylabel="s, mean score")
        axes.set_title("scores of the classes (dashed: 1)")
        self.canvas.follow(*self.bars)

    @property
    def steps(self) -> int:
        """Mini-batches so far."""
        return len(self.loss)

    def add_notes(self, notes: list[dict[str, Any]]) -> None:
        """Take in notes posted by `nslab.explore.training.stepwise.train_stepwise`."""
        for note in notes:
            if "loss" in note:
                self.epoch.append(note["epoch"])
                self.loss.append(note["loss"])
                self.right.append(note["right"])
            if "test" in note:
                self.test.append((note["epoch"], note["test"]))
            if "labels" in note:
                self.labels: Int[Tensor, " b"] = note["labels"]
            if "scores" in note:
                self.scores: Float[Tensor, " b"] = note["scores"]
                self.weights: Float[Tensor, " n"] = note["weights"]

    def draw(self, weights: Float[Tensor, " n"]) -> None:
        """Show all numbers taken in, and the histogram of ``weights``."""
        self.each.set_data(self.epoch, self.loss)
        self.mean.set_data(self.epoch, running_mean(self.loss))
        self.fitted.set_data(self.epoch, 100 * running_mean(self.right))
        self.tested.set_data([x for x, _ in self.test], [y for _, y in self.test])
        counts, _ = np.histogram(weights.clip(self.edges[0], self.edges[-1]), self.edges)
        self.steps_of.set_data(counts / max(1, counts.max()))
        self.middle.set_xdata([float(weights.mean())] * 2)
        k = len(self.classes)
        sums = torch.zeros(k).index_add_(0, self.labels, self.scores.float())
        means = sums / torch.bincount(self.labels, minlength=k).clamp(min=1)
        for bar, height in zip(self.bars, means.tolist(), strict=True):
            bar.set_height(height)
        self.canvas.show()

    def reading(self) -> str:
        """The latest numbers, in words."""
        if not self.loss:
            return "untrained"
        loss, right = running_mean(self.loss)[-1], 100 * running_mean(self.right)[-1]
        test = f", test accuracy {self.test[-1][1]:.1f} %" if self.test else ""
        return (
            f"epoch {self.epoch[-1]:.2f} of {self.epochs}, mini-batch {self.steps}: "
            f"loss {loss:.3f}, training accuracy {right:.1f} %{test}"
        )


def running_mean(values: list[float]) -> np.ndarray:
    """For each value, the mean of it and up to 19 values before it."""
    sums = np.cumsum([0.0, *values])
    places = np.arange(1, len(values) + 1)
    begins = np.maximum(0, places - SMOOTHED)
    return np.asarray((sums[places] - sums[begins]) / (places - begins))
