"""Presets: how much of an experiment is run, and how many seeds of it.

``smoke`` runs on the embedded digits in seconds on a CPU and supports no claim; ``cpu`` takes
minutes to hours on two cores and real data; ``paper`` is the paper's own setting.
"""

from nslab.system.presets import PRESETS, Preset

Seeds = dict[str, tuple[int, ...]]

SEEDS: Seeds = {
    "smoke": (2024, 2025),
    "cpu": (2024, 2025, 2026),
    "paper": (2024, 2025, 2026),
}
# Of short trainings whose first three seeds could not tell a difference from none.
SEEDS_OF_NINE: Seeds = SEEDS | {"cpu": tuple(range(2024, 2033))}
# Of tables with many rows of long trainings.
SEEDS_OF_MANY: Seeds = SEEDS | {"cpu": SEEDS["cpu"][:1]}
# Of short trainings, whose differences are small.
SEEDS_OF_SHORT: Seeds = SEEDS | dict.fromkeys(("smoke", "paper"), tuple(range(2024, 2029)))

__all__ = [
    "PRESETS",
    "SEEDS",
    "SEEDS_OF_MANY",
    "SEEDS_OF_NINE",
    "SEEDS_OF_SHORT",
    "Preset",
    "Seeds",
]
