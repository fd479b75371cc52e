"""Parameter vectors: networks as rows of genes, and the parts that do not evolve.

Source: the DE paper, section 4.2. The last linear layer does not evolve, and neither do the running
statistics of BatchNorm, which "learn the distribution during the forward feeding"; all other
parameters do, the affine ones of BatchNorm among them. NOTE: the paper does not say whose linear
layer and statistics a trial has; here they are those of the parent it competes with.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import accumulate, pairwise
from math import prod
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from nslab.networks.heads import last_linear

Tensors = Mapping[str, Tensor]


@dataclass(frozen=True)
class ParameterLayout:
    """Where each evolving parameter of a network lies in a vector of ``size`` genes.

    Attributes:
        names, shapes: of the evolving parameters; one shared by several layers counts once.
        exempt: names of the parameters that do not evolve.
        buffers: names of the buffers.
        volatile: those of the buffers that a state dict does not hold.
        tied: further names of shared parameters and buffers, each with its first name.
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]
    exempt: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    volatile: frozenset[str] = frozenset()
    tied: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(
        cls, model: nn.Module, exempt_head: bool = True, head: str | None = None
    ) -> "ParameterLayout":
        """The layout of a network; frozen parameters (``requires_grad=False``) evolve as well.

        ``head`` names the layer that does not evolve, by default the `last_linear`. A parameter
        that it shares with another layer does not evolve there either. Raises ``ValueError``
        without a linear layer, for an unknown ``head``, and when nothing is left to evolve.
        """
        if isinstance(model, DistributedDataParallel):
            raise ValueError("give the network itself, model.module, not DistributedDataParallel")
        fixed: set[int] = set()
        if exempt_head:
            try:
                name = last_linear(model) if head is None else head
            except ValueError:
                raise ValueError(
                    f"{type(model).__name__} has no linear layer to exempt: name the layer that "
                    "gives the logits (head='...') or let all of it evolve (exempt_head=False)"
                ) from None
            if name not in dict(model.named_modules(remove_duplicate=False)):
                raise ValueError(f"{type(model).__name__} has no layer {name!r}")
            fixed = {id(p) for p in model.get_submodule(name).parameters()}
        evolving = {k: p for k, p in model.named_parameters() if id(p) not in fixed}
        if not evolving:
            raise ValueError(f"nothing of {type(model).__name__} is left to evolve")
        buffers = tuple(name for name, _ in model.named_buffers())
        return cls(
            tuple(evolving),
            tuple(p.shape for p in evolving.values()),
            tuple(k for k, p in model.named_parameters() if id(p) in fixed),
            buffers,
            frozenset(buffers).difference(model.state_dict()),
            _tied(model),
        )

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First gene of every parameter, and the number of genes."""
        return (0, *accumulate(map(prod, self.shapes)))

    @property
    def size(self) -> int:
        """D, the number of genes."""
        return self.offsets[-1]

    def views(self, rows: Float[Tensor, "*k d"]) -> dict[str, Tensor]:
        """The parameters in a vector (or in several) under their names, nothing copied.

        They have the vector's type. BatchNorm takes no bfloat16 weights beside its float32
        statistics, not under autocast either: cast a bfloat16 vector before, as ``Fitness`` does.
        Raises ``ValueError`` for a wrong size, and if genes do not lie side by side in memory.
        """
        if rows.shape[-1:] != (self.size,) or (rows.stride(-1) != 1 and self.size > 1):
            given = f"shape {tuple(rows.shape)}, strides {rows.stride()}"
            raise ValueError(f"a vector here has {self.size} genes side by side, not {given}")
        lead = rows.shape[:-1]
        parts = zip(self.names, self.shapes, pairwise(self.offsets), strict=True)
        return {name: rows[..., a:b].view((*lead, *shape)) for name, shape, (a, b) in parts}

    def vector(
        self, source: nn.Module | Tensors, out: Float[Tensor, " d"] | None = None
    ) -> Float[Tensor, " d"]:
        """The genes of a network or of a state dict, written into ``out`` if given.

        Raises ``ValueError`` for a state dict of another network.
        """
        own = _tensors(source)
        found = [_entry(own, *wanted) for wanted in zip(self.names, self.shapes, strict=True)]
        if out is None:
            dtype = reduce(torch.promote_types, (t.dtype for t in found))
            out = torch.empty(self.size, dtype=dtype, device=found[0].device)
        with torch.no_grad():
            for view, tensor in zip(self.views(out).values(), found, strict=True):
                view.copy_(tensor)
        return out

    def call(self, model: nn.Module, values: dict[str, Tensor], x: Tensor) -> Any:
        """The network's output for ``x`` with these parameters and buffers; it is left unchanged.

        Tied tensors are given under all their names here, because torch's own ``tie_weights``
        would leave the given values in a module that is used under two names.
        """
        both = values | {name: values[first] for name, first in self.tied if first in values}
        return functional_call(model, both, (x,), tie_weights=False)

    @torch.no_grad()
    def write(self, row: Float[Tensor, " d"], model: nn.Module) -> None:
        """Copy a vector into a network's parameters; `Extras.write` copies the rest."""
        for name, view in self.views(row).items():
            model.get_parameter(name).copy_(view)


@dataclass(frozen=True, eq=False)
class Extras:
    """What every member has besides its genes: the exempt parameters and the buffers.

    ``heads[name]`` (NP, ...) belongs to the members, so a trial has its parent's; ``buffers[name]``
    (2 NP, ...) belongs to the rows of the population. When a trial's row becomes the member, so do
    the statistics it learned; when it loses, the parent's row still has its own.
    """

    heads: dict[str, Tensor]
    buffers: dict[str, Tensor]

    @classmethod
    def of(
        cls, model: nn.Module, layout: ParameterLayout, sources: Sequence[nn.Module | Tensors]
    ) -> "Extras":
        """Copies from the networks or state dicts that a population begins with, member i in row i.

        Buffers that state dicts do not hold are ``model``'s.
        """
        own, given = _tensors(model), [_tensors(source) for source in sources]

        def stacked(name: str) -> Tensor:
            chosen = [own] * len(given) if name in layout.volatile else given
            shape, device = own[name].shape, own[name].device
            return torch.stack([_entry(t, name, shape).detach().to(device) for t in chosen])

        buffers = {name: stacked(name) for name in layout.buffers}
        return cls(
            {name: stacked(name) for name in layout.exempt},
            {name: torch.cat([t, t]) for name, t in buffers.items()},
        )

    def views(self, member: int, row: int) -> dict[str, Tensor]:
        """The extras of one member (or trial) whose genes are in ``row``, nothing copied."""
        heads = {name: t[member] for name, t in self.heads.items()}
        return heads | {name: t[row] for name, t in self.buffers.items()}

    def inherit(self, parents: Int[Tensor, " t"], rows: Int[Tensor, " t"]) -> None:
        """Copy the buffers of the rows ``parents`` to ``rows``."""
        for t in self.buffers.values():
            t[rows] = t[parents]

    @torch.no_grad()
    def write(self, model: nn.Module, member: int, row: int) -> None:
        """Copy one member's extras into a network."""
        own = _tensors(model)
        for name, value in self.views(member, row).items():
            own[name].copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """The tensors, not copied."""
        return {"heads": self.heads, "buffers": self.buffers}

    @classmethod
    def from_state(cls, saved: Mapping[str, Any]) -> "Extras":
        """What `state_dict` gave."""
        return cls(dict(saved["heads"]), dict(saved["buffers"]))


def batchnorms(model: nn.Module) -> dict[str, _BatchNorm]:
    """The BatchNorm layers that keep running statistics."""
    modules = model.named_modules()
    return {k: m for k, m in modules if isinstance(m, _BatchNorm) and m.running_mean is not None}


@contextmanager
def evaluating(model: nn.Module, learn: bool = False) -> Iterator[None]:
    """Evaluation mode for a while; with ``learn``, BatchNorm is in training mode.

    NOTE: the paper's networks have neither dropout nor stochastic depth; in evaluation mode these
    cannot make fitness a matter of luck.
    """
    before = {module: module.training for module in model.modules()}
    learning = set(batchnorms(model).values()) if learn else set()
    for module in before:
        module.training = module in learning
    try:
        yield
    finally:
        for module, mode in before.items():
            module.training = mode


def _tensors(source: nn.Module | Tensors) -> Tensors:
    if not isinstance(source, nn.Module):
        return source
    parameters = dict[str, Tensor](source.named_parameters(remove_duplicate=False))
    return parameters | dict(source.named_buffers(remove_duplicate=False))


def _tied(model: nn.Module) -> tuple[tuple[str, str], ...]:
    """Every further name of a parameter or buffer, with its first name."""
    first: dict[int, str] = {}
    again = []
    for prefix, module in model.named_modules():  # each module under one name
        for key, tensor in (*module._parameters.items(), *module._buffers.items()):
            name = f"{prefix}.{key}" if prefix else key
            if tensor is not None and first.setdefault(id(tensor), name) != name:
                again.append((name, first[id(tensor)]))
    return tuple(again)


def _entry(tensors: Tensors, name: str, shape: torch.Size) -> Tensor:
    if name not in tensors or (found := tensors[name]).shape != shape:
        what = f"has shape {tuple(tensors[name].shape)}" if name in tensors else "is missing"
        raise ValueError(f"{name} {what}, but this network has it with shape {tuple(shape)}")
    return found
