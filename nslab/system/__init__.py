"""What every package may need of the machine: files, paths, processes, clocks, checked values."""
