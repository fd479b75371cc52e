"""Loggers: a run's numbers for TensorBoard, MLflow and W&B, beside nslab's own history.

All are optional (the extras ``tensorboard``, ``mlflow`` and ``wandb``) and off by default. Logs lie
in ``data/logs``, each run's under a name of its own:

    tensorboard --logdir data/logs/tensorboard
    mlflow ui --backend-store-uri sqlite:///data/logs/mlflow.db
    wandb sync data/logs/wandb/offline-run-*

(``mlflow ui`` needs the whole of mlflow; with ``MLFLOW_TRACKING_URI`` a server gets them instead.
W&B is offline unless ``WANDB_MODE`` says otherwise: nothing leaves this machine before the sync.)
A step is an epoch, or a generation of an evolution, from 1. A resumed run continues its log: no
step is written twice, and steps that were lost with a killed process are filled in at the end.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress

from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.runs.log_writers import WRITERS, LoggedNumbers, Writer, extra, mlflow_client, write
from nslab.runs.results import Result
from nslab.runs.wandb_writer import WandB, check_wandb
from nslab.system.locks import Busy, locked
from nslab.system.paths import logs_dir
from nslab.system.validation import unknown
from nslab.types import Row

WRITERS["wandb"] = WandB
LOGS = tuple(WRITERS)
PLACES = ("epoch", "batch", "generation")  # columns that say where a row belongs


class RunLog:
    """A callback that writes rows: ``fit(..., on_epoch=log)``, ``evolve(..., on_generation=log)``.

    An error in a viewer's own code becomes a warning and ends that viewer's log for now: a training
    is worth more than its log. `finish` tries again to write what is missing.
    """

    def __init__(self, config: RunConfig, writers: Sequence[Writer]) -> None:
        self.generations = int(encode(config).get("generations", 1))
        self.writers, self.failed = writers, set[int]()

    def __call__(self, row: Row) -> None:
        """Write a row, unless it is there."""
        self._each(lambda writer: write(writer, self.step(row), row_numbers(row)))

    def finish(self, history: Sequence[Row]) -> None:
        """Write what is missing of a whole history."""
        rows = [(self.step(row), row_numbers(row)) for row in history]
        self.failed.clear()
        self._each(lambda writer: writer.fill(rows))

    def step(self, row: Row) -> int:
        """The place of a row in its history, from 1."""
        if "epoch" in row:
            return int(row["epoch"]) + 1
        return int(row.get("batch", 0)) * self.generations + int(row["generation"]) + 1

    def close(self, status: str) -> None:
        """No more rows will come: ``FINISHED``, ``FAILED`` or ``KILLED``."""
        self._each(lambda writer: writer.close(status))

    def _each(self, act: Callable[[Writer], None]) -> None:
        for number, writer in enumerate(self.writers):
            if number in self.failed:
                continue
            try:
                act(writer)
            except Exception as error:
                self.failed.add(number)
                name = type(writer).__name__
                warnings.warn(f"{name} no longer logs this run: {error!r}", stacklevel=3)


def row_numbers(row: Row) -> LoggedNumbers:
    """The numbers of a row, without ``PLACES``; item i of a list as ``name/i``."""
    found: LoggedNumbers = {}
    for name, value in row.items():
        if isinstance(value, list):
            found |= {f"{name}/{i}": float(v) for i, v in enumerate(value)}
        elif isinstance(value, int | float) and name not in PLACES:
            found[name] = float(value)
    return found


def ready(names: Sequence[str]) -> None:
    """``ValueError``, before any work, for a viewer that is unknown or cannot be written for. Also
    creates what several processes will share, such as MLflow's database."""
    for name in names:
        if name not in WRITERS:
            raise unknown("log", name, WRITERS)
    if "tensorboard" in names:
        extra("torch.utils.tensorboard", "tensorboard")
    if "mlflow" in names:
        mlflow_client()
    if "wandb" in names:
        check_wandb()


@contextmanager
def logging(
    config: RunConfig, names: Sequence[str], *, fresh: bool = False, refusal: str = ""
) -> Iterator[RunLog]:
    """A `RunLog` for the viewers ``names``, closed with how the run ended. ``fresh`` discards what
    they have of an earlier computation. One process at a time writes for a run; for ``refusal`` see
    `locked`."""
    busy = f"another process is writing the log of run {config.id}"
    lock = locked(logs_dir() / f".{config.id}.lock", busy, refusal=refusal)
    with lock if names else nullcontext():
        log = RunLog(config, [WRITERS[name](config, fresh) for name in names])
        status = "FAILED"
        try:
            yield log
            status = "FINISHED"
        except KeyboardInterrupt:
            status = "KILLED"
            raise
        finally:
            log.close(status)


def fill(config: RunConfig, result: Result, names: Sequence[str]) -> Result:
    """Write the rows of a finished run for those viewers that lack them, unless another process is
    doing that; returns the result."""
    if names:
        with suppress(Busy), logging(config, names, refusal="it has these rows") as log:
            log.finish(result.history)
    return result
