"""The processes that train together: one, unless a launcher started several."""

import atexit
import functools
import gc
import os
from typing import Any

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list


def process_group() -> PartialState:
    """Rank, number of processes and device, the group of processes joined at the first call.

    `accelerate launch` (GPUs, MPI), `torchrun` and clusters tell each process its place through
    its environment. The device is a CUDA device or the CPU: sums are kept in double precision,
    which other accelerators lack.
    """
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    state = PartialState(cpu=forced or not torch.cuda.is_available())
    if state.num_processes > 1:
        _leave_at_exit()
    return state


def broadcast(value: Any) -> Any:
    """The first process's value, in every process: their clocks and look-ups may differ."""
    return broadcast_object_list([value])[0] if process_group().num_processes > 1 else value


@functools.cache
def _leave_at_exit() -> None:
    """Leave the group before the interpreter ends: left alone, gloo's threads may abort it."""
    atexit.register(_leave)


def _leave() -> None:
    gc.collect()  # distributed networks in reference cycles hold on to the group
    PartialState().destroy_process_group()
