"""The machine: files, paths, processes, clocks, checked values, registries and plug-ins."""
