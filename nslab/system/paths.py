"""Paths: one home for data and figures, and the notebooks and frozen results of the package.

The latter lie beside ``nslab/`` in a checkout, and inside it in an installed copy.
"""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSIDE = {"notebooks": "_notebooks", "data/results": "_results"}  # their names in a wheel: setup.py


def checkout() -> Path | None:
    """The folder that holds ``nslab/``, ``notebooks/`` and ``data/results/``; None if installed."""
    root = PACKAGE.parent
    return root if all((root / name).exists() for name in ("pyproject.toml", *INSIDE)) else None


def home() -> Path:
    """Root of ``data/`` and ``figures/``.

    ``NSLAB_HOME`` if set, else the checkout, else (installed) ``nslab-runs`` in the working
    directory. The last is printed once, and set for this process and those that it starts, because
    a notebook's kernel works in another directory.
    """
    if folder := _given("NSLAB_HOME") or checkout():
        return folder
    made = Path.cwd() / "nslab-runs"
    os.environ["NSLAB_HOME"] = str(made)
    if os.environ.get("NSLAB_HEADLESS", "0") in ("", "0"):
        print(f"nslab: runs, data and figures go to {made} (or to NSLAB_HOME)", file=sys.stderr)
    return made


def cache_dir() -> Path:
    """Data sets: ``NSLAB_DATA`` if set, else ``data/cache``."""
    return _given("NSLAB_DATA") or home_cache_dir()


def home_cache_dir() -> Path:
    """The folder ``data/cache`` of the home, even if ``NSLAB_DATA`` is set: for files that nslab
    itself generates."""
    return home() / "data" / "cache"


def arrays_dir() -> Path:
    """Users' own arrays, by their digest."""
    return home() / "data" / "arrays"


def runs_dir() -> Path:
    """Run folders, one per config."""
    return home() / "data" / "runs"


def logs_dir() -> Path:
    """Logs for TensorBoard, MLflow and W&B."""
    return home() / "data" / "logs"


def figures_dir() -> Path:
    """Figures, one folder per preset: ``NSLAB_FIGURES`` if set, else ``figures``."""
    return _given("NSLAB_FIGURES") or home() / "figures"


def papers_dir() -> Path:
    """The papers' numbers, one folder per paper."""
    return PACKAGE / "papers"


def notebooks_dir() -> Path:
    """The notebooks that come with nslab."""
    return _shipped("notebooks")


def shipped_results_dir() -> Path:
    """The frozen results that come with nslab."""
    return _shipped("data/results")


def frozen_dir() -> Path:
    """The folder for frozen results: the checkout's, to be committed, else the home's."""
    return (checkout() or home()) / "data" / "results"


_ABSOLUTE: set[str] = set()  # paths that `_given` has resolved already; it is called very often


def _given(wanted: str) -> Path | None:
    """The folder that an environment variable names, if set. All such variables are made absolute,
    because processes that are started from here may work in another directory."""
    for name in ("NSLAB_HOME", "NSLAB_DATA", "NSLAB_FIGURES"):
        if (given := os.environ.get(name)) and given not in _ABSOLUTE:
            os.environ[name] = str(Path(given).expanduser().resolve())
            _ABSOLUTE.add(os.environ[name])
    return Path(os.environ[wanted]) if os.environ.get(wanted) else None


def _shipped(name: str) -> Path:
    inside = PACKAGE / INSIDE[name]
    return inside if inside.is_dir() else PACKAGE.parent / name
