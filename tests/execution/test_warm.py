"""Runs forked from a warm process are what they would be started plainly, and started plainly where
forking is unsafe."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nslab.configs import TrainConfig
from nslab.execution import warm
from nslab.execution.warm_server import sources, written
from nslab.runs import store
from nslab.runs.folder import folder_of
from nslab.system.safe_python import python_command

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked"),
]

PROBE = """
import atexit, json, os, signal, sys, threading, time
atexit.register(lambda: open("left", "w").close())
import torch
said = {"argv": sys.argv[1:], "main": __name__, "cwd": os.getcwd(), "pid": os.getpid(),
        "env": {k: v for k, v in os.environ.items() if k.startswith("NSLAB_")},
        "threads": torch.get_num_threads(), "random": __import__("random").random(),
        "int": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
        "files": sorted(os.listdir("/proc/self/fd"))}
print(json.dumps(said), flush=True)
print("to stderr", file=sys.stderr)
match sys.argv[1:]:
    case ["wait"]:
        time.sleep(60)
    case ["raise"]:
        raise ValueError("why it failed")
    case ["exit"]:
        sys.exit(7)
"""


@pytest.fixture
def probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that says what it finds, for which a warm process is kept."""
    (tmp_path / "nslab_probe.py").write_text(PROBE)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    monkeypatch.setitem(warm.IMPORTS, "nslab_probe", ("torch",))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    warm.close_all()
    warm._COLD.clear()


def forked(folder: Path, *words: str, **env: str) -> tuple[warm.Process | None, Path]:
    """The probe, forked, and its output."""
    log = folder / "log"
    with log.open("wb") as file:
        command = python_command("nslab_probe", *words)
        files = (file.fileno(),) * 3
        return warm.start(command, {**os.environ, **env}, files), log


def test_a_forked_process_is_as_though_it_had_been_started(probe: Path) -> None:
    """Words, folder, environment, output, threads, no file of another's, exit status, its exit
    handlers."""
    process, log = forked(probe, "a", "b c", NSLAB_X="1", OMP_NUM_THREADS="2")
    assert process is not None
    assert process.wait(60) == 0
    said = json.loads(log.read_text().splitlines()[0])
    assert said["argv"] == ["a", "b c"]
    assert (said["main"], said["cwd"], said["pid"]) == ("__main__", str(probe), process.pid)
    assert said["env"]["NSLAB_X"] == "1"
    assert said["threads"] == 2
    assert said["int"]
    assert said["files"] == ["0", "1", "2", "3"]  # 3 lists them
    assert "to stderr" in log.read_text()
    assert (probe / "left").exists()

    again, log = forked(probe, "exit")
    assert again is not None
    assert again.wait(60) == 7
    other = json.loads(log.read_text().splitlines()[0])
    assert other["random"] != said["random"]
    assert "NSLAB_X" not in other["env"]

    failed, log = forked(probe, "raise")
    assert failed is not None
    assert failed.wait(60) == 1
    assert "ValueError: why it failed" in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_reach_it(probe: Path, number: signal.Signals) -> None:
    """And its status says which."""
    process, log = forked(probe, "wait")
    assert process is not None
    while not log.read_text():
        time.sleep(0.05)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.05)
    process.send_signal(number)
    assert process.wait(20) == -number
    process.kill()  # nobody is there


def test_it_ends_with_the_warm_process(probe: Path) -> None:
    """However that ends."""
    process, log = forked(probe, "wait")
    assert process is not None
    while not log.read_text():
        time.sleep(0.05)
    os.kill(warm._SERVERS["nslab_probe"].process.pid, signal.SIGKILL)
    assert process.wait(20) == -signal.SIGKILL
    anew, _ = forked(probe)
    assert anew is not None
    assert anew.wait(60) == 0


def test_started_plainly_where_forking_is_unsafe(
    probe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for, plug-ins, an own command, another environment, threads, sources that changed."""
    assert forked(probe, NSLAB_WARM="0")[0] is None
    assert forked(probe, NSLAB_PLUGINS="x.py")[0] is None
    with (probe / "log").open("wb") as log:
        for command in ([sys.executable, "-c", ""], python_command("nslab.nothing")):
            assert warm.start(command, os.environ, (log.fileno(),) * 3) is None
        files = (log.fileno(),) * 3
        command = python_command("nslab_probe")
        assert warm.start(command, os.environ, files, begin=False) is None
    assert not warm._SERVERS
    first = forked(probe)[0]
    assert first is not None
    first.wait(60)
    server = warm._SERVERS["nslab_probe"]
    other = forked(probe, OTHER="1")[0]
    assert other is not None
    other.wait(60)
    assert warm._SERVERS["nslab_probe"] is not server
    (probe / "nslab_threads.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=[9], daemon=True).start()"
    )
    monkeypatch.setitem(warm.IMPORTS, "nslab_probe", ("torch", "nslab_threads"))
    warm.close_all()
    assert forked(probe)[0] is None
    assert "nslab_probe" in warm._COLD
    assert not warm._SERVERS


def test_sources_that_change_are_noticed(tmp_path: Path) -> None:
    """Or go away; a server looks before each fork."""
    files = [tmp_path / "a.py", tmp_path / "b.py"]
    for file in files:
        file.touch()
    known = written(map(str, files))
    assert written(known) == known
    os.utime(files[0], (0, 0))
    assert written(known) != known
    files[1].unlink()
    assert written(known)[str(files[1])] == 0
    assert warm.__file__ in sources()
    assert not [file for file in sources() if "site-packages" in file]


def test_a_fork_of_the_one_that_asks_leaves_its_server_alone(probe: Path) -> None:
    """It has none, and the server goes on."""
    first = forked(probe)[0]
    assert first is not None
    first.wait(60)
    server = warm._SERVERS["nslab_probe"].process
    if not (child := os.fork()):
        os._exit(len(warm._SERVERS))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    second = forked(probe)[0]
    assert second is not None
    assert second.wait(60) == 0
    assert warm._SERVERS["nslab_probe"].process is server


def test_a_folder_that_is_gone_is_left_to_a_plain_start(probe: Path) -> None:
    """Which goes on in a deleted one, and refuses a deleted one that it is told of; a warm start
    did neither."""
    gone = probe / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    try:
        assert forked(probe)[0] is None
    finally:
        os.chdir(probe)
    command = python_command("nslab_probe")
    assert warm.start(command, os.environ, (0, 1, 2), str(gone)) is None
    assert not warm._SERVERS


@pytest.mark.slow
def test_forked_runs_are_the_same_to_the_bit() -> None:
    """As those computed here; each with a log of its own."""
    configs = [TrainConfig(network="mlp", epochs=1, train_size=200, seed=s) for s in (1, 2)]
    made = store.run_all(configs, jobs=2, show=False)
    assert "nslab.runs.worker" in warm._SERVERS
    logs = [folder_of(config) / "log.txt" for config in configs]
    assert all("digits mlp" in log.read_text() for log in logs)
    for result, config in zip(made, configs, strict=True):
        here = store.run(config, force=True, show=False)
        assert result.history[-1]["train_loss"] == here.history[-1]["train_loss"]
        assert result.metrics["test_loss"] == here.metrics["test_loss"]
    warm.close_all()
