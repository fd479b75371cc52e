"""The command line: ``nslab run | suite | render | compare | evolve | list | data | lab``.

Heavy imports wait until a command needs them, so that help and rendering start at once.
"""

from nslab.cli import batches, evolving, looking, notebooks  # each adds its commands
from nslab.cli.shared import app

__all__ = ["app", "batches", "evolving", "looking", "notebooks"]
