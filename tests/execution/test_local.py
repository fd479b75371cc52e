"""Jobs: tried again, ended with who asked for them, and shown while they run."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from nslab.execution import monitor as boards
from nslab.execution.local import Ended, Job, run_local, run_with_retries
from nslab.execution.monitor import Monitor, duration
from nslab.execution.stopping import Stopped, stoppable
from nslab.system.progress import FILE, Progress, read_progress


def job(name: str, code: str, folder: Path, **env: str) -> Job:
    """A process that runs a line of Python."""
    return Job(name, [sys.executable, "-c", code], folder / f"{name}.log", env)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def wait_for(condition: Callable[[], object], seconds: float = 20) -> bool:
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.05)
    return bool(condition())


def test_failures_are_tried_again_once_the_others_are_through(tmp_path: Path) -> None:
    """A job that fails at first, one that always does, and one that exits well but did nothing."""
    mark = tmp_path / "mark"
    first = f"import os, sys; here = os.path.exists({str(mark)!r}); open({str(mark)!r}, 'w')"
    jobs = [
        job("flaky", f"{first}; sys.exit(not here)", tmp_path),
        job("bad", "print('why it failed'); raise SystemExit(3)", tmp_path),
        job("empty", "", tmp_path),
        job("good", "print('fine')", tmp_path),
    ]
    seen: list[tuple[str, int]] = []

    def judge(end: Ended) -> Ended:
        return Ended(end.job, 9, end.seconds, end.start) if end.job.name == "empty" else end

    ended = run_with_retries(
        jobs, 1, retries=1, verify=judge, on_end=lambda e: seen.append((e.job.name, e.status))
    )
    assert [end.status for end in ended] == [0, 3, 9, 0]
    first_round = [("flaky", 1), ("bad", 3), ("empty", 9), ("good", 0)]
    assert seen == [*first_round, ("flaky", 0), ("bad", 3), ("empty", 9)]
    assert ended[1].why() == "exit status 3\nwhy it failed"
    assert jobs[1].log.read_text() == "why it failed\n" * 2  # nothing is overwritten
    assert "it printed nothing" in ended[2].why()


def test_a_killed_job_says_what_killed_it(tmp_path: Path) -> None:
    """And a job that could not write says so, even if its log is empty."""
    ended = run_local(
        [
            job("killed", "import os; os.kill(os.getpid(), 9)", tmp_path),
            job("full", "raise SystemExit(74)", tmp_path),
        ]
    )
    assert ended[0].why().startswith("killed by signal 9 (Killed); by the system, out of memory")
    assert "If the disk is full or a quota is used up, make room" in ended[1].why()
    ended[1].job.log.unlink()
    assert "the log cannot be read" in ended[1].why()


def test_threads_do_not_depend_on_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed batch, with fewer jobs, computes with as many threads, so the same bits."""
    monkeypatch.delenv("OMP_NUM_THREADS")
    code = "import os; print(os.environ['OMP_NUM_THREADS'])"
    many = run_local([job(f"j{i}", code, tmp_path) for i in range(3)], 2)
    one = run_local([job("alone", code, tmp_path)], 2)
    expected = str(max(1, (os.cpu_count() or 1) // 2))
    assert {end.tail() for end in [*many, *one]} == {expected}


PARENT = """
import sys
from pathlib import Path
from nslab.execution.local import Job, run_local
code = '''
import os, sys, time
from nslab.execution.stopping import follow_parent
follow_parent()
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(60)
'''
run_local([
    Job(n, [sys.executable, "-c", code, f"{sys.argv[1]}/{n}.pid"], Path(sys.argv[1], n + ".log"))
    for n in "ab"
], 2)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_jobs_end_with_the_process_that_asked(tmp_path: Path, number: signal.Signals) -> None:
    """Asked to end, interrupted, or killed outright: no orphans."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stderr=subprocess.PIPE, text=True
    )
    files = [tmp_path / f"{name}.pid" for name in "ab"]
    assert wait_for(lambda: all(file.exists() and file.read_text() for file in files))
    pids = [int(file.read_text()) for file in files]
    assert all(map(alive, pids))
    parent.send_signal(number)
    _, said = parent.communicate(timeout=20)
    assert parent.returncode != 0
    if number != signal.SIGKILL:
        assert not any(map(alive, pids))  # before it ended itself
        assert ("Stopped: signal 15" if number == signal.SIGTERM else "KeyboardInterrupt") in said
    assert wait_for(lambda: not any(map(alive, pids)), 5)


def test_a_second_interrupt_does_not_wait(tmp_path: Path) -> None:
    """A job that ignores SIGTERM is killed at once when asked again."""
    ready, killers = tmp_path / "ready", list[subprocess.Popen]()
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
    code += f"open({str(ready)!r}, 'w').write('x'); time.sleep(60)"

    def interrupt(started: Job) -> None:
        assert wait_for(lambda: ready.exists() and ready.read_text())
        killers.append(subprocess.Popen(["sh", "-c", f"sleep 1; kill -TERM {os.getpid()}"]))
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(Stopped):
        run_local([job("stubborn", code, tmp_path)], on_start=interrupt)
    assert time.monotonic() - began < 9
    killers[0].wait()


def test_sigterm_is_left_as_it_was() -> None:
    """After the block, and also when a handler was there."""
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped), stoppable():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_progress_of_many_things_is_a_few_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One in ten seconds whatever goes on inside, and the last of the outermost."""
    monkeypatch.setenv("NSLAB_HEADLESS", "1")
    clock = [100.0]
    monkeypatch.setattr("nslab.system.progress.time.monotonic", lambda: clock[0])
    with Progress(8, "runs", unit="run") as runs:
        for _ in range(8):
            with Progress(3, "digits mlp") as epochs:
                for _ in range(3):
                    clock[0] += 1.0
                    epochs.advance("fine")
            runs.advance("abc")
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [
        "digits mlp: epoch 1/3",
        "digits mlp: epoch 2/3",
        "runs: run 8/8",
    ]


def test_progress_is_told_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At most once a second, whole, and without steps that were done before in the rate."""
    file, clock = tmp_path / "progress.json", [100.0]
    monkeypatch.setenv(FILE, str(file))
    monkeypatch.setattr("nslab.system.progress.time.monotonic", lambda: clock[0])
    with Progress(10, "digits mlp", show=False) as bar:
        found = read_progress(file)
        assert found is not None
        assert (found["done"], found["total"], found["left"]) == (0, 10, None)
        clock[0] += 2
        bar.resume(4)
        assert (read_progress(file) or {})["left"] is None
        clock[0] += 8
        bar.advance("test accuracy 90.00 %")
        said = {"label": "digits mlp", "unit": "epoch", "done": 5, "total": 10, "left": 50.0}
        assert read_progress(file) == said | {"note": "test accuracy 90.00 %"}
        clock[0] += 0.5
        bar.advance("too early")
        assert (read_progress(file) or {})["done"] == 5
    file.write_text('{"do')
    assert read_progress(file) is None
    monkeypatch.setenv(FILE, "/proc/none/progress.json")
    with Progress(1, "cannot be written", show=False) as bar:
        bar.advance()


def test_board_counts_and_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting, running with what the run says itself, done, failed; the time left."""
    clock = [1000.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: clock[0])
    progress = tmp_path / "progress.json"
    a, b = job("a", "", tmp_path), job("b", "", tmp_path, **{FILE: str(progress)})
    board = Monitor(2, show=False)
    board.expect({"a": "digits mlp, seed 1", "b": "digits mlp, seed 2", "c": "notebook"})
    assert board.line() == "0 done, 3 waiting (0 s so far)"
    board.start(a)
    board.start(b)
    clock[0] += 60
    board.end(Ended(a, 0, 60.0))
    said = {"unit": "epoch", "done": 3, "total": 8, "note": "test accuracy 97.00 %", "left": 30}
    progress.write_text(json.dumps(said))
    assert board.line() == "1 done, 1 running, 1 waiting (60 s so far, about 45 s to go)"
    row = ("b", "digits mlp, seed 2", "epoch 3/8", "test accuracy 97.00 %", "30 s to go")
    assert board.running() == [row]
    console = Console(width=120, record=True, file=open(os.devnull, "w"))  # noqa: SIM115
    console.print(board.table())
    assert "epoch 3/8" in console.export_text()
    console.file.close()
    board.end(Ended(b, 1, 70.0))
    board.give_up("c")
    assert board.line().startswith("1 done, 2 failed (")
    board.start(b)
    assert board.running()[0][1] == "digits mlp, seed 2 (again)"


def test_board_prints_lines_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One now and then, and one at the end; nothing where there was nothing to do."""
    monkeypatch.setattr(boards, "SECONDS_BETWEEN_LINES", 0.2)
    with Monitor(1) as board:
        board.expect({"a": "digits"})
        run_local(
            [job("a", "import time; time.sleep(1)", tmp_path)],
            on_start=board.start,
            on_end=board.end,
        )
    lines = capsys.readouterr().out.splitlines()
    assert 3 <= len(lines) <= 12
    assert "1 running" in lines[1]
    assert lines[-1].startswith("1 done (")
    with Monitor(1):
        pass
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (98, "98 s"), (100, "2 min"), (7300, "2 h 2 min")]
)
def test_durations(seconds: float, text: str) -> None:
    """In words."""
    assert duration(seconds) == text


WATCHED = """
import json, os, pathlib, sys, time
from nslab.execution.monitor import Monitor
from nslab.execution.local import Ended, Job
from nslab.system.progress import FILE
progress = pathlib.Path(sys.argv[1])
said = {"unit": "epoch", "done": 3, "total": 8, "note": "test accuracy 97.00 %", "left": 30}
progress.write_text(json.dumps(said))
job = Job("a1b2c3", [], progress, {FILE: str(progress)})
with Monitor(2) as board:
    board.expect({"a1b2c3": "digits mlp", "d4e5f6": "notebook"})
    board.start(job)
    time.sleep(1.5)
    board.end(Ended(job, 1, 2.0))
"""


def test_board_is_a_table_on_a_terminal(tmp_path: Path) -> None:
    """Redrawn in place, with the failures left in the end."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals here")
    master, slave = pty.openpty()
    env = os.environ | {"NSLAB_HEADLESS": "0", "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", WATCHED, str(tmp_path / "progress.json")]
    with subprocess.Popen(command, stderr=slave, stdout=subprocess.PIPE, env=env) as process:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        assert process.wait() == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(master)
    text = shown.decode(errors="replace")
    assert "epoch 3/8" in text
    assert "30 s to go" in text
    assert "\x1b[2K" in text  # lines are erased, not added
    last = text[text.rindex("epoch 3/8") :]
    assert "0 done, 1 failed, 1 waiting" in last
    assert "a1b2c3" in last
