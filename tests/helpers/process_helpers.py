"""Scripts and functions run in several processes at once."""

import json
import os
import pickle
import socket
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from nslab.execution import warm
from nslab.system.safe_python import python_command

TIMEOUT = 300  # seconds; so that processes in a deadlock do not hang the tests
warm.IMPORTS["forked_script"] = warm.RUN


def python(script: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Output and exit status of ``python script words``, forked from a warm process."""
    (done,) = together(script, words, [{}])
    return done


def distributed(script: Path, *words: str, processes: int = 2, **env: str) -> None:
    """Run a script in several processes with the environment that torchrun sets."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": processes} | env
    ranks = [{"RANK": r, "LOCAL_RANK": r, "LOCAL_WORLD_SIZE": processes} for r in range(processes)]
    for done in together(script, words, [shared | rank for rank in ranks]):
        assert done.returncode == 0, done.stderr


def together(
    script: Path, words: Sequence[str], given: Sequence[dict[str, Any]]
) -> list[subprocess.CompletedProcess[str]]:
    """Run a script once for each of ``given``, additions to its environment, all at once."""
    helpers = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    env = os.environ | {"PYTHONPATH": helpers}
    with ExitStack() as files, open(os.devnull, "rb") as nothing:
        started = []
        for more in given:
            out, err = (files.enter_context(tempfile.TemporaryFile("w+")) for _ in range(2))
            settings = [f"{name}={value}" for name, value in more.items()]
            command = python_command("forked_script", *settings, str(script), *words)
            streams = [nothing.fileno(), out.fileno(), err.fileno()]
            process = warm.start(command, env, streams) or subprocess.Popen(
                command, env=env, stdin=nothing, stdout=out, stderr=err
            )
            started.append((process, out, err))
        try:
            for process, *_ in started:
                process.wait(TIMEOUT)
        finally:
            for process, *_ in started:
                process.kill()
        for _, *streams in started:
            for stream in streams:
                stream.seek(0)
        return [
            subprocess.CompletedProcess(p.args, p.wait(), out.read(), err.read())
            for p, out, err in started
        ]


def by_one_and_by_two(worker: str, folder: Path) -> list[list[Any]]:
    """Run the script ``worker`` in one process, then in two; return for both the contents of the
    ``rankN.json`` that each process writes into the folder it is given, inside ``folder``."""
    script = folder / "worker.py"
    script.write_text(worker, encoding="utf-8")
    made = []
    for processes in (1, 2):
        out = folder / str(processes)
        out.mkdir()
        distributed(script, str(out), processes=processes, NSLAB_HOME=str(out))
        made.append([json.loads(file.read_text()) for file in sorted(out.glob("rank*.json"))])
    return made


def at_once(acts: Sequence[Callable[[], object]]) -> list[BaseException | None]:
    """Call each function in a forked process of its own, all starting at the same moment; return
    what each raised, or None."""
    start, begin = os.pipe()
    children = []
    for act in acts:
        told, tell = os.pipe()
        if child := os.fork():
            os.close(tell)
            children.append((child, told))
            continue
        os.close(begin)
        os.read(start, 1)  # returns once the parent has started all and closes the pipe
        error: BaseException | None = None
        try:
            act()
        except BaseException as raised:
            error = raised.with_traceback(None)
        os.write(tell, pickle.dumps(error))
        os._exit(0)
    os.close(start)
    os.close(begin)
    ended = []
    for child, told in children:
        with open(told, "rb") as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        ended.append(pickle.loads(text) if text else ChildProcessError("it was killed"))
    return ended
