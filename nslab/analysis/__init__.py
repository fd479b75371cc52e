"""Runs as tables: beside the papers, with statistics, and probes of how each method works."""

from nslab.system.renamed import refuse_old_names

__getattr__ = refuse_old_names(__name__)
