"""Trained networks as vectors: their layout, fitness and evolution, and baselines for it."""

from nslab.neuroevolution.evolution import Evolved, evolve
from nslab.neuroevolution.options import EvolveOptions

__all__ = ["EvolveOptions", "Evolved", "evolve"]
