"""Experiments by name: every table or figure as a list of runs."""

from nslab.experiments import de, edl, edl_factors, ns
from nslab.experiments.definition import Experiment
from nslab.experiments.presets import PRESETS
from nslab.system.registry import Registry, instance_of
from nslab.system.renamed import told

EXPERIMENTS: Registry[Experiment] = Registry("experiment", check=instance_of(Experiment))
EXPERIMENTS |= {
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


__getattr__ = told(__name__)


__all__ = ["EXPERIMENTS", "PRESETS", "Experiment", "experiment"]
