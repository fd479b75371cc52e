"""The processes that train together: one, unless a launcher started several."""

import os

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """Rank, number of processes and device, the group of processes joined at the first call.

    `accelerate launch` (GPUs, MPI), `torchrun` and clusters tell each process its place through
    its environment. The device is a CUDA device or the CPU: sums are kept in double precision,
    which other accelerators lack.
    """
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    return PartialState(cpu=forced or not torch.cuda.is_available())
