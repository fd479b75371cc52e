"""Options of execution, on this machine or a cluster, shared by every command that computes."""

import inspect
import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from time import time as clock
from typing import Annotated

import typer

from nslab.cli.options import (
    DeviceOption,
    Jobs,
    PerDevice,
    Plugins,
    devices_of,
    explained,
    shared_devices,
    use_device,
)
from nslab.execution.local import Engine, run_local
from nslab.execution.slurm.resources import Slurm
from nslab.system.provenance import ACCEPT

PANEL = "With --engine slurm"
EngineOption = Annotated[
    str, typer.Option("--engine", help="local: processes here. slurm: jobs on a cluster.")
]
Partition = Annotated[str, typer.Option(help="Partition to queue in.", rich_help_panel=PANEL)]
Gpus = Annotated[int, typer.Option(min=0, help="GPUs per job.", rich_help_panel=PANEL)]
Processes = Annotated[
    int, typer.Option(min=1, help="Processes that train one network.", rich_help_panel=PANEL)
]
Cpus = Annotated[int, typer.Option(min=1, help="Cores per process.", rich_help_panel=PANEL)]
Memory = Annotated[str, typer.Option(help="Memory per job, such as 16G.", rich_help_panel=PANEL)]
Time = Annotated[
    str, typer.Option(help="Limit of a job; then it is queued again.", rich_help_panel=PANEL)
]
Account = Annotated[str, typer.Option(help="Account to charge.", rich_help_panel=PANEL)]
Qos = Annotated[str, typer.Option(help="Quality of service.", rich_help_panel=PANEL)]
Requeues = Annotated[
    int,
    typer.Option(min=0, help="How often a job may reach its time limit.", rich_help_panel=PANEL),
]
AtOnce = Annotated[
    int, typer.Option("--array-parallelism", min=1, help="Jobs at once.", rich_help_panel=PANEL)
]
Minutes = Annotated[
    float,
    typer.Option(
        min=0,
        help="Stop after so many minutes, each run at a checkpoint. Status 75 means that work is "
        "left: repeat the command to continue. 0: no limit.",
    ),
]
AcceptStale = Annotated[
    bool,
    typer.Option("--accept-stale", help="Use results of earlier versions of your code or data."),
]
More = Annotated[
    list[str] | None,
    typer.Option(
        "--sbatch",
        metavar="NAME=VALUE",
        help="Another option for sbatch; repeatable.",
        rich_help_panel=PANEL,
    ),
]


@dataclass(frozen=True)
class ExecutionOptions:
    """How to execute runs.

    Attributes:
        jobs: processes, or jobs of a cluster, at once; 0: not given.
        per_device: processes that share a CUDA device.
        engine: what runs the processes, see `Engine`.
        local: whether that is this machine.
        processes_per_run: processes that compute one run together.
    """

    jobs: int
    per_device: int
    engine: Engine
    local: bool
    processes_per_run: int

    def places(self, share: bool = False) -> tuple[int, list[str]]:
        """How many processes to run at once, and the CUDA devices of this machine to spread them
        over (none on a CPU or a cluster). With ``share`` and no ``jobs``, each device gets as many
        as `room_on` estimates."""
        if not self.local:
            return self.jobs or 1, []
        if share and not self.jobs:
            return shared_devices(self.per_device)
        return devices_of(self.jobs or 1, self.per_device)


def where(
    jobs: Jobs = 1,
    per_device: PerDevice = 1,
    device: DeviceOption = None,
    minutes: Minutes = 0.0,
    engine: EngineOption = "local",
    partition: Partition = "",
    gpus: Gpus = 0,
    processes: Processes = 1,
    cpus: Cpus = 1,
    memory: Memory = "",
    time: Time = "1:00:00",
    array_parallelism: AtOnce = 256,
    requeues: Requeues = 10,
    account: Account = "",
    qos: Qos = "",
    sbatch: More = None,
    accept_stale: AcceptStale = False,
    plugin: Plugins = None,
) -> ExecutionOptions:
    """The execution options of a command line; plug-ins were loaded while it was parsed.

    Raises ``ValueError`` for values that SLURM would not understand, for ``minutes`` or ``device``
    with SLURM, and for a device that this machine lacks.
    """
    requested = Slurm(
        partition,
        gpus,
        processes,
        cpus,
        memory,
        time,
        account,
        qos,
        requeues,
        tuple(sbatch or ()),
    )
    if accept_stale:
        os.environ[ACCEPT] = "1"
    local = engine == "local"
    chosen = chosen_engine(engine, requested)
    if device and not local:
        raise ValueError("--device is for --engine local; for jobs of a cluster use --gpus")
    if not math.isfinite(minutes):
        raise ValueError(f"--minutes is {minutes}: give a finite number, or 0 for no limit")
    if minutes and not local:
        raise ValueError("--minutes is for --engine local; for jobs of a cluster use --time")
    use_device(device)
    if minutes:
        chosen = partial(run_local, until=clock() + 60 * minutes)
    return ExecutionOptions(
        jobs if local else array_parallelism, per_device, chosen, local, processes
    )


def chosen_engine(name: str, slurm: Slurm) -> Engine:
    """The engine of the command line.

    Raises ``ValueError`` for an unknown one, and for options of SLURM without ``slurm``.
    """
    if name not in ("local", "slurm"):
        raise ValueError(f"engine must be local or slurm, not {name!r}")
    if name == "slurm":
        from nslab.execution.slurm.submit import run_slurm

        return partial(run_slurm, slurm=slurm)
    if slurm != Slurm():
        raise ValueError("options of a cluster (--partition, --gpus, ...) need --engine slurm")
    return run_local


def takes_where(jobs: int = 1) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command with the options of `where`, with ``jobs`` as the default of ``--jobs``;
    the command gets them as its argument ``where``."""
    options = dict(inspect.signature(where).parameters)
    options["jobs"] = options["jobs"].replace(default=jobs)

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [p for p in inspect.signature(command).parameters.values() if p.name != "where"]

        @wraps(command)
        def decorated(**given: object) -> None:
            with explained():
                chosen = where(**{name: given.pop(name) for name in options})  # type: ignore[arg-type]
            command(**given, where=chosen)

        every = [*own, *options.values()]
        decorated.__signature__ = inspect.Signature(every)  # type: ignore[attr-defined]
        decorated.__annotations__ = {p.name: p.annotation for p in every}
        return decorated

    return decorate
