"""Runs on a real SLURM controller, killed in every way: complete, repeated nowhere, the same bits.

It takes some minutes, so it runs only when asked for: `make test-slurm`.
"""

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import cluster
import nbformat
import pytest
import suite_rounds
from batches import (
    LONG,
    SUITE,
    TOGETHER,
    Driver,
    epochs_so_far,
    log_of,
    note,
    number_of,
    process_of,
    same,
    until,
)

from nslab.configs import RunConfig, TrainConfig
from nslab.execution.slurm import Slurm, arrays, run_slurm
from nslab.objectives import NS
from nslab.runs import store
from nslab.training.checkpoint import CHECKPOINT
from nslab.workbench import notebooks
from nslab.workbench.render import render

if os.environ.get("NSLAB_TEST_SLURM") != "1":
    pytest.skip("takes minutes: make test-slurm", allow_module_level=True)
if cluster.missing():
    pytest.skip(f"SLURM is not installed: {', '.join(cluster.missing())}", allow_module_level=True)
pytest.importorskip("submitit", reason="submitit is missing: pip install submitit")


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

    def killed(what: str, config: RunConfig, *command: str) -> str:
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
    kept = epochs_so_far(TOGETHER[0], 20)
    for config, file in zip(TOGETHER, (CHECKPOINT, "evolution.pt"), strict=True):
        until(lambda file=file, config=config: (store.folder_of(config) / file).exists())
        job = number_of(config)
        note(f"job {job}, run {config.id}, two processes: scancel --signal=USR2")
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    batch.end()
    same(here, there)
    for config in TOGETHER:
        assert "stopped, to be queued again" in log_of(config)
        assert "is ignored" not in log_of(config)
        assert store.find(config).env["processes"] == 2
    rows = store.find(TOGETHER[0]).history
    assert rows[: len(kept)] == kept, "epochs kept before the stop were computed again"
    for config in TOGETHER:
        print("    " + log_of(config).strip().replace("\n", "\n    "))


def test_node_lost_preempted_out_of_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run goes on after its node was lost, after others took its place, and after its time; it
    is so long that it has to be cancelled in the end."""
    monkeypatch.setenv("NSLAB_HOME", str(tmp_path))
    config, node = LONG[0], f"nodename={cluster.NODE}"
    batch = Driver("long", tmp_path)
    before = until(lambda: epochs_so_far(config, 1))
    note(f"job {number_of(config)}, {len(before)} epochs: its node goes down")
    subprocess.run(["scontrol", "update", node, "state=down", "reason=test"], check=True)
    until(lambda: number_of(config) and not process_of(config))
    time.sleep(5)  # SLURM's own process of the job ends a moment later
    subprocess.run(["scontrol", "update", node, "state=resume"], check=True)
    until(lambda: process_of(config))
    before = until(lambda: epochs_so_far(config, len(before) + 1))
    note(f"job {number_of(config)}, {len(before)} epochs: preempted")
    subprocess.run(["srun", "-p", "urgent", "-n1", "-c2", "true"], check=True)
    note("the urgent job is through")
    until(lambda: "stopped, to be queued again" in log_of(config), 900)
    kept = epochs_so_far(config, 1)
    note(f"{len(kept)} epochs: the time limit")
    rows = until(lambda: epochs_so_far(config, len(kept) + 1))
    assert rows[: len(kept)] == kept
    assert kept[: len(before)] == before
    assert [row["epoch"] for row in rows] == [
        *range(rows[0]["epoch"], rows[0]["epoch"] + len(rows))
    ]
    assert log_of(config).count("starts on") == 4
    subprocess.run(["scancel", number_of(config)], check=True)
    assert batch.process.wait(300) != 0
    assert "ended without output: CANCELLED" in batch.out.read_text()
    print("    " + log_of(config).strip().replace("\n", "\n    "))


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
    assert "ended without output: CANCELLED" in caught.value.failed[stopped.id]
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


def test_suite_by_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`nslab suite --engine slurm`: a job requeued midway, the command killed and repeated, and the
    tables, runs and figures are those of `nslab suite` on this machine."""
    here, there = tmp_path / "here", tmp_path / "there"
    file = Path(suite_rounds.__file__).with_name("suite_small.yaml")
    assert suite_rounds.started(here, file, 1).wait(600) == 0
    note("reference computed without SLURM")
    options = ["--engine", "slurm", "--partition", "tiny", "--array-parallelism", "2"]
    usual = suite_rounds.command

    def on_the_cluster(file: Path, jobs: int) -> list[str]:
        words = usual(file, jobs)
        return [*words[: words.index("--jobs")], *words[words.index("--file") :], *options]

    monkeypatch.setattr(suite_rounds, "command", on_the_cluster)
    monkeypatch.setenv("NSLAB_HOME", str(there))
    first = suite_rounds.started(there, file, 0)
    Driver.every.append(first)
    running = until(lambda: [job.id for job in arrays.queue().values() if job.state == "RUNNING"])
    subprocess.run(["scontrol", "requeue", running[0]], check=True)
    first.kill()
    first.wait()
    note(f"job {running[0]} requeued, the command killed (kill -9)")
    second = suite_rounds.started(there, file, 0)
    Driver.every.append(second)
    assert second.wait(900) == 0, there.with_suffix(".log").read_text()
    for look in (suite_rounds.tables, suite_rounds.runs, suite_rounds.pictures):
        assert look(here)
        assert look(here) == look(there)
        note(f"{len(look(there))} {look.__name__} equal to the bit")
    print("    " + there.with_suffix(".log").read_text().strip().replace("\n", "\n    "))


def test_submitit_alone_would_wait_forever() -> None:
    """Why jobs say how they ended: without accounting submitit never learns that one was killed."""
    assert subprocess.run(["sacct"], capture_output=True, check=False).returncode != 0
