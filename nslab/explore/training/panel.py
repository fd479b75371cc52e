"""Panel: a training to start, pause and step, with its weights and scores (paper NS)."""

from dataclasses import replace
from typing import Any

from nslab.configs import TrainConfig
from nslab.datasets import array_sets
from nslab.explore.training.figure import TrainingFigure
from nslab.explore.training.stepwise import Probe, Watched, train_stepwise, untrained
from nslab.explore.ui import controls
from nslab.explore.ui.panel import LivePanel
from nslab.explore.ui.runner import Runner
from nslab.explore.ui.small_runs import SMALL_NETWORKS, small
from nslab.objectives import NS, OBJECTIVES
from nslab.objectives.competition import ns_weights
from nslab.objectives.composites import Grid
from nslab.types import ObjectiveConfig

_GRIDS: tuple[Grid, ...] = ((1, 2), (2, 2), (2, 3), (3, 3))


class Training(LivePanel):
    """Train a small network by any objective, mini-batch by mini-batch.

    Training runs in a thread of its own, on at most 2,000 images. The sliders of sigma and rho act
    at once, on the histogram and on the next mini-batch; other settings begin a new training.
    """

    name = "training"

    def __init__(
        self,
        dataset: str = "digits",
        network: str = "lenet5",
        *,
        epochs: int = 15,
        seed: int = 2024,
    ) -> None:
        self.epochs, self.seed = epochs, seed
        self.probe: Probe | None = None
        self.watched: Watched | None = None
        self.view = TrainingFigure(epochs)
        super().__init__(self.view.canvas)
        names, methods = array_sets(), tuple(OBJECTIVES)
        grids = [(f"{rows} × {columns}", (rows, columns)) for rows, columns in _GRIDS]
        self.dataset = controls.choice("training-dataset", "", "data set", names, dataset)
        self.network = controls.choice("training-network", "", "network", SMALL_NETWORKS, network)
        self.objective = controls.choice("training-objective", "", "objective", methods, "ns")
        self.grid = controls.choice("training-grid", "R × C", "grid", grids, (2, 2))
        self.lr = controls.magnitude("training-lr", "η", "learning rate", 10**-1.7, (-3, 0))
        sizes = (16, 32, 64, 128)
        self.batch_size = controls.choice("training-batch", "B", "mini-batch", sizes, 64)
        self.sigma = controls.slider("training-sigma", "σ", "base weight", 0.7, (0.0, 3.0), 0.05)
        self.rho = controls.slider("training-rho", "ρ", "pull of the score", 1.0, (-1.5, 1.5), 0.05)
        self.settings = (
            *(self.dataset, self.network, self.objective),
            *(self.grid, self.lr, self.batch_size),
        )
        self.runner = Runner(
            self.name,
            "mini-batches",
            (20, 100),
            self.ui_thread,
            self.settings,
            self._begin,
            self._say,
        )
        controls.on_change(self.ui_thread, self._weigh, self.sigma, self.rho)
        self.widget = controls.column(
            self.name,
            controls.row(self.dataset, self.network, self.objective, self.grid),
            controls.row(self.lr, self.batch_size, self.sigma, self.rho),
            controls.row(self.runner.pace, *self.runner.buttons),
            self.status.widget,
            self.view.canvas.widget,
        )
        self._begin()

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls and steps so far, as provenance of the figure."""
        found = ("dataset", "network", "objective", "grid", "lr", "batch_size", "sigma", "rho")
        return {name: getattr(self, name).value for name in found} | {
            "seed": self.seed,
            "steps": self.view.steps,
        }

    @property
    def config(self) -> TrainConfig:
        """The training that a reset prepares."""
        objective = OBJECTIVES[self.objective.value]()
        if isinstance(objective, NS):
            objective = replace(
                objective, grid=self.grid.value, sigma=self.sigma.value, rho=self.rho.value
            )
        chosen = small(self.dataset.value, self.network.value, self.epochs, self.seed, objective)
        return replace(chosen, lr=self.lr.value, batch_size=self.batch_size.value)

    def _begin(self) -> None:
        """Stop training and prepare another, of an untrained network."""
        self.close()
        self.status.say(f"loading {self.dataset.value} …")
        config, grid, chosen = self.config, self.grid.value, self._chosen()
        self.sigma.disabled = self.rho.disabled = self.objective.value != "ns"

        def begun(probe: Probe) -> None:
            if chosen != self._chosen():
                return  # the settings have changed again
            self.probe = probe
            self.watched = watched = Watched(config.objective.build(probe.data.info))
            self.view.build(config.dataset, grid[0] * grid[1])
            self.view.add_notes([probe.first])
            self._weigh()
            self.runner.set_task(
                lambda worker: train_stepwise(worker, config, probe, watched), self._add_notes
            )

        self.ui_thread.later(lambda: untrained(config, grid), begun)

    def _chosen(self) -> list[Any]:
        return [control.value for control in self.settings]

    def _weigh(self) -> None:
        """Apply sigma and rho to the scores shown and to the mini-batches to come."""
        if self.probe is None or self.watched is None:
            return
        objective: ObjectiveConfig = self.config.objective
        if isinstance(objective, NS):
            self.watched.inner = objective.build(self.probe.data.info)
        self._draw()

    def _add_notes(self, notes: list[dict[str, Any]]) -> None:
        self.view.add_notes(notes)
        self._draw()
        self.runner.show()

    def _draw(self) -> None:
        weights = self.view.weights
        if self.objective.value == "ns":
            weights = ns_weights(self.view.scores, self.sigma.value, self.rho.value)
        self.view.draw(weights)

    def _say(self) -> None:
        self.status.say(f"{self.runner.state}: {self.view.reading()}")
