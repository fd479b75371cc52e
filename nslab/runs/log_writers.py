"""Writers of logs for TensorBoard and MLflow, which do not write again what a log has already."""

import importlib
import json
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol, runtime_checkable

from nslab.configs.labels import label
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.system.filenames import checked_filename
from nslab.system.paths import logs_dir

LoggedNumbers = dict[str, float]
ACCUMULATOR = "tensorboard.backend.event_processing.event_accumulator"


@runtime_checkable
class Writer(Protocol):
    """The log of one run for one viewer. ``held``: the (tag, step) pairs that it has already."""

    held: set[tuple[str, int]]

    def write(self, step: int, numbers: LoggedNumbers) -> None: ...
    def fill(self, rows: Sequence[tuple[int, LoggedNumbers]]) -> None: ...
    def close(self, status: str) -> None: ...


def write(writer: Writer, step: int, row: LoggedNumbers) -> None:
    """Write those numbers of a step that the log lacks."""
    new = {tag: value for tag, value in row.items() if (tag, step) not in writer.held}
    if new:
        writer.write(step, new)
        writer.held |= {(tag, step) for tag in new}


def log_name(config: RunConfig) -> str:
    """The name of a run in a viewer: its label, shortened, and its id."""
    return checked_filename(
        re.sub(r"[^\w.=+-]+", "_", label(config))[:100] + f"_{config.id}", "log"
    )


class TensorBoard:
    """Event files of TensorBoard in a folder; ``fresh`` removes earlier ones."""

    def __init__(self, config: RunConfig, fresh: bool) -> None:
        accumulators = extra(ACCUMULATOR, "tensorboard")
        self.folder = logs_dir() / "tensorboard" / log_name(config)
        if fresh:
            shutil.rmtree(self.folder, ignore_errors=True)
        self.held: set[tuple[str, int]] = set()
        if self.folder.is_dir():
            found = accumulators.EventAccumulator(str(self.folder), {"scalars": 0})
            found.Reload()
            for tag in found.Tags()["scalars"]:
                self.held |= {(tag, event.step) for event in found.Scalars(tag)}
        self.open()
        if not self.held:
            text = json.dumps(encode(config), indent=1).replace("\n", "\n    ")
            self.out.add_text("config", f"    {text}", 0)

    def open(self) -> None:
        """Begin another event file."""
        self.out = extra("torch.utils.tensorboard", "tensorboard").SummaryWriter(str(self.folder))

    def write(self, step: int, numbers: LoggedNumbers) -> None:
        """Write, and flush: a kill loses nothing."""
        for tag, value in numbers.items():
            self.out.add_scalar(tag, value, step)
        self.out.flush()

    def fill(self, rows: Sequence[tuple[int, LoggedNumbers]]) -> None:
        """Write what is missing. If that is not at the end, write everything again, because
        TensorBoard draws curves in the order of the file."""
        wanted = {(tag, step) for step, row in rows for tag in row}
        last = max((step for _, step in self.held), default=0)
        if any(step <= last for _, step in wanted - self.held):
            self.out.close()
            for file in self.folder.glob("events.*"):
                file.unlink()
            self.held = set()
            self.open()
        for step, row in rows:
            write(self, step, row)

    def close(self, status: str) -> None:
        """End the file."""
        self.out.close()


class MLflow:
    """A run of MLflow, found again by its tag ``nslab.run``; ``fresh`` deletes earlier ones."""

    def __init__(self, config: RunConfig, fresh: bool) -> None:
        self.entities = extra("mlflow.entities", "mlflow")
        self.client, experiment = mlflow_client()
        tag = f"tags.`nslab.run` = '{config.id}'"
        runs = self.client.search_runs([experiment], tag)
        for run in runs if fresh else ():
            self.client.delete_run(run.info.run_id)
        self.held: set[tuple[str, int]] = set()
        if runs and not fresh:
            self.run = runs[0].info.run_id
            self.client.update_run(self.run, status="RUNNING")
            for tag in runs[0].data.metrics:
                points = self.client.get_metric_history(self.run, tag)
                self.held |= {(tag, point.step) for point in points}
            return
        tags = {"nslab.run": config.id}
        made = self.client.create_run(experiment, tags=tags, run_name=log_name(config))
        self.run = made.info.run_id
        params = [self.entities.Param(k, v[:500]) for k, v in flat("", encode(config))]
        for first in range(0, len(params), 100):  # MLflow's limit for one call
            self.client.log_batch(self.run, params=params[first : first + 100])

    def write(self, step: int, numbers: LoggedNumbers) -> None:
        """Write all numbers of a step in one call."""
        now = int(1000 * time.time())
        points = [self.entities.Metric(tag, v, now, step) for tag, v in numbers.items()]
        self.client.log_batch(self.run, metrics=points)

    def fill(self, rows: Sequence[tuple[int, LoggedNumbers]]) -> None:
        """Write what is missing; MLflow sorts by step."""
        for step, row in rows:
            write(self, step, row)

    def close(self, status: str) -> None:
        """End the run."""
        self.client.set_terminated(self.run, status)


WRITERS: dict[str, Callable[[RunConfig, bool], Writer]] = {
    "tensorboard": TensorBoard,
    "mlflow": MLflow,
}


def mlflow_client() -> tuple[Any, str]:
    """MLflow's client and the id of the experiment ``nslab``, which is created if it is missing.

    Raises ``ValueError`` if the database or server cannot be used.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it sends usage data
    tracking = extra("mlflow.tracking", "mlflow")
    file = logs_dir() / "mlflow.db"
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{file}"
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        client = tracking.MlflowClient(uri)
        found = client.get_experiment_by_name("nslab")
        return client, found.experiment_id if found else client.create_experiment("nslab")
    except Exception as error:  # of whichever database or server it is
        raise ValueError(
            f"MLflow at {uri} cannot be used: check MLFLOW_TRACKING_URI ({error})"
        ) from error


def flat(prefix: str, value: Any) -> Iterator[tuple[str, str]]:
    """The leaves of JSON values, each under its path, such as ``objective.sigma``."""
    if not isinstance(value, dict):
        yield prefix, str(value)
        return
    for name, item in value.items():
        yield from flat(f"{prefix}.{name}".strip(".").replace("@", "kind"), item)


PACKAGES = {
    "tensorboard": "tensorboard",
    "mlflow": "mlflow-skinny sqlalchemy alembic",
    "wandb": "wandb",
}


def extra(module: str, name: str) -> Any:
    """A module of an optional dependency; ``ValueError`` saying how to install it if missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ValueError(
            f"logging for {name} needs more packages: pip install {PACKAGES[name]} ({error})"
        ) from None
