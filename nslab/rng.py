"""Independent, named random streams; nothing in the library touches the global generator."""

import hashlib

import torch
from jaxtyping import Int
from torch import Tensor


def stream_seed(seed: int, *keys: str | int) -> int:
    """A 63-bit seed for the stream that ``keys`` name under ``seed``.

    Streams with different names are independent, so drawing more in one place (augmentation, say)
    never changes what another place (initial weights) draws.
    """
    text = "\x1f".join([str(int(seed)), *map(repr, keys)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def generator(seed: int, *keys: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """A generator for the stream that ``keys`` name under ``seed``."""
    return torch.Generator(device).manual_seed(stream_seed(seed, *keys))


def sample_bits(
    index: Int[Tensor, " b"], epoch: int, seed: int, *keys: str | int
) -> Int[Tensor, " b"]:
    """31 pseudo-random bits for each sample of a batch, from the stream that ``keys`` name.

    They depend only on sample, epoch, seed and keys, not on earlier draws, so a resumed training
    and every process draw the same.
    """
    start = stream_seed(seed, *keys, epoch) & 0x7FFFFFFF
    return hashed((index.long() + 1) * 0x9E3779B1 + start)


def hashed(key: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """31 pseudo-random bits from whole numbers, the same on every device.

    An integer hash instead of a generator: there is no state to save and no need to wait for the
    device.
    """
    key = key & 0x7FFFFFFF
    for factor in (0x2C1B3C6D, 0x297A2D39):
        key = ((key ^ (key >> 15)) * factor) & 0x7FFFFFFF
    return key ^ (key >> 15)
