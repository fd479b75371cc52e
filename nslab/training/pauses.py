"""Pauses: checkpoints inside an epoch, and trainings that end at one when their time is over."""

import os
import time
from collections.abc import Callable
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import Tensor

from nslab.rng import stream_seed
from nslab.system.distributed import broadcast
from nslab.system.time_limits import OutOfTime, time_is_up

MINUTES = "NSLAB_CHECKPOINT_MINUTES"  # between two checkpoints inside an epoch, in the environment
STEPS_BETWEEN_CHECKS = 50  # steps between two agreements of several processes on whether it is time


def minutes() -> float:
    """Minutes between two checkpoints inside an epoch: ``NSLAB_CHECKPOINT_MINUTES``, else 10.

    Raises ``ValueError`` if that is not a number of at least 0."""
    given = os.environ.get(MINUTES, "") or "10"
    try:
        found = float(given)
    except ValueError:
        found = -1.0
    if not found >= 0:
        raise ValueError(f"{MINUTES} is {given!r}: the minutes between two checkpoints, say 10")
    return found


class Pauses:
    """Decides when to checkpoint inside an epoch, and does so with ``save(partial)``.

    ``partial`` holds the epoch's number, the steps done, the seconds they took, and for each
    process the sums so far and the state of the random stream that layers such as Dropout draw
    from. ``seconds``: what earlier steps of the epoch took before an interruption.
    """

    def __init__(
        self,
        save: Callable[[dict[str, Any]], None],
        accelerator: Accelerator,
        epoch: int,
        seconds: float,
    ) -> None:
        self.save, self.accelerator, self.epoch = save, accelerator, epoch
        self.started = time.perf_counter() - seconds
        self.latest, self.wait = time.monotonic(), 60 * minutes()

    def due(self, step: int) -> bool:
        """Whether the state after this many steps should be saved; the same in every process."""
        several = self.accelerator.num_processes > 1
        if several and step % STEPS_BETWEEN_CHECKS:
            return False
        due = time.monotonic() - self.latest >= self.wait or time_is_up()
        return bool(broadcast(due)) if several else due

    def keep(self, step: int, sums: Tensor) -> None:
        """Save the state after ``step`` steps, whose sums are ``sums``; every process must call
        this. Raises `OutOfTime` if the time is then over."""
        device = self.accelerator.device
        own: dict[str, Any] = {"sums": sums.cpu(), "stream": torch.get_rng_state()}
        if device.type == "cuda":
            own["cuda_stream"] = torch.cuda.get_rng_state(device)
        ranks = gather_object([own]) if self.accelerator.num_processes > 1 else [own]
        seconds = time.perf_counter() - self.started
        self.save({"epoch": self.epoch, "step": step, "seconds": seconds, "ranks": ranks})
        self.latest = time.monotonic()
        end_if_over()


def end_if_over() -> None:
    """Raise `OutOfTime`, in all processes or none, if the time of this training is over."""
    if broadcast(time_is_up()):
        raise OutOfTime


def resume_partial(
    partial: dict[str, Any], seed: int, accelerator: Accelerator
) -> tuple[int, Tensor | None]:
    """Resume a partial epoch: returns the number of steps done and this process's sums, and
    restores its random stream.

    If the number of processes has changed, the first process takes the sums of all, and the
    streams start anew.
    """
    if not partial:
        return 0, None
    rank, device = accelerator.process_index, accelerator.device
    ranks, step = partial["ranks"], int(partial["step"])
    if len(ranks) != accelerator.num_processes:
        torch.manual_seed(stream_seed(seed, "dropout", partial["epoch"], rank, step))
        total = sum(one["sums"].to(device) for one in ranks)
        return step, total if rank == 0 else torch.zeros_like(total)
    own = ranks[rank]
    torch.set_rng_state(own["stream"].cpu())
    if device.type == "cuda" and "cuda_stream" in own:
        torch.cuda.set_rng_state(own["cuda_stream"].cpu(), device)
    return step, own["sums"].to(device)
