"""The store of runs: look a run up before computing it, and never lose or repeat a finished one.

A run is a folder ``data/runs/<id>``. It is finished when it contains ``result.json``, which is
written last and in one step. Until then the folder holds a checkpoint to continue from. A lock per
run keeps two processes from computing the same one; it ends with its process, however that ends.
"""

import json
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext

from torch import Tensor

from nslab.configs.labels import label
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.configs.train import Parent
from nslab.datasets.provenance import provenance_of
from nslab.execution.local import OUT_OF_TIME, Engine, run_local
from nslab.execution.monitor import Monitor
from nslab.runs import loggers, stretches
from nslab.runs.compute import COMPUTE, RunContext, read_states
from nslab.runs.folder import RESULT, folder_of, locked, remove_interim, remove_partial_files
from nslab.runs.made_of import MADE_OF, changed, made_of
from nslab.runs.pool import job, run_in_subprocesses
from nslab.runs.portability import check_portable
from nslab.runs.result_file import kept_files, lacking_metrics
from nslab.runs.results import (
    Result,
    find,
    find_frozen,
    finished,
    quarantine,
    read_result,
    stages,
    write_result,
)
from nslab.system.distributed import broadcast, process_group
from nslab.system.encoder_files import is_encoder
from nslab.system.files import write_text
from nslab.system.plain_checks import check_jobs
from nslab.system.progress import Progress
from nslab.system.provenance import environment, versions
from nslab.system.renamed import renamed_keywords
from nslab.system.time_limits import OutOfTime
from nslab.training.epoch import NonFiniteLoss


class RunsFailed(RuntimeError):
    """Some runs failed, or ran out of time; the others are finished and kept. ``failed``: why, by
    their ids. ``later``: whether time is the only reason, so that the same command continues."""

    def __init__(self, message: str, failed: dict[str, str]) -> None:
        super().__init__(message)
        self.failed = failed
        self.later = set(failed.values()) == {OUT_OF_TIME}


def run(
    config: RunConfig,
    *,
    weights: bool = False,
    force: bool = False,
    resume: bool = False,
    show: bool = True,
    log: Sequence[str] = (),
) -> Result:
    """The result of ``config``: looked up, or else computed, from a checkpoint if there is one.

    ``weights`` asks for the trained weights too: a result without them is computed again.
    ``force`` computes it again (with ``resume``, from a checkpoint if there is one). The old result
    stays until the new one replaces it. If another process is computing the run, it is left alone
    and `Busy`, a ``ValueError``, is raised. ``log`` names viewers that get the rows as they are
    computed, see `nslab.runs.loggers`; they also get a result that is looked up. Under ``accelerate
    launch`` all processes make the same call; the first one reads and writes.

    >>> from nslab import TrainConfig
    >>> config = TrainConfig("digits", "mlp", epochs=1, train_size=200)
    >>> run(config, show=False).id == run(config, show=False).id == config.id
    True
    >>> run(config, show=False).origin
    'stored'
    """
    state, folder = process_group(), folder_of(config)
    loggers.ready(log)
    if state.num_processes == 1 and not force and (cached := find(config, weights=weights)):
        return loggers.fill(config, cached, log)
    afresh = force and not resume
    with locked(folder, afresh=afresh) if state.is_main_process else nullcontext():
        look = state.is_main_process and not force
        cached = broadcast(find(config, weights=weights) if look else None)
        if cached:
            return cached
        env, before = environment() | {"begun": now()}, []
        if (form := config.training) and (own := provenance_of(form.dataset, form.image_size)):
            env["data"] = own
        if form and is_encoder(form.network):
            env["versions"] |= versions("transformers", "tokenizers")
        env[MADE_OF] = parts = made_of(config)
        if state.is_main_process:
            quarantine(folder)
            remove_partial_files(folder)
            if afresh:
                remove_interim(folder)
            write_text(folder / "config.json", json.dumps(encode(config), indent=1))
            write_text(folder / "env.json", json.dumps(env, indent=1))
            before = stretches.begin(config, folder, env)
        state.wait_for_everyone()
        names = log if state.is_main_process else ()
        with loggers.logging(config, names, fresh=afresh) as write_row:
            for needed in {c.id: c for c in config.requires()}.values():
                run(needed, weights=True, show=show, log=log)
            outcome = COMPUTE[config.kind](config, RunContext(folder, show, write_row))
            write_row.finish(outcome.history)
        if lacking := lacking_metrics(config.kind, outcome.metrics):
            raise NonFiniteLoss(f"the run ended without a finite number for {lacking}: it failed")
        if what := changed(config, env, data_only=True):  # code may hold counters that change
            raise ValueError(f"{', '.join(what)} changed while the run was computed: run it again")
        env = stretches.merge_environments(
            before, env | {MADE_OF: made_of(config) | parts, "finished": now()}
        )
        whole = broadcast(
            {
                "id": config.id,
                "config": encode(config),
                "metrics": outcome.metrics,
                "env": env,
                "files": kept_files(folder),
                "history": outcome.history,
            }
        )
        if state.is_main_process:
            write_result(folder, whole)
            remove_interim(folder)
    return Result(**whole, origin="computed", folder=folder)


@renamed_keywords(apart="subprocess", together="processes_per_run", board="monitor")
def run_all(
    configs: Sequence[RunConfig],
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    weights: bool = False,
    force: bool = False,
    show: bool = True,
    subprocess: bool | None = None,
    retries: int = 0,
    engine: Engine = run_local,
    processes_per_run: int = 1,
    monitor: Monitor | None = None,
    log: Sequence[str] = (),
) -> list[Result]:
    """Results of many runs, in the given order; finished ones are looked up.

    ``jobs`` > 1, or ``subprocess``, computes the others in child processes, after the runs that
    they require. One that fails is tried ``retries`` more times, from where it stopped. ``engine``
    runs those processes, here or elsewhere, ``devices`` (numbers of CUDA devices) are shared out
    among them, and ``processes_per_run`` > 1 uses that many for each run. A failing run does not
    stop the rest; at the end `RunsFailed` says which failed, why, and that the rest is kept. Raises
    ``ValueError`` before any work for ``jobs`` below 1 and for a class that child processes would
    not find, see `nslab.runs.portability`. ``monitor`` shows the progress, by default a new one;
    for ``weights``, ``force`` and ``log`` see `run`.

    >>> from nslab import TrainConfig
    >>> configs = [TrainConfig("digits", "mlp", epochs=1, train_size=200, seed=s) for s in (1, 2)]
    >>> [result.config["seed"] for result in run_all(configs, show=False)]
    [1, 2]
    """
    check_jobs(jobs)
    loggers.ready(log)
    here = {} if force else {c.id: find(c, weights=weights) for c in configs}
    todo = {c.id: c for c in configs if not here.get(c.id)}
    if show and len(configs) > 1:
        print(looked_up([here.get(c.id) for c in configs]), flush=True)
    computed: dict[str, Result] = {}
    failed: dict[str, str] = {}
    steps = stages(todo)
    every = {c.id: c for step in steps for c in step}
    if subprocess is None:
        subprocess = jobs > 1 or processes_per_run > 1 or engine is not run_local
    if subprocess:
        check_portable(list(every.values()))
        names = {c.id for c in configs} | {b.id for c in configs for b in c.requires()}
        max_parallel = min(jobs, max(1, len(names)))
        forced = set(todo) if force else set[str]()
        own = Monitor(max_parallel, show=show and bool(todo))
        with nullcontext(monitor) if monitor else own as shown:
            failed = run_in_subprocesses(
                steps,
                max_parallel,
                forced,
                weights,
                devices,
                retries,
                shown,
                log,
                engine,
                processes_per_run,
            )
    else:
        with Progress(len(todo), "runs", unit="run", show=show and len(todo) > 1) as bar:
            for name, config in todo.items():
                try:
                    computed[name] = run(config, weights=weights, force=force, show=show, log=log)
                except OutOfTime:
                    failed[name] = OUT_OF_TIME
                except (OSError, ValueError, NonFiniteLoss) as error:
                    failed[name] = str(error)  # says what to do
                except Exception:
                    failed[name] = traceback.format_exc(limit=-3)
                bar.advance(name)
    if failed:
        what = "\n".join(f"{name} ({label(every[name])}): {why}" for name, why in failed.items())
        kept, total = len(every) - len(failed), len(every)
        later = sum(why == OUT_OF_TIME for why in failed.values())
        said = f"{len(failed) - later} of {total} runs failed, {kept} are kept"
        said += f", {later} continue when the same command is given again" if later else ""
        raise RunsFailed(f"{said}.\n{what}", failed)
    results = [computed.get(config.id) or find(config) for config in configs]
    return [
        loggers.fill(config, result, () if config.id in every else log)
        for config, result in zip(configs, results, strict=True)
        if result is not None
    ]


def looked_up(found: Sequence[Result | None]) -> str:
    """A sentence on how many of some runs were found, where, and how many are to be computed;
    ``found`` has None for the latter."""
    counts = Counter(result.origin for result in found if result)
    whence = ", ".join(f"{count} {origin}" for origin, count in counts.items())
    have = f"{counts.total()} of {len(found)} runs looked up" + (f" ({whence})" if whence else "")
    return f"{have}, {len(found) - counts.total()} to compute"


def now() -> str:
    """The current time in UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def weights_of(
    parents: Sequence[Parent], *, show: bool = True, log: Sequence[str] = ()
) -> list[dict[str, Tensor]]:
    """The parents' states, on the CPU; runs that are not finished are computed first.

    Raises ``FileNotFoundError`` for an epoch that its run did not keep.
    """
    for config in {parent.config.id: parent.config for parent in parents}.values():
        run(config, weights=True, show=show, log=log)
    return read_states(parents)


__all__ = [
    "RESULT",
    "Result",
    "RunsFailed",
    "find",
    "find_frozen",
    "finished",
    "folder_of",
    "job",
    "read_result",
    "run",
    "run_all",
    "weights_of",
]
