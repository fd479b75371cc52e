"""Jobs of a cluster, without one: what its nodes do, and how it is told how they ended.

submitit's local executor stands for SLURM here; `tests/slurm` has a real one.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from nslab.execution.local import Job
from nslab.execution.slurm import Slurm, arrays, run_slurm
from nslab.execution.slurm.node import KILLS, NodeTask, stop_process

submitit = pytest.importorskip("submitit", reason="submitit is missing: pip install submitit")
Started = Callable[..., Callable[[], None]]
SLEEP = "import time; print('working', flush=True); time.sleep(60)"


def job(tmp_path: Path, name: str, code: str) -> Job:
    """A job that runs some Python."""
    return Job(name, [sys.executable, "-c", code], tmp_path / f"{name}.log", {"NAME": name})


def task(tmp_path: Path, code: str) -> NodeTask:
    """The same on a node."""
    made = job(tmp_path, "t", code)
    return NodeTask(list(made.command), made.log, made.env, tmp_path, tmp_path / "t.json", 3)


def until(true: Callable[[], Any], seconds: float = 30.0) -> None:
    """Wait until something came true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def ended(tmp_path: Path) -> dict[str, Any]:
    """What a task said at its end."""
    until((tmp_path / "t.json").exists)
    return json.loads((tmp_path / "t.json").read_text())


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    """Starts a task in a process of submitit's; gives what sends that process the signal."""
    running: list[Any] = []

    def start(made: NodeTask, timeouts: int = 3) -> Callable[[], None]:
        runner = submitit.LocalExecutor(tmp_path / "submitit", max_num_timeout=timeouts)
        running.append(runner.submit(made))
        controller = psutil.Process(int(running[-1].job_id))
        return lambda: controller.children()[0].send_signal(signal.SIGUSR2)

    yield start
    for job in running:
        stop_process(int(job.job_id))
        job._process.wait()


def test_task_says_how_it_ended(tmp_path: Path) -> None:
    """Status, log, environment; done once it is not done again."""
    code = (
        "import os, sys; print(os.environ['NAME'], os.environ.get('OMP_NUM_THREADS')); sys.exit(3)"
    )
    made = task(tmp_path, code)
    assert made() == 3
    assert ended(tmp_path)["status"] == 3
    assert made.log.read_text().splitlines()[1] == f"t {os.environ['OMP_NUM_THREADS']}"
    size = made.log.stat().st_size
    assert made() == 0
    assert made.log.stat().st_size == size


def test_task_goes_on_after_the_signal(tmp_path: Path, started: Started) -> None:
    """USR2: the command and all it started are killed, and it runs again; TERM changes nothing."""
    again = tmp_path / "again"
    code = f"""
import os, pathlib, subprocess, sys, time
if pathlib.Path({str(again)!r}).exists(): sys.exit(0)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
pathlib.Path({str(tmp_path / "pids")!r}).write_text(f'{{os.getpid()}} {{child.pid}}')
time.sleep(60)
"""
    signal_it = started(task(tmp_path, code))
    pids = tmp_path / "pids"
    until(lambda: pids.exists() and " " in pids.read_text())
    command, child = map(int, pids.read_text().split())
    os.kill(command, signal.SIGTERM)
    os.kill(command, signal.SIGUSR2)
    time.sleep(0.3)
    os.kill(command, 0)
    again.touch()
    signal_it()
    assert ended(tmp_path)["status"] == 0
    for pid in (command, child):
        until(lambda pid=pid: not Path(f"/proc/{pid}").exists() or zombie(pid))
    log = (tmp_path / "t.log").read_text()
    assert log.count("starts on") == 2
    assert "stopped, to be queued again" in log


def zombie(pid: int) -> bool:
    """Whether a process has ended and nobody waits for it."""
    return ") Z" in Path(f"/proc/{pid}/stat").read_text()


def test_task_ends_after_too_many_time_limits(tmp_path: Path, started: Started) -> None:
    """And says so."""
    signal_it = started(task(tmp_path, SLEEP), timeouts=0)
    until(lambda: (tmp_path / "t.log").exists() and "working" in (tmp_path / "t.log").read_text())
    signal_it()
    assert ended(tmp_path)["status"] == 1
    assert "timed-out too many times" in (tmp_path / "t.log").read_text()


def test_killed_command_is_tried_again(tmp_path: Path, started: Started) -> None:
    """So many times, then its status is that of the kill."""
    started(task(tmp_path, "import os; os.kill(os.getpid(), 9)"))
    assert ended(tmp_path)["status"] == -9
    assert (tmp_path / "t.log").read_text().count("starts on") == KILLS + 1


def test_contract_of_run_local(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results in order, each start and end told, statuses and logs as they are."""
    made: list[Any] = []

    class Local(submitit.LocalExecutor):  # type: ignore[misc]
        def submit_array(self, tasks: list[NodeTask]) -> list[Any]:
            made.extend(super().submit_array(tasks))
            return made

    monkeypatch.setattr(arrays, "executor", lambda place, _: Local(place))
    monkeypatch.setattr(arrays, "queue", dict)
    codes = {"good": "print('well')", "bad": "raise SystemExit(3)"}
    seen: list[str] = []
    found = run_slurm(
        [job(tmp_path, name, code) for name, code in codes.items()],
        2,
        on_start=lambda j: seen.append(f"{j.name} started"),
        on_end=lambda e: seen.append(f"{e.job.name} {e.status}"),
        poll=0.1,
    )
    assert [(end.job.name, end.status) for end in found] == [("good", 0), ("bad", 3)]
    assert sorted(seen) == ["bad 3", "bad started", "good 0", "good started"]
    assert found[0].tail(1) == "well"
    for local in made:
        local._process.wait(30)
    assert run_slurm([]) == []
    with pytest.raises(ValueError, match="at least 1"):
        run_slurm([], 0)


class Pretended:
    """A cluster that only says in which state jobs are; ``made`` counts what was submitted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
        self.state, self.made = state, 0
        self.there: list[str] = []
        monkeypatch.setattr(arrays, "executor", lambda *_: None)
        monkeypatch.setattr(arrays, "submit", self.submit)
        monkeypatch.setattr(arrays, "queue", self.queue)

    def submit(self, jobs: list[Job], max_parallel: int, slurm: Slurm) -> dict[str, str]:
        """As `arrays.submit`: an array a call."""
        name = f"nslab-{self.made}"
        (arrays.folder() / name).mkdir()
        keys = [arrays.key(one) for one in jobs]
        (arrays.folder() / name / arrays.JOBS).write_text(json.dumps(keys))
        numbers = [f"{self.made}_{i}" for i in range(len(jobs))]
        self.made, self.there = self.made + 1, self.there + numbers
        return dict(zip(keys, numbers, strict=True))

    def queue(self) -> dict[str, arrays.Queued]:
        """As `arrays.queue`."""
        return {
            number: arrays.Queued(number, self.state, "None", f"nslab-{number.partition('_')[0]}")
            for number in self.there
        }


@pytest.mark.parametrize(("state", "times"), [("CANCELLED", 1), ("FAILED", 3), ("COMPLETED", 1)])
def test_jobs_that_never_said_how_they_ended(
    state: str, times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those killed whole are submitted again, twice; cancelled ones are not."""
    cluster = Pretended(monkeypatch, state)
    (end,) = run_slurm([job(tmp_path, "lost", "")], poll=0.01, patience=0.05)
    assert end.status == (-15 if state == "CANCELLED" else -9)
    assert cluster.made == times
    assert f"ended without output: {state}" in end.tail()
    assert ("share the folder" in end.tail()) == (state == "COMPLETED")


def test_interrupted_batch_attaches_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in the queue is not submitted again, also when part of a larger batch."""
    cluster = Pretended(monkeypatch, "RUNNING")
    one, two = job(tmp_path, "one", ""), job(tmp_path, "two", "")
    said: list[str] = []

    def interrupt(_: Job) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_slurm([one], on_start=interrupt, tell=said.append)
    assert said[-1].startswith("1 jobs stay on the cluster")
    assert "scancel 0`" in said[-1]

    def finish(started: Job) -> None:
        arrays.status_file(started).write_text(json.dumps({"status": 0, "seconds": 1.5}))

    found = run_slurm([two, one], on_start=finish, tell=said.append, poll=0.01)
    assert [(end.job, end.status, end.seconds) for end in found] == [(two, 0, 1.5), (one, 0, 1.5)]
    assert cluster.made == 2
    assert json.loads((arrays.folder() / "nslab-1" / arrays.JOBS).read_text()) == [arrays.key(two)]


def test_silent_controller_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be restarting; jobs go on meanwhile."""
    cluster, made, said = Pretended(monkeypatch, "RUNNING"), job(tmp_path, "one", ""), []
    answers = iter([True, False, False, True, True])

    def queue() -> dict[str, arrays.Queued]:
        if next(answers):
            return cluster.queue()
        raise OSError("squeue does not answer")

    monkeypatch.setattr(arrays, "queue", queue)
    finish = json.dumps({"status": 0, "seconds": 1})
    start = lambda one: arrays.status_file(one).write_text(finish)  # noqa: E731
    (end,) = run_slurm([made], on_start=start, tell=said.append, poll=0.01)
    assert end.status == 0
    assert said.count("SLURM: squeue does not answer; asking again") == 1
