"""Presets: how large the runs of an experiment are, and with how many seeds.

``smoke`` runs on digits in seconds on a CPU and supports no claim; ``cpu`` takes minutes to hours
on two cores with real data; ``paper`` is the paper's own setting.
"""

from nslab.system.presets import PRESETS, Preset

Seeds = dict[str, tuple[int, ...]]

SEEDS: Seeds = {
    "smoke": (2024, 2025),
    "cpu": (2024, 2025, 2026),
    "paper": (2024, 2025, 2026),
}
# For short trainings, where three seeds were too few to tell the difference from none.
SEEDS_OF_NINE: Seeds = SEEDS | {"cpu": tuple(range(2024, 2033))}
# For tables with many long trainings.
SEEDS_OF_MANY: Seeds = SEEDS | {"cpu": SEEDS["cpu"][:1]}
# For short trainings with small differences.
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
