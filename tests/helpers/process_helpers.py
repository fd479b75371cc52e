"""Processes that do something at the same time."""

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def by_one_and_by_two(worker: str, folder: Path) -> list[list[Any]]:
    """What one process alone, and each of two together, write to ``rankN.json`` in the folder that
    the script ``worker`` is given, a folder in ``folder``."""
    script = folder / "worker.py"
    script.write_text(worker, encoding="utf-8")
    made = []
    for processes in (1, 2):
        out = folder / str(processes)
        out.mkdir()
        env = {**os.environ, "NSLAB_HOME": str(out), "OMP_NUM_THREADS": "1"}
        # accelerate's own launcher starts several CPU processes through MPI only; torch's sets the
        # same environment without it
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command = [*launch, "--nproc_per_node", str(processes), str(script), str(out)]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        made.append([json.loads(file.read_text()) for file in sorted(out.glob("rank*.json"))])
    return made


def at_once(acts: Sequence[Callable[[], object]]) -> list[BaseException | None]:
    """Do each in a forked process of its own, all from the same moment; what each raised."""
    start, begin = os.pipe()
    children = []
    for act in acts:
        told, tell = os.pipe()
        if child := os.fork():
            os.close(tell)
            children.append((child, told))
            continue
        os.close(begin)
        os.read(start, 1)  # ends when all are there
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
