"""The integer hashes that nslab draws from, written a second time with integers of Python and
NumPy."""

from collections.abc import Sequence

import numpy as np

from nslab.rng import stream_seed

LOW = 0x7FFFFFFF


def mixed(key: int) -> int:
    """31 bits from a whole number: two rounds of shift, exclusive or, multiply."""
    key &= LOW
    for factor in (0x2C1B3C6D, 0x297A2D39):
        key = ((key ^ (key >> 15)) * factor) % 2**31
    return key ^ (key >> 15)


def bits(index: Sequence[int], epoch: int, seed: int, name: str) -> list[int]:
    """The 31 bits of each sample ``index`` in the stream ``name`` of a run's epoch."""
    start = stream_seed(seed, name, epoch) % 2**31
    return [mixed((i + 1) * 0x9E3779B1 + start) for i in index]


def order(index: Sequence[int], epoch: int, seed: int, name: str) -> list[int]:
    """The permutation that sorts a batch by these bits; equal ones keep their order."""
    keys = bits(index, epoch, seed, name)
    return sorted(range(len(keys)), key=keys.__getitem__)


def crossed(genes: int, rate: float, seed: int, target: int) -> np.ndarray:
    """Which genes of a trial come from the mutant: triple32 of the gene under two keys, in 31 bits,
    below the rate."""
    key = stream_seed(seed, "crossover", target)
    first, second = (np.uint32((part + 2**31) % 2**32) for part in (key, key >> 31))
    x = np.arange(genes, dtype=np.uint32) ^ first
    x ^= x >> np.uint32(17)
    x *= np.uint32(0xED5AD4BB)
    x ^= second
    x ^= x >> np.uint32(11)
    x *= np.uint32(0xAC4C1B51)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x31848BAB)
    x ^= x >> np.uint32(14)
    # the upper 31 bits of the signed number, shifted to start at 0
    value = (x.view(np.int32).astype(np.int64) >> 1) + 2**30
    return value < round(rate * 2**31)
