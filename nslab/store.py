"""Runs by identity: look a run up before computing it, and never lose or repeat a finished one.

A run is a folder ``data/runs/<id>``; it is finished when ``result.json`` is there, which is
written last and in one step. Until then the folder holds a checkpoint to go on from. A lock per
run keeps two processes from computing the same one; it goes with its process, however that ends.
"""

import json
import time
import traceback
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from torch import Tensor

from nslab import logs
from nslab.batch import compute_apart, job
from nslab.board import Board
from nslab.checkpoint import read_weights, weights_file
from nslab.engine import Engine, run_local
from nslab.epoch import NonFiniteLoss
from nslab.experiments.codec import encode
from nslab.experiments.config import Parent, TrainConfig
from nslab.experiments.evolution import Config
from nslab.experiments.pretraining import PretrainConfig, losses_of
from nslab.files import write_text
from nslab.folders import RESULT, folder_of, locked, remove_halves, remove_interim
from nslab.improve import improve
from nslab.lossnet import Pretrained
from nslab.processes import from_first, processes
from nslab.progress import Progress
from nslab.provenance import environment
from nslab.results import (
    Result,
    find,
    find_frozen,
    finished,
    needed,
    read_result,
    set_aside,
    stages,
)
from nslab.train import Trained, fit


class RunsFailed(RuntimeError):
    """Some runs failed, by their ids in ``failed``; the others are finished and kept."""

    def __init__(self, message: str, failed: dict[str, str]) -> None:
        super().__init__(message)
        self.failed = failed


def run(
    config: Config,
    *,
    weights: bool = False,
    force: bool = False,
    resume: bool = False,
    show: bool = True,
    log: Sequence[str] = (),
) -> Result:
    """The result of ``config``: looked up, or else computed, going on from a checkpoint if any.

    ``weights`` asks for the trained weights too: a result without them is computed again.
    ``force`` computes it afresh (with ``resume``, from a checkpoint if any); the old result stays
    until the new one takes its place. ``log`` names viewers that its rows are written for as they
    come, see `nslab.logs`; they get a result that is looked up too. Under ``accelerate launch`` all
    processes call this alike and the first one reads and writes.
    """
    state, folder = processes(), folder_of(config)
    logs.ready(log)
    if state.num_processes == 1 and not force and (found := find(config, weights=weights)):
        return logs.fill(config, found, log)
    with locked(folder) if state.is_main_process else nullcontext():
        look = state.is_main_process and not force
        found = from_first(find(config, weights=weights) if look else None)
        if found:
            return found
        env = environment()
        if state.is_main_process:
            set_aside(folder)
            remove_halves(folder)
            if force and not resume:
                remove_interim(folder)
            write_text(folder / "config.json", json.dumps(encode(config), indent=1))
            write_text(folder / "env.json", json.dumps(env, indent=1))
        state.wait_for_everyone()
        names = log if state.is_main_process else ()
        with logs.logging(config, names, fresh=force and not resume) as told:
            trained = compute(config, folder, show, log, told)
            told.finish(trained.history)
        env["finished"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        whole = from_first(
            {
                "id": config.id,
                "config": encode(config),
                "metrics": trained.metrics,
                "history": trained.history,
                "env": env,
            }
        )
        if state.is_main_process:
            write_text(folder / RESULT, json.dumps(whole, indent=1))
            remove_interim(folder)
    return Result(**whole, origin="computed", folder=folder)


def compute(
    config: Config, folder: Path, show: bool, log: Sequence[str], told: logs.Log
) -> Trained | Pretrained:
    """Compute a run, what it needs first; ``told`` hears of its rows."""
    if isinstance(config, PretrainConfig):
        return config.evolve(folder if processes().is_main_process else None, show=show)
    for loss in losses_of(config):
        run(loss, weights=True, show=show, log=log)
    parents = weights_of(config.parents(), show=show, log=log)
    if isinstance(config, TrainConfig):
        return fit(config, folder, show=show, on_epoch=told)
    return improve(config, parents, folder, show=show, on_generation=told)


def run_all(
    configs: Sequence[Config],
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    weights: bool = False,
    force: bool = False,
    show: bool = True,
    apart: bool | None = None,
    retries: int = 0,
    engine: Engine = run_local,
    together: int = 1,
    board: Board | None = None,
    log: Sequence[str] = (),
) -> list[Result]:
    """Results of many runs, in their order; those that are finished are looked up.

    ``jobs`` > 1, or ``apart``, computes the others in processes of their own, what a run needs
    before it; one that fails is tried ``retries`` times more, from where it was. ``engine`` runs
    those processes, here or elsewhere, and ``together`` > 1 computes each run by so many.
    ``weights`` asks for weights too. A failing run does not stop the rest; at the end `RunsFailed`
    says which failed, why, and that the rest is kept.
    ``board`` shows how it goes, by default one of its own; for ``log`` see `run`.
    """
    logs.ready(log)
    todo = {c.id: c for c in configs if force or not find(c, weights=weights)}
    computed: dict[str, Result] = {}
    failed: dict[str, str] = {}
    steps = stages(todo)
    every = {c.id: c for step in steps for c in step}
    if jobs > 1 or together > 1 or engine is not run_local if apart is None else apart:
        names = {c.id for c in configs} | {b.id for c in configs for b in needed(c)}
        at_once = min(jobs, max(1, len(names)))
        forced = set(todo) if force else set[str]()
        with nullcontext(board) if board else Board(at_once, show=show and bool(todo)) as shown:
            failed = compute_apart(
                steps, at_once, forced, weights, devices, retries, shown, log, engine, together
            )
    else:
        with Progress(len(todo), "runs", unit="run", show=show and len(todo) > 1) as bar:
            for name, config in todo.items():
                try:
                    computed[name] = run(config, weights=weights, force=force, show=show, log=log)
                except (OSError, ValueError, NonFiniteLoss) as error:
                    failed[name] = str(error)  # says what to do
                except Exception:
                    failed[name] = traceback.format_exc(limit=-3)
                bar.advance(name)
    if failed:
        what = "\n".join(f"{name} ({every[name].about}): {why}" for name, why in failed.items())
        kept, total = len(every) - len(failed), len(every)
        raise RunsFailed(f"{len(failed)} of {total} runs failed, {kept} are kept.\n{what}", failed)
    results = [computed.get(config.id) or find(config) for config in configs]
    return [
        logs.fill(config, result, () if config.id in every else log)
        for config, result in zip(configs, results, strict=True)
        if result is not None
    ]


def weights_of(
    parents: Sequence[Parent], *, show: bool = True, log: Sequence[str] = ()
) -> list[dict[str, Tensor]]:
    """The parents' states, on the CPU; runs that are not there are computed first.

    Raises ``FileNotFoundError`` for an epoch that its run did not keep.
    """
    configs = {parent.config.id: parent.config for parent in parents}
    results = {n: run(config, weights=True, show=show, log=log) for n, config in configs.items()}
    states = []
    for parent in parents:
        epoch, config = parent.epoch, parent.config
        if epoch is not None and epoch < 0:
            epoch += results[config.id].metrics["epochs"] + 1
        file = weights_file(folder_of(config), epoch)
        if not file.exists():
            raise FileNotFoundError(
                f"{file} is missing: run {config.id} kept its last {config.keep_last} of "
                f"{results[config.id].metrics['epochs']} epochs. If the file was removed, "
                "nslab.run(config, force=True) makes it again"
            )
        states.append(read_weights(file))
    return states


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
