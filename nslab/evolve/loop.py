"""Evolve trained networks: batches of data, some generations on each, taken up where it stopped.

Source: the DE paper, Algorithm 1 (second stage) and section 4.2. NOTE: its stopping thresholds have
no values; it reports 20 batches of ten generations, which are the defaults here.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import gather_object
from jaxtyping import Int
from torch import Tensor, nn

from nslab.evolve.de import AdaptiveDE
from nslab.evolve.fitness import Fitness, Mode, Policy
from nslab.evolve.flat import Extras, Layout, Tensors
from nslab.evolve.population import Population
from nslab.evolve.pso import PSO, PSOState
from nslab.evolve.record import generation_row
from nslab.evolve.state import DEState
from nslab.files import read_tensors, replacing
from nslab.processes import processes
from nslab.progress import Progress
from nslab.rng import generator
from nslab.types import Batch

Evolver = AdaptiveDE | PSO
Pair = tuple[Tensor, Int[Tensor, " b"]]
BatchOf = Callable[[int], Pair | Batch]
CHECKPOINT = "evolution.pt"


@dataclass
class Evolved:
    """A population in evolution: the form of its networks, who they are, and what happened.

    ``history`` has a row per generation, see `generation_row`.
    """

    model: nn.Module
    layout: Layout
    extras: Extras
    state: DEState | PSOState
    history: list[dict[str, Any]]

    @property
    def best(self) -> int:
        """The member with the lowest fitness on the last batch."""
        return int(self.state.fitness.argmin())

    def network(self, member: int | None = None) -> nn.Module:
        """A network with a member's parameters and buffers, by default the `best`'s."""
        i, population = self.best if member is None else member, self.state.population
        model = copy.deepcopy(self.model)
        self.layout.write(population.member(i), model)
        self.extras.write(model, i, int(population.members[i]))
        return model.eval()


def evolve(
    model: nn.Module,
    parents: Sequence[nn.Module | Tensors],
    batch_of: BatchOf,
    evolver: Evolver,
    *,
    batches: int = 20,
    generations: int = 10,
    seed: int = 0,
    exempt_head: bool = True,
    policy: Policy = "inherit",
    calibration: Sequence[Tensor] = (),
    dtype: torch.dtype = torch.float32,
    autocast: torch.dtype | None = None,
    microbatch: int | None = None,
    mode: Mode = "auto",
    folder: Path | None = None,
    show: bool = True,
    on_batch: Callable[[Evolved], dict[str, Any]] | None = None,
) -> Evolved:
    """Evolve the networks ``parents`` (modules, or state dicts of ``model``), [DE Alg. 1].

    ``batch_of(k)`` gives images and labels of batch k, as a pair or as a loader's ``nth`` does, the
    same whenever it is asked. Fitness is the mean cross-entropy there. All parents are scored anew
    when the batch changes, where the sinusoids of an `AdaptiveDE` begin anew too, to last for
    ``generations``. What BatchNorm does is the ``policy`` of `Fitness`, which also takes
    ``calibration``. ``on_batch`` sees the population after each batch and may add numbers to its
    last row.

    ``mode`` is that of `Fitness`: ``"auto"`` measures, so two evolutions may differ by rounding.
    With a ``folder`` the state after each batch is kept and an interrupted evolution goes on from
    it, to the bit on one device. Several processes (torchrun, accelerate) share the scoring.

    Raises ``ValueError`` for fewer parents than the evolver needs, for a state of another network,
    and when no parent has a finite loss.
    """
    layout, device = Layout.of(model, exempt_head), next(model.parameters()).device
    if len(parents) < evolver.min_population:
        raise ValueError(
            f"{type(evolver).__name__} with these strategies needs at least "
            f"{evolver.min_population} parents, not {len(parents)}"
        )
    fitness = Fitness(model, layout, policy, autocast=autocast, microbatch=microbatch, mode=mode)
    if isinstance(evolver, AdaptiveDE):
        evolver = replace(evolver, batch_generations=generations)
    score = partial(fitness, calibration=tuple(calibration))
    np = len(parents)
    rows = torch.empty(2 * np, layout.size, dtype=dtype, device=device)
    for row, parent in zip(rows[:np], parents, strict=True):
        layout.vector(parent, out=row)
    extras, batch = Extras.of(model, layout, parents), pair(batch_of(0))
    options = (batches, generations, seed, exempt_head, policy, dtype, autocast, microbatch, mode)
    fixed = [*extras.heads.values(), *extras.buffers.values(), batch[1]]
    name = identity([*rows[:np], *fixed], [evolver, *options, batch[0].shape])
    saved = read(folder, name)
    agree(saved)
    if saved is None:
        population = Population(rows, torch.arange(np), torch.arange(np, 2 * np))
        losses = score(population, extras, *batch)
        check_finite(losses, 0)
        evolved, done = Evolved(model, layout, extras, evolver.init(population, losses), []), 0
    else:
        del rows
        evolved, done = restored(saved, model, layout, evolver, fitness)
    main = processes().is_main_process
    with Progress(batches, "evolution", unit="batch", show=show and main) as bar:
        if done:
            bar.resume(done)
        for k in range(done, batches):
            x, y = pair(batch_of(k)) if k else batch
            if k:
                losses = score(evolved.state.population, evolved.extras, x, y)
                check_finite(losses, k)
                evolved.state = evolver.rescore(evolved.state, losses)  # type: ignore[arg-type]
            for g in range(generations):
                generation(evolved, evolver, score, x, y, seed, k, g)
            if on_batch:
                evolved.history[-1] |= on_batch(evolved)
            if folder and main:
                keep(evolved, evolver, fitness, folder, name, k + 1)
            row = evolved.history[-1]
            bar.advance(f"best loss {row['best']:.4f}, {row['wins']} of {row['asked']} won")
    return evolved


def check_finite(losses: Tensor, k: int) -> None:
    """``ValueError`` if no member has a finite loss on batch k."""
    if not losses.isfinite().any():
        raise ValueError(
            f"no member has a finite loss on batch {k} (from 0): look at its images and labels, or "
            "score in float32"
        )


def pair(batch: Pair | Batch) -> Pair:
    """Images and labels."""
    return (batch.x, batch.y) if isinstance(batch, Batch) else batch


def generation(
    evolved: Evolved,
    evolver: Evolver,
    score: Callable[..., Tensor],
    x: Tensor,
    y: Int[Tensor, " b"],
    seed: int,
    k: int,
    g: int,
) -> None:
    """Generation g on batch k: ask, score what changed, tell, and note what happened."""
    before: Any = evolved.state
    trials: Any = evolver.ask(before, generator(seed, "evolve", k, g))
    losses = torch.full((len(trials.targets),), torch.inf, dtype=torch.float64)
    asked = trials.changed
    losses[asked] = score(before.population, evolved.extras, x, y, trials.targets[asked])
    evolved.state = evolver.tell(before, trials, losses)
    row = generation_row(before, trials, evolved.state, evolver)
    evolved.history.append({"batch": k, "generation": g} | row)


def identity(tensors: Sequence[Tensor], options: Sequence[object]) -> str:
    """Twelve hexadecimal digits that hash the parents, the first batch's labels and all options."""
    digest = hashlib.sha256(repr(options).encode())
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]


def agree(saved: dict[str, Any] | None) -> None:
    """``ValueError`` unless all processes found the same number of batches done: their scores of
    different populations would be mixed."""
    done = gather_object([saved["done"] if saved else 0]) if processes().num_processes > 1 else [0]
    if len(set(done)) > 1:
        raise ValueError(
            f"the processes found {done} batches done: give all of them the same folder, on a disk "
            "that they share"
        )


def keep(
    evolved: Evolved, evolver: Evolver, fitness: Fitness, folder: Path, name: str, done: int
) -> None:
    """Keep the state after a batch."""
    saved = {
        "name": name,
        "done": done,
        "state": evolver.state_dict(evolved.state),  # type: ignore[arg-type]
        "extras": evolved.extras.state_dict(),
        "score": fitness.state_dict(),
        "history": evolved.history,
    }
    with replacing(folder / CHECKPOINT) as temporary:
        try:
            torch.save(saved, temporary)
        except RuntimeError as error:  # torch's writer does not say what the system said
            raise OSError(f"{folder} could not be written; is the disk full? ({error})") from error


def read(folder: Path | None, name: str) -> dict[str, Any] | None:
    """What `keep` left in ``folder``, or None if there is nothing.

    Raises ``ValueError`` if the folder holds another evolution, or a file that cannot be read: a
    population may have cost days, so nothing is thrown away unasked.
    """
    file = folder / CHECKPOINT if folder else None
    if file is None or not file.exists():
        return None
    try:
        saved = read_tensors(file)
    except ValueError as error:
        raise ValueError(f"{error}. Remove it to start afresh.") from None
    if saved["name"] != name:
        raise ValueError(
            f"{file} belongs to an evolution of other parents or options: take another folder, or "
            "remove it to start afresh"
        )
    return dict(saved)


def restored(
    saved: dict[str, Any], model: nn.Module, layout: Layout, evolver: Evolver, fitness: Fitness
) -> tuple[Evolved, int]:
    """The evolution that `keep` kept, on the model's device, and the number of batches done."""
    device = next(model.parameters()).device
    state, extras = saved["state"], saved["extras"]
    for holder, name in ((state["population"], "rows"), (state, "velocity")):
        if name in holder:
            holder[name] = holder[name].to(device)
    moved = {part: {n: t.to(device) for n, t in extras[part].items()} for part in extras}
    fitness.load_state_dict(saved["score"])
    found = Evolved(
        model, layout, Extras.from_state(moved), evolver.load(state), list(saved["history"])
    )
    return found, int(saved["done"])
