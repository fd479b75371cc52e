"""The processes that train together: one, unless a launcher started several."""

import os

import torch
from accelerate import PartialState


def processes() -> PartialState:
    """Rank, number of processes and device, the group of processes joined at the first call.

    `accelerate launch` (GPUs, MPI), `torchrun` and clusters tell each process its place through
    its environment. On a machine without accelerator accelerate heeds that only if told to.
    """
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    several = int(os.environ.get("WORLD_SIZE", "1")) > 1
    return PartialState(cpu=forced or (several and not torch.cuda.is_available()))
