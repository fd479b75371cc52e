"""Evolve a loss before any data is seen: candidates are selected for ranking consistency.

Source: the EDL abstract. NOTE: the full text was unavailable; which candidates are scored on which
pairs, and when, is our own design.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.evolve.es import ES
from nslab.evolve.population import Population
from nslab.evolve.protocol import Evolver, completed
from nslab.lossnet.net import LossForm, LossNet, Weights
from nslab.lossnet.ranking import (
    Margin,
    MovedPairs,
    PerCandidate,
    margins,
    monotonicity_violations,
    negative_share,
    pair_losses,
    ranking_accuracy,
    ranking_loss,
)
from nslab.lossnet.synthetic_predictions import Pairs, Predictions, Regimes, draw_pairs, draw_rays
from nslab.rng import generator


@dataclass(frozen=True, eq=False)
class Pretrained:
    """An evolved loss, and a row per generation. Row 0 describes the initial population: the
    random network that an evolution strategy starts from, or the best of an evolver's members.

    A row has the ``generation`` and the ``best`` objective among the candidates on the pairs they
    were scored on. The other numbers are those of the search's result so far, on held-out pairs
    and rays: ``objective``, ``ranking_accuracy``, ``violations`` of monotonicity,
    ``negative_share``.
    """

    net: LossNet
    history: list[dict[str, Any]]

    @property
    def metrics(self) -> dict[str, Any]:
        """The last row's numbers on held-out pairs and rays."""
        return {k: v for k, v in self.history[-1].items() if k not in ("generation", "best")}


@dataclass(frozen=True, eq=False)
class Consistency:
    """The objective of candidates on some pairs, in float32; what depends on the pairs alone is
    computed once."""

    form: LossForm
    pairs: MovedPairs
    margins: Float[Tensor, " n"]

    @classmethod
    def of(cls, form: LossForm, pairs: Sequence[Pairs], margin: Margin) -> "Consistency":
        """The objective on these pairs."""
        return cls(form, MovedPairs.of(form, pairs), margins(pairs, margin))

    def __call__(self, w: Weights) -> PerCandidate:
        """How far each candidate is from ranking consistency, see `ranking_loss`."""
        return ranking_loss(*pair_losses(self.form, w.float(), self.pairs), self.margins)


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Pairs and rays that no candidate is chosen by."""

    task: Consistency
    rays: Sequence[Predictions]

    @classmethod
    def of(
        cls, form: LossForm, regimes: Regimes, margin: Margin, pairs: int, rays: int, seed: int
    ) -> "HeldOut":
        """The pairs and rays of a seed, the same for every form and search."""
        drawn = draw_pairs(regimes, pairs, generator(seed, "lossnet", "held-out pairs"))
        begins = draw_rays(regimes, rays, generator(seed, "lossnet", "held-out rays"))
        return cls(Consistency.of(form, drawn, margin), begins)

    def measure(self, w: Float[Tensor, " d"]) -> dict[str, float]:
        """The held-out numbers of a row, for one vector of weights."""
        w, task = w.float()[None], self.task
        worse, better = pair_losses(task.form, w, task.pairs)
        return {
            "objective": float(ranking_loss(worse, better, task.margins)),
            "ranking_accuracy": float(ranking_accuracy(worse, better)),
            "violations": float(monotonicity_violations(task.form, w, self.rays)),
            "negative_share": float(negative_share(worse, better)),
        }


@torch.no_grad()
def pretrain(
    form: LossForm,
    search: Evolver | None = None,
    regimes: Regimes | None = None,
    margin: Margin = "order",
    *,
    generations: int = 100,
    pairs: int = 512,
    refresh: int = 1,
    members: int = 33,
    seed: int = 0,
    held_out: int = 2048,
    rays: int = 256,
    on_generation: Callable[[dict[str, Any]], object] | None = None,
) -> Pretrained:
    """Evolve the weights of a loss of ``form`` on synthetic pairs.

    All candidates of a generation are scored on the same pairs (about ``pairs`` of them, drawn
    from ``regimes``), which are drawn afresh every ``refresh`` generations; surviving members are
    then scored again. ``search`` is any evolver of populations of ``members`` random networks, by
    default the evolution strategy `ES` with steps that decrease over all ``generations``; it is
    told that data change every ``refresh`` generations. A ``generational`` search, such as `ES`,
    starts at one random network. The result is the search's best vector after the last generation.
    ``margin`` is that of `margins`; ``held_out`` and ``rays`` are the numbers of held-out pairs and
    rays. ``on_generation`` is called with each generation's row.

    Raises ``ValueError`` for a flat form unless ``regimes`` has its number of classes alone, and
    for numbers below 1 (``generations``: below 0).
    """
    regimes = regimes or Regimes()
    numbers = {"pairs": pairs, "refresh": refresh, "members": members}
    _check(form, regimes, generations, numbers | {"held_out": held_out, "rays": rays})
    evolver = completed(search or ES(generations=max(1, generations)), refresh)
    size = evolver.population_size(members)
    unseen = HeldOut.of(form, regimes, margin, held_out, rays, seed)
    x = form.initial(size, generator(seed, "lossnet", "initial"))
    if evolver.generational:
        x = x[:1].expand(size, -1)  # one random network, not the best of many

    def drawn(generation: int) -> Consistency:
        gen = generator(seed, "lossnet", "pairs", generation)
        return Consistency.of(form, draw_pairs(regimes, pairs, gen), margin)

    task = drawn(0)
    state = evolver.init(Population.of(x), task(x))
    history = [_row(0, state.fitness) | unseen.measure(evolver.best(state))]
    for g in range(generations):
        if g and g % refresh == 0:
            task = drawn(g)
            if not evolver.generational:
                state = evolver.rescore(state, task(state.population.x()))
        trials = evolver.ask(state, generator(seed, "lossnet", "evolve", g))
        rows = state.population.rows[state.population.spare[trials.targets]]
        state = evolver.tell(state, trials, task(rows))
        history.append(_row(g + 1, state.fitness) | unseen.measure(evolver.best(state)))
        if on_generation:
            on_generation(history[-1])
    return Pretrained(LossNet(form, evolver.best(state)), history)


def _row(generation: int, fitness: Tensor) -> dict[str, Any]:
    finite = fitness[fitness.isfinite()]
    return {"generation": generation, "best": float(finite.min()) if len(finite) else torch.inf}


def _check(form: LossForm, regimes: Regimes, generations: int, numbers: dict[str, int]) -> None:
    if generations < 0:
        raise ValueError(f"generations must not be negative, not {generations}")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    if form.kind == "flat" and regimes.classes != (form.classes,):
        raise ValueError(
            f"a flat loss network of {form.classes} classes learns from predictions of as many: "
            f"set the regimes' classes to ({form.classes},), not {regimes.classes}"
        )
