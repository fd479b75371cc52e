"""Runs as tables: beside the papers, with statistics, and probes of how each method works."""

from nslab.system.renamed import told

__getattr__ = told(__name__)
