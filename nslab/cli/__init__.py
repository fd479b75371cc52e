"""The command line: ``nslab run | suite | render | compare | evolve | check | ...``.

Heavy imports wait until a command needs them, so that help and rendering start at once.
"""

from nslab.cli import (  # importing a module registers its commands
    check,
    evidence,
    evolve,
    figures,
    notebooks,
    predict,
    run,
    runs,
    show,
    store,
)
from nslab.cli.options import app

__all__ = [
    "app",
    "check",
    "evidence",
    "evolve",
    "figures",
    "notebooks",
    "predict",
    "run",
    "runs",
    "show",
    "store",
]
