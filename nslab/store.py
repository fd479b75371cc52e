"""Runs by identity: look a run up before computing it, and never lose or repeat a finished one.

A run is a folder ``data/runs/<id>``; it is finished when ``result.json`` is there, which is
written last and in one step. Until then the folder holds a checkpoint to go on from. A lock per
run keeps two processes from computing the same one; it goes with its process, however that ends.
"""

import json
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout
from safetensors.torch import load_file
from torch import Tensor

from nslab import frozen
from nslab.checkpoint import CHECKPOINT, WEIGHTS, weights_file
from nslab.engine import Ended, Job, run_local
from nslab.epoch import NonFiniteLoss, Row
from nslab.evolve.loop import CHECKPOINT as EVOLUTION
from nslab.experiments.codec import decode, encode
from nslab.experiments.config import Parent, TrainConfig
from nslab.experiments.evolution import Config
from nslab.files import explaining, write_text
from nslab.improve import BEST, improve
from nslab.paths import runs_dir
from nslab.processes import processes
from nslab.progress import Progress
from nslab.provenance import environment, source_digest
from nslab.train import fit

RESULT = "result.json"


@dataclass(frozen=True)
class Result:
    """A finished run: config (as JSON), final numbers, one row per epoch, and where it was made.

    ``origin`` is ``"frozen"``, ``"stored"`` or ``"computed"``; ``folder`` holds its weights.
    """

    id: str
    config: dict[str, Any] = field(hash=False)
    metrics: Row = field(hash=False)
    history: list[Row] = field(hash=False)
    env: dict[str, Any] = field(hash=False)
    origin: str = "stored"
    folder: Path | None = None

    @property
    def other_source(self) -> bool:
        """Whether it was computed by other source code than the one running now."""
        return self.env.get("source") != source_digest()


class RunsFailed(RuntimeError):
    """Some runs failed, by their ids in ``failed``; the others are finished and kept."""

    def __init__(self, message: str, failed: dict[str, str]) -> None:
        super().__init__(message)
        self.failed = failed


def folder_of(config: Config) -> Path:
    """The folder of a run."""
    return runs_dir() / config.id


def find(config: Config, *, weights: bool = False) -> Result | None:
    """The finished run: from its folder, else from the frozen results in git, else None.

    With ``weights``, only a run whose weights are here; frozen results keep numbers only, and an
    ensemble has none.
    """
    folder, weights = folder_of(config), weights and config.leaves_weights
    if (stored := read_result(folder)) and not (weights and not (folder / WEIGHTS).exists()):
        return stored
    if weights:
        return None
    if row := frozen.find(config.id):
        return Result(config.id, encode(config), **row, origin="frozen")
    return None


def finished(configs: Sequence[Config]) -> list[Result]:
    """Those of the runs that are finished, here or frozen; nothing is computed."""
    return [result for config in configs if (result := find(config))]


def read_result(folder: Path) -> Result | None:
    """The result in a run's folder, or None. An unreadable file is set aside with a warning."""
    file = folder / RESULT
    try:
        return Result(**json.loads(file.read_text(encoding="utf-8")), folder=folder)
    except FileNotFoundError:
        return None
    except (json.JSONDecodeError, TypeError, UnicodeDecodeError) as error:
        aside = file.with_suffix(".broken")
        file.replace(aside)
        warnings.warn(f"{file} is broken ({error}), kept as {aside.name}", stacklevel=2)
        return None


def run(
    config: Config,
    *,
    weights: bool = False,
    force: bool = False,
    resume: bool = False,
    show: bool = True,
) -> Result:
    """The result of ``config``: looked up, or else computed, going on from a checkpoint if any.

    ``weights`` asks for the trained weights too: a result without them is computed again.
    ``force`` computes it afresh (with ``resume``, from a checkpoint if any); the old result stays
    until the new one takes its place. Under ``accelerate launch`` all processes call this alike and
    the first one reads and writes.
    """
    state, folder = processes(), folder_of(config)
    if state.num_processes == 1 and not force and (found := find(config, weights=weights)):
        return found
    with locked(folder) if state.is_main_process else nullcontext():
        look = state.is_main_process and not force
        found = from_first(find(config, weights=weights) if look else None)
        if found:
            return found
        env = environment()
        if state.is_main_process:
            if force and not resume:
                remove_interim(folder)
            write_text(folder / "config.json", json.dumps(encode(config), indent=1))
            write_text(folder / "env.json", json.dumps(env, indent=1))
        state.wait_for_everyone()
        parents = weights_of(config.parents(), show=show)
        if isinstance(config, TrainConfig):
            trained = fit(config, folder, show=show)
        else:
            trained = improve(config, parents, folder, show=show)
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


def remove_interim(folder: Path) -> None:
    """Remove what an unfinished run goes on from."""
    for file in (folder / CHECKPOINT, folder / EVOLUTION, *folder.glob(BEST.format("*"))):
        file.unlink(missing_ok=True)


def from_first(value: Any) -> Any:
    """The first process's value, in every process: their clocks and look-ups may differ."""
    return broadcast_object_list([value])[0] if processes().num_processes > 1 else value


def run_all(
    configs: Sequence[Config],
    *,
    jobs: int = 1,
    devices: Sequence[str] = (),
    engine: Callable[..., list[Ended]] | None = None,
    processes: int = 1,
    weights: bool = False,
    force: bool = False,
    show: bool = True,
) -> list[Result]:
    """Results of many runs, in their order; those that are finished are looked up.

    ``jobs`` > 1 computes the others in processes of their own, trained parents before what is made
    of them; ``engine`` does so elsewhere, called as `run_local` is (`nslab.slurm.run_slurm`), and
    ``processes`` > 1 computes each run by so many of them together. ``weights`` asks for weights
    too. A failing run does not stop the rest; at the end `RunsFailed` says which failed, why, and
    that the rest is kept.
    """
    todo = {c.id: c for c in configs if force or not find(c, weights=weights)}
    computed: dict[str, Result] = {}
    failed: dict[str, str] = {}
    first = {p.config.id: p.config for c in todo.values() for p in c.parents()}
    every = first | todo
    apart = jobs > 1 or processes > 1 or engine is not None
    for again in (True, False):
        group = [c for name, c in first.items() if (name in todo) == again]
        if not apart or not group:
            continue
        try:
            computed |= {
                result.id: result
                for result in run_all(
                    group,
                    jobs=jobs,
                    devices=devices,
                    engine=engine,
                    processes=processes,
                    weights=True,
                    force=force and again,
                    show=show,
                )
            }
        except RunsFailed as error:
            failed |= error.failed
    if apart:
        todo = {name: c for name, c in todo.items() if name not in first}
        for name, config in list(todo.items()):
            if lost := [p.config.id for p in config.parents() if p.config.id in failed]:
                failed[name] = f"its parent {lost[0]} failed"
                del todo[name]
    with Progress(len(todo), "runs", unit="run", show=show and len(todo) > 1) as bar:
        if not apart:
            for name, config in todo.items():
                try:
                    computed[name] = run(config, weights=weights, force=force, show=show)
                except (OSError, ValueError, NonFiniteLoss) as error:
                    failed[name] = str(error)  # says what to do
                except Exception:
                    failed[name] = traceback.format_exc(limit=-3)
                bar.advance(name)
        elif todo:

            def on_end(end: Ended) -> None:
                if end.status:
                    failed[end.job.name] = f"exit status {end.status}\n{end.tail()}"
                elif not find(todo[end.job.name], weights=weights):
                    failed[end.job.name] = f"it ended, but left nothing here\n{end.tail()}"
                bar.advance(end.job.name)

            made = [job(c, force, weights, processes) for c in todo.values()]
            (engine or run_local)(made, jobs, devices=devices, on_end=on_end)
    if failed:
        what = "\n".join(f"{name} ({every[name].about}): {why}" for name, why in failed.items())
        kept, total = len(every) - len(failed), len(every)
        raise RunsFailed(f"{len(failed)} of {total} runs failed, {kept} are kept.\n{what}", failed)
    results = [computed.get(config.id) or find(config) for config in configs]
    return [result for result in results if result is not None]


def weights_of(parents: Sequence[Parent], *, show: bool = True) -> list[dict[str, Tensor]]:
    """The parents' states, on the CPU; runs that are not there are computed first.

    Raises ``FileNotFoundError`` for an epoch that its run did not keep.
    """
    configs = {parent.config.id: parent.config for parent in parents}
    results = {name: run(config, weights=True, show=show) for name, config in configs.items()}
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
        states.append(load_file(file))
    return states


def job(config: Config, force: bool = False, weights: bool = False, processes: int = 1) -> Job:
    """The process that computes a run, or several that do it together.

    A forced one begins afresh here and now, so that it can go on wherever it is cut short.
    """
    folder = folder_of(config)
    if force:
        remove_interim(folder)
    write_text(folder / "config.json", json.dumps(encode(config), indent=1))
    # accelerate's own launcher starts several CPU processes through MPI only
    together = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    command = [sys.executable, *(together if processes > 1 else []), "-m", "nslab.store"]
    command += [str(folder), *(["--force"] if force else []), *(["--weights"] if weights else [])]
    return Job(config.id, command, folder / "log.txt", {"NSLAB_HEADLESS": "1"})


def locked(folder: Path) -> FileLock:
    """The lock of a run, taken; says so when another process has it."""
    with explaining(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(f"run {folder.name} is being computed by another process: waiting", flush=True)
            lock.acquire()
    return lock


def main(folder: Path, options: Sequence[str]) -> None:
    """Compute the run whose ``config.json`` lies in ``folder``."""
    config = decode(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    run(config, weights="--weights" in options, force="--force" in options, resume=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
