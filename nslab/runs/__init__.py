"""Runs, named by the hash of their config: the store, its results and frozen rows, and how each
kind is computed."""
