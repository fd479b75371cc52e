"""Where things lie: one home for data and figures, and our frozen results beside the code."""

import os
from pathlib import Path


def checkout() -> Path:
    """The folder that holds ``nslab/``, ``notebooks/`` and ``data/results/``."""
    return Path(__file__).resolve().parents[2]


def home() -> Path:
    """Root of ``data/`` and ``figures/``.

    ``NSLAB_HOME`` if set, else the checkout, else (installed without one) the working directory.
    """
    if given := os.environ.get("NSLAB_HOME"):
        return Path(given).expanduser().resolve()
    root = checkout()
    return root if (root / "notebooks").is_dir() else Path.cwd()


def cache_dir() -> Path:
    """Data sets: ``NSLAB_DATA`` if set, else ``data/cache``."""
    given = os.environ.get("NSLAB_DATA")
    return Path(given).expanduser().resolve() if given else home() / "data" / "cache"


def arrays_dir() -> Path:
    """People's own arrays, by their digest."""
    return home() / "data" / "arrays"


def runs_dir() -> Path:
    """Run folders, one a config."""
    return home() / "data" / "runs"


def logs_dir() -> Path:
    """What is logged for other viewers."""
    return home() / "data" / "logs"


def figures_dir() -> Path:
    """Figures, one folder a preset: ``NSLAB_FIGURES`` if set, else ``figures``."""
    given = os.environ.get("NSLAB_FIGURES")
    return Path(given).expanduser().resolve() if given else home() / "figures"


def papers_dir() -> Path:
    """The papers' numbers, one folder a paper."""
    return Path(__file__).resolve().parents[1] / "papers"


def frozen_dir() -> Path:
    """Our own results kept in version control."""
    return checkout() / "data" / "results"


def notebooks_dir() -> Path:
    """The notebooks."""
    return checkout() / "notebooks"
