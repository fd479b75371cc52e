"""Batches of runs as users start them, in processes of their own that tests kill and restart."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import torch

from nslab.configs import EvolveConfig, RunConfig, TrainConfig
from nslab.execution.local import run_local
from nslab.execution.slurm import Slurm, arrays, run_slurm
from nslab.objectives import NS
from nslab.runs import store
from nslab.training.checkpoint import CHECKPOINT, WEIGHTS

NET = {"network": "resnet8", "epochs": 8, "lr": 0.05, "augment": "crop"}
BASE = TrainConfig(network="mlp", epochs=6, lr=0.05, batch_size=64, hold_out=150)
SUITE: list[RunConfig] = [
    TrainConfig(**NET, objective=NS()),
    TrainConfig(**NET),
    TrainConfig(**NET, objective=NS(grid=(1, 2), sigma=2.5, rho=-1.0)),
    TrainConfig(**NET, seed=7),
    EvolveConfig(BASE, size=6, batches=3, generations=2, batch_size=200),
]
TOGETHER: list[RunConfig] = [
    TrainConfig(network="lenet5", epochs=120, lr=0.05, objective=NS()),
    EvolveConfig(BASE, size=6, batches=30, generations=4, batch_size=600),
]
LONG: list[RunConfig] = [TrainConfig(network="lenet5", epochs=10**6, lr=0.02)]
ASKED = {
    "suite": (SUITE, Slurm(partition="tiny", time="20", memory="1500M")),
    "together": (TOGETHER, Slurm(partition="tiny", time="20", gpus=1, processes=2)),
    "long": (LONG, Slurm(partition="tiny", time="4", requeues=20)),
}


def drive(what: str, where: str) -> None:
    """A batch as a user starts it, in a process of its own."""
    configs, slurm = ASKED[what]
    quick = partial(run_slurm, slurm=slurm, poll=1.0, patience=5.0)
    engine = quick if where == "slurm" else run_local
    store.run_all(configs, jobs=2, engine=engine, processes_per_run=slurm.processes, show=False)


def note(what: str) -> None:
    """A line with the time, to be read with pytest -s."""
    print(f"{time.strftime('%H:%M:%S')}  {what}", flush=True)


def until(true: Callable[[], Any], seconds: float = 300.0) -> Any:
    """What came true, or an error after some seconds."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found


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

    def end(self, seconds: float = 900.0) -> None:
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


def number_of(config: RunConfig) -> str:
    """The number of a run's job while it is queued or running."""
    folder = store.folder_of(config)
    found = {key.partition("-")[0]: n for key, n in arrays.attached(arrays.queue()).items()}
    return found.get(folder.name, "")


def process_of(config: RunConfig) -> int:
    """The process that computes a run."""
    folder = str(store.folder_of(config)).encode()
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = file.read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended
        if folder in words and b"nslab.runs.worker" in words:
            return int(file.parent.name)
    return 0


def epochs_so_far(config: RunConfig, least: int) -> list[dict[str, Any]]:
    """The epochs kept in a run's checkpoint, once there are so many."""
    file = store.folder_of(config) / CHECKPOINT
    rows = torch.load(file, weights_only=True)["history"] if file.exists() else []
    return rows if len(rows) >= least else []


def log_of(config: RunConfig) -> str:
    """What a run's processes printed."""
    return (store.folder_of(config) / "log.txt").read_text(encoding="utf-8")


if __name__ == "__main__":
    drive(sys.argv[1], sys.argv[2])
