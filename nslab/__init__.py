"""nslab: a workbench for evolution-inspired training of deep networks.

The public names; each is imported when first used, so that a command line need not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nslab.datasets import DATASETS, load
    from nslab.evolve import EVOLVERS
    from nslab.experiments import EXPERIMENTS, EvolveConfig, PretrainConfig, TrainConfig, experiment
    from nslab.frozen import freeze
    from nslab.ledger import compare, readable
    from nslab.networks import NETWORKS, build_network
    from nslab.objectives import EDL, NS, OBJECTIVES, CrossEntropy, Weighted
    from nslab.store import Result, finished, run, run_all
    from nslab.train import fit
    from nslab.types import Batch, DataInfo, Objective, Scored

__version__ = "0.1.0"

_HOMES = {
    "nslab.datasets": ("DATASETS", "load"),
    "nslab.evolve": ("EVOLVERS",),
    "nslab.experiments": (
        "EXPERIMENTS",
        "EvolveConfig",
        "PretrainConfig",
        "TrainConfig",
        "experiment",
    ),
    "nslab.frozen": ("freeze",),
    "nslab.ledger": ("compare", "readable"),
    "nslab.networks": ("NETWORKS", "build_network"),
    "nslab.objectives": ("EDL", "NS", "OBJECTIVES", "CrossEntropy", "Weighted"),
    "nslab.store": ("Result", "finished", "run", "run_all"),
    "nslab.train": ("fit",),
    "nslab.types": ("Batch", "DataInfo", "Objective", "Scored"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DATASETS",
    "EDL",
    "EVOLVERS",
    "EXPERIMENTS",
    "NETWORKS",
    "NS",
    "OBJECTIVES",
    "Batch",
    "CrossEntropy",
    "DataInfo",
    "EvolveConfig",
    "Objective",
    "PretrainConfig",
    "Result",
    "Scored",
    "TrainConfig",
    "Weighted",
    "build_network",
    "compare",
    "experiment",
    "finished",
    "fit",
    "freeze",
    "load",
    "readable",
    "run",
    "run_all",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'nslab' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
