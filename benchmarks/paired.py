"""Compare ways of doing the same thing on a machine that has other work too.

All contenders take a turn in every round, and only times of one round are divided by one another:
what slows the machine for a while slows both sides of a ratio.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray

from nslab.files import write_text
from nslab.provenance import environment

Seconds = NDArray[np.float64]  # one per round


class Times(NamedTuple):
    """What a contender took in each round: CPU time of all threads of this process, and wall."""

    cpu: Seconds
    wall: Seconds


class Quartiles(NamedTuple):
    """Median and quartiles over the rounds."""

    median: float
    q1: float
    q3: float

    def __str__(self) -> str:
        return f"{self.median:.3f} ({self.q1:.3f}-{self.q3:.3f})"


def interleaved(
    contenders: Mapping[str, Callable[[], object]], rounds: int, device: str = "cpu"
) -> dict[str, Times]:
    """Times of every contender in every round.

    The order rotates, and is reversed in every second round: nobody always comes first, nor always
    after the same one.
    """
    names = list(contenders)
    times = {name: Times(np.zeros(rounds), np.zeros(rounds)) for name in names}
    for i in range(rounds):
        first = i % len(names)
        order = names[first:] + names[:first]
        for name in order if i % 2 == 0 else reversed(order):
            cpu, wall = clock(device)
            contenders[name]()
            cpu_after, wall_after = clock(device)
            times[name].cpu[i], times[name].wall[i] = cpu_after - cpu, wall_after - wall
    return times


def clock(device: str) -> tuple[float, float]:
    """CPU and wall time once the device has done all it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.process_time(), time.perf_counter()


def ratio(a: Seconds, b: Seconds) -> Quartiles:
    """Quartiles of the ratios a / b, round by round."""
    q1, median, q3 = np.quantile(a / b, (0.25, 0.5, 0.75)).tolist()
    return Quartiles(median, q1, q3)


def machine(device: str = "cpu") -> dict[str, Any]:
    """Device, threads and versions, printed and returned."""
    PartialState(cpu=device == "cpu")  # else a GPU would be named that is not used
    env = environment()
    print(f"{env['device']}, {env['threads']} thread(s), torch {env['versions']['torch']}")
    return env


def finish(sentence: str, file: Path | None, **results: Any) -> None:
    """Print what it comes to, and keep everything as JSON if asked."""
    print(f"\n{sentence}")
    if file is not None:
        write_text(file, json.dumps({**results, "sentence": sentence}, indent=2) + "\n")
