"""Differential evolution's operators: picking members, combining them to mutants, selection.

A mutant is a linear combination of members, so a strategy is just a choice of members and their
weights (`Terms`); `nslab.evolve.breeding` does the arithmetic on genes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve.breeding import Terms

Members = Int[Tensor, " t"]
PerTarget = Float[Tensor, " t"]
FitnessVector = Float[Tensor, " np"]  # of every member; less is better


def draw_picks(np: int, targets: Members, k: int, gen: torch.Generator) -> Int[Tensor, "t k"]:
    """For each target ``k`` different members other than the target, drawn uniformly.

    Raises ``ValueError`` if the population has too few.
    """
    if k > np - 1:
        raise ValueError(f"{k} picks beside the target need a population of {k + 1}, not {np}")
    keys = torch.rand(len(targets), np, generator=gen, dtype=torch.float64)
    keys.scatter_(1, targets[:, None], 2.0)  # the target itself comes last
    return keys.topk(k, largest=False).indices


@dataclass(frozen=True, eq=False)
class Draws:
    """What strategies make mutants from.

    Attributes:
        fitness: of every member.
        targets, picks: members; a strategy uses as many picks as it needs, the first ones.
        f: scaling factor of each target.
        best: for each target the member that serves as "best".
        k: for each target the K of `current_to_rand_1`, from U(0, 1).
    """

    fitness: FitnessVector
    targets: Members
    picks: Int[Tensor, "t _"]
    f: PerTarget
    best: Members
    k: PerTarget


def _terms(picks: Sequence[Members], weights: Sequence[PerTarget]) -> Terms:
    return Terms(torch.stack(list(picks), 1), torch.stack(list(weights), 1))


def rand_1(d: Draws) -> Terms:
    """S1: r1 + F (r2 - r3)."""
    return _terms(d.picks[:, :3].unbind(1), (torch.ones_like(d.f), d.f, -d.f))


def current_to_best_1(d: Draws) -> Terms:
    """S2: i + F (best - i) + F (r1 - r2).

    NOTE: the paper writes r2 - r3 and leaves r1 unused, which is the same in distribution.
    """
    return _terms((d.targets, d.best, *d.picks[:, :2].unbind(1)), (1 - d.f, d.f, d.f, -d.f))


def current_to_best_2(d: Draws) -> Terms:
    """i + F (best - i) + F (r1 - r2) + F (r3 - r4), what SaDE calls rand-to-best/2.

    NOTE: not among the paper's strategies, although it names SaDE as their source.
    """
    members = (d.targets, d.best, *d.picks[:, :4].unbind(1))
    return _terms(members, (1 - d.f, d.f, d.f, -d.f, d.f, -d.f))


def rand_2(d: Draws) -> Terms:
    """S3: r1 + F (r2 - r3) + F (r4 - r5)."""
    return _terms(d.picks[:, :5].unbind(1), (torch.ones_like(d.f), d.f, -d.f, d.f, -d.f))


def current_to_rand_1(d: Draws) -> Terms:
    """S4: i + K (r1 - i) + F (r2 - r3), with one K from U(0, 1) for all genes of a target."""
    return _terms((d.targets, *d.picks[:, :3].unbind(1)), (1 - d.k, d.k, d.f, -d.f))


def trigonometric(d: Draws) -> Terms:
    """S_Trigo (Fan and Lampinen 2003): the mean of three picks, drawn towards the better of them.

    With p_i = |L_i| / sum |L|, the paper's (p2 - p1)(r1 - r2) + (p3 - p2)(r2 - r3) +
    (p1 - p3)(r3 - r1) + (r1 + r2 + r3) / 3 is sum_i (4/3 - 3 p_i) r_i: the order of the picks does
    not matter. Where the sum is 0 or not finite, each p_i is 1/3.

    NOTE: F plays no part, so what is learnt about this strategy's F has no effect.
    """
    trio = d.picks[:, :3]
    loss = d.fitness.to(d.f.dtype)[trio].abs()
    total = loss.sum(1, keepdim=True)
    known = (total > 0) & total.isfinite()
    p = torch.where(known, loss / total, torch.full_like(loss, 1 / 3))
    return Terms(trio, 4 / 3 - 3 * p)


class Mutation(NamedTuple):
    """A strategy: how many picks it needs, and the function that makes terms of them."""

    picks: int
    terms: Callable[[Draws], Terms]


MUTATIONS: dict[str, Mutation] = {
    "rand/1": Mutation(3, rand_1),
    "current-to-best/1": Mutation(2, current_to_best_1),
    "rand/2": Mutation(5, rand_2),
    "current-to-rand/1": Mutation(3, current_to_rand_1),
    "trigonometric": Mutation(3, trigonometric),
    "current-to-best/2": Mutation(4, current_to_best_2),
}


def check_size(np: int, strategies: Sequence[str]) -> None:
    """Raise ``ValueError`` if a population of ``np`` is too small for one of the strategies."""
    for name in strategies:
        needed = MUTATIONS[name].picks + 1
        if np < needed:
            raise ValueError(
                f"mutation {name!r} needs a population of at least {needed}, not {np}: "
                "take more members or leave the strategy out"
            )


def mixed(strategies: Sequence[str], strategy: Members, draws: Draws) -> Terms:
    """Terms of targets that each have a strategy of their own, an index into ``strategies``.

    Unused slots have weight 0 and name the target itself.
    """
    every = [MUTATIONS[name].terms(draws) for name in strategies]
    width = max(terms.picks.shape[1] for terms in every)
    members = draws.targets[None, :, None].repeat(len(every), 1, width)
    weights = draws.f.new_zeros(members.shape)
    for s, terms in enumerate(every):
        members[s, :, : terms.picks.shape[1]] = terms.picks
        weights[s, :, : terms.picks.shape[1]] = terms.weights
    rows = torch.arange(len(draws.targets))
    return Terms(members[strategy, rows], weights[strategy, rows])


def mutate(
    name: str,
    x: Float[Tensor, "np d"],
    fitness: FitnessVector,
    targets: Members,
    picks: Int[Tensor, "t _"],
    f: PerTarget,
    best: Members | None = None,
    k: PerTarget | None = None,
) -> Float[Tensor, "t d"]:
    """Mutants of the targets by the strategy ``name``, in a population given as a matrix; for
    notebooks and tests.

    ``best`` is by default the fittest member, ``k`` 1/2. Raises ``ValueError`` for a population
    that is too small.
    """
    check_size(len(x), [name])
    best = fittest(fitness).expand(len(targets)) if best is None else best
    k = torch.full_like(f, 0.5) if k is None else k
    terms = MUTATIONS[name].terms(Draws(fitness, targets, picks, f, best, k))
    return (terms.weights.to(x.dtype)[:, :, None] * x[terms.picks]).sum(1)


def fittest(fitness: FitnessVector) -> Int[Tensor, ""]:
    """The member of lowest fitness; NaN counts as infinite."""
    return fitness.nan_to_num(torch.inf, torch.inf, -torch.inf).argmin()


def p_best(fitness: FitnessVector, p: float, u: PerTarget) -> Members:
    """For each u of U[0, 1) one of the best 100 p % of the members (at least two); p = 0: the
    best."""
    if p == 0:
        return fittest(fitness).expand(len(u))
    ranked = fitness.nan_to_num(torch.inf, torch.inf, -torch.inf).argsort(stable=True)
    many = min(max(2, round(p * len(fitness))), len(fitness))
    return ranked[(u * many).long()]


def survives(parent: PerTarget, trial: PerTarget, ties: bool = False) -> Bool[Tensor, " t"]:
    """Which trials take their parent's place: those strictly better (``ties``: or equal).

    A trial that is not finite never wins; a parent that is NaN loses to any finite trial.
    """
    better = trial <= parent if ties else trial < parent  # [DE Eq. 1]
    return trial.isfinite() & (better | parent.isnan())
