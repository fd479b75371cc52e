"""Landscapes on which differential evolution can be watched: two made up in the plane, and the loss
of a network about its last epochs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.evolve import adaptation
from nslab.evolve.adaptation import Law, StrategyBank, SuccessHistory
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.fitness import Fitness
from nslab.evolve.flat import Extras, Layout, Tensors
from nslab.evolve.generation import breed
from nslab.evolve.operators import MUTATIONS, Draws, draw_picks, fittest, survives
from nslab.evolve.population import Population
from nslab.rng import generator, stream_seed

REACH = 4.0  # landscapes are shown from -REACH to REACH
FINE = 20  # points of a curve between two whole generations
# What the formulas of strategies name.
TAKES = {
    "rand/1": "r1 r2 r3",
    "current-to-best/1": "i best r1 r2",
    "rand/2": "r1 r2 r3 r4 r5",
    "current-to-rand/1": "i r1 r2 r3",
    "trigonometric": "r1 r2 r3",
}
Points = Float[Tensor, "*n 2"]
Losses = Float[Tensor, "*n"]


def two_valleys(x: Points) -> Losses:
    """A deep valley at (2, 1.5) and a shallow one at (-2, -1.5) in a wide bowl; above 0."""
    a, b = x.unbind(-1)
    deep = 2.6 * torch.exp(-((a - 2) ** 2) / 3 - (b - 1.5) ** 2 / 1.5)
    shallow = 1.8 * torch.exp(-((a + 2) ** 2) / 2 - (b + 1.5) ** 2 / 3)
    return 3 - deep - shallow + 0.05 * (a**2 + b**2)


def ripples(x: Points) -> Losses:
    """A bowl with many hollows like Rastrigin's, but wider; the lowest, 0, at the origin."""
    return (x**2 / 8 + (1 - torch.cos(torch.pi * x)) / 2).sum(-1)


LANDSCAPES: dict[str, Callable[[Points], Losses]] = {
    "two_valleys": two_valleys,
    "ripples": ripples,
}


def plane(landscape: str, points: int = 121) -> tuple[Tensor, Losses]:
    """Places along an axis, and the loss at every pair of them (rows: second coordinate)."""
    axis = torch.linspace(-REACH, REACH, points, dtype=torch.float64)
    b, a = torch.meshgrid(axis, axis, indexing="ij")
    return axis, LANDSCAPES[landscape](torch.stack([a, b], -1))


def settlers(members: int, seed: int) -> Float[Tensor, "np 2"]:
    """A population spread evenly over the plane but for its rim."""
    u = torch.rand(members, 2, generator=generator(seed, "settlers"), dtype=torch.float64)
    return 0.85 * REACH * (2 * u - 1)


@dataclass(frozen=True, eq=False)
class Step:
    """``factor`` times the way from one point to another."""

    factor: float
    origin: Points
    end: Points

    @property
    def vector(self) -> Points:
        """The step itself."""
        return self.factor * (self.end - self.origin)


@dataclass(frozen=True, eq=False)
class Sketch:
    """How one strategy makes one mutant, and what crossover leaves of it.

    Attributes:
        start, steps: the strategy's formula read from left to right.
        used: the members it takes, under their names there.
        mutant, trial: as the library breeds them; ``loss`` is the trial's.
        survives: whether that is less than the target's.
    """

    strategy: str
    start: Points
    steps: list[Step]
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
) -> list[Sketch]:
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
        made.append(Sketch(name, start, steps, used, children[0], children[1], float(loss), better))
    return made


def _written_out(
    name: str, at: dict[str, Points], f: float, k: float, p: Tensor
) -> tuple[Points, list[Step]]:
    """A strategy's formula term by term, not as one linear combination."""
    first, second = Step(f, at["r3"], at["r2"]), Step(f, at["r5"], at["r4"])
    towards = Step(f, at["i"], at["best"])
    trio = [at[who] for who in ("r1", "r2", "r3")]
    turns = [Step(float(p[(j + 1) % 3] - p[j]), trio[(j + 1) % 3], trio[j]) for j in range(3)]
    return {
        "rand/1": (at["r1"], [first]),
        "current-to-best/1": (at["i"], [towards, Step(f, at["r2"], at["r1"])]),
        "rand/2": (at["r1"], [first, second]),
        "current-to-rand/1": (at["i"], [Step(k, at["i"], at["r1"]), first]),
        "trigonometric": (torch.stack(trio).mean(0), turns),
    }[name]


@dataclass(frozen=True, eq=False)
class Course:
    """A population over the generations, the initial one first.

    Attributes:
        x, losses: of every member; ``strategy``: which made it, -1 for the initial members.
    """

    x: Float[Tensor, "g np 2"]
    losses: Float[Tensor, "g np"]
    strategy: Int[Tensor, "g np"]


def settle(
    evolver: AdaptiveDE, landscape: str, x: Float[Tensor, "np 2"], generations: int, seed: int
) -> Course:
    """Let a population evolve on a landscape."""
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
    return Course(*(torch.stack(part) for part in zip(*course, strict=True)))


def sinusoids(frequencies: Sequence[float], evolver: AdaptiveDE) -> pd.DataFrame:
    """F by both sinusoids: columns kind, frequency, g, f, and whether g is whole.

    Between whole generations, by finer ones of an accordingly lower frequency.
    """
    g_max, lines = FINE * evolver.batch_generations, []
    slow = torch.tensor(list(frequencies), dtype=torch.float64) / FINE
    for g in range(FINE, g_max + 1):
        falling = [adaptation.decreasing(g, g_max, nu) for nu in slow.tolist()]
        shares = {
            "decreasing": torch.tensor(falling, dtype=torch.float64),
            "increasing": adaptation.increasing(g, g_max, slow),
        }
        for kind, share in shares.items():
            f = adaptation.scaled(share, evolver.f_range).tolist()
            for frequency, value in zip(frequencies, f, strict=True):
                line = {"kind": kind, "frequency": frequency, "g": g / FINE, "f": value}
                lines.append(line | {"whole": g % FINE == 0})
    return pd.DataFrame(lines)


def drawn_factors(evolver: AdaptiveDE, count: int, seed: int) -> pd.DataFrame:
    """F drawn about an archive that has learnt nothing yet, by either law: columns law, f."""
    u = torch.rand(count, generator=generator(seed, "factors"), dtype=torch.float64)
    centre, scale = torch.full_like(u, evolver.f), evolver.f_std
    scale = scale * (evolver.f_range[1] - evolver.f_range[0])
    laws: tuple[Law, ...] = ("normal", "cauchy")
    parts = [
        pd.DataFrame(
            {"law": law, "f": adaptation.draw_positive(u, centre, scale, evolver.f_range, law)}
        )
        for law in laws
    ]
    return pd.concat(parts, ignore_index=True)


def archived(
    successes: Sequence[tuple[Sequence[float], Sequence[float]]], history: int, start: float
) -> Float[Tensor, "g h"]:
    """An archive's cells before the first and after every generation of (values, gains)."""
    archive = SuccessHistory.of(1, history, start)
    cells = [archive.cells[0]]
    for values, gains in successes:
        strategy = torch.zeros(len(values), dtype=torch.long)
        f, gain = (torch.tensor(list(part), dtype=torch.float64) for part in (values, gains))
        archive = archive.update(strategy, f, gain)
        cells.append(archive.cells[0])
    return torch.stack(cells)


def rivalry(
    rates: Sequence[dict[str, float]], generations: int, members: int, history: int, seed: int
) -> pd.DataFrame:
    """P_S where success rates are made up: columns generation, strategy, rate, probability.

    Every entry of ``rates`` holds for ``generations``; a probability is that of the next trials.
    """
    names, gen = list(rates[0]), generator(seed, "rivalry")
    bank, lines = StrategyBank.of(len(names), history), []
    for g in range(generations * len(rates)):
        now = torch.tensor([rates[g // generations][name] for name in names], dtype=torch.float64)
        chosen = bank.probabilities().multinomial(members, replacement=True, generator=gen)
        won = torch.rand(members, generator=gen, dtype=torch.float64) < now[chosen]
        bank = bank.update(chosen, won)
        for name, rate, share in zip(names, now, bank.probabilities(), strict=True):
            line = {"generation": g + 1, "strategy": name, "rate": float(rate)}
            lines.append(line | {"probability": float(share)})
    return pd.DataFrame(lines)


@dataclass(frozen=True, eq=False)
class Brood:
    """Children of one network of a population.

    Attributes:
        table: columns strategy, kind (mutant or trial), loss.
        losses: of all parents; ``target``: the one whose children they are.
        changes: of every gene from the target to a strategy's first mutant.
    """

    table: pd.DataFrame
    losses: Float[Tensor, " np"]
    target: int
    changes: dict[str, Float[Tensor, " d"]]


def brood(
    model: nn.Module,
    layout: Layout,
    parents: Sequence[nn.Module | Tensors],
    batch: tuple[Tensor, Int[Tensor, " b"]],
    strategies: Sequence[str],
    *,
    draws: int,
    f: float,
    cr: float,
    seed: int,
) -> Brood:
    """Mutants of the network of median loss, and the trials that crossover makes of them.

    All strategies get the same picks, F and K, so they differ by what they make of them. What does
    not evolve is the target's.
    """
    # Not "auto": which way is the faster one, and with it the last digits, varies between runs.
    fitness, np = Fitness(model, layout, "parent", mode="loop"), len(parents)
    x = torch.stack([layout.vector(parent) for parent in parents])
    losses = fitness(Population.of(x), Extras.of(model, layout, parents), *batch)
    target = int(losses.argsort()[np // 2])
    # One population of as many copies of the target as it gets children, and of all parents.
    order = [target] * draws + list(range(np))
    population = Population.of(x[order])
    extras = Extras.of(model, layout, [parents[i] for i in order])
    gen, copies = generator(seed, "brood"), torch.arange(draws)
    picks = draws + draw_picks(np, torch.full((draws,), target), min(5, np - 1), gen)
    k = torch.rand(draws, generator=gen, dtype=torch.float64)
    best = (draws + fittest(losses)).expand(draws)
    given = Draws(losses[order], copies, picks, torch.full_like(k, f), best, k)
    lines, changes = [], {}
    for name in strategies:
        for kind, rate in (("trial", cr), ("mutant", 1.0)):
            terms, rates = MUTATIONS[name].terms(given), torch.full_like(k, rate)
            breed(population, terms, rates, stream_seed(seed, "brood"), copies)
            found = fitness(population, extras, *batch, copies)
            lines += [{"strategy": name, "kind": kind, "loss": loss} for loss in found.tolist()]
        changes[name] = population.trial(0) - x[target]
    return Brood(pd.DataFrame(lines), losses, target, changes)
