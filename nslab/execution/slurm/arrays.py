"""Arrays of jobs: submitted through submitit, found again in the queue by their names."""

import hashlib
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import time
from collections.abc import Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING

from nslab.execution.local import Job
from nslab.execution.slurm.node import NodeTask
from nslab.execution.slurm.resources import Slurm
from nslab.system.files import explaining, write_text
from nslab.system.paths import runs_dir
from nslab.system.plugins import VARIABLE
from nslab.system.provenance import ACCEPT
from nslab.system.safe_python import python_of_ours

if TYPE_CHECKING:
    from submitit import SlurmExecutor

PREFIX = "nslab-"
JOBS = "jobs.json"
ARRAYS_KEPT = 7 * 24 * 3600.0  # seconds after which folders of ended arrays are removed
# Any other state is one in which a job still waits, runs, or may run again.
FINAL = ["BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"]
FINAL += ["OUT_OF_MEMORY", "PREEMPTED", "REVOKED", "TIMEOUT"]


@dataclass(frozen=True)
class Queued:
    """A line of the queue: a job's number, its state, the reason for that, and its array's name."""

    id: str
    state: str
    reason: str
    array: str

    @property
    def live(self) -> bool:
        """Whether it has not ended for good."""
        return self.state not in FINAL


def folder() -> Path:
    """The private folder beside the run folders; created, and made private, if necessary.

    Raises ``ValueError`` for a path that SLURM would read as a pattern, ``OSError`` if the folder
    is somebody else's.
    """
    made = runs_dir() / ".slurm"
    if "%" in str(made) or not str(made).isprintable():
        raise ValueError(f"{made}: SLURM cannot write into a folder with such a name")
    with explaining(made):
        made.mkdir(mode=0o700, parents=True, exist_ok=True)
        made.chmod(0o700)  # submitit unpickles what lies in it, and unpickling can run code
    return made


def key(job: Job) -> str:
    """A name for a job that is the same in every process: it hashes the path of the job's log."""
    digest = hashlib.sha256(str(job.log.absolute()).encode()).hexdigest()
    return re.sub(r"[^\w.-]", "_", job.name)[:60] + "-" + digest[:12]


def status_file(job: Job) -> Path:
    """The file in which a job says how it ended."""
    return folder() / f"{key(job)}.json"


def queue() -> dict[str, Queued]:
    """The jobs of nslab's arrays in the queue, by their numbers, including those that ended lately.

    Raises ``OSError`` when SLURM does not answer.
    """
    command = ["squeue", "--me", "--array", "--noheader", "--states=all", "--format=%i|%T|%j|%r"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    except FileNotFoundError:
        raise OSError(
            "squeue was not found: start this on a login node of a SLURM cluster"
        ) from None
    except subprocess.TimeoutExpired:
        raise OSError("squeue does not answer") from None
    except subprocess.CalledProcessError as error:
        raise OSError(f"squeue: {error.stderr.strip()}") from None
    found = {}
    for line in done.stdout.splitlines():
        number, state, array, reason = line.split("|", 3)
        if array.startswith(PREFIX):
            found[number] = Queued(number, state, reason, array)
    return found


def attached(there: dict[str, Queued]) -> dict[str, str]:
    """The numbers of this store's jobs that still wait or run, by the jobs' keys."""
    found = {}
    for entry in there.values():
        if entry.live and (file := folder() / entry.array / JOBS).exists():
            index = int(entry.id.partition("_")[2] or 0)
            found[json.loads(file.read_text(encoding="utf-8"))[index]] = entry.id
    return found


def executor(place: Path, requeues: int) -> "SlurmExecutor":
    """submitit's executor. Raises ``ValueError`` without submitit, ``OSError`` without SLURM."""
    try:
        from submitit import SlurmExecutor
    except ImportError:
        raise ValueError("a cluster needs one more package: pip install submitit") from None
    try:
        python = shlex.join(python_of_ours())  # submitit appends -m and its module
        return SlurmExecutor(place, max_num_timeout=requeues, python=python)
    except RuntimeError:
        raise OSError("srun was not found: start this on a login node of a SLURM cluster") from None


def submit(jobs: Sequence[Job], max_parallel: int, slurm: Slurm) -> dict[str, str]:
    """Submit jobs as one array, ``max_parallel`` of them at a time; returns their numbers by their
    keys.

    The list of jobs is written before the array exists, so that they can always be found again.
    Raises ``ValueError`` with SLURM's own message if it refuses.
    """
    from submitit.core.utils import FailedJobError

    name = f"{PREFIX}{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(3)}"
    place, keys = folder() / name, [key(job) for job in jobs]
    runner = executor(place, slurm.requeues)
    runner.update_parameters(job_name=name, array_parallelism=max_parallel, **slurm.parameters())
    with explaining(place):
        place.mkdir(mode=0o700, exist_ok=True)
        write_text(place / JOBS, json.dumps(keys, indent=1))
    # some clusters start jobs with an environment of their own
    wanted = ("NSLAB_HOME", "NSLAB_DATA", VARIABLE, ACCEPT)
    places = {name: os.environ[name] for name in wanted if name in os.environ}
    tasks = []
    for job in jobs:
        status_file(job).unlink(missing_ok=True)
        with explaining(job.log):
            job.log.parent.mkdir(parents=True, exist_ok=True)
            job.log.touch()
        log, status, env = job.log.absolute(), status_file(job), places | job.env
        tasks.append(NodeTask(list(job.command), log, env, Path.cwd(), status, slurm.cpus))
    try:
        with redirect_stderr(StringIO()):  # submitit prints what it then raises
            made = runner.submit_array(tasks)
    except FailedJobError as error:
        shutil.rmtree(place)
        raise ValueError(f"SLURM refused the jobs: {error}") from None
    return dict(zip(keys, (job.job_id for job in made), strict=True))


def last_words(number: str, array: str) -> str:
    """The last lines of a job's error log, by submitit and SLURM."""
    files = sorted((folder() / array).glob(f"{number}_*_log.err"))
    said = "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)
    return "\n".join(said.splitlines()[-6:])


def tidy(there: dict[str, Queued]) -> None:
    """Remove what arrays have left that ended more than a week ago (`ARRAYS_KEPT`)."""
    live = {entry.array for entry in there.values() if entry.live}
    for left in [*folder().glob(f"{PREFIX}*"), *folder().glob("*.json")]:
        if left.name not in live and time.time() - left.stat().st_mtime > ARRAYS_KEPT:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
