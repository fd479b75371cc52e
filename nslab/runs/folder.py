"""A run's folder: its lock, and what an unfinished run leaves there."""

from contextlib import AbstractContextManager
from pathlib import Path

from nslab.configs.protocol import RunConfig
from nslab.neuroevolution.evolution import CHECKPOINT as EVOLUTION
from nslab.runs.evolve_run import BEST
from nslab.system import locks
from nslab.system.files import remove_strays
from nslab.system.paths import runs_dir
from nslab.system.seals import set_aside
from nslab.training.checkpoint import CHECKPOINT

RESULT, PROGRESS, STRETCHES, LOCK = "result.json", "progress.json", "stretches.json", "lock"
OUTDATED = ".outdated"  # ends the names of what was begun with other code or data than today's
# What only the process that holds a run's lock writes, and progress, which nobody misses; a killed
# one may leave halves beside them.
OURS = (CHECKPOINT, EVOLUTION, "*.safetensors", "env.json", PROGRESS, RESULT, STRETCHES)


def folder_of(config: RunConfig) -> Path:
    """The folder of a run."""
    return runs_dir() / config.id


def locked(folder: Path, *, afresh: bool = False) -> AbstractContextManager[None]:
    """Hold the lock of a run. When another process computes it, say so and wait; to begin it
    ``afresh``, which would throw that work away, raise `Busy` instead."""
    busy = f"run {folder.name} is being computed by another process"
    refusal = (
        "wait until it has finished, or stop it, before computing the run again" if afresh else ""
    )
    return locks.locked(folder / LOCK, busy, refusal=refusal)


def interim(folder: Path) -> list[Path]:
    """What an unfinished run goes on from."""
    named = [folder / name for name in (CHECKPOINT, EVOLUTION)]
    return [file for file in (*named, *folder.glob(BEST.format("*"))) if file.exists()]


def has_interim(folder: Path) -> bool:
    """Whether a run continues from where it was."""
    return bool(interim(folder))


def set_interim_aside(folder: Path, why: str) -> None:
    """Begin a run afresh, and keep what it would have gone on from under other names."""
    for file in (*interim(folder), folder / STRETCHES):
        set_aside(file, why, OUTDATED)


def remove_interim(folder: Path) -> None:
    """Remove what an unfinished run goes on from; for those who hold the run's lock."""
    for file in (*interim(folder), folder / PROGRESS, folder / STRETCHES):
        file.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left half written; for those who hold the run's lock."""
    for name in OURS:
        remove_strays(folder, name)
