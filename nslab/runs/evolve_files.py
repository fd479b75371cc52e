"""Evolve anyone's checkpoints: files in, the best network out; ``nslab evolve``."""

import sys
from pathlib import Path

import torch
from tqdm.auto import tqdm

from nslab.configs.evolve_files import Task
from nslab.datasets.image_folder import prepared
from nslab.evolve import EVOLVERS
from nslab.networks.external import build_external, fitted, loading, tried
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.neuroevolution.evolution import Evolved, evolve
from nslab.runs.evolve_files_record import BEST, Record
from nslab.system.distributed import process_group


def evolve_files(
    task: Task,
    folder: Path | str = "evolved",
    *,
    device: str | None = None,
    workers: int = 4,
    show: bool = True,
) -> Evolved:
    """Evolve checkpoint files and write the best network into ``folder``, see `Record`.

    Killed at any moment, the same call goes on where it was, to the bit on one device. Several
    processes (torchrun) share the work. ``workers`` threads decode images.

    Raises ``ValueError``, before any work, for files, data and models that do not fit each other
    and for a folder with another evolution; later for an image that cannot be read.
    """
    place, say = (
        device_of(device),
        printed if show and process_group().is_main_process else say_nothing,
    )
    states = from_checkpoints(task.parents)
    data = prepared(
        task.data,
        device=place,
        batch_size=task.batch_size,
        share=task.held_out,
        seed=task.seed,
        augment=task.augment,
        size=task.size,
        workers=workers,
        rank=process_group().process_index,
        world=process_group().num_processes,
    )
    keys = list(states[0])
    model = build_external(task.model, data.shape, data.num_classes, keys)
    states = fitted(model, states, task.parents, data.num_classes)
    model.load_state_dict(states[0])
    tried(model.to(place), data.shape, data.num_classes, place)
    record = Record(task, Path(folder), data, model, keys, say)
    record.check()
    if data.batch_size < task.batch_size:
        say(f"batches have {data.batch_size} images: {task.data} has no {task.batch_size} to spare")
    try:
        record.begin(states)
        evolved = evolve(
            model,
            states,
            data.train.nth,
            EVOLVERS[task.evolver],
            task,
            seed=task.seed,
            folder=Path(folder),
            show=show,
            on_batch=record.after_batch,
        )
    except torch.OutOfMemoryError as error:
        raise ValueError(f"the device's memory is too small, try microbatch: {error}") from None
    finally:
        data.close()  # a batch ahead is decoded, which nobody will ask for
    for line in record.summary() if record.main else ():
        say(line)
    code = loading(task.model, data.shape, data.num_classes, Path(folder) / BEST)
    say("\n".join(["to load it:", *code]))
    return evolved


def device_of(name: str | None) -> torch.device:
    """The device of that name, by default CUDA's where it is there; ``ValueError`` if it cannot
    be had, or if a launcher of several processes has given each its own."""
    group = process_group()
    if name is None:
        return group.device
    if group.num_processes > 1:
        raise ValueError("device is for one process: of several each has its own already")
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"device {name!r} cannot be had: {reason}") from None


def printed(line: str) -> None:
    """Print without tearing a progress bar; at once, also into a file."""
    tqdm.write(line)
    sys.stdout.flush()


def say_nothing(line: str) -> None:
    """Say nothing."""


__all__ = ["Task", "evolve_files"]
