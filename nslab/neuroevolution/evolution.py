"""Evolve trained networks: batches of data, some generations on each, resumable.

Source: the DE paper, Algorithm 1 (second stage) and section 4.2. NOTE: its stopping thresholds have
no values; it reports 20 batches of ten generations, which are the defaults here.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from jaxtyping import Int
from torch import Tensor, nn

from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, Evolver, completed
from nslab.neuroevolution.batch_parts import BatchParts
from nslab.neuroevolution.fitness import Fitness, Mode
from nslab.neuroevolution.options import DEFAULTS, GENES, EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout, Tensors
from nslab.rng import generator
from nslab.system.distributed import process_group
from nslab.system.progress import Progress
from nslab.system.seals import load_torch, save_torch, set_aside
from nslab.types import AUTOCAST, Batch, Pair

CHECKPOINT = "evolution.pt"


class OtherEvolution(ValueError):
    """A folder holds the population of another evolution."""


@dataclass
class Evolved:
    """An evolving population.

    Attributes:
        model: a network of the population's architecture.
        layout: where each parameter lies in a vector of genes.
        extras: what the members have besides their genes.
        evolver, state: what moves the population, and its state.
        history: one row per generation, the evolver's ``report``.
    """

    model: nn.Module
    layout: ParameterLayout
    extras: Extras
    evolver: CompleteEvolver
    state: Any
    history: list[dict[str, Any]]

    @property
    def best(self) -> int:
        """The member with the lowest fitness on the last batch."""
        return int(self.state.fitness.argmin())

    def network(self, member: int | None = None) -> nn.Module:
        """A network with a member's parameters and buffers; by default the parameters that the
        evolver calls best and the buffers of the `best` member."""
        i, population = self.best if member is None else member, self.state.population
        genes = self.evolver.best(self.state) if member is None else population.member(i)
        model = copy.deepcopy(self.model)
        self.layout.write(genes, model)
        self.extras.write(model, i, int(population.members[i]))
        return model.eval()


def evolve(
    model: nn.Module,
    parents: Sequence[nn.Module | Tensors],
    batch_of: Callable[[int], Pair | Batch | BatchParts],
    evolver: Evolver,
    options: EvolveOptions = DEFAULTS,
    *,
    seed: int = 0,
    calibration: Sequence[Tensor] = (),
    mode: Mode = "auto",
    folder: Path | None = None,
    show: bool = True,
    on_batch: Callable[[Evolved], dict[str, Any]] | None = None,
) -> Evolved:
    """Evolve the networks ``parents`` (modules, or state dicts of ``model``), [DE Alg. 1].

    ``batch_of(k)`` gives images and labels of batch k, always the same: as a pair, as a `Batch`
    (which a loader's ``nth`` returns) or, if they do not fit into memory, as `BatchParts`. Fitness
    is the mean cross-entropy on them. All members are scored again when the batch changes (the
    evolver's ``rescore``); the evolver is told beforehand how many generations a batch lasts
    (``for_batches``). ``calibration``: batches for the policy ``"recalibrate"``. ``on_batch`` is
    called with the population after each batch; the numbers it returns are added to the last row
    of the history.

    ``mode`` is that of `Fitness`: ``"auto"`` measures, so two evolutions may differ by rounding.
    With a ``folder`` the state is saved after each batch, and an interrupted evolution continues
    from it, bit for bit on the same device. Several processes (torchrun, accelerate) share the
    scoring. ``show`` displays a progress bar.

    Raises ``ValueError`` for fewer parents than the evolver needs, for a state of another network,
    and when no member has a finite loss; `OtherEvolution` for a ``folder`` of another evolution.
    """
    layout = ParameterLayout.of(model, options.exempt_head)
    if len(parents) < evolver.min_population:
        raise ValueError(
            f"{type(evolver).__name__} needs at least {evolver.min_population} parents, not "
            f"{len(parents)}: {evolver}"
        )
    device = next(model.parameters()).device
    batches, generations = options.batches, options.generations
    fitness = Fitness(model, layout, options, mode=mode)
    evolver = completed(evolver, generations)
    score = partial(fitness, calibration=tuple(calibration))
    np = len(parents)
    rows = torch.empty(2 * np, layout.size, dtype=GENES[options.dtype], device=device)
    for row, parent in zip(rows[:np], parents, strict=True):
        layout.vector(parent, out=row)
    extras, batch = Extras.of(model, layout, parents), pair(batch_of(0))
    fixed = [*extras.heads.values(), *extras.buffers.values(), batch[1]]
    name = evolution_id([*rows[:np], *fixed], evolver, options, seed, mode, batch[0].shape)
    saved = read_evolution(folder, name)
    check_batches_done(saved)
    if saved is None:
        population = Population(rows, torch.arange(np), torch.arange(np, 2 * np))
        losses = score(population, extras, *batch)
        check_losses_finite(losses, 0)
        state = evolver.init(population, losses)
        evolved, done = Evolved(model, layout, extras, evolver, state, []), 0
    else:
        del rows
        evolved, done = restore(saved, model, layout, evolver, fitness)
    main = process_group().is_main_process
    with Progress(batches, "evolution", unit="batch", show=show and main) as bar:
        if done:
            bar.resume(done)
        for k in range(done, batches):
            x, y = pair(batch_of(k)) if k else batch
            if k:
                losses = score(evolved.state.population, evolved.extras, x, y)
                check_losses_finite(losses, k)
                evolved.state = evolver.rescore(evolved.state, losses)
            for g in range(generations):
                generation(evolved, score, x, y, seed, k, g)
            if on_batch:
                evolved.history[-1] |= on_batch(evolved)
            if folder and main:
                save_evolution(evolved, fitness, folder, name, k + 1)
            row = evolved.history[-1]
            bar.advance(f"best loss {row['best']:.4f}, {row['wins']} of {row['asked']} won")
    return evolved


def check_losses_finite(losses: Tensor, k: int) -> None:
    """``ValueError`` if no member has a finite loss on batch k."""
    if not losses.isfinite().any():
        raise ValueError(
            f"no member has a finite loss on batch {k} (from 0): look at its images and labels, or "
            "score in float32"
        )


def pair(batch: Pair | Batch | BatchParts) -> tuple[Tensor | BatchParts, Tensor]:
    """Images (or `BatchParts`, which makes them in parts) and labels."""
    if isinstance(batch, BatchParts):
        return batch, batch.y
    return (batch.x, batch.y) if isinstance(batch, Batch) else batch


def generation(
    evolved: Evolved,
    score: Callable[..., Tensor],
    x: Tensor | BatchParts,
    y: Int[Tensor, " b"],
    seed: int,
    k: int,
    g: int,
) -> None:
    """Generation g on batch k: ask, score what changed, tell, and add a row to the history."""
    evolver, before = evolved.evolver, evolved.state
    trials = evolver.ask(before, generator(seed, "evolve", k, g))
    losses = torch.full((len(trials.targets),), torch.inf, dtype=torch.float64)
    asked = trials.changed
    losses[asked] = score(before.population, evolved.extras, x, y, trials.targets[asked])
    evolved.state = evolver.tell(before, trials, losses)
    row = evolver.report(before, trials, evolved.state)
    evolved.history.append({"batch": k, "generation": g} | row)


def evolution_id(
    tensors: Sequence[Tensor],
    evolver: Evolver,
    options: EvolveOptions,
    seed: int,
    mode: Mode,
    shape: torch.Size,
) -> str:
    """Twelve hexadecimal digits that hash the parents, the first batch's labels and all options.
    The options are written as version 0.1.0 did, so that its checkpoints are still found."""
    words: list[object] = [evolver, options.batches, options.generations, seed]
    words += [
        options.exempt_head,
        options.policy,
        GENES[options.dtype],
        AUTOCAST[options.precision],
    ]
    words += [options.microbatch, mode, shape]
    digest = hashlib.sha256(repr(words).encode())
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def check_batches_done(saved: dict[str, Any] | None) -> None:
    """``ValueError`` unless all processes found the same number of batches done; otherwise scores
    of different populations would be mixed."""
    done = (
        gather_object([saved["done"] if saved else 0]) if process_group().num_processes > 1 else [0]
    )
    if len(set(done)) > 1:
        raise ValueError(
            f"the processes found {done} batches done: give all of them the same folder, on a disk "
            "that they share"
        )


def save_evolution(evolved: Evolved, fitness: Fitness, folder: Path, name: str, done: int) -> None:
    """Save the state after ``done`` batches."""
    saved = {
        "name": name,
        "done": done,
        "state": evolved.evolver.state_dict(evolved.state),
        "extras": evolved.extras.state_dict(),
        "score": fitness.state_dict(),
        "history": evolved.history,
    }
    save_torch(saved, folder / CHECKPOINT)


def read_evolution(folder: Path | None, name: str) -> dict[str, Any] | None:
    """What `save_evolution` left in ``folder``, or None if there is nothing.

    A damaged file is set aside with a warning. Raises `OtherEvolution` for a file of another
    evolution: a population may have cost days, so it is never overwritten without being asked.
    """
    file = folder / CHECKPOINT if folder else None
    if file is None or not file.exists():
        return None
    try:
        saved = dict(load_torch(file))
        found = saved["name"]
    except FileNotFoundError:  # another process of this run has set it aside
        return None
    except (ValueError, TypeError, LookupError) as error:
        set_aside(file, f"{error}; the evolution starts again")
        return None
    if found != name:
        raise OtherEvolution(
            f"{file} belongs to an evolution of other parents or options: use another folder, or "
            "remove the file to start afresh"
        )
    return saved


def restore(
    saved: dict[str, Any],
    model: nn.Module,
    layout: ParameterLayout,
    evolver: CompleteEvolver,
    fitness: Fitness,
) -> tuple[Evolved, int]:
    """What `save_evolution` saved, on the model's device, and the number of batches done."""
    device, extras = next(model.parameters()).device, saved["extras"]
    moved = {part: {n: t.to(device) for n, t in extras[part].items()} for part in extras}
    fitness.load_state_dict(saved["score"])
    state, history = evolver.load(saved["state"], device), list(saved["history"])
    evolved = Evolved(model, layout, Extras.from_state(moved), evolver, state, history)
    return evolved, int(saved["done"])
