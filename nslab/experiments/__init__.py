"""Experiments by name: every table or figure as a list of runs."""

from nslab.experiments import de, edl, edl_factors, ns
from nslab.experiments.definition import Experiment
from nslab.experiments.presets import PRESETS
from nslab.system.renamed import tell_new_name

EXPERIMENTS: dict[str, Experiment] = {
    **ns.EXPERIMENTS,
    **de.EXPERIMENTS,
    **edl.EXPERIMENTS,
    **edl_factors.EXPERIMENTS,
}


def experiment(name: str) -> Experiment:
    """The experiment of that name; ``ValueError`` listing all names if there is none."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def __getattr__(name: str) -> object:
    tell_new_name(f"nslab.experiments.{name}")
    raise AttributeError(f"module 'nslab.experiments' has no attribute {name!r}")


__all__ = ["EXPERIMENTS", "PRESETS", "Experiment", "experiment"]
