"""nslab: a workbench for evolution-inspired training of deep networks.

Public names are imported on first use, so that the command line does not wait for torch.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING

from nslab.system.plugins import load_all_or_end
from nslab.system.renamed import Renamed, tell_new_name

if TYPE_CHECKING:
    from nslab.analysis.paper_tables import compare, readable
    from nslab.configs import (
        AdaptConfig,
        EvaluateConfig,
        EvolveConfig,
        LossSearchConfig,
        TrainConfig,
    )
    from nslab.datasets import DATASETS, load
    from nslab.datasets.own_arrays import add_arrays
    from nslab.evolve import EVOLVERS
    from nslab.experiments import EXPERIMENTS, experiment
    from nslab.networks import NETWORKS, build_network
    from nslab.objectives import EDL, NS, OBJECTIVES, CrossEntropy, Joined, Weighted
    from nslab.runs.evolve_checkpoints import evolve_checkpoints
    from nslab.runs.frozen import freeze
    from nslab.runs.store import Result, finished, run, run_all
    from nslab.system.plugins import use
    from nslab.training.loop import fit
    from nslab.types import Batch, DataInfo, Objective, Scored
    from nslab.workbench.compare_methods import compare_methods
    from nslab.workbench.device_check import check
    from nslab.workbench.evaluation import evaluate
    from nslab.workbench.in_notebook import Notebook

__version__ = "0.3.0"

_HOMES = {
    "nslab.datasets": ("DATASETS", "load"),
    "nslab.datasets.own_arrays": ("add_arrays",),
    "nslab.evolve": ("EVOLVERS",),
    "nslab.configs": (
        "AdaptConfig",
        "EvaluateConfig",
        "EvolveConfig",
        "LossSearchConfig",
        "TrainConfig",
    ),
    "nslab.experiments": ("EXPERIMENTS", "experiment"),
    "nslab.runs.evolve_checkpoints": ("evolve_checkpoints",),
    "nslab.runs.frozen": ("freeze",),
    "nslab.analysis.paper_tables": ("compare", "readable"),
    "nslab.networks": ("NETWORKS", "build_network"),
    "nslab.objectives": ("EDL", "NS", "OBJECTIVES", "CrossEntropy", "Joined", "Weighted"),
    "nslab.runs.store": ("Result", "finished", "run", "run_all"),
    "nslab.system.plugins": ("use",),
    "nslab.training.loop": ("fit",),
    "nslab.types": ("Batch", "DataInfo", "Objective", "Scored"),
    "nslab.workbench.compare_methods": ("compare_methods",),
    "nslab.workbench.device_check": ("check",),
    "nslab.workbench.evaluation": ("evaluate",),
    "nslab.workbench.in_notebook": ("Notebook",),
}
sys.meta_path.insert(0, Renamed())  # first: leftover caches of old folders look like packages
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DATASETS",
    "EDL",
    "EVOLVERS",
    "EXPERIMENTS",
    "NETWORKS",
    "NS",
    "OBJECTIVES",
    "AdaptConfig",
    "Batch",
    "CrossEntropy",
    "DataInfo",
    "EvaluateConfig",
    "EvolveConfig",
    "Joined",
    "LossSearchConfig",
    "Notebook",
    "Objective",
    "Result",
    "Scored",
    "TrainConfig",
    "Weighted",
    "add_arrays",
    "build_network",
    "check",
    "compare",
    "compare_methods",
    "evaluate",
    "evolve_checkpoints",
    "experiment",
    "finished",
    "fit",
    "freeze",
    "load",
    "readable",
    "run",
    "run_all",
    "use",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        tell_new_name(f"nslab.{name}")
        raise AttributeError(f"module 'nslab' has no attribute {name!r}")
    return getattr(import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


load_all_or_end()  # plug-ins come last, since they import from here
