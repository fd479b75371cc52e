"""A run's folder: its lock, and the files that an unfinished run leaves there."""

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
OUTDATED = ".outdated"  # suffix of interim files set aside because code or data changed
# Files that only the holder of a run's lock writes, and progress, whose loss does no harm. A killed
# process may leave partly written copies beside them.
OURS = (CHECKPOINT, EVOLUTION, "*.safetensors", "env.json", PROGRESS, RESULT, STRETCHES)


def folder_of(config: RunConfig) -> Path:
    """The folder of a run."""
    return runs_dir() / config.id


def locked(folder: Path, *, afresh: bool = False) -> AbstractContextManager[None]:
    """Hold the lock of a run. If another process is computing it, say so and wait; with ``afresh``,
    which would throw that work away, raise `Busy` instead."""
    busy = f"run {folder.name} is being computed by another process"
    refusal = (
        "wait until it has finished, or stop it, before computing the run again" if afresh else ""
    )
    return locks.locked(folder / LOCK, busy, refusal=refusal)


def interim(folder: Path) -> list[Path]:
    """The files that an unfinished run continues from."""
    named = [folder / name for name in (CHECKPOINT, EVOLUTION)]
    return [file for file in (*named, *folder.glob(BEST.format("*"))) if file.exists()]


def has_interim(folder: Path) -> bool:
    """Whether a run has files to continue from."""
    return bool(interim(folder))


def set_interim_aside(folder: Path, why: str) -> None:
    """Rename the files that a run would continue from, so that it starts from the beginning."""
    for file in (*interim(folder), folder / STRETCHES):
        set_aside(file, why, OUTDATED)


def remove_interim(folder: Path) -> None:
    """Remove the files that an unfinished run continues from; the caller holds the run's lock."""
    for file in (*interim(folder), folder / PROGRESS, folder / STRETCHES):
        file.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what killed processes left half written; the caller holds the run's lock."""
    for name in OURS:
        remove_strays(folder, name)
