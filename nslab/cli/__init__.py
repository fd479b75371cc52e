"""The command line: ``nslab run | suite | render | compare | evolve | check | ...``.

Heavy imports wait until a command needs them, so that help and rendering start at once.
"""

from nslab.cli import check, evolve, notebooks, predict, run, show, store  # each adds its commands
from nslab.cli.options import app

__all__ = ["app", "check", "evolve", "notebooks", "predict", "run", "show", "store"]
