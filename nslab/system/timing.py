"""Compare the times of alternatives on a machine that has other work, too.

All contenders take a turn in every round, and ratios are taken within a round only: whatever slows
the machine for a while then slows both sides of a ratio.
"""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

Seconds = NDArray[np.float64]  # one per round


class Times(NamedTuple):
    """A contender's times in each round: CPU time of all threads of this process, and wall time."""

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
    """Seconds of every contender in every round.

    Each order is followed by its reverse and then rotated, so that no contender comes first more
    often than others, or always after the same one. Raises ``ValueError`` for less than one round.
    """
    if rounds < 1:
        raise ValueError(f"{rounds} rounds measure nothing: take at least 1, better 20 or more")
    names = list(contenders)
    times = {name: Times(np.zeros(rounds), np.zeros(rounds)) for name in names}
    for i in range(rounds):
        first = i // 2 % len(names)
        order = names[first:] + names[:first]
        for name in order if i % 2 == 0 else reversed(order):
            cpu, wall = clock(device)
            contenders[name]()
            cpu_after, wall_after = clock(device)
            times[name].cpu[i], times[name].wall[i] = cpu_after - cpu, wall_after - wall
    return times


def clock(device: str) -> tuple[float, float]:
    """CPU and wall time, in seconds, after the device has finished all its work."""
    if device != "cpu":
        torch.cuda.synchronize(device)
    return time.process_time(), time.perf_counter()


def ratio(a: Seconds, b: Seconds) -> Quartiles:
    """Quartiles of the ratios a / b, round by round."""
    q1, median, q3 = np.quantile(a / b, (0.25, 0.5, 0.75)).tolist()
    return Quartiles(median, q1, q3)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Make torch compute with this many threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def resident_peak() -> int:
    """Peak resident memory of this process, in bytes.

    On Linux this is not ``ru_maxrss``, which begins with the size of the parent process: that of a
    notebook's kernel exceeds the training of a small network. On Windows: the peak working set.
    """
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    if found := re.search(r"^VmHWM:\s+(\d+) kB", text, re.MULTILINE):
        return int(found[1]) * 1024
    try:
        import resource  # Windows has none
    except ImportError:
        memory = psutil.Process().memory_info()
        return int(getattr(memory, "peak_wset", memory.rss))
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
