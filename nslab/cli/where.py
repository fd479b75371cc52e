"""Where work runs: the options that say so, the same for every command that computes."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps

from nslab.cli.shared import Jobs, PerDevice, explained, places
from nslab.engine import Engine
from nslab.slurm import options as cluster


@dataclass(frozen=True)
class Where:
    """Processes at once, here or on a cluster, and how many compute one run ``together``."""

    jobs: int
    per_device: int
    engine: Engine
    local: bool
    together: int

    def places(self) -> tuple[int, list[str]]:
        """Processes at once and the CUDA devices they are shared out to, on this machine."""
        return places(self.jobs, self.per_device) if self.local else (self.jobs, [])


def where(
    jobs: Jobs = 1,
    per_device: PerDevice = 1,
    engine: cluster.EngineOption = "local",
    partition: cluster.Partition = "",
    gpus: cluster.Gpus = 0,
    processes: cluster.Processes = 1,
    cpus: cluster.Cpus = 1,
    memory: cluster.Memory = "",
    time: cluster.Time = "1:00:00",
    array_parallelism: cluster.AtOnce = 256,
    requeues: cluster.Requeues = 10,
    account: cluster.Account = "",
    qos: cluster.Qos = "",
    sbatch: cluster.More = None,
) -> Where:
    """What the options say. Raises ``ValueError`` for what SLURM could not understand."""
    wished = cluster.Slurm(
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
    local = engine == "local"
    chosen = cluster.engine(engine, wished)
    return Where(jobs if local else array_parallelism, per_device, chosen, local, processes)


def takes_where(jobs: int = 1) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of `where`, ``jobs`` at once by default; it gets ``where``."""
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
