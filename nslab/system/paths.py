"""Paths: one home for data and figures; notebooks and frozen results with the package.

In a checkout they lie beside ``nslab/``; in an installed copy, inside it.
"""

import os
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
INSIDE = {"notebooks": "_notebooks", "data/results": "_results"}  # where a wheel has them; setup.py


def checkout() -> Path | None:
    """The folder that holds ``nslab/``, ``notebooks/`` and ``data/results/``; None if installed."""
    root = PACKAGE.parent
    return root if all((root / name).exists() for name in ("pyproject.toml", *INSIDE)) else None


def home() -> Path:
    """Root of ``data/`` and ``figures/``.

    ``NSLAB_HOME`` if set, else the checkout, else (installed) ``nslab-runs`` in the working
    directory. The last is said once, and set for this process and those that it starts: a
    notebook's kernel works in another directory.
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
    """Data sets that this installation has made files of."""
    return home() / "data" / "cache"


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
    return _given("NSLAB_FIGURES") or home() / "figures"


def papers_dir() -> Path:
    """The papers' numbers, one folder a paper."""
    return PACKAGE / "papers"


def notebooks_dir() -> Path:
    """The notebooks that come with nslab."""
    return _shipped("notebooks")


def shipped_results_dir() -> Path:
    """The frozen results that come with nslab."""
    return _shipped("data/results")


def frozen_dir() -> Path:
    """Where results are frozen: into the checkout, to be committed, else into the home."""
    return (checkout() or home()) / "data" / "results"


_ABSOLUTE: set[str] = set()  # what `_given` has made so; it is asked thousands of times


def _given(wanted: str) -> Path | None:
    """The folder that a variable names. All that are set become absolute, as processes that are
    started from here may work in another directory."""
    for name in ("NSLAB_HOME", "NSLAB_DATA", "NSLAB_FIGURES"):
        if (given := os.environ.get(name)) and given not in _ABSOLUTE:
            os.environ[name] = str(Path(given).expanduser().resolve())
            _ABSOLUTE.add(os.environ[name])
    return Path(os.environ[wanted]) if os.environ.get(wanted) else None


def _shipped(name: str) -> Path:
    inside = PACKAGE / INSIDE[name]
    return inside if inside.is_dir() else PACKAGE.parent / name
