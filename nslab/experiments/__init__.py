"""Experiments by name: every table or figure as a list of runs."""

from nslab.experiments import de, edl, edl_factors, ns
from nslab.experiments.config import TrainConfig
from nslab.experiments.evolution import Config, EvolveConfig
from nslab.experiments.experiment import Experiment
from nslab.experiments.pretraining import PretrainConfig

EXPERIMENTS: dict[str, Experiment] = {
    **ns.EXPERIMENTS,
    **de.EXPERIMENTS,
    **edl.EXPERIMENTS,
    **edl_factors.EXPERIMENTS,
}
PRESETS = ("smoke", "cpu", "paper")


def experiment(name: str) -> Experiment:
    """The experiment of that name; ``ValueError`` listing all names if there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


__all__ = [
    "EXPERIMENTS",
    "PRESETS",
    "Config",
    "EvolveConfig",
    "Experiment",
    "PretrainConfig",
    "TrainConfig",
    "experiment",
]
