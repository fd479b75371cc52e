"""Sharing of a GPU: how many processes, each training a small network, fit on it at once."""

import os

# NOTE: what one process needs: rough figures, not yet measured on a GPU. The kernels of a network
# for CIFAR fill part of a large GPU's multiprocessors. A process needs one core to launch them and
# half of another for the rest, and memory for CUDA's own state, its data set and activations.
MULTIPROCESSORS, CORES, BYTES = 12, 1.5, 6e9


def processes_per_device(multiprocessors: int, memory: float, cores: float) -> int:
    """How many processes a device should be shared by, given its multiprocessors and bytes of
    memory, and the machine's cores per device; at least one.

    >>> processes_per_device(132, 139e9, 16), processes_per_device(16, 8e9, 8)
    (10, 1)
    """
    room = min(multiprocessors / MULTIPROCESSORS, memory / BYTES, cores / CORES)
    return max(1, int(room))


def room_on(devices: int) -> int:
    """How many processes to run on each of this many CUDA devices, judging all by the first; the
    cores of this machine are divided among them."""
    import torch

    about = torch.cuda.get_device_properties(0)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    return processes_per_device(about.multi_processor_count, about.total_memory, cores / devices)
