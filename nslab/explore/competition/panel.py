"""Panel: images compete in a composite, and their scores become weights (paper NS)."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.analysis.run_tables import first_batch
from nslab.configs import TrainConfig
from nslab.datasets import DATASETS, array_sets
from nslab.explore.competition.figure import CompetitionFigure, Competitions
from nslab.explore.ui import controls
from nslab.explore.ui.panel import Panel
from nslab.explore.ui.small_runs import SMALL_NETWORKS, after_epochs, small, trained
from nslab.networks import build_network
from nslab.networks.logits import logits_of
from nslab.objectives.competition import group_scores, ns_weights
from nslab.objectives.composites import Grid, composite
from nslab.runs.store import Result
from nslab.types import Batch

_GRIDS: tuple[Grid, ...] = ((1, 2), (2, 1), (2, 2), (2, 3), (3, 3))
GROUPS = 40  # groups that can be shown


class Competition(Panel):
    """Choose images, a grid, sigma and rho, and for how many epochs the network has been trained.

    The network is trained by cross-entropy in the background, unless a finished run has it.
    """

    name = "competition"

    def __init__(
        self, dataset: str = "digits", network: str = "lenet5", *, epochs: int = 6, seed: int = 2024
    ) -> None:
        self.epochs, self.seed = epochs, seed
        self.batch: Batch | None = None
        self.models: list[nn.Module] = []
        self.competitions: Competitions | None = None
        self.view = CompetitionFigure()
        super().__init__(self.view.canvas)
        names = array_sets()
        self.dataset = controls.choice("competition-dataset", "", "data set", names, dataset)
        self.network = controls.choice(
            "competition-network", "", "network", SMALL_NETWORKS, network
        )
        grids = [(f"{rows} × {columns}", (rows, columns)) for rows, columns in _GRIDS]
        self.grid = controls.choice("competition-grid", "R × C", "grid", grids, (2, 2))
        self.epoch = controls.counter("competition-epoch", "e", "epochs trained", 0, (0, 0))
        self.sigma = controls.slider("competition-sigma", "σ", "base weight", 0.7, (0.0, 3.0), 0.05)
        self.rho = controls.slider(
            "competition-rho", "ρ", "pull of the score", 1.0, (-1.5, 1.5), 0.05
        )
        self.group = controls.counter("competition-group", "", "group shown", 0, (0, GROUPS - 1))
        controls.on_change(self.ui_thread, self._begin, self.dataset, self.network)
        controls.on_change(self.ui_thread, self._compete, self.grid)
        controls.on_change(self.ui_thread, self._draw, self.epoch, self.group, self.sigma, self.rho)
        self.widget = controls.column(
            self.name,
            controls.row(self.dataset, self.network, self.grid, self.group),
            controls.row(self.sigma, self.rho, self.epoch),
            self.status.widget,
            self.view.canvas.widget,
        )
        self._begin()

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls, as provenance of the figure."""
        found = ("dataset", "network", "grid", "epoch", "sigma", "rho", "group")
        return {name: getattr(self, name).value for name in found} | {"seed": self.seed}

    @property
    def config(self) -> TrainConfig:
        """The training whose epochs are shown."""
        return small(self.dataset.value, self.network.value, self.epochs, self.seed)

    def _begin(self) -> None:
        """Load images and the untrained network, then those after each epoch of training."""
        config, largest = self.config, max(rows * columns for rows, columns in _GRIDS)
        self.status.say(f"loading {config.dataset} …")

        def untrained() -> tuple[Batch, list[nn.Module]]:
            batch = first_batch(config.dataset, GROUPS * largest, self.seed)
            data = DATASETS[config.dataset]
            form = (config.network, data.shape, data.layout.num_classes, config.seed)
            return batch, [build_network(*form).eval()]

        def begun(found: tuple[Batch, list[nn.Module]]) -> None:
            if config != self.config:
                return
            self.batch, self.models = found
            self.runs = []
            self.epoch.value, self.epoch.max = 0, 0
            self._compete()
            self._say(f"untrained; training for {self.epochs} epochs in the background …")

        def ended(found: tuple[Result, list[nn.Module]]) -> None:
            if config != self.config:
                return
            result, self.models = found
            self.runs = [result]
            self._compete()
            self.epoch.max = self.epochs
            self.epoch.value = self.epochs

        self.ui_thread.later(untrained, begun)
        self.ui_thread.later(
            lambda: (trained(config, self.ui_thread.live), after_epochs(config)), ended, slow=True
        )

    def _compete(self) -> None:
        """Score every group by every network, and draw."""
        if self.batch is None:
            return
        self.competitions = competitions(self.models, self.batch, self.grid.value)
        classes = DATASETS[self.dataset.value].classes
        self.view.build(self.competitions, classes, self.epochs)
        self._draw()

    def _draw(self) -> None:
        if self.competitions is None:
            return
        epoch = min(self.epoch.value, len(self.models) - 1)
        self.view.draw(self.competitions, self.group.value, epoch, self.sigma.value, self.rho.value)
        where = f"after epoch {epoch}" if epoch else "untrained"
        self._say(where if len(self.models) > 1 else f"{where}; training goes on")

    def _say(self, where: str) -> None:
        assert self.competitions is not None
        scores = self.competitions.scores[min(self.epoch.value, len(self.models) - 1)]
        weights = ns_weights(scores.flatten(), self.sigma.value, self.rho.value)
        below = 100 * float((weights < 0).float().mean())
        self.status.say(
            f"{where}; all {len(weights)} images shown in groups: mean weight σ + ρ = "
            f"{float(weights.mean()):.2f}, {below:.0f} % of the weights are negative"
        )


@torch.no_grad()
def competitions(models: Sequence[nn.Module], batch: Batch, grid: Grid) -> Competitions:
    """q and scores of the groups of a batch under each network."""
    m = grid[0] * grid[1]
    x, y = batch.x[: GROUPS * m], batch.y[: GROUPS * m]
    images = composite(x, grid)
    q, scores = [], []
    for model in models:
        logits = logits_of(model(images))
        q.append(label_probabilities(logits, y, m))
        scores.append(group_scores(logits, y).view(-1, m))
    return Competitions(images, y.view(-1, m), torch.stack(q), torch.stack(scores), grid)


def label_probabilities(
    logits: Float[Tensor, "g k"], y: Int[Tensor, " b"], m: int
) -> Float[Tensor, "g m"]:
    """q of every sample: the probability of its class by the logits of its composite."""
    return logits.softmax(-1).gather(1, y.view(-1, m))
