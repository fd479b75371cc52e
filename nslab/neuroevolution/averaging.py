"""Averages, greedy soups and ensembles of several networks.

Sources: Izmailov et al. 2018 (weight averaging), Garipov et al. 2018 (fast geometric ensembling,
FGE), Wortsman et al. 2022 (model soups), Whitaker and Whitley 2023 (sparse mutation decompositions,
SMD): the methods that the DE paper compares with.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn

from nslab.networks.logits import logits_of
from nslab.neuroevolution.parameter_vector import batchnorms
from nslab.types import StateDict


def average(states: Sequence[StateDict]) -> dict[str, Tensor]:
    """The mean of state dicts, summed in float64; integer tensors are taken from the first.

    Running statistics are averaged too, although they are not those of the averaged network: see
    `update_batchnorm`. torch's ``AveragedModel`` adds one network at a time, in the networks' own
    precision. Raises ``ValueError`` without states and for states of different networks.
    """
    if not states:
        raise ValueError("an average needs at least one state")
    first = states[0]
    for i, state in enumerate(states):
        shapes = ({k: t.shape for k, t in s.items()} for s in (first, state))
        if next(shapes) != next(shapes):
            raise ValueError(f"states 0 and {i} belong to different networks")
    mean = {}
    for name, tensor in first.items():
        mean[name] = tensor.detach().clone()
        if tensor.is_floating_point():
            total = torch.zeros(tensor.shape, dtype=torch.float64, device=tensor.device)
            for state in states:
                total += state[name].detach().to(tensor.device)
            mean[name].copy_(total / len(states))
    return mean


def update_batchnorm(model: nn.Module, batches: Iterable[Any]) -> None:
    """Re-estimate BatchNorm's statistics; all batches have the same weight.

    A batch is a tensor, or a tuple or list that begins with one. Augment the inputs as in training;
    otherwise accuracy falls. NOTE: dropout is off, as when the network is used; torch's
    `update_bn` alone would leave it on. Raises ``ValueError`` without batches; after any error the
    statistics are as before.
    """
    norms = {norm: norm.momentum for norm in batchnorms(model).values()}
    if not norms:
        return
    modes = [(module, module.training) for module in model.modules()]
    before = {norm: {k: t.clone() for k, t in norm.named_buffers()} for norm in norms}
    seen: list[int] = []

    def counted() -> Iterator[Any]:
        for i, batch in enumerate(batches):
            for module, _ in modes:  # update_bn has put all of them into training mode
                module.training = module in norms
            seen.append(i)
            yield batch

    try:
        update_bn(counted(), model)
        if not seen:
            raise ValueError("no batches to estimate BatchNorm's statistics from")
    except BaseException:
        for norm, buffers in before.items():
            norm.load_state_dict(buffers, strict=False)
        raise
    finally:
        for norm, momentum in norms.items():
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode


class Soup(NamedTuple):
    """A greedy soup: which states are in it, in the order of their addition, their mean and its
    score."""

    chosen: tuple[int, ...]
    state: dict[str, Tensor]
    score: float


def greedy_soup(states: Sequence[StateDict], score: Callable[[StateDict], float]) -> Soup:
    """From the best state downwards, add each to the mean if that makes the score strictly better.

    ``score`` is computed on held-out data; higher is better, and NaN is worst. Of states with equal
    scores the earlier comes first. NOTE: as in the released code; the paper may also be read to add
    a state that leaves the score unchanged. Raises ``ValueError`` without states.
    """
    scores = [score(state) for state in states]
    ranked = sorted(range(len(states)), key=lambda i: (scores[i] != scores[i], -scores[i]))
    if not ranked:
        raise ValueError("a soup needs at least one state")
    chosen, best = ranked[:1], scores[ranked[0]]
    soup = average([states[i] for i in chosen])
    for i in ranked[1:]:
        candidate = average([states[j] for j in (*chosen, i)])
        value = score(candidate)
        if value > best:
            chosen, best, soup = [*chosen, i], value, candidate
    return Soup(tuple(chosen), soup, best)


class Ensemble(nn.Module):
    """Networks that vote: the ensemble's logits are the logarithm of their mean softmax."""

    def __init__(self, models: Sequence[nn.Module]) -> None:
        super().__init__()
        if not models:
            raise ValueError("an ensemble needs at least one network")
        self.models = nn.ModuleList(models)

    def forward(self, x: Tensor) -> Float[Tensor, "b c"]:
        """Log probabilities, in float32 at least."""
        total: Tensor | None = None
        for model in self.models:
            logits = logits_of(model(x))
            logits = logits if logits.dtype == torch.float64 else logits.float()
            log_p = logits.log_softmax(-1)
            total = log_p if total is None else torch.logaddexp(total, log_p)
        assert total is not None
        return total - math.log(len(self.models))


def fge_lr(step: int, cycle_steps: int, lr1: float, lr2: float) -> float:
    """FGE's learning rate in a step (from 0): in a cycle it falls from ``lr1`` to ``lr2`` and rises
    again.

    With t = (step mod c + 1) / c it is linear from lr1 (t = 0) to lr2 (t = 1/2) to lr1 (t = 1).
    Raises ``ValueError`` unless a cycle has an even number of steps.
    """
    t = _phase(step, cycle_steps) / cycle_steps
    down = 1 - abs(2 * t - 1)
    return (1 - down) * lr1 + down * lr2


def fge_collects(step: int, cycle_steps: int) -> bool:
    """Whether the network after this step joins FGE's ensemble: where the learning rate is
    lowest."""
    return 2 * _phase(step, cycle_steps) == cycle_steps


def _phase(step: int, cycle_steps: int) -> int:
    if cycle_steps < 2 or cycle_steps % 2:
        raise ValueError(f"an FGE cycle has an even number of steps, not {cycle_steps}")
    return step % cycle_steps + 1


def sparse_mutation(
    vector: Float[Tensor, " d"], sigma: float, density: float, gen: torch.Generator
) -> Float[Tensor, " d"]:
    """A child of SMD: theta + sigma eps M, eps standard normal and M one with probability
    ``density``, else zero, for each gene.

    One generation of children of one trained network makes an `Ensemble`. NOTE: we had access only
    to the paper's abstract. It leaves open whether masks are drawn gene by gene, as here, or by
    layer; whether they are disjoint parts of one dense mutation (the title says decompositions) or
    independent, as here; sigma, density and the number of children; which children are kept;
    whether the last layer and BatchNorm mutate, and whether statistics are re-estimated.
    Draws are made on the generator's device. Raises ``ValueError`` for a density outside [0, 1].
    """
    if not 0 <= density <= 1:
        raise ValueError(f"density must lie in [0, 1], not {density}")
    chosen = torch.rand(len(vector), generator=gen, device=gen.device) < density
    where = chosen.nonzero().squeeze(1)
    eps = torch.randn(len(where), generator=gen, device=gen.device)
    where, eps = where.to(vector.device), eps.to(vector.device)
    child = vector.detach().clone()
    child[where] = (child[where] + sigma * eps).to(child.dtype)
    return child


def gaussian(
    base: StateDict, states: Sequence[StateDict], size: int, gen: torch.Generator
) -> list[dict[str, Tensor]]:
    """``size`` networks, ``base`` + sd * N(0, 1), where sd is each parameter's standard deviation
    over ``states``.

    The paper's Table S9: the spread of a trained population without what it has learned. Running
    statistics and counters are ``base``'s. NOTE: the paper does not mention them. Raises
    ``ValueError`` for fewer than two states.
    """
    if len(states) < 2:
        raise ValueError("one state has no spread: give at least two")
    made: list[dict[str, Tensor]] = [{} for _ in range(size)]
    for name, centre in base.items():
        learned = centre.is_floating_point() and not name.endswith(("running_mean", "running_var"))
        sd = torch.stack([state[name] for state in states]).std(0) if learned else None
        for new in made:
            noise = 0 if sd is None else sd * torch.randn(sd.shape, generator=gen, dtype=sd.dtype)
            new[name] = centre + noise
    return made
