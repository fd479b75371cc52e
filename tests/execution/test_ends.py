"""Whatever is started ends with whoever started it, by every signal: no process, and no secret."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from notebook_helpers import write

import nslab
from nslab.workbench.lab import free_port

ROOT = Path(nslab.__file__).parents[1]
MARK = "NSLAB_TEST_MARK"  # in the environment of all that one test starts
CLI = "from nslab.cli import app; app(prog_name='nslab')"
EVERY = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL]
MORE = int(os.environ.get("NSLAB_TEST_ROUNDS", "1")) > 1  # every command by every signal
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc"),
]

TRAINS = """
import nslab
config = nslab.TrainConfig("digits", "mlp", epochs=10000, batch_size=64)
nslab.run_all([config], processes_per_run=2, show=False)
"""
WAITS = """
import os, pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])
pathlib.Path(os.environ["READY"]).touch()
time.sleep(300)
"""


@contextmanager
def started(folder: Path, code: str, *words: str) -> Iterator[tuple[subprocess.Popen, str]]:
    """A process of Python, and the mark that it shares with all that comes of it."""
    for name in ("tmp", "runtime"):
        (folder / name).mkdir(exist_ok=True)
    mark = uuid.uuid4().hex
    env = os.environ | {MARK: mark, "PYTHONPATH": str(ROOT), "READY": str(folder / "ready")}
    env |= {"TMPDIR": str(folder / "tmp"), "JUPYTER_RUNTIME_DIR": str(folder / "runtime")}
    env |= {"HOME": str(folder), "GIT_DIR": str(folder / "no.git")}
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, *words],
            env=env,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield process, mark
    finally:
        for pid in family(mark):
            os.kill(pid, signal.SIGKILL)
        process.wait()


def family(mark: str) -> list[int]:
    """The processes with a mark that are alive."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if f"{MARK}={mark}".encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it ended, or is another user's
            continue
    return found


def wait_for(condition: Callable[[], object], seconds: float, folder: Path) -> None:
    """Until it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, (folder / "log").read_text()
        time.sleep(0.1)


def ask(url: str, token: str, **given: object) -> object:
    """What a server answers; None if nobody is there (yet)."""
    body = json.dumps(given).encode() if given else None
    head = {"Authorization": f"token {token}"}
    try:
        request = urllib.request.Request(url, data=body, headers=head)
        with urllib.request.urlopen(request, timeout=20) as page:
            return json.load(page)
    except OSError:
        return None


@pytest.mark.parametrize("number", EVERY if MORE else [signal.SIGHUP, signal.SIGKILL])
def test_jupyterlab(tmp_path: Path, number: signal.Signals) -> None:
    """The server, its kernels and all notes of its token go with ``nslab lab``."""
    port = free_port("127.0.0.1", 20000 + int(number) * 10)
    words = ("lab", "--no-browser", "--allow-root", "--port", str(port))
    with started(tmp_path, CLI, *words) as (lab, mark):
        wait_for(lambda: "token=" in (tmp_path / "log").read_text(), 60, tmp_path)
        token = (tmp_path / "log").read_text().partition("token=")[2].split()[0]
        base = f"http://127.0.0.1:{port}/api"
        wait_for(lambda: ask(f"{base}/status", token), 90, tmp_path)
        assert ask(f"{base}/kernels", token, name="python3")
        wait_for(lambda: len(family(mark)) >= 3, 30, tmp_path)
        for pid in family(mark):
            assert token.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()
        lab.send_signal(number)
        lab.wait(30)
        wait_for(lambda: not family(mark), 30, tmp_path)
        assert lab.returncode == (-number if number == signal.SIGKILL else 128 + number)
    left = [file for file in tmp_path.rglob("*") if file.is_file() and file.name != "log"]
    assert not [file for file in left if token.encode() in file.read_bytes()]
    assert not [*(tmp_path / "tmp").iterdir()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_voila(tmp_path: Path, number: signal.Signals) -> None:
    """With the kernel of the page that somebody looks at."""
    pytest.importorskip("voila", reason="the extra is missing: pip install -e '.[voila]'")
    port = free_port("127.0.0.1", 21000 + int(number) * 10)
    with started(tmp_path, CLI, "lab", "--voila", "--no-browser", "--port", str(port)) as (
        lab,
        mark,
    ):
        wait_for(lambda: "token=" in (tmp_path / "log").read_text(), 60, tmp_path)
        token = (tmp_path / "log").read_text().partition("token=")[2].split()[0]
        wait_for(lambda: "is running at" in (tmp_path / "log").read_text(), 60, tmp_path)
        with urllib.request.urlopen(
            f"http://127.0.0.1:{port}/voila/render/explorer.ipynb?token={token}", timeout=60
        ) as page:
            page.read(500)
            assert len(family(mark)) >= 3
            lab.send_signal(number)
            lab.wait(30)
        wait_for(lambda: not family(mark), 30, tmp_path)
    assert not [*(tmp_path / "tmp").iterdir()]


@pytest.mark.parametrize("number", EVERY if MORE else [signal.SIGINT, signal.SIGKILL])
def test_a_run_of_several_processes(tmp_path: Path, number: signal.Signals) -> None:
    """Torch's launcher and its processes end with the batch."""
    with started(tmp_path, TRAINS) as (batch, mark):
        wait_for(lambda: [*tmp_path.rglob("progress.json")], 90, tmp_path)
        assert len(family(mark)) >= 4
        batch.send_signal(number)
        batch.wait(30)
        wait_for(lambda: not family(mark), 15, tmp_path)


def test_a_launcher_that_is_killed(tmp_path: Path) -> None:
    """Its processes follow it."""
    with started(tmp_path, TRAINS) as (batch, mark):
        wait_for(lambda: [*tmp_path.rglob("progress.json")], 90, tmp_path)
        for pid in family(mark):
            if b"nslab.execution.launcher" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)
        assert batch.wait(30) == 1
        wait_for(lambda: not family(mark), 15, tmp_path)


@pytest.mark.parametrize("number", EVERY if MORE else [signal.SIGTERM, signal.SIGKILL])
def test_a_notebook(tmp_path: Path, number: signal.Signals) -> None:
    """Its process and its kernel."""
    book = write(tmp_path / "own", "waits", WAITS.replace("300", "30"), parameters="n: int = 1\n")
    with started(tmp_path, CLI, "render", str(book)) as (render, mark):
        wait_for((tmp_path / "ready").exists, 90, tmp_path)
        render.send_signal(number)
        render.wait(30)
        asked = b"nslab", b"ipykernel"
        wait_for(lambda: not [p for p in family(mark) if any(a in command(p) for a in asked)],
                 15, tmp_path)  # fmt: skip
        assert render.returncode == (-number if number == signal.SIGKILL else 128 + number)


def command(pid: int) -> bytes:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


SUITE = ("suite", "smoke", "--file", str(ROOT / "tests/rounds/suite_small.yaml"))


@pytest.mark.parametrize("words", [SUITE, ("run", "ns/first", "--jobs", "2")], ids=["suite", "run"])
def test_a_terminal_that_closes(tmp_path: Path, words: tuple[str, ...]) -> None:
    """SIGHUP stops what runs, and says that it can go on, with the status that shells know."""
    with started(tmp_path, CLI, *words) as (batch, mark):
        wait_for(lambda: [*tmp_path.rglob("progress.json")], 90, tmp_path)
        batch.send_signal(signal.SIGHUP)
        assert batch.wait(30) == 128 + signal.SIGHUP
        assert not family(mark)
    assert "goes on from here" in (tmp_path / "log").read_text()


def test_nohup_stays_what_it_is(tmp_path: Path) -> None:
    """A command that shall outlive its terminal does."""
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + CLI
    given = ("seeds=2024", "methods=ce", "network=mlp", "epochs=2")
    words = ("run", "ns/first", *(word for one in given for word in ("-p", one)), "--jobs", "2")
    with started(tmp_path, code, *words) as (batch, mark):
        wait_for(lambda: len(family(mark)) > 1, 60, tmp_path)
        batch.send_signal(signal.SIGHUP)
        assert batch.wait(120) == 0
