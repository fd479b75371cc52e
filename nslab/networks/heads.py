"""The head of a network: the last linear layer, which maps features to classes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn


def last_linear(model: nn.Module) -> str:
    """Name of the linear layer registered last, which in most classifiers gives the logits.

    Raises ``ValueError`` for a network without a linear layer.
    """
    modules = model.named_modules(remove_duplicate=False)
    found = [name for name, module in modules if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear layer, and so no head: use a network whose "
            "logits come from an nn.Linear"
        )
    return found[-1]


def head_parts(model: nn.Module) -> tuple[str, ...]:
    """Names of the modules that do not belong to the backbone: the last linear layer, and the
    bottleneck before it if there is one."""
    return getattr(model, "head_parts", ()) or (last_linear(model),)


@contextmanager
def features_of(model: nn.Module) -> Iterator[list[Tensor]]:
    """Collects the input of the last linear layer in each forward pass.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    >>> with features_of(net) as seen:
    ...     out = net(torch.ones(5, 4))
    >>> torch.equal(net[2](seen[0]), out)
    True
    """
    seen: list[Tensor] = []

    def keep(module: nn.Module, given: tuple[Any, ...]) -> None:
        seen.append(given[0])

    hook = model.get_submodule(last_linear(model)).register_forward_pre_hook(keep)
    try:
        yield seen
    finally:
        hook.remove()
