"""Figures: tidy tables in, matplotlib figures out; notebooks show them as pictures."""

from nslab.plots.pictures import show_pictures

show_pictures()
