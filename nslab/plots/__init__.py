"""Figures: tidy tables in, matplotlib figures out."""
