"""Experiments of the differential evolution paper: one function per table or figure lists its
runs."""

from nslab.experiments.de import pretrained_networks, robustness, small_networks
from nslab.experiments.definition import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    **small_networks.EXPERIMENTS,
    **pretrained_networks.EXPERIMENTS,
    **robustness.EXPERIMENTS,
}
