"""Notebooks, suites and queues; comparisons, trials and predictions on your own data; lists of
runs."""
