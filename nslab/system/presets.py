"""Names of the presets, apart from torch so that a command line need not wait for it."""

from typing import Literal, get_args

Preset = Literal["smoke", "cpu", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
FIRST_SEED = 2024  # of those that are counted, such as ``n_seeds=3``
