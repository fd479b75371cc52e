"""The evolver protocol: what moves a population must define, and what it may define.

An evolver is a frozen dataclass of hyper-parameters with the members of `Evolver`. The further
members of `CompleteEvolver` have defaults: a class gets them by inheriting from it, any other
evolver from `completed`.
"""

from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from types import new_class
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve.population import Population
from nslab.types import Row

S = TypeVar("S", bound=Any)  # a frozen dataclass with fields population and fitness
T = TypeVar("T", bound=Any)  # a frozen dataclass with the fields of Trials


@dataclass(frozen=True, eq=False)
class Trials:
    """Candidates in the spare rows of the members ``targets``.

    ``changed``: False where the candidate equals its member bit for bit. Such a candidate need not
    be scored: it loses whatever fitness it is given.
    """

    targets: Int[Tensor, " t"]
    changed: Bool[Tensor, " t"]


@runtime_checkable
class Evolver(Protocol[S, T]):
    """Moves a population; fitness is minimised, and a candidate whose fitness is not finite loses.

    ``init`` gives the state before the first generation and refuses populations that are too small
    (``ValueError``). ``ask`` writes candidates into the population's spare rows, touches no
    member, and draws from ``gen`` alone. ``tell`` selects, given the candidates' fitness in order
    of ``trials.targets``.
    """

    @property
    def min_population(self) -> int: ...

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> S: ...

    def ask(self, state: S, gen: torch.Generator) -> T: ...

    def tell(self, state: S, trials: T, fitness: Float[Tensor, " t"]) -> S: ...


@runtime_checkable
class CompleteEvolver(Evolver[S, T], Protocol[S, T]):
    """An evolver with its optional members; these are their defaults."""

    @property
    def generational(self) -> bool:
        """Whether each generation is drawn around one vector and replaces all members. The search
        for a loss then starts at one vector, and does not score members again on other pairs."""
        return False

    @property
    def strategies(self) -> tuple[str, ...]:
        """Names of the strategies that `report` counts separately; none by default."""
        return ()

    def population_size(self, members: int) -> int:
        """NP when this many members are asked for."""
        return members

    def for_batches(self, generations: int) -> Evolver[S, T]:
        """The evolver for data that change after this many generations."""
        return self

    def rescore(self, state: S, fitness: Float[Tensor, " np"]) -> S:
        """The same members with their fitness on other data."""
        return replace(state, fitness=checked_fitness(fitness, len(state.fitness)))

    def best(self, state: S) -> Float[Tensor, " d"]:
        """A copy of the vector that is the result: the member of lowest finite fitness."""
        fitness = torch.where(state.fitness.isfinite(), state.fitness, torch.inf)
        return state.population.member(int(fitness.argmin())).clone()

    def report(self, before: S, trials: T, after: S) -> Row:
        """A generation in numbers: ``best`` and ``mean`` of the members' finite fitness, how many
        trials were ``asked`` (that is, scored), and ``wins``, how many of them are members now."""
        finite = after.fitness[after.fitness.isfinite()]
        return {
            "best": float(finite.min()) if len(finite) else torch.inf,
            "mean": float(finite.mean()) if len(finite) else torch.inf,
            "asked": int(trials.changed.sum()),
            "wins": int((before.population.members != after.population.members).sum()),
        }

    def state_dict(self, state: S) -> dict[str, Any]:
        """Tensors and plain values for ``torch.save``, from which `load` continues bit for bit.
        Tensors are not copied: the next generation writes into them."""
        saved: dict[str, Any] = _plain(state)
        return saved

    def load(self, saved: dict[str, Any], device: torch.device | str = "cpu") -> S:
        """The state that returned ``saved`` from `state_dict`: the population on ``device``, other
        tensors where `init` puts them."""
        population = Population.from_state(saved["population"])
        population = replace(population, rows=population.rows.to(device))
        like = self.init(population, saved["fitness"])
        return _restored(saved | {"population": population.state_dict()}, like)


def completed(evolver: Evolver, generations: int | None = None) -> CompleteEvolver[Any, Any]:
    """``evolver`` with the defaults of `CompleteEvolver` for all that it lacks; with
    ``generations``, adapted by `for_batches` to data that change after so many generations."""
    if generations is not None:
        return completed(completed(evolver).for_batches(generations))
    if isinstance(evolver, CompleteEvolver):
        return evolver
    cls: Any = type(evolver)
    given = {f.name: getattr(evolver, f.name) for f in fields(cls) if f.init}
    whole: CompleteEvolver[Any, Any] = _with_defaults(cls)(**given)
    return whole


@cache
def _with_defaults(cls: type) -> type:
    """A subclass in which the defaults come last; it has the name of ``cls``, as ``repr`` shows."""
    names = {"__qualname__": cls.__qualname__, "__module__": cls.__module__}
    return new_class(
        cls.__name__, (cls, CompleteEvolver), exec_body=lambda body: body.update(names)
    )


def checked_fitness(fitness: Float[Tensor, " n"], n: int) -> Float[Tensor, " n"]:
    """Fitness on the CPU in double precision; ``ValueError`` unless there are ``n`` of them."""
    if fitness.shape != (n,):
        raise ValueError(f"fitness must be of shape ({n},), not {tuple(fitness.shape)}")
    return fitness.detach().to("cpu", torch.float64)


def _plain(value: Any) -> Any:
    """A dataclass as a dict, nested ones too; anything else unchanged."""
    if not is_dataclass(value):
        return value
    return {f.name: _plain(getattr(value, f.name)) for f in fields(value)}


def _restored(saved: Any, like: Any) -> Any:
    """The inverse of `_plain`, with the classes and devices of ``like``."""
    if is_dataclass(like) and not isinstance(like, type):
        parts = {name: _restored(part, getattr(like, name)) for name, part in saved.items()}
        return replace(like, **parts)
    return saved.to(like.device) if isinstance(like, Tensor) else saved
