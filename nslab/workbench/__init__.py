"""Notebooks and suites: list, render, store without outputs, open in JupyterLab."""
