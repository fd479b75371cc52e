"""Natural Selection's experiments: one function per table or figure, giving its runs."""

from nslab.experiments.experiment import Experiment
from nslab.experiments.ns import ablations, classification, explorations, long_tail

EXPERIMENTS: dict[str, Experiment] = {
    **classification.EXPERIMENTS,
    **long_tail.EXPERIMENTS,
    **ablations.EXPERIMENTS,
    **explorations.EXPERIMENTS,
}
