"""Panels to explore the methods interactively, with widgets, in notebooks and Voilà."""

from nslab.explore.competition.panel import Competition
from nslab.explore.evolution.panel import Evolution
from nslab.explore.losses.panel import Losses
from nslab.explore.results.panel import Results
from nslab.explore.training.panel import Training
from nslab.explore.ui.display import show

__all__ = ["Competition", "Evolution", "Losses", "Results", "Training", "show"]
