"""Differential evolution, plain and adaptive, up to SA-SHADE-tri-ensin.

Source: "Evolving Deep Neural Network's Weights at ImageNet Scale", sections 3, 3.1 and 3.2. Where
the paper leaves something open, `AdaptiveDE` has a field whose default is our interpretation.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from nslab.evolve import adaptation
from nslab.evolve.adaptation import Law, Range, RecentSuccesses, StrategyBank, SuccessHistory
from nslab.evolve.breeding import breed
from nslab.evolve.operators import (
    MUTATIONS,
    Draws,
    check_size,
    draw_picks,
    mixed,
    p_best,
    survives,
)
from nslab.evolve.population import Population
from nslab.evolve.protocol import CompleteEvolver, checked_fitness
from nslab.evolve.state import DEState, DETrials, strategy_numbers
from nslab.system.validation import check_fields, omitted_means
from nslab.types import Row


@dataclass(frozen=True)
class AdaptiveDE(CompleteEvolver[DEState, DETrials]):
    """The ingredients of the paper's algorithm; the defaults are DE/rand/1/bin with its ranges.

    Attributes:
        strategies: names of `MUTATIONS`; each target draws one of them.
        adapt_strategy: draw the strategy by recent success, P_S; otherwise uniformly.
        adapt_f: F is ``"fixed"``, ``"normal"`` around ``f``, or ``"shade"``: drawn around what
            succeeded.
        adapt_cr: Cr is ``"fixed"``, normal around the ``"mean"`` or ``"median"`` of recent
            successes (SADE of 2005 and of 2009), or ``"shade"``: around what succeeded, weighted
            by gain.
        f, cr: the fixed value, or the initial centre of the draws. NOTE: the paper gives only
            ranges; we start in their middle.
        f_range, cr_range: limits of the draws; sinusoids are scaled to the first.
        f_law: distribution of F around its centre. NOTE: the paper says normal, its source SHADE
            Cauchy.
        f_std, cr_std: scale of these draws as a share of the range. NOTE: the paper's V; it gives
            no value.
        cr_mean: what SHADE's Cr archive stores. NOTE: the paper writes the Lehmer mean for F "as an
            example"; SHADE of 2013 uses the arithmetic mean for Cr.
        sinusoid: ``"off"``, or in the first half of a batch's generations a coin flipped per
            ``"individual"`` or per ``"generation"`` chooses between two sinusoids for F. NOTE:
            LSHADE-EpSin flips once per generation; the paper's indices suggest individuals.
        frequency: of the non-adaptive sinusoid (see `adaptation.decreasing`), and the initial value
            in the adaptive one's memory.
        frequency_law: distribution of the adaptive frequency around its memory, with scale 0.1, in
            (0, 1]. NOTE: the paper draws F, Cr and the frequency from a normal distribution,
            LSHADE-EpSin from a Cauchy distribution.
        learn_frequency: from successes that ``"used"`` it. NOTE: LSHADE-EpSin's code learns from
            ``"all"`` successes, including trials whose F came from elsewhere.
        history: H, the number of generations that P_S and SADE's Cr look back, and the length of
            SHADE's archives.
        batch_generations: G_max; sinusoids start again after that many, and with each batch.
        p_best: "best" is a random one of the best ``p_best`` * NP members (at least two); 0: the
            best member.
        forced_gene: one gene of each trial always comes from the mutant. NOTE: not so in the paper.
        cross_all: cross over with every strategy, as the paper's Eq. 1 does. NOTE: SaDE does not
            cross over current-to-rand/1 (False).
        ties: a trial as good as its parent survives. NOTE: the paper's inequality is strict; SaDE
            and SHADE accept ties. A tie never counts as a success.
        floor: added to each strategy's share of successes in P_S.

    >>> gen = torch.Generator().manual_seed(0)
    >>> x, evolver = torch.randn(10, 3, generator=gen), AdaptiveDE(("rand/1",), f=0.5, cr=0.9)
    >>> state = evolver.init(Population.of(x), x.square().sum(1))  # fitness: |x|^2, minimised
    >>> for _ in range(20):
    ...     trials = evolver.ask(state, gen)
    ...     rows = state.population.rows[state.population.spare[trials.targets]]
    ...     state = evolver.tell(state, trials, rows.square().sum(1))
    >>> bool(evolver.best(state).square().sum() < x.square().sum(1).min())
    True
    """

    strategies: tuple[str, ...] = ("rand/1",)
    adapt_strategy: bool = False
    adapt_f: Literal["fixed", "normal", "shade"] = "fixed"
    adapt_cr: Literal["fixed", "mean", "median", "shade"] = "fixed"
    f: float = 0.1
    cr: float = 0.15
    f_range: Range = (0.0, 0.2)
    cr_range: Range = (0.0, 0.3)
    f_law: Law = "normal"
    f_std: float = 0.1
    cr_std: float = 0.1
    cr_mean: Literal["lehmer", "arithmetic"] = "lehmer"
    sinusoid: Literal["off", "individual", "generation"] = "off"
    frequency: float = 0.5
    learn_frequency: Literal["used", "all"] = "used"
    history: int = 5
    batch_generations: int = 10
    p_best: float = 0.0
    forced_gene: bool = False
    cross_all: bool = True
    ties: bool = False
    floor: float = 0.01
    frequency_law: Law = field(
        default="normal", metadata=omitted_means("cauchy", used=lambda de: de.sinusoid != "off")
    )

    def __post_init__(self) -> None:
        check_fields(
            self,
            positive=("f_std", "cr_std", "frequency", "floor"),
            at_least={"f": 0, "cr": 0, "p_best": 0, "history": 1, "batch_generations": 1},
            at_most={"cr": 1, "p_best": 1, "frequency": 1},
        )
        if not self.strategies or any(name not in MUTATIONS for name in self.strategies):
            raise ValueError(
                f"AdaptiveDE: strategies must be some of {', '.join(MUTATIONS)}, "
                f"not {self.strategies!r}"
            )
        (f_low, f_high), (cr_low, cr_high) = self.f_range, self.cr_range
        for name, ok, words in (
            ("f_range", 0 <= f_low < f_high < torch.inf, "0 <= low < high"),
            ("cr_range", 0 <= cr_low < cr_high <= 1, "0 <= low < high <= 1"),
            ("f", self.adapt_f == "fixed" or f_low <= self.f <= f_high, "in f_range"),
            ("cr", self.adapt_cr == "fixed" or cr_low <= self.cr <= cr_high, "in cr_range"),
        ):
            if not ok:
                raise ValueError(f"AdaptiveDE: {name} must be {words}, not {getattr(self, name)}")

    @property
    def min_population(self) -> int:
        """The smallest population in which every strategy finds its picks."""
        return 1 + max(MUTATIONS[name].picks for name in self.strategies)

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> DEState:
        """The state before the first generation; ``ValueError`` if there are too few members."""
        np, s, h = population.size, len(self.strategies), self.history
        check_size(np, self.strategies)
        return DEState(
            population,
            checked_fitness(fitness, np),
            StrategyBank.of(s, h),
            SuccessHistory.of(s, h, self.f),
            SuccessHistory.of(s, h, self.cr),
            SuccessHistory.of(s, h, self.frequency),
            RecentSuccesses.of(s, h, np),
        )

    def ask(self, state: DEState, gen: torch.Generator) -> DETrials:
        """Write a candidate for every member into its spare row.

        The random numbers do not depend on the evolver's fields, so evolvers with the same seed
        differ by their ingredients only.
        """
        np = len(state.fitness)
        targets = torch.arange(np)
        picks = draw_picks(np, targets, min(5, np - 1), gen)
        u = torch.rand(8, np, generator=gen, dtype=torch.float64)
        seed = int(torch.randint(2**62, (), generator=gen))
        strategy = self._strategies(state, u[0])
        frequency = adaptation.draw_positive(
            u[1], state.frequency.at(strategy, u[2]), 0.1, (0.0, 1.0), self.frequency_law
        )
        f, sinusoidal = self._f(state, strategy, frequency, u[2:5])
        cr = self._cr(state, strategy, u[2], u[5])
        uncrossed = torch.tensor([name == "current-to-rand/1" for name in self.strategies])
        crossed = cr if self.cross_all else torch.where(uncrossed[strategy], 1.0, cr)
        best = p_best(state.fitness, self.p_best, u[6])
        draws = Draws(state.fitness, targets, picks, f, best, u[7])
        terms = mixed(self.strategies, strategy, draws)
        breed(state.population, terms, crossed, seed, targets, self.forced_gene)
        changed = (crossed > 0) | self.forced_gene
        return DETrials(targets, changed, strategy, f, cr, frequency, sinusoidal)

    def tell(self, state: DEState, trials: DETrials, fitness: Float[Tensor, " t"]) -> DEState:
        """Select survivors, and learn from the trials that won; ``fitness`` is the candidates', in
        order of ``trials.targets``."""
        trial, t = checked_fitness(fitness, len(trials.targets)), trials.targets
        parent = state.fitness[t]
        gains = parent - trial  # taken before selection overwrites the parents' fitness
        survived = trials.changed & survives(parent, trial, self.ties)
        won = survived & (gains != 0)
        replaced = torch.zeros(len(state.fitness), dtype=torch.bool)
        new = state.fitness.clone()
        replaced[t], new[t] = survived, torch.where(survived, trial, parent)

        strategy, f, cr, frequency = trials.strategy[won], state.f, state.cr, state.frequency
        if self.adapt_f == "shade":
            f = f.update(strategy, trials.f[won], gains[won])
        if self.adapt_cr == "shade":
            cr = cr.update(strategy, trials.cr[won], gains[won], self.cr_mean)
        if self.sinusoid != "off":
            lessons = won & trials.sinusoidal if self.learn_frequency == "used" else won
            frequency = frequency.update(
                trials.strategy[lessons], trials.frequency[lessons], gains[lessons]
            )
        return DEState(
            state.population.accept(replaced),
            new,
            state.bank.update(trials.strategy, won),
            f,
            cr,
            frequency,
            state.recent_cr.update(strategy, t[won], trials.cr[won]),
            state.generation + 1,
            state.since_rescore + 1,
        )

    def rescore(self, state: DEState, fitness: Float[Tensor, " np"]) -> DEState:
        """The same members with their fitness on a new batch. The sinusoids start again; what was
        learnt stays."""
        return replace(super().rescore(state, fitness), since_rescore=0)

    def for_batches(self, generations: int) -> "AdaptiveDE":
        """The same with sinusoids that last for this many generations."""
        return replace(self, batch_generations=generations)

    def report(self, before: DEState, trials: DETrials, after: DEState) -> Row:
        """A generation in numbers, also by strategy, see `strategy_numbers`."""
        won = before.population.members != after.population.members
        numbers = strategy_numbers(trials, won[trials.targets], after, self.floor)
        return super().report(before, trials, after) | numbers

    def _strategies(self, state: DEState, u: Float[Tensor, " t"]) -> Int[Tensor, " t"]:
        if not self.adapt_strategy:
            return (u * len(self.strategies)).long()
        cumulative = state.bank.probabilities(self.floor).cumsum(0)
        return torch.searchsorted(cumulative, u, right=True).clamp(max=len(self.strategies) - 1)

    def _f(
        self,
        state: DEState,
        strategy: Int[Tensor, " t"],
        frequency: Float[Tensor, " t"],
        u: Float[Tensor, "3 t"],
    ) -> tuple[Float[Tensor, " t"], Bool[Tensor, " t"]]:
        """F of each trial, and whether it is the adaptive sinusoid's."""
        (low, high), f = self.f_range, torch.full_like(u[0], self.f)
        if self.adapt_f != "fixed":
            centre = state.f.at(strategy, u[0]) if self.adapt_f == "shade" else f
            std = self.f_std * (high - low)
            f = adaptation.draw_positive(u[1], centre, std, self.f_range, self.f_law)
        g, g_max = state.since_rescore % self.batch_generations + 1, self.batch_generations
        if self.sinusoid == "off" or g > g_max / 2:
            return f, torch.zeros_like(f, dtype=torch.bool)
        adaptive = (u[2] if self.sinusoid == "individual" else u[2, :1].expand_as(f)) < 0.5
        share = torch.where(
            adaptive,
            adaptation.increasing(g, g_max, frequency),
            adaptation.decreasing(g, g_max, self.frequency),
        )
        return adaptation.scaled(share, self.f_range), adaptive

    def _cr(
        self,
        state: DEState,
        strategy: Int[Tensor, " t"],
        slot: Float[Tensor, " t"],
        u: Float[Tensor, " t"],
    ) -> Float[Tensor, " t"]:
        if self.adapt_cr == "fixed":
            return torch.full_like(u, self.cr)
        if self.adapt_cr == "shade":
            centre = state.cr.at(strategy, slot)
        else:
            centre = state.recent_cr.centres(self.cr, self.adapt_cr)[strategy]
        std = self.cr_std * (self.cr_range[1] - self.cr_range[0])
        return adaptation.draw_normal(u, centre, std, self.cr_range)
