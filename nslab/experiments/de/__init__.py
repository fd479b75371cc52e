"""Differential evolution's experiments: one function per table or figure, giving its runs."""

from nslab.experiments.de import pretrained, robustness, small
from nslab.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    **small.EXPERIMENTS,
    **pretrained.EXPERIMENTS,
    **robustness.EXPERIMENTS,
}
