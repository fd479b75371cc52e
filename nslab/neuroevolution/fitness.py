"""Fitness: the mean cross-entropy of every network of a population on one batch.

Source: the DE paper, section 4.2. NOTE: its loss lacks the minus sign of cross-entropy and has an
L2 term that its supplement (S2.1) leaves out of the fitness; so do we.
"""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import gather
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.func import vmap

from nslab.evolve.population import Population
from nslab.networks.logits import NO_LABEL, check_labels, logits_of
from nslab.neuroevolution.batch_parts import BatchParts
from nslab.neuroevolution.options import DEFAULTS, EvolveOptions
from nslab.neuroevolution.parameter_vector import Extras, ParameterLayout, batchnorms, evaluating
from nslab.system.distributed import process_group
from nslab.system.timing import clock, interleaved
from nslab.types import AUTOCAST

Way = Literal["loop", "vmap"]
Mode = Literal["auto", "loop", "vmap"]

IN_CACHE = 256  # samples in a part: for small images, a layer's outputs then stay in a CPU's cache
SLOW = 0.1  # seconds; a network that takes longer does not wait for its next kernel, so loop
ROUNDS = 3  # of timing either way


class Fitness:
    """Scores members or trials: ``fitness(population, extras, x, y, targets)``.

    BatchNorm follows the policy of the ``options``. Everything else is in evaluation mode.

    Args:
        model: a classifier. Only its architecture counts; its own tensors and modes are not
            changed. Rows of another type (bfloat16 populations) are cast to its type, one at a
            time.
        layout: where each parameter lies in a row.
        options: of these, ``policy``, ``precision`` and ``microbatch`` are used.
        mode: ``"loop"``: one network after the other on zero-copy views of its row. ``"vmap"``: all
            at once on a copy of their rows; not possible where BatchNorm learns. ``"auto"``: the
            faster one, measured once per shape of the batch and number of networks. The two differ
            by rounding: to resume bit for bit, choose one, or keep `state_dict`.
    """

    def __init__(
        self,
        model: nn.Module,
        layout: ParameterLayout,
        options: EvolveOptions = DEFAULTS,
        *,
        mode: Mode = "auto",
    ) -> None:
        """``ValueError`` for ``"vmap"`` where BatchNorm learns, for parameters of several types,
        and for SyncBatchNorm that learns."""
        self.model, self.layout, self.options, self.mode = model, layout, options, mode
        self.norms = batchnorms(model)
        self.learns = options.policy != "parent" and bool(self.norms)
        self.chosen: dict[str, Way] = {}
        dtypes = {p.dtype for p in model.parameters()}
        if len(dtypes) > 1:
            raise ValueError(
                f"parameters are of types {sorted(map(str, dtypes))}: bring the model to one, such "
                "as model.float(), and get mixed precision from EvolveOptions.precision"
            )
        (self.dtype,) = dtypes
        if self.learns and mode == "vmap":
            raise ValueError(
                "BatchNorm cannot learn under vmap: use mode='loop' or policy='parent'"
            )
        if self.learns and any(isinstance(m, nn.SyncBatchNorm) for m in self.norms.values()):
            raise ValueError(
                "SyncBatchNorm would mix the networks of different processes: use BatchNorm"
            )

    def __call__(
        self,
        population: Population,
        extras: Extras,
        x: Tensor | BatchParts,
        y: Int[Tensor, " b"],
        targets: Int[Tensor, " t"] | None = None,
        calibration: Iterable[Tensor] = (),
    ) -> Float[Tensor, " n"]:
        """Mean cross-entropy, float64 on the CPU: of every member, or of the trials of ``targets``.

        A loss that is not finite counts as +inf, so such a network loses. Statistics in ``extras``
        learn by the policy. With several processes each scores its share of the networks, so all
        of them must call with the same arguments; losses and statistics are exchanged, weights are
        not. Raises ``ValueError`` for labels that are not class numbers, an empty batch, and
        missing ``calibration`` batches.
        """
        calibration, policy = tuple(calibration), self.options.policy
        if len(y) == 0 or (policy == "recalibrate" and self.learns and not calibration):
            raise ValueError("give a batch; policy 'recalibrate' needs calibration batches as well")
        check_labels(y, len(x))
        if targets is None:
            rows, owners = population.members, torch.arange(len(population.members))
        else:
            rows, owners = population.spare[targets], targets
            extras.inherit(population.members[targets], rows)
        if len(rows) == 0:
            return torch.zeros(0, dtype=torch.float64)
        group = process_group()
        world, rank = group.num_processes, group.process_index
        own = slice(rank, None, world)
        scorer = Scorer(self, population.rows, extras, x, y, calibration)
        with torch.no_grad(), evaluating(self.model, self.learns and policy == "inherit"):
            score = getattr(scorer, self._way(scorer, owners[::world], rows[::world]))
            losses = score(owners[own], rows[own])
        if world > 1:
            losses = exchange(losses, len(rows))
            for name, t in extras.buffers.items():
                if self.learns and name.rpartition(".")[0] in self.norms:
                    t[rows] = exchange(t[rows[own]], len(rows))
        return torch.where(losses.isfinite(), losses, torch.inf).cpu()

    def part(self, x: Tensor | BatchParts) -> int:
        """How many samples pass through the network at once."""
        in_batches = self.learns and self.options.policy == "inherit"
        free = IN_CACHE if x.device.type == "cpu" and not in_batches else len(x)
        return self.options.microbatch or free

    def state_dict(self) -> dict[str, Any]:
        """The way of scoring, loop or vmap, that was measured to be faster in each case."""
        return {"chosen": dict(self.chosen)}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Continue with these, in every process."""
        self.chosen = dict(saved["chosen"])

    def _way(self, scorer: "Scorer", owners: Int[Tensor, " s"], rows: Int[Tensor, " s"]) -> Way:
        """The mode; if it is ``"auto"``, what the first process measures on its share."""
        if self.mode != "auto":
            return self.mode
        if self.learns or isinstance(scorer.x, BatchParts):
            return "loop"
        key = f"{len(rows)} x {tuple(scorer.x.shape)} {scorer.x.dtype} {scorer.x.device.type}"
        if key not in self.chosen:
            group = process_group()
            faster = group.is_main_process and scorer.vmap_is_faster(owners, rows)
            if group.num_processes > 1:
                flag = torch.tensor([int(faster)], device=group.device)
                faster = bool(gather(flag)[0])
            self.chosen[key] = "vmap" if faster else "loop"
        return self.chosen[key]


@dataclass(frozen=True, eq=False)
class Scorer:
    """One batch, and the two ways to score some rows on it."""

    fitness: Fitness
    rows: Float[Tensor, "r d"]
    extras: Extras
    x: Tensor | BatchParts
    y: Int[Tensor, " b"]
    calibration: tuple[Tensor, ...] = ()

    def loop(self, owners: Int[Tensor, " k"], rows: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        """One network after the other; all of them on each part of a batch that comes in parts."""
        losses = torch.zeros(len(rows), dtype=torch.float64, device=self.x.device)
        layout, dtype = self.fitness.layout, self.fitness.dtype
        networks = (
            self.laid_out(layout.views(self.rows[row].to(dtype))) | self.extras.views(owner, row)
            for owner, row in zip(owners.tolist(), rows.tolist(), strict=True)
        )
        if isinstance(self.x, BatchParts):
            every = [self.recalibrated(values) for values in networks]
            for x, y in self.x.parts():
                for i, values in enumerate(every):
                    losses[i] += self.summed(values, x, y)
            return losses / len(self.y)
        for i, values in enumerate(networks):
            losses[i] = self.loss(self.recalibrated(values))
        return losses

    def vmap(self, owners: Int[Tensor, " k"], rows: Int[Tensor, " k"]) -> Float[Tensor, " k"]:
        """All at once, on a copy of their rows."""
        if len(rows) == 0:
            return torch.zeros(0, dtype=torch.float64, device=self.x.device)
        values = self.fitness.layout.views(self.rows[rows].to(self.fitness.dtype))
        values |= {name: t[owners] for name, t in self.extras.heads.items()}
        values |= {name: t[rows] for name, t in self.extras.buffers.items()}
        return vmap(self.loss)(values)

    def laid_out(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The values; on a CPU, for images with one channel, kernels with one input channel are
        replaced by channels-last copies.

        With a single channel, strides do not tell the memory formats apart. torch then computes
        this layer and all later ones in NCHW, which takes half as long again on a CPU. All other
        values remain views.
        """
        shape = self.x.shape
        if len(shape) != 4 or shape[1] != 1 or self.x.device.type != "cpu":
            return values
        return {
            k: t.clone(memory_format=torch.channels_last) if t.dim() == 4 and t.shape[1] == 1 else t
            for k, t in values.items()
        }

    def loss(self, values: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy of the network with these parameters and buffers."""
        assert isinstance(self.x, Tensor)
        total = torch.zeros((), dtype=torch.float64, device=self.x.device)
        parts = -(-len(self.y) // self.fitness.part(self.x))
        for x, y in zip(self.x.tensor_split(parts), self.y.tensor_split(parts), strict=True):
            total = total + self.summed(values, x, y)
        return total / len(self.y)

    def summed(self, values: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        """The sum of cross-entropies on some samples, in double precision."""
        logits = self.forward(values, x)
        logits = logits if logits.dtype == torch.float64 else logits.float()
        losses = F.cross_entropy(logits, y.long(), reduction="none", ignore_index=NO_LABEL)
        return losses.double().sum()

    def forward(self, values: dict[str, Tensor], x: Tensor) -> Tensor:
        """Logits, taken out of whatever the model returns."""
        autocast = AUTOCAST[self.fitness.options.precision]
        with torch.autocast(x.device.type, autocast, enabled=autocast is not None):
            return logits_of(self.fitness.layout.call(self.fitness.model, values, x))

    def recalibrated(self, values: dict[str, Tensor]) -> dict[str, Tensor]:
        """The values; under the policy ``"recalibrate"`` their running statistics are overwritten
        with those of the calibration batches, all with the same weight."""
        if self.fitness.options.policy != "recalibrate":
            return values
        norms = self.fitness.norms
        momenta = {norm: norm.momentum for norm in norms.values()}
        try:
            for name, norm in norms.items():
                norm.momentum = None  # the mean over all batches
                prefix = f"{name}." if name else ""
                values[prefix + "running_mean"].zero_()
                values[prefix + "running_var"].fill_(1)
                values[prefix + "num_batches_tracked"].zero_()
            with evaluating(self.fitness.model, learn=True):
                for x in self.calibration:
                    self.forward(values, x)
        finally:
            for norm, momentum in momenta.items():
                norm.momentum = momentum
        return values

    def vmap_is_faster(self, owners: Int[Tensor, " k"], rows: Int[Tensor, " k"]) -> bool:
        """Measured here and now; False for one network, for slow ones and where vmap fails."""
        device = str(self.x.device)
        for _ in range(2):  # the first pass includes one-off costs, so the second one counts
            begin = clock(device)[1]
            self.loop(owners[:1], rows[:1])
            seconds = clock(device)[1] - begin
        if len(rows) == 1 or seconds > SLOW:
            return False
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # vmap warns where it falls back to a loop
                self.vmap(owners, rows)
        except (RuntimeError, TypeError, ValueError, Warning):
            return False
        ways = {"loop": partial(self.loop, owners, rows), "vmap": partial(self.vmap, owners, rows)}
        times = interleaved(ways, ROUNDS, device)
        return bool(np.median(times["vmap"].wall) < np.median(times["loop"].wall))


def exchange(part: Shaped[Tensor, "s *n"], total: int) -> Shaped[Tensor, "t *n"]:
    """All ``total`` entries; process r contributes numbers r, r + world, r + 2 world, ..."""
    group = process_group()
    share = -(-total // group.num_processes)
    padded = part.new_zeros(share, *part.shape[1:], device=group.device)
    padded[: len(part)] = part
    every = gather(padded).view(group.num_processes, share, *part.shape[1:])
    return every.transpose(0, 1).flatten(0, 1)[:total].to(part.device)
