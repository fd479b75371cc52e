"""Experiments by name: every table or figure as a list of runs.

>>> EXPERIMENTS["ns/first"].plan("smoke", methods="ce", seeds="1")[0].label()
'digits_16 resnet8 CrossEntropy(), seed 1'
"""

from nslab.experiments import de, edl, edl_factors, ns
from nslab.experiments.definition import Experiment
from nslab.experiments.presets import PRESETS
from nslab.system.registry import Registry, instance_of
from nslab.system.renamed import refuse_old_names
from nslab.system.validation import unknown

EXPERIMENTS: Registry[Experiment] = Registry("experiment", check=instance_of(Experiment))
EXPERIMENTS |= {
    **ns.EXPERIMENTS,
    **de.EXPERIMENTS,
    **edl.EXPERIMENTS,
    **edl_factors.EXPERIMENTS,
}


def experiment(name: str) -> Experiment:
    """The experiment of that name; ``ValueError``, which lists all names, if there is none.

    >>> len(experiment("ns/first").plan("smoke", methods="ce,ns_ws", seeds="1,2"))
    4
    >>> experiment("ns/frist")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: unknown experiment 'ns/frist': did you mean ns/first? There are ...
    """
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    return EXPERIMENTS[name]


__getattr__ = refuse_old_names(__name__)


__all__ = ["EXPERIMENTS", "PRESETS", "Experiment", "experiment"]
