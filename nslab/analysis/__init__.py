"""Runs as tables: beside the papers, with statistics, and probes of how each method works."""
