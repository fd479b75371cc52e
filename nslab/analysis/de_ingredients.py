"""The ingredients of differential evolution one by one: how F is drawn, how strategies compete, and
which losses the children of a network have."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.evolve import adaptation
from nslab.evolve.adaptation import Law, StrategyBank, SuccessHistory
from nslab.evolve.breeding import breed
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.operators import MUTATIONS, Draws, draw_picks, fittest
from nslab.evolve.population import Population
from nslab.neuroevolution.fitness import Fitness
from nslab.neuroevolution.options import EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout, Tensors
from nslab.rng import generator, stream_seed

FINE = 20  # points of a curve between two whole generations


def sinusoids(frequencies: Sequence[float], evolver: AdaptiveDE) -> pd.DataFrame:
    """F by both sinusoids: columns kind, frequency, g, f, and whether g is ``whole``.

    Values between whole generations are computed with ``FINE`` times as many generations at a
    frequency that is lower by the same factor.
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
    """``count`` draws of F by either law around an archive's initial value: columns law, f."""
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
    """An archive's cells before the first and after every generation.

    ``successes`` has for each generation the successful values and their gains; the archive has
    ``history`` cells, which hold ``start`` at first.
    """
    archive = SuccessHistory.of(1, history, start)
    cells = [archive.cells[0]]
    for values, gains in successes:
        strategy = torch.zeros(len(values), dtype=torch.long)
        f, gain = (torch.tensor(list(part), dtype=torch.float64) for part in (values, gains))
        archive = archive.update(strategy, f, gain)
        cells.append(archive.cells[0])
    return torch.stack(cells)


def rivalry_table(
    rates: Sequence[dict[str, float]], generations: int, members: int, history: int, seed: int
) -> pd.DataFrame:
    """The probabilities of strategies whose true success rates are given: columns generation,
    strategy, rate, probability (of the next generation's trials).

    Each entry of ``rates`` (strategy -> success rate) holds for ``generations``; every generation
    has ``members`` trials, and the bank remembers ``history`` generations.
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
class Children:
    """Children of one network of a population.

    Attributes:
        table: columns strategy, kind (mutant or trial), loss.
        losses: of all parents.
        target: number of the parent whose children they are.
        changes: strategy -> its first mutant minus the target, for every gene.
    """

    table: pd.DataFrame
    losses: Float[Tensor, " np"]
    target: int
    changes: dict[str, Float[Tensor, " d"]]


def offspring_losses(
    model: nn.Module,
    layout: ParameterLayout,
    parents: Sequence[nn.Module | Tensors],
    batch: tuple[Tensor, Int[Tensor, " b"]],
    strategies: Sequence[str],
    *,
    draws: int,
    f: float,
    cr: float,
    seed: int,
) -> Children:
    """Mutants of the network of median loss, and trials by crossover, ``draws`` per strategy.

    All strategies get the same picks, F and K, so that only their formulas differ. Weights that do
    not evolve are the target's.
    """
    # Not "auto": which mode is faster, and with it the last digits of losses, varies between runs.
    fitness, np = Fitness(model, layout, EvolveOptions(policy="parent"), mode="loop"), len(parents)
    x = torch.stack([layout.vector(parent) for parent in parents])
    losses = fitness(Population.of(x), Extras.of(model, layout, parents), *batch)
    target = int(losses.argsort()[np // 2])
    # One population: a copy of the target for each child, then all parents.
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
    return Children(pd.DataFrame(lines), losses, target, changes)
