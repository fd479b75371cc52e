"""Synthetic landscapes in the plane, on which differential evolution can be watched."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from nslab.evolve.breeding import breed
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.operators import MUTATIONS, Draws, draw_picks, fittest, survives
from nslab.evolve.population import Population
from nslab.rng import generator, stream_seed

REACH = 4.0  # landscapes are shown from -REACH to REACH
# The members that each strategy's formula names.
TAKES = {
    "rand/1": "r1 r2 r3",
    "current-to-best/1": "i best r1 r2",
    "rand/2": "r1 r2 r3 r4 r5",
    "current-to-rand/1": "i r1 r2 r3",
    "trigonometric": "r1 r2 r3",
}
Points = Float[Tensor, "*n 2"]
LandscapeLosses = Float[Tensor, "*n"]


def two_valleys(x: Points) -> LandscapeLosses:
    """A deep valley at (2, 1.5) and a shallow one at (-2, -1.5) in a wide bowl; positive."""
    a, b = x.unbind(-1)
    deep = 2.6 * torch.exp(-((a - 2) ** 2) / 3 - (b - 1.5) ** 2 / 1.5)
    shallow = 1.8 * torch.exp(-((a + 2) ** 2) / 2 - (b + 1.5) ** 2 / 3)
    return 3 - deep - shallow + 0.05 * (a**2 + b**2)


def ripples(x: Points) -> LandscapeLosses:
    """A bowl with many local minima, as Rastrigin's function but wider apart; the global minimum,
    0, is at the origin."""
    return (x**2 / 8 + (1 - torch.cos(torch.pi * x)) / 2).sum(-1)


LANDSCAPES: dict[str, Callable[[Points], LandscapeLosses]] = {
    "two_valleys": two_valleys,
    "ripples": ripples,
}


def plane(landscape: str, points: int = 121) -> tuple[Tensor, LandscapeLosses]:
    """Coordinates along an axis, and the loss at every pair of them (rows: second coordinate)."""
    axis = torch.linspace(-REACH, REACH, points, dtype=torch.float64)
    b, a = torch.meshgrid(axis, axis, indexing="ij")
    return axis, LANDSCAPES[landscape](torch.stack([a, b], -1))


def initial_population(members: int, seed: int) -> Float[Tensor, "np 2"]:
    """An initial population, uniform over the plane except for its rim."""
    u = torch.rand(members, 2, generator=generator(seed, "settlers"), dtype=torch.float64)
    return 0.85 * REACH * (2 * u - 1)


@dataclass(frozen=True, eq=False)
class MutationStep:
    """``factor`` times the difference of two points, ``end`` - ``origin``."""

    factor: float
    origin: Points
    end: Points

    @property
    def vector(self) -> Points:
        """The step itself."""
        return self.factor * (self.end - self.origin)


@dataclass(frozen=True, eq=False)
class MutantSketch:
    """How one strategy makes one mutant, and the trial that crossover makes of it.

    Attributes:
        start, steps: the terms of the strategy's formula from left to right.
        used: name in the formula -> number of the member.
        mutant, trial: as bred by `nslab.evolve.breeding.breed`.
        loss: of the trial.
        survives: whether the trial replaces the target.
    """

    strategy: str
    start: Points
    steps: list[MutationStep]
    used: dict[str, int]
    mutant: Points
    trial: Points
    loss: float
    survives: bool


def sketches(
    landscape: str,
    x: Float[Tensor, "np 2"],
    target: int,
    strategies: Sequence[str],
    f: float,
    cr: float,
    seed: int,
) -> list[MutantSketch]:
    """A mutant of ``target`` by each strategy, all from the same picks, F and K."""
    losses = LANDSCAPES[landscape](x)
    only, gen = torch.tensor([target]), generator(seed, "sketches", target)
    picks = draw_picks(len(x), only, 5, gen)
    k = torch.rand(1, generator=gen, dtype=torch.float64)
    best = fittest(losses)
    draws = Draws(losses, only, picks, torch.full_like(k, f), best[None], k)
    made = []
    for name in strategies:
        terms, children = MUTATIONS[name].terms(draws), []
        for rate in (1.0, cr):
            population = Population.of(x)
            key = stream_seed(seed, "crossover", name)
            breed(population, terms, torch.full_like(k, rate), key, only)
            children.append(population.trial(target).clone())
        names = {"i": target, "best": int(best)}
        names |= {f"r{j + 1}": int(pick) for j, pick in enumerate(picks[0])}
        places = {who: x[member] for who, member in names.items()}
        shares = losses[picks[0, :3]].abs() / losses[picks[0, :3]].abs().sum()
        start, steps = _written_out(name, places, f, float(k), shares)
        used = {who: names[who] for who in TAKES[name].split()}
        loss = LANDSCAPES[landscape](children[1])
        better = bool(survives(losses[only], loss[None])[0])
        made.append(
            MutantSketch(name, start, steps, used, children[0], children[1], float(loss), better)
        )
    return made


def _written_out(
    name: str, at: dict[str, Points], f: float, k: float, p: Tensor
) -> tuple[Points, list[MutationStep]]:
    """A strategy's formula term by term: the first point, and the steps that are added to it."""
    first, second = MutationStep(f, at["r3"], at["r2"]), MutationStep(f, at["r5"], at["r4"])
    towards = MutationStep(f, at["i"], at["best"])
    trio = [at[who] for who in ("r1", "r2", "r3")]
    differences = [
        MutationStep(float(p[(j + 1) % 3] - p[j]), trio[(j + 1) % 3], trio[j]) for j in range(3)
    ]
    return {
        "rand/1": (at["r1"], [first]),
        "current-to-best/1": (at["i"], [towards, MutationStep(f, at["r2"], at["r1"])]),
        "rand/2": (at["r1"], [first, second]),
        "current-to-rand/1": (at["i"], [MutationStep(k, at["i"], at["r1"]), first]),
        "trigonometric": (torch.stack(trio).mean(0), differences),
    }[name]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A population over the generations, the initial one first.

    Attributes:
        x, losses: position and loss of every member.
        strategy: number of the strategy that made it; -1 for initial members.
    """

    x: Float[Tensor, "g np 2"]
    losses: Float[Tensor, "g np"]
    strategy: Int[Tensor, "g np"]


def evolve_on(
    evolver: AdaptiveDE, landscape: str, x: Float[Tensor, "np 2"], generations: int, seed: int
) -> Trajectory:
    """A population's evolution on a landscape, from the positions ``x``."""
    loss = LANDSCAPES[landscape]
    state = evolver.init(Population.of(x), loss(x))
    made = torch.full((len(x),), -1)
    course = [(x, state.fitness, made)]
    for g in range(generations):
        trials = evolver.ask(state, generator(seed, "settle", g))
        after = evolver.tell(state, trials, loss(state.population.rows[state.population.spare]))
        won = after.population.members != state.population.members
        made, state = torch.where(won, trials.strategy, made), after
        course.append((state.population.x(), state.fitness, made))
    return Trajectory(*(torch.stack(part) for part in zip(*course, strict=True)))
