"""Independent, named random streams; nothing in the library touches the global generator."""

import hashlib

import torch


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
