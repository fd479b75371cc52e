"""Names of the presets, in a module without torch, so that the command line starts fast."""

from typing import Literal, get_args

Preset = Literal["smoke", "cpu", "paper"]
PRESETS: tuple[Preset, ...] = get_args(Preset)
FIRST_SEED = 2024  # where only the number of seeds is given, as in ``n_seeds=3``
