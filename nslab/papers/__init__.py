"""The papers: every table they print, as CSV files, and where each equation is computed."""

from nslab.system.renamed import told

__getattr__ = told(__name__)
