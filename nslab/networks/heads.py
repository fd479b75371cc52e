"""The last linear layer of a network: the head that maps features to classes."""

from torch import nn


def last_linear(model: nn.Module) -> str:
    """Name of the linear layer registered last, in most classifiers that of the logits."""
    modules = model.named_modules(remove_duplicate=False)
    found = [name for name, module in modules if isinstance(module, nn.Linear)]
    if not found:
        raise ValueError(
            f"{type(model).__name__} has no linear layer to exempt: name the layer that gives the "
            "logits (head='...') or let all of it evolve (exempt_head=False)"
        )
    return found[-1]
