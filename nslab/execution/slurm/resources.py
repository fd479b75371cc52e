"""Resources that a SLURM job asks for."""

import math
import re
from dataclasses import dataclass
from typing import Any

TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")
# Options of sbatch that arrays rely on, or that have an option of nslab's.
TAKEN = ["job-name", "array", "output", "error", "open-mode", "signal", "requeue", "no-requeue"]
TAKEN += ["wait", "chdir", "nodes", "ntasks", "ntasks-per-node", "cpus-per-task", "gpus-per-node"]
TAKEN += ["partition", "time", "mem", "account", "qos"]


@dataclass(frozen=True)
class Slurm:
    """What each job asks for; empty texts and 0 GPUs mean the cluster's defaults.

    Attributes:
        partition, account, qos: queue, account to charge and quality of service, by their names.
        gpus: GPUs per job.
        processes: processes of a job that train one network together, on its GPUs if it has any.
        cpus: cores per process.
        memory: memory per job, as SLURM writes it: ``16G``.
        time: limit of one stretch, as SLURM writes it: minutes, ``4:00:00`` or ``1-12:00:00``. A
            job that reaches it continues in another stretch.
        requeues: how often a job may reach its time limit and be queued again.
        more: other options of ``sbatch``, as ``name=value``, or ``name`` for a switch.

    Raises ``ValueError`` for values that SLURM would not understand.
    """

    partition: str = ""
    gpus: int = 0
    processes: int = 1
    cpus: int = 1
    memory: str = ""
    time: str = "1:00:00"
    account: str = ""
    qos: str = ""
    requeues: int = 10
    more: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, least in (("gpus", 0), ("processes", 1), ("cpus", 1), ("requeues", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, not {getattr(self, name)}")
        if self.memory and not re.fullmatch(r"\d+[KMGT]?", self.memory):
            raise ValueError(f"memory is written like 16G, not {self.memory!r}")
        for text in (self.partition, self.account, self.qos, *self.more):
            if not text.isprintable():
                raise ValueError(f"{text!r} has characters that cannot be printed")
        for text in self.more:
            name = text.partition("=")[0]
            if not re.fullmatch("[a-z][a-z-]+", name):
                raise ValueError(f"options of sbatch are written NAME=VALUE, not {text!r}")
            if name in TAKEN:
                raise ValueError(
                    f"sbatch's option {name} is set by nslab, or by an option of nslab's"
                )
        if not self.minutes:
            raise ValueError("time must be at least a minute")

    @property
    def minutes(self) -> int:
        """The time limit in minutes, rounded up."""
        found = TIME.fullmatch(self.time)
        if not found:
            raise ValueError(f"time is written 90 (minutes), 4:00:00 or 1-12:00:00: {self.time!r}")
        days, first, *rest = (None if part is None else int(part) for part in found.groups())
        second, third = (part or 0 for part in rest)
        assert first is not None
        if days is not None:  # days-hours[:minutes[:seconds]]
            return (days * 24 + first) * 60 + second + math.ceil(third / 60)
        if rest[1] is not None:  # hours:minutes:seconds
            return first * 60 + second + math.ceil(third / 60)
        return first + math.ceil(second / 60)  # minutes[:seconds]

    def parameters(self) -> dict[str, Any]:
        """The parameters for ``submitit.SlurmExecutor``."""
        cores = self.cpus * self.processes
        optional = {
            "partition": self.partition,
            "gpus_per_node": self.gpus,
            "mem": self.memory,
            "account": self.account,
            "qos": self.qos,
        }
        pairs = [text.partition("=") for text in self.more]
        return {name: value for name, value in optional.items() if value} | {
            "time": self.minutes,
            "cpus_per_task": cores,
            # newer versions of srun do not inherit this from sbatch: it would bind to one core
            "srun_args": [f"--cpus-per-task={cores}"],
            # time enough to stop and to be queued again, but less than a short time limit
            "signal_delay_s": min(90, 15 * self.minutes),
            "additional_parameters": {"requeue": True}
            | {name: value if equals else True for name, equals, value in pairs},
        }
