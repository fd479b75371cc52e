"""A table or figure of a paper as a list of runs."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from nslab.experiments.config import TrainConfig
from nslab.experiments.evolution import Config
from nslab.parameters import check_parameters, hints
from nslab.types import ObjectiveConfig

Row = dict[str, str | int | float]


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Attributes:
        title: what it shows, in a few words.
        configs: ``configs(preset, seeds, ...)`` lists its runs.
        row: which row of the paper's table a run belongs to (column name to value).
        table: stem of the paper's CSV; None if the paper has no such table.
        metric: the number of ours that the table shows.
        comparable: whether its paper preset has the paper's own data and network; if not, its
            numbers stand beside the paper's, and no difference is taken.
    """

    title: str
    configs: Callable[..., Sequence[Config]]
    row: Callable[[Any], Row]
    table: str | None = None
    metric: str = "test_accuracy"
    comparable: bool = True

    def plan(self, preset: str, **parameters: Any) -> list[Config]:
        """The runs for a preset, parameters checked and brought to their types first.

        Raises ``ValueError`` for unknown presets or parameters and for values of a wrong type.
        """
        given = {"preset": preset, **parameters}
        return list(self.configs(**check_parameters(given, hints(self.configs), repr(self.title))))

    def preset_of(self, config: Config, presets: tuple[str, ...]) -> str:
        """The preset with runs like this one (any seed), or ``"custom"``."""
        for preset in presets:
            if size_of(config) in sizes(self, preset):
                return preset
        return "custom"


@functools.cache
def sizes(experiment: Experiment, preset: str) -> frozenset[Config]:
    """What runs a preset has, whatever their seed."""
    return frozenset(map(size_of, experiment.plan(preset)))


def size_of(config: Config) -> Config:
    """A config without its seed: runs of one size differ in nothing else."""
    return config.with_seed(0)


def with_seeds(
    config: TrainConfig, objectives: list[ObjectiveConfig], seeds: tuple[int, ...]
) -> list[TrainConfig]:
    """One run per seed and objective, seed by seed: an early stop then leaves whole tables."""
    return [
        dataclasses.replace(config, objective=objective, seed=seed)
        for seed in seeds
        for objective in objectives
    ]
