"""Sharing of a GPU: how many processes that each train a small network it takes at once."""

import os

# NOTE: rough, and not yet measured on a GPU. A CIFAR network's kernels fill a part of a large GPU's
# multiprocessors; a process needs a core to launch them and half of another for the rest, and of
# memory CUDA's own state, its data set and activations.
MULTIPROCESSORS, CORES, BYTES = 12, 1.5, 6e9


def processes_per_device(multiprocessors: int, memory: float, cores: float) -> int:
    """Processes that share a device with this many multiprocessors, bytes of memory and cores of
    the machine; at least one.

    >>> processes_per_device(132, 139e9, 16), processes_per_device(16, 8e9, 8)
    (10, 1)
    """
    room = min(multiprocessors / MULTIPROCESSORS, memory / BYTES, cores / CORES)
    return max(1, int(room))


def room_on(devices: int) -> int:
    """Processes for each of this many CUDA devices, by the first one's size and the cores here."""
    import torch

    about = torch.cuda.get_device_properties(0)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return processes_per_device(about.multi_processor_count, about.total_memory, cores / devices)
