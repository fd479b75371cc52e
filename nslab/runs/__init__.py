"""Runs by their identity: the store, its results and frozen rows, and how each kind is computed."""
