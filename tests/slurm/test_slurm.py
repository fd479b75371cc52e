"""Runs on a real SLURM controller, killed in every way: complete, repeated nowhere, the same bits.

It takes some minutes, so it runs only when asked for: `make test-slurm`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import cluster
import nbformat
import pytest
import torch

from nslab import notebooks, store
from nslab.checkpoint import CHECKPOINT, WEIGHTS
from nslab.engine import run_local
from nslab.experiments import EvolveConfig, TrainConfig
from nslab.experiments.evolution import Config
from nslab.objectives import NS
from nslab.render import render
from nslab.slurm import Slurm, arrays, run_slurm

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'nslab[slurm]'")
if cluster.missing():
    pytest.skip(
        f"SLURM is not installed: no {', '.join(cluster.missing())}", allow_module_level=True
    )
if os.environ.get("NSLAB_TEST_SLURM") != "1" and __name__ != "__main__":
    pytest.skip("takes minutes: make test-slurm", allow_module_level=True)

NET = {"network": "resnet8", "epochs": 8, "lr": 0.05, "augment": "crop"}
BASE = TrainConfig(network="mlp", epochs=6, lr=0.05, batch_size=64, hold_out=150)
SUITE: list[Config] = [
    TrainConfig(**NET, objective=NS()),
    TrainConfig(**NET),
    TrainConfig(**NET, objective=NS(grid=(1, 2), sigma=2.5, rho=-1.0)),
    TrainConfig(**NET, seed=7),
    EvolveConfig(BASE, size=6, batches=3, generations=2, batch_size=200),
]
TOGETHER: list[Config] = [
    TrainConfig(network="lenet5", epochs=120, lr=0.05, objective=NS()),
    EvolveConfig(BASE, size=6, batches=30, generations=4, batch_size=600),
]
LONG: list[Config] = [TrainConfig(**(NET | {"epochs": 50}))]
ASKED = {
    "suite": (SUITE, Slurm(partition="tiny", time="20", memory="1500M")),
    "together": (TOGETHER, Slurm(partition="tiny", time="20", gpus=1, processes=2)),
    "long": (LONG, Slurm(partition="tiny", time="2")),
}


def drive(what: str, where: str) -> None:
    """A batch as a user starts it, in a process of its own."""
    configs, slurm = ASKED[what]
    quick = partial(run_slurm, slurm=slurm, poll=1.0, patience=5.0)
    engine = quick if where == "slurm" else run_local
    store.run_all(configs, jobs=2, engine=engine, together=slurm.processes, show=False)


def note(what: str) -> None:
    """A line with the time, to be read with pytest -s."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def until(true: Callable[[], Any], seconds: float = 180.0) -> Any:
    """What came true, or an error after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


@pytest.fixture(autouse=True)
def no_batch_is_left() -> Iterator[None]:
    """Whatever a test ends in."""
    yield
    for process in Driver.every:
        process.kill()
        process.wait()


@pytest.fixture(scope="module", autouse=True)
def slurm() -> Iterator[None]:
    """A cluster for all tests of this file."""
    with cluster.cluster() as folder:
        note(f"cluster up: {cluster.said('sinfo', '-V').strip()}, logs in {folder}")
        yield


class Driver:
    """A batch in a process of its own, that can be killed and started again."""

    every: ClassVar[list[subprocess.Popen]] = []

    def __init__(self, what: str, home: Path, where: str = "slurm") -> None:
        self.out = home / "driver.txt"
        env = os.environ | {"NSLAB_HOME": str(home), "OMP_NUM_THREADS": "1"}
        with self.out.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, __file__, what, where], env=env, stdout=out, stderr=out
            )
        self.every.append(self.process)

    def end(self, seconds: float = 400.0) -> None:
        """Wait until it ends well."""
        status = self.process.wait(seconds)
        assert status == 0, self.out.read_text()


def numbers(folder: Path) -> dict[str, Any]:
    """What a run measured, apart from how long that took."""
    whole = json.loads((folder / store.RESULT).read_text(encoding="utf-8"))
    rows = [*whole["history"], whole["metrics"]]
    return {"rows": [{k: v for k, v in row.items() if k != "seconds"} for row in rows]}


def same(one: Path, other: Path) -> None:
    """Two stores hold the same runs, to the bit."""
    runs = [{f.parent.name for f in home.glob("data/runs/*/result.json")} for home in (one, other)]
    assert runs[0] == runs[1]
    for run in runs[0]:
        a, b = (home / "data" / "runs" / run for home in (one, other))
        assert numbers(a) == numbers(b)
        assert (a / WEIGHTS).read_bytes() == (b / WEIGHTS).read_bytes()
    note(f"{len(runs[0])} runs, numbers and weights equal to the bit: {', '.join(sorted(runs[0]))}")


def number_of(config: Config) -> str:
    """The number of a run's job while it is queued or running."""
    folder = store.folder_of(config)
    found = {key.partition("-")[0]: n for key, n in arrays.attached(arrays.queue()).items()}
    return found.get(folder.name, "")


def process_of(config: Config) -> int:
    """The process that computes a run."""
    folder = str(store.folder_of(config)).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if folder in words and b"nslab.child" in words:
            return int(file.parent.name)
    return 0


def epochs_so_far(config: Config, least: int) -> list[dict[str, Any]]:
    """The epochs kept in a run's checkpoint, once there are so many."""
    file = store.folder_of(config) / CHECKPOINT
    rows = torch.load(file, weights_only=True)["history"] if file.exists() else []
    return rows if len(rows) >= least else []


def log_of(config: Config) -> str:
    """What a run's processes printed."""
    return (store.folder_of(config) / "log.txt").read_text(encoding="utf-8")


def test_killed_in_every_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command killed, the job requeued, all of it killed, the time-out signal; and the batch
    itself killed and interrupted: nothing is lost, nothing repeated, and the bits are the same as
    on this machine without SLURM."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    Driver("suite", here, "local").end()
    note("reference computed without SLURM")
    monkeypatch.setenv("NSLAB_HOME", str(there))
    batch, kept = Driver("suite", there), {}

    def killed(what: str, config: Config, *command: str) -> str:
        kept[config.id] = until(lambda: epochs_so_far(config, 2))
        job, pid = number_of(config), process_of(config)
        note(f"job {job}, run {config.id}, process {pid}, {len(kept[config.id])} epochs: {what}")
        if command:
            subprocess.run([*command[:-1], command[-1].format(job)], check=True)
        else:
            os.kill(pid, signal.SIGKILL)
        return job

    first = killed("kill -9 of its process", SUITE[0])
    killed("scontrol requeue", SUITE[1], "scontrol", "requeue", "{}")
    batch.process.kill()
    batch.process.wait()
    alive = set(arrays.attached(arrays.queue()).values())
    note(f"batch killed (kill -9), still queued or running: {', '.join(sorted(alive))}")
    assert first in alive
    batch = Driver("suite", there)
    until(lambda: "are on the cluster already: waiting for them" in batch.out.read_text())
    assert set(arrays.attached(arrays.queue()).values()) <= alive, "something was submitted again"
    note("batch started again: waits for them, submits nothing")
    whole, usual = ("scancel", "--signal=KILL", "{}.0"), ("scancel", "--signal=USR2", "{}")
    lost = killed("kill -9 of all its processes", SUITE[2], *whole)
    killed("scancel --signal=USR2 (as at the time limit)", SUITE[3], *usual)
    until(lambda: number_of(SUITE[2]) not in ("", lost))
    note(f"run {SUITE[2].id} was submitted again as job {number_of(SUITE[2])}")
    batch.process.send_signal(signal.SIGINT)
    assert batch.process.wait(60) != 0
    assert "stay on the cluster: the same command waits for them again" in batch.out.read_text()
    note("batch interrupted (Ctrl-C): its jobs stay")
    Driver("suite", there).end()
    same(here, there)
    for config in SUITE[:4]:
        rows = json.loads((store.folder_of(config) / store.RESULT).read_text())["history"]
        n = len(kept[config.id])
        assert rows[:n] == kept[config.id], "epochs kept before the kill were computed again"
        assert log_of(config).count("starts on") == 2
        note(f"run {config.id}: epochs 1 to {n} from before, {n + 1} to {len(rows)} after")
        print("    " + log_of(config).strip().replace("\n", "\n    "))
    print("    " + batch.out.read_text().strip().replace("\n", "\n    "))


def test_processes_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Training and evolution by two processes each, stopped halfway as at a time limit."""
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    Driver("together", here, "local").end()
    monkeypatch.setenv("NSLAB_HOME", str(there))
    batch = Driver("together", there)
    until(lambda: epochs_so_far(TOGETHER[0], 20))
    shown = cluster.said("scontrol", "show", "job", number_of(TOGETHER[0]))
    assert "TresPerNode=gres:gpu:1" in shown
    assert "CPUs/Task=2" in shown
    for config, file in zip(TOGETHER, (CHECKPOINT, "evolution.pt"), strict=True):
        until(lambda file=file, config=config: (store.folder_of(config) / file).exists())
        job = number_of(config)
        note(f"job {job}, run {config.id}, two processes: scancel --signal=USR2")
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    batch.end()
    same(here, there)
    for config in TOGETHER:
        assert "stopped, to be queued again" in log_of(config)
        assert store.find(config).env["processes"] == 2
        print("    " + log_of(config).strip().replace("\n", "\n    "))


def test_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run longer than its time limit goes on in another stretch, by SLURM's own signal."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))
    Driver("long", tmp_path).end()
    assert len(store.find(LONG[0]).history) == 50
    assert "stopped, to be queued again" in log_of(LONG[0])
    print("    " + log_of(LONG[0]).strip().replace("\n", "\n    "))


def test_failures_are_told_apart() -> None:
    """A run that fails, one that is cancelled, one that goes well; a refusal comes at once."""
    engine = partial(run_slurm, slurm=Slurm(partition="tiny"), poll=0.5, patience=3.0)
    good, bad, stopped = (
        TrainConfig(network="mlp", epochs=1, lr=0.05),
        TrainConfig(network="mlp", epochs=1, lr=1e20, objective=NS()),
        TrainConfig(network="resnet8", epochs=200),
    )

    def cancel() -> None:
        until(lambda: epochs_so_far(stopped, 1))
        subprocess.run(["scancel", number_of(stopped)], check=True)

    watcher = threading.Thread(target=cancel)
    watcher.start()
    with pytest.raises(store.RunsFailed, match="2 of 3 runs failed, 1 are kept") as caught:
        store.run_all([stopped, bad, good], jobs=2, engine=engine, show=False)
    watcher.join()
    assert "loss is not finite" in caught.value.failed[bad.id]
    assert "ended without a word: CANCELLED" in caught.value.failed[stopped.id]
    elsewhere = partial(run_slurm, slurm=Slurm(partition="nowhere"))
    with pytest.raises(ValueError, match="nvalid partition name"):
        store.run_all([stopped], engine=elsewhere, show=False)
    assert arrays.attached(arrays.queue()) == {}
    assert arrays.folder().stat().st_mode & 0o777 == 0o700


def test_notebooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Executed on the cluster, judged here."""
    books = tmp_path / "books"
    books.mkdir()
    for name, line in (("good", "print(n + 1)"), ("bad", "raise ValueError('on purpose')")):
        cells = [nbformat.v4.new_code_cell('preset: str = "smoke"\nn: int = 3')]
        cells[0].metadata["tags"] = ["parameters"]
        cells.append(nbformat.v4.new_code_cell(line))
        book = nbformat.v4.new_notebook(cells=cells)
        book.metadata["kernelspec"] = {"name": "python3", "language": "python", "display_name": "P"}
        nbformat.write(book, books / f"{name}.ipynb")
    monkeypatch.setattr(notebooks, "notebooks_dir", lambda: books)
    engine = partial(run_slurm, slurm=Slurm(partition="tiny"), poll=0.5, patience=3.0)
    planned = notebooks.plan(["*"], "smoke", {"n": "41"})
    bad, good = render(planned, 2, engine=engine)
    assert (bad.status, good.status) == (1, 0)
    assert "on purpose" in bad.tail()
    assert "42" in planned[1].output.read_text(encoding="utf-8")


def test_submitit_alone_would_wait_forever() -> None:
    """Why jobs say how they ended: without accounting submitit never learns that one was killed."""
    assert subprocess.run(["sacct"], capture_output=True, check=False).returncode != 0


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2])
