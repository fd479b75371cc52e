"""Where processes run, here or on a SLURM cluster, and how their progress is shown."""
