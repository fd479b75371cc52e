"""Runs in processes of their own: required runs come first, and failed ones are tried again."""

import json
from collections.abc import Sequence, Set

from nslab.configs.labels import label
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.execution.local import OUT_OF_TIME, Ended, Engine, Job, no_result, run_with_retries
from nslab.execution.monitor import Monitor
from nslab.runs.folder import PROGRESS, folder_of, locked, remove_interim
from nslab.runs.results import find
from nslab.system.files import write_text
from nslab.system.locks import Busy
from nslab.system.plugins import digests
from nslab.system.progress import FILE
from nslab.system.safe_python import python_command


def run_in_subprocesses(
    steps: Sequence[Sequence[RunConfig]],
    max_parallel: int,
    forced: Set[str],
    weights: bool,
    devices: Sequence[str],
    retries: int,
    monitor: Monitor,
    log: Sequence[str],
    engine: Engine,
    processes_per_run: int = 1,
) -> dict[str, str]:
    """Compute runs step by step; returns why each run failed that did in the end, by its id.

    Runs of one step need only runs of earlier steps. Those with ids in ``forced`` begin afresh. A
    run is not tried if one that it requires failed. A run whose process exits with status 0 but
    leaves no result failed, too.
    """
    every = {config.id: config for step in steps for config in step}
    parents = {before.id for config in every.values() for before in config.requires()}
    failed: dict[str, str] = {}
    monitor.expect({name: label(config) for name, config in every.items()})

    def verified(end: Ended) -> Ended:
        return end if find(every[end.job.name], weights=weights) else no_result(end)

    for step in steps:
        ready = []
        for config in step:
            name = config.id
            if lost := [before.id for before in config.requires() if before.id in failed]:
                later = failed[lost[0]] == OUT_OF_TIME
                failed[name] = OUT_OF_TIME if later else f"its parent {lost[0]} failed"
                monitor.give_up(name)
            else:
                keep = weights or name in parents
                try:
                    ready.append(job(config, name in forced, keep, log, processes_per_run))
                except Busy as error:
                    failed[name] = str(error)
                    monitor.give_up(name)
        ends = run_with_retries(
            ready,
            max_parallel,
            devices=devices,
            retries=retries,
            verify=verified,
            on_start=monitor.start,
            on_end=monitor.end,
            engine=engine,
        )
        failed |= {end.job.name: end.why() for end in ends if end.status}
    return failed


def job(
    config: RunConfig,
    force: bool = False,
    weights: bool = False,
    log: Sequence[str] = (),
    processes_per_run: int = 1,
) -> Job:
    """The process that computes a run, or ``processes_per_run`` of them that do.

    With ``force``, the files that the run would continue from are removed now and not by the
    process, which can then be interrupted and continue. Raises `Busy` if another process is
    computing the run, since that would throw its work away.
    """
    folder, description = folder_of(config), json.dumps(encode(config), indent=1)
    try:
        with locked(folder, afresh=True):
            if force:
                remove_interim(folder)
            write_text(folder / "config.json", description)
            if plugins := digests():  # for a worker elsewhere that lacks them
                write_text(folder / "env.json", json.dumps({"plugins": plugins}))
            (folder / PROGRESS).unlink(missing_ok=True)  # of an attempt that was killed
    except Busy:
        if force:
            raise
        if not (folder / "config.json").exists():  # the worker reads it before it waits
            write_text(folder / "config.json", description)
    env = {"NSLAB_HEADLESS": "1", FILE: str(folder / PROGRESS)}
    command = python_command("nslab.runs.worker", str(folder), *(["--force"] if force else []))
    command += [*(["--weights"] if weights else []), *(f"--log={name}" for name in log)]
    if processes_per_run > 1:
        # accelerate's own launcher starts several CPU processes through MPI only
        options = ["--standalone", f"--nproc-per-node={processes_per_run}", "--no-python"]
        command = [*python_command("nslab.execution.launcher", *options), *command]
    return Job(config.id, command, folder / "log.txt", env)
