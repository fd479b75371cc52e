"""Training and evaluation mode of a network: set for a forward pass, then restored."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, cast

import torch
from torch import nn
from torch.nn.parallel import DataParallel, DistributedDataParallel


def unwrap_ddp(model: nn.Module) -> nn.Module:
    """The network without DistributedDataParallel, for a pass that a process runs on its own.

    A pass that differs from process to process must not synchronise anything. A compiled network
    stays compiled unless the wrapper lies inside it.
    """
    inner = getattr(model, "_orig_mod", model)
    return cast(nn.Module, inner.module) if isinstance(inner, DistributedDataParallel) else model


def unwrap_model(model: nn.Module) -> nn.Module:
    """The network itself, neither distributed, nor parallel, nor compiled."""
    model = unwrap_ddp(model)
    model = cast(nn.Module, getattr(model, "_orig_mod", model))
    return unwrap_model(cast(nn.Module, model.module)) if isinstance(model, DataParallel) else model


@contextmanager
def scoring(model: nn.Module, mode: Literal["eval", "train"] = "eval") -> Iterator[nn.Module]:
    """The model in ``mode``; afterwards its modes (module by module) and buffers are as before.

    In evaluation mode no buffer changes. In training mode BatchNorm would learn from the pass, so
    it works on copies: the buffers themselves are not even touched, since a later backward pass may
    still need them. Autocast's cache is off meanwhile: older versions of torch would reuse a weight
    that was cast here, without gradient, in the training pass that follows.
    """
    wanted = mode == "train"
    changed = [module for module in model.modules() if module.training != wanted]
    own = [
        (module, name, buffer)
        for module in (model.modules() if wanted else ())
        for name, buffer in module._buffers.items()
        if buffer is not None
    ]
    for module in changed:
        module.training = wanted
    for module, name, buffer in own:
        module._buffers[name] = buffer.clone()
    caches = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)
    try:
        yield model
    finally:
        torch.set_autocast_cache_enabled(caches)
        for module in changed:
            module.training = not wanted
        for module, name, buffer in own:
            module._buffers[name] = buffer
