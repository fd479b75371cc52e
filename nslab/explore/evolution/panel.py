"""Panel: networks evolve, generation by generation (paper DE)."""

from dataclasses import replace
from typing import Any

from nslab.configs import EvolveConfig
from nslab.datasets import array_sets
from nslab.evolve import EVOLVERS
from nslab.evolve.protocol import completed
from nslab.explore.evolution.figure import EvolutionFigure
from nslab.explore.evolution.stepwise import (
    EvolutionStart,
    Moment,
    evolve_stepwise,
    prepare_evolution,
)
from nslab.explore.ui import controls
from nslab.explore.ui.panel import LivePanel
from nslab.explore.ui.runner import Runner
from nslab.explore.ui.small_runs import after_epochs, small, trained
from nslab.runs.store import Result

SMALL = ("mlp", "lenet1", "lenet5")
EPOCHS, RATE = 20, 0.01  # of the parents' training, which is too short to converge
CHOICES = {name: evolver for name, evolver in EVOLVERS.items() if completed(evolver).strategies}


class Evolution(LivePanel):
    """Evolve the last epochs of a small training on batches of 512 images, ten generations on each.

    The parents are trained in the background, unless a finished run has them.
    """

    name = "evolution"

    def __init__(
        self,
        dataset: str = "digits",
        network: str = "mlp",
        *,
        generations: int = 40,
        seed: int = 2024,
    ) -> None:
        self.generations, self.seed = generations, seed
        self.origin: EvolutionStart | None = None
        self.course: list[Moment] = []
        self.view = EvolutionFigure(generations)
        super().__init__(self.view.canvas)
        names, best = array_sets(), "sa-shade-tri-ensin"
        self.dataset = controls.choice("evolution-dataset", "", "data set", names, dataset)
        self.network = controls.choice("evolution-network", "", "network", SMALL, network)
        self.evolver = controls.choice("evolution-evolver", "", "evolver", tuple(CHOICES), best)
        self.members = controls.counter("evolution-members", "NP", "members", 10, (6, EPOCHS))
        self.members.continuous_update = False  # each value begins another evolution
        self.generation = controls.counter(
            "evolution-generation", "g", "generation shown", 0, (0, 0)
        )
        settings = (self.dataset, self.network, self.evolver, self.members)
        self.runner = Runner(
            self.name, "generations", (4, 20), self.ui_thread, settings, self._begin, self._say
        )
        controls.on_change(self.ui_thread, self._draw, self.generation)
        self.widget = controls.column(
            self.name,
            controls.row(self.dataset, self.network, self.evolver, self.members),
            controls.row(self.generation, self.runner.pace),
            controls.row(*self.runner.buttons),
            self.status.widget,
            self.view.canvas.widget,
        )
        self._begin()

    @property
    def config(self) -> EvolveConfig:
        """The evolution that a reset prepares."""
        base = small(self.dataset.value, self.network.value, EPOCHS, self.seed)
        return EvolveConfig(
            replace(base, lr=RATE),
            size=self.members.value,
            method=CHOICES[self.evolver.value],
            batch_size=512,
            policy="parent",
            exempt_head=False,
        )

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls, as provenance of the figure."""
        found = ("dataset", "network", "evolver", "members", "generation")
        return {name: getattr(self, name).value for name in found} | {"seed": self.seed}

    def _begin(self) -> None:
        """Stop the evolution and prepare another, from parents that are looked up or trained."""
        self.close()
        config, known = self.config, self.origin
        self.status.say(f"training {config.base.network} on {config.base.dataset}: the parents …")

        def prepared() -> tuple[Result, EvolutionStart]:
            if known is not None and known.config == config:
                return self.runs[0], known
            result = trained(config.base, self.ui_thread.live)
            states = [model.state_dict() for model in after_epochs(config.base)]
            return result, prepare_evolution(config, states)

        def begun(found: tuple[Result, EvolutionStart]) -> None:
            if config != self.config:
                return
            result, origin = found
            self.runs, self.origin, self.course = [result], origin, [origin.start]
            self.view.build(origin)
            self.generation.value, self.generation.max = 0, 0
            self._draw()
            method, generations = CHOICES[self.evolver.value], self.generations
            self.runner.set_task(
                lambda w: evolve_stepwise(w, origin, method, generations), self._add_notes
            )

        self.ui_thread.later(prepared, begun, slow=True)

    def _add_notes(self, moments: list[Moment]) -> None:
        """Take in new generations, and show the last unless the user has chosen an earlier one."""
        follows = self.generation.value == self.generation.max
        self.course += moments
        self.generation.max = len(self.course) - 1
        if follows:
            self.generation.value = self.generation.max  # draws
        else:
            self._draw()
        self.runner.show()

    def _draw(self) -> None:
        if self.course:
            self.view.draw(self.course, self.generation.value)

    def _say(self) -> None:
        moment = self.course[-1]
        won = f", {moment.row['wins']} of {moment.row['asked']} trials won" if moment.row else ""
        self.status.say(
            f"{self.runner.state}: generation {len(self.course) - 1} of {self.generations}, batch "
            f"{moment.batch + 1}: lowest loss {float(moment.losses.min()):.4f}{won}"
        )
