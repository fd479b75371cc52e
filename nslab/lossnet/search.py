"""Evolve a loss before any data is seen: candidates are ranked by how well they rank.

Source: the EDL abstract. NOTE: the full text was unavailable; what is scored on what, and
when, is ours.
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
    """An evolved loss, and a row per generation; row 0 is before any: of the random network that a
    strategy begins at, or of an evolver's best one.

    A row has the ``generation``, the ``best`` objective among the candidates on the pairs they were
    scored on, and of the search's best network so far, on held-out pairs and rays: ``objective``,
    ``ranking_accuracy``, ``violations`` of monotonicity, ``negative_share``.
    """

    net: LossNet
    history: list[dict[str, Any]]

    @property
    def metrics(self) -> dict[str, Any]:
        """The last row's numbers on held-out pairs and rays."""
        return {k: v for k, v in self.history[-1].items() if k not in ("generation", "best")}


@dataclass(frozen=True, eq=False)
class Consistency:
    """The objective of candidates on some pairs, in float32; what the pairs alone say is worked out
    once."""

    form: LossForm
    pairs: MovedPairs
    margins: Float[Tensor, " n"]

    @classmethod
    def of(cls, form: LossForm, pairs: Sequence[Pairs], margin: Margin) -> "Consistency":
        """That of pairs."""
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
        """Those of a seed; another form or search of the same seed is measured on the same."""
        drawn = draw_pairs(regimes, pairs, generator(seed, "lossnet", "held-out pairs"))
        begins = draw_rays(regimes, rays, generator(seed, "lossnet", "held-out rays"))
        return cls(Consistency.of(form, drawn, margin), begins)

    def measure(self, w: Float[Tensor, " d"]) -> dict[str, float]:
        """The numbers of a row."""
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

    All candidates of a generation are scored on the same ``pairs``, drawn afresh every ``refresh``
    generations; surviving members are then scored again. ``search`` is any evolver of populations
    of ``members`` random networks, by default the strategy `ES` with steps that decrease over all
    ``generations``; it is told that data change every ``refresh`` generations. The result is its
    best vector after the last one. A ``generational`` search, such as a strategy, starts at one
    random network. ``on_generation`` is called with each generation's row.

    Raises ``ValueError`` for a flat form whose classes are not the regimes' only ones, and for
    numbers below 1 (``generations``: below 0).
    """
    regimes = regimes or Regimes()
    numbers = {"pairs": pairs, "refresh": refresh, "members": members}
    _check(form, regimes, generations, numbers | {"held_out": held_out, "rays": rays})
    evolver = completed(search or ES(generations=max(1, generations)), refresh)
    size = evolver.population_size(members)
    unseen = HeldOut.of(form, regimes, margin, held_out, rays, seed)
    x = form.initial(size, generator(seed, "lossnet", "initial"))
    if evolver.generational:
        x = x[:1].expand(size, -1)  # not at the best of many

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
        raise ValueError(f"generations must not be negative, but are {generations}")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, not {number}")
    if form.kind == "flat" and regimes.classes != (form.classes,):
        raise ValueError(
            f"a flat loss network of {form.classes} classes learns from predictions of as many: "
            f"set the regimes' classes to ({form.classes},), not {regimes.classes}"
        )
