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
    """Rank, number of processes and device; joins the group of processes at the first call.

    `accelerate launch` (GPUs, MPI), `torchrun` and clusters tell each process its place through
    its environment. The device is a CUDA device or the CPU: sums are kept in double precision,
    which other accelerators lack.
    """
    forced = os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")
    state = PartialState(cpu=forced or not torch.cuda.is_available())
    if state.num_processes > 1:
        _leave_at_exit()
    return state


def choose_device(name: str) -> None:
    """Make this process, and those it starts, compute on a device: ``cpu``, ``cuda`` or ``cuda:1``.
    With ``cuda`` the processes it starts see all CUDA devices; with a number, only that one.

    Raises ``ValueError`` if the device is not available, if another one was used before, and in
    processes of a launcher, each of which has its own device.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("device is for a single process: with several, each already has its own")
    try:
        device = torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        if reason.startswith("Expected one of"):
            reason = "there are cpu, cuda and cuda:1"
        raise ValueError(f"device {name!r} is not available: {reason}") from None
    if device.type == "cpu":
        os.environ["ACCELERATE_USE_CPU"] = "1"
    elif device.type == "cuda":
        os.environ.pop("ACCELERATE_USE_CPU", None)
        torch.cuda.set_device(device)
    if torch.device(name).index is not None and device.type == "cuda":
        given = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        visible = given.split(",") if given else list(map(str, range(torch.cuda.device_count())))
        if device.index is not None and device.index < len(visible):  # else it was chosen before
            os.environ["CUDA_VISIBLE_DEVICES"] = visible[device.index]
    if process_group().device.type != device.type:
        used = process_group().device
        raise ValueError(
            f"device {name!r} is not available: {used} is in use, or is all that runs are "
            "computed on here"
        )


def broadcast(value: Any) -> Any:
    """The first process's value, in every process, whose clocks and look-ups may differ."""
    return broadcast_object_list([value])[0] if process_group().num_processes > 1 else value


@functools.cache
def _leave_at_exit() -> None:
    """Leave the group before the interpreter ends; otherwise gloo's threads may abort it."""
    atexit.register(_leave)


def _leave() -> None:
    gc.collect()  # distributed networks in reference cycles hold on to the group
    PartialState().destroy_process_group()
