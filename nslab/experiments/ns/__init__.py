"""Experiments of the Natural Selection paper: one function per table or figure lists its runs."""

from nslab.experiments.definition import Experiment
from nslab.experiments.ns import (
    ablations,
    adaptation,
    beyond_the_paper,
    classification,
    emotion,
    imagenet,
    long_tail,
    text,
)

EXPERIMENTS: dict[str, Experiment] = {
    **classification.EXPERIMENTS,
    **long_tail.EXPERIMENTS,
    **ablations.EXPERIMENTS,
    **adaptation.EXPERIMENTS,
    **beyond_the_paper.EXPERIMENTS,
    **imagenet.EXPERIMENTS,
    **emotion.EXPERIMENTS,
    **text.EXPERIMENTS,
}
