"""Numbers for other people's viewers: written as they come, once each, and never in the way."""

import importlib.util
import json
import sqlite3
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from process_helpers import at_once
from typer.testing import CliRunner

from nslab.cli import app
from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.serialization import decode
from nslab.evolve import EVOLVERS
from nslab.runs import compute, log_writers, loggers, store
from nslab.runs.wandb_writer import WandB, mode
from nslab.system.paths import logs_dir

TINY = TrainConfig(network="mlp", epochs=4, lr=0.05, keep_last=4)
EVOLUTION = EvolveConfig(
    TINY, size=4, method=EVOLVERS["de"], batches=2, generations=3, batch_size=64
)
Steps = dict[str, list[tuple[int, float]]]


def tensorboard(config: TrainConfig | EvolveConfig) -> Steps:
    """What TensorBoard shows of a run, in the order of its files."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(logs_dir() / "tensorboard" / log_writers.log_name(config)))
    found.Reload()
    tags = found.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in tags}


def mlflow(config: TrainConfig | EvolveConfig) -> Steps:
    """What MLflow has of a run."""
    query = (
        "select m.key, m.step, m.value from metrics m join tags t on t.run_uuid = m.run_uuid "
        "join runs r on r.run_uuid = m.run_uuid where t.key = 'nslab.run' and t.value = ? "
        "and r.lifecycle_stage = 'active' order by m.step"
    )
    found: Steps = {}
    with sqlite3.connect(logs_dir() / "mlflow.db") as database:
        for key, step, value in database.execute(query, [config.id]):
            found.setdefault(key, []).append((step, value))
    database.close()
    return found


def wandb(config: TrainConfig | EvolveConfig) -> Steps:
    """What W&B's offline files have of a run: a log of LevelDB's form, of protocol buffers."""
    from wandb.proto import wandb_internal_pb2

    found: Steps = {}
    for file in sorted((logs_dir() / "wandb").glob(f"offline-run-*-{config.id}*/*.wandb")):
        for data in records(file.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            items = {i.key or "/".join(i.nested_key): i for i in record.history.item}
            numbers = {key: json.loads(item.value_json) for key, item in items.items()}
            for key in numbers.keys() - {"_step", "_timestamp", "_runtime"}:
                found.setdefault(key, []).append((numbers["_step"], numbers[key]))
    return found


def records(data: bytes, block: int = 32768) -> Iterator[bytes]:
    """The records of such a log: in blocks, each part of a record after checksum, length, kind."""
    place, parts = 7, b""  # after the file's own head
    while place + 7 <= len(data):
        if block - place % block < 7:
            place += block - place % block
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


READERS: dict[str, Callable[..., Steps]] = {
    "tensorboard": tensorboard,
    "mlflow": mlflow,
    "wandb": wandb,
}


@pytest.fixture(params=READERS)
def viewer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A viewer whose packages are here."""
    name = request.param
    packages = {"tensorboard": ["tensorboard"], "mlflow": ["mlflow", "sqlalchemy", "alembic"]}
    packages["wandb"] = ["wandb"]
    if any(importlib.util.find_spec(package) is None for package in packages[name]):
        pytest.skip(f"needs the extra {name}: pip install -e '.[{name}]'")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    warnings.filterwarnings("ignore", category=DeprecationWarning)  # their own
    return name


def same(shown: Steps, history: list[dict]) -> bool:
    """Whether every number of a history is shown once, in order, float32 at least."""
    wanted: Steps = {}
    for step, row in enumerate(history, 1):
        for tag, value in loggers.row_numbers(row).items():
            wanted.setdefault(tag, []).append((step, pytest.approx(value, rel=1e-6)))
    return shown == wanted


def test_a_training_is_written(viewer: str) -> None:
    """Every number of every epoch, lists by place; steps count from 1."""
    result = store.run(TINY, log=[viewer], show=False)
    shown = READERS[viewer](TINY)
    assert same(shown, result.history)
    assert [step for step, _ in shown["test_accuracy"]] == [1, 2, 3, 4]
    assert "per_class_accuracy/9" in shown
    assert not {"epoch", "batch"} & set(shown)


class Stop(Exception):
    """Interrupts a training."""


def test_a_resumed_training_repeats_no_step(viewer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped before and after a row was written: the end is as if it never was."""
    calls, heard = [], loggers.RunLog.__call__

    def stopping(log: loggers.RunLog, row: dict) -> None:
        calls.append(row["epoch"])
        if len(calls) == 2:
            raise Stop  # kept, not written
        heard(log, row)
        if len(calls) == 3:
            raise Stop  # kept and written

    monkeypatch.setattr(loggers.RunLog, "__call__", stopping)
    for _ in range(2):
        with pytest.raises(Stop):
            store.run(TINY, log=[viewer], show=False)
    result = store.run(TINY, log=[viewer], show=False)
    assert calls == [0, 1, 2, 3]
    assert same(READERS[viewer](TINY), result.history)


def test_an_evolution_is_written_with_its_parents(viewer: str) -> None:
    """A step a generation; the training it starts from has a run of its own."""
    result = store.run(EVOLUTION, log=[viewer], show=False)
    shown = READERS[viewer](EVOLUTION)
    assert same(shown, result.history)
    assert [step for step, _ in shown["best"]] == [1, 2, 3, 4, 5, 6]
    assert len(READERS[viewer](TINY)["test_loss"]) == 4


def test_results_that_are_looked_up_are_written_once(viewer: str) -> None:
    """A run finished before gets its rows; asked again, nothing is added; forced, all are new."""
    result = store.run(TINY, show=False)
    for _ in range(2):
        store.run_all([TINY], log=[viewer], show=False)
    assert same(READERS[viewer](TINY), result.history)
    again = store.run(TINY, log=[viewer], force=True, show=False)
    assert again.history[0]["seconds"] != result.history[0]["seconds"]
    assert same(READERS[viewer](TINY), again.history)


def test_processes_write_too(viewer: str) -> None:
    """Two at once into the same place, from the command line."""
    words = ["run", "ns/first", "-p", "network=mlp", "-p", "epochs=2", "-p", "seeds=1"]
    words += ["-p", "methods=ce,ns_ws", "--jobs", "2", "--log", viewer]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    ran = [folder.name for folder in Path(logs_dir().parent / "runs").iterdir()]
    assert len(ran) == 2
    for name in ran:
        result = store.read_result(logs_dir().parent / "runs" / name)
        assert result
        assert same(READERS[viewer](decode(result.config)), result.history)


def test_a_kill_leaves_no_step_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """W&B cannot say what it has of a run that was killed: all is written anew."""
    pytest.importorskip("wandb", reason="needs the extra wandb: pip install wandb")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    result = store.run(TINY, show=False)
    rows = [(step, loggers.row_numbers(row)) for step, row in enumerate(result.history, 1)]
    killed = WandB(TINY, fresh=False)
    log_writers.write(killed, *rows[0])
    killed.log.finish()  # and not closed
    again = WandB(TINY, fresh=False)
    log_writers.write(again, *rows[2])
    again.fill(rows)
    again.close("FINISHED")
    assert same(wandb(TINY), result.history)
    folders = list((logs_dir() / "wandb").glob("offline-run-*"))
    assert len(folders) == 1


def test_modes_of_wandb(monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline unless the environment says otherwise; another word is refused before any work."""
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert mode() == "offline"
    monkeypatch.setenv("WANDB_MODE", "online")
    assert mode() == "online"
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(ValueError, match="unknown WANDB_MODE 'ofline': did you mean offline"):
        mode()


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_missing_extra_is_named_before_any_work(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error says what to install."""

    def missing(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}")

    monkeypatch.setattr(log_writers.importlib, "import_module", missing)
    monkeypatch.setattr(compute, "fit", lambda *_, **__: pytest.fail("work began"))
    with pytest.raises(ValueError, match=rf"pip install {name}"):
        store.run(TINY, log=[name], show=False)
    with pytest.raises(ValueError, match=rf"pip install {name}"):
        store.run_all([TINY], log=[name], jobs=2, show=False)


def test_unknown_viewers_are_refused() -> None:
    """With those that there are; exit status 2."""
    done = CliRunner().invoke(app, ["run", "ns/first", "--log", "wandbb"])
    assert done.exit_code == 2
    assert (
        "unknown log 'wandbb': did you mean wandb? There are tensorboard, mlflow, wandb"
        in done.output
    )


class Broken:
    """A viewer that cannot write."""

    def __init__(self, config: TrainConfig, fresh: bool) -> None:
        self.held: set[tuple[str, int]] = set()

    def write(self, step: int, numbers: dict[str, float]) -> None:
        raise ConnectionError("the server is gone")

    def fill(self, rows: list) -> None:
        raise ConnectionError("the server is still gone")

    def close(self, status: str) -> None:
        assert status == "FINISHED"


def test_a_failing_viewer_does_not_stop_a_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said, twice at most, and the run is finished."""
    monkeypatch.setitem(loggers.WRITERS, "broken", Broken)
    with pytest.warns(UserWarning, match="Broken no longer logs this run") as said:
        result = store.run(replace(TINY, seed=3), log=["broken"], show=False)
    assert len(said) == 2
    assert len(result.history) == 4
    assert store.find(replace(TINY, seed=3))


@pytest.mark.process
def test_a_log_is_written_by_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who only looks a run up leaves its log to the one that is writing it."""

    class Lines:
        """A writer of a line a step."""

        def __init__(self, config: TrainConfig, fresh: bool) -> None:
            self.held: set[tuple[str, int]] = set()

        def write(self, step: int, numbers: dict[str, float]) -> None:
            with (tmp_path / "lines").open("a") as lines:
                lines.write(f"{step}\n")

        def fill(self, rows: list[tuple[int, dict[str, float]]]) -> None:
            for step, row in rows:
                self.write(step, row)

        def close(self, status: str) -> None:
            """Nothing to end."""

    monkeypatch.setitem(log_writers.WRITERS, "lines", Lines)
    result = store.run(TINY, show=False)

    def look_up() -> None:
        assert store.run(TINY, show=False, log=["lines"]).origin == "stored"

    with loggers.logging(TINY, ["lines"]):
        assert at_once([look_up]) == [None]
        assert not (tmp_path / "lines").exists()
    assert at_once([look_up]) == [None]
    assert (tmp_path / "lines").read_text() == "1\n2\n3\n4\n"
    assert len(result.history) == 4
