"""Execution of processes, here or on a SLURM cluster, and the display of their progress."""
