"""Panels to explore the methods live: widgets over the library, for notebooks and Voilà."""

from nslab.explore.competition import Competition
from nslab.explore.display import show
from nslab.explore.evolution import Evolution
from nslab.explore.losses import Losses
from nslab.explore.results import Results
from nslab.explore.training import Training

__all__ = ["Competition", "Evolution", "Losses", "Results", "Training", "show"]
