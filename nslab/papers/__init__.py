"""The papers: their tables and claims as CSV files, and where each equation is computed."""

from nslab.system.renamed import refuse_old_names

__getattr__ = refuse_old_names(__name__)
