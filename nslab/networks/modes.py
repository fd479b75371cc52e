"""Borrow a network for a forward pass and leave it as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel


def local(model: nn.Module) -> nn.Module:
    """The network without DistributedDataParallel: what one rank may run on its own.

    A pass that differs from rank to rank must not synchronise anything. A compiled network stays
    compiled unless the wrapper lies inside it.
    """
    inner = getattr(model, "_orig_mod", model)
    return cast(nn.Module, inner.module) if isinstance(inner, DistributedDataParallel) else model


def bare(model: nn.Module) -> nn.Module:
    """The network itself, neither distributed nor compiled."""
    model = local(model)
    return cast(nn.Module, getattr(model, "_orig_mod", model))


@contextmanager
def scoring(model: nn.Module, mode: Literal["eval", "train"] = "eval") -> Iterator[nn.Module]:
    """The model in ``mode``, its own modes (module by module) and all buffers as before after.

    In evaluation mode no buffer changes; in training mode BatchNorm would learn from the forward
    pass, so buffers are saved and put back.
    """
    wanted = mode == "train"
    changed = [module for module in model.modules() if module.training != wanted]
    saved = [(buffer, buffer.clone()) for buffer in model.buffers()] if wanted else []
    for module in changed:
        module.training = wanted
    try:
        yield model
    finally:
        for module in changed:
            module.training = not wanted
        with torch.no_grad():
            for buffer, value in saved:
                buffer.copy_(value)
