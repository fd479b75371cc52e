"""Checks of a trial: which tensors gradients reach, what two networks share, and what a loss holds;
and context managers that restore all of it."""

import copy
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from nslab.system.code_digest import code_digest


def leaves(outputs: Iterable[Tensor | None]) -> list[Tensor]:
    """The leaf tensors that gradients of some outputs reach."""
    nodes = [tensor.grad_fn for tensor in outputs if tensor is not None]
    seen, found = set(nodes), list[Tensor]()
    while nodes:
        if (node := nodes.pop()) is None:
            continue
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            found.append(leaf)
        following = {inner for inner, _ in node.next_functions} - seen
        seen |= following
        nodes += following
    return found


def registered(network: nn.Module) -> list[nn.Parameter]:
    """All parameters of a network, even if it overrides ``parameters()`` to give only some."""
    modules = nn.Module.modules(network)
    return [p for module in modules for p in module._parameters.values() if p is not None]


def leaves_outside(outputs: Iterable[Tensor | None], own: Iterable[Tensor]) -> list[Tensor]:
    """The `leaves` of outputs that are not among some tensors."""
    known = {id(tensor) for tensor in own}
    return [leaf for leaf in leaves(outputs) if id(leaf) not in known]


def common_tensors(first: Iterable[Tensor], second: Iterable[Tensor]) -> list[Tensor]:
    """The tensors that are the same in two calls; one that each call makes anew is not."""
    ids = {id(tensor) for tensor in second}
    return [tensor for tensor in first if id(tensor) in ids]


def differs(tensor: Tensor, before: Tensor) -> bool:
    """Whether a tensor's values differ from ``before``. They are compared because BatchNorm does
    not raise its buffers' version counters."""
    if tensor.layout != torch.strided:
        return False
    return tensor.shape != before.shape or not torch.equal(tensor, before)


def storage_address(tensor: Tensor) -> int:
    """The address of a tensor's storage; 0 for an empty or sparse one."""
    if tensor.layout != torch.strided or not tensor.numel():
        return 0
    return tensor.untyped_storage().data_ptr()


def check_trained(name: str, network: nn.Module, logits: Tensor, kept: list[Tensor]) -> None:
    """``ValueError`` if nothing of a network, or not all of its layers, would be trained; a warning
    for a plain tensor that would not. ``kept``: leaf tensors of the logits that are not registered
    in the network."""
    if not any(p.requires_grad for p in registered(network)):
        raise ValueError(
            f"the network {name} has no parameter that requires grad, so there is nothing to "
            "train: make its layers attributes, and leave some of them unfrozen"
        )
    if not logits.requires_grad:
        raise ValueError(
            f"the network {name} gives logits without a gradient: it must compute them by torch, "
            "with no detach, item, numpy, argmax or no_grad on the way"
        )
    if any(isinstance(leaf, nn.Parameter) for leaf in kept):
        raise ValueError(
            f"the network {name} has layers that nothing would train: they lie outside it, or in "
            "a plain list or dict. Make each an attribute, or put them into an nn.ModuleList; "
            "freeze what is to stay as it is, layers.requires_grad_(False)"
        )
    if kept:
        warnings.warn(
            f"the network {name} has a tensor of shape {tuple(kept[0].shape)} that requires grad "
            "and that nothing trains: make it an nn.Parameter, or call requires_grad_(False)",
            stacklevel=5,
        )
    state = network.state_dict().items()
    if sparse := [k for k, t in state if getattr(t, "layout", torch.strided) != torch.strided]:
        raise ValueError(
            f"the network {name} has a sparse tensor, {sparse[0]}, and weights are kept dense: "
            "register it by register_buffer(..., persistent=False)"
        )


def check_fresh(
    name: str, trained: Iterable[Tensor], changed: Iterable[Tensor], second: nn.Module
) -> None:
    """``ValueError`` if a second network shares with the first what training changes, parameters
    that gradients reach or buffers that a pass changes: a run would continue another's training."""
    weights, buffers = (
        {storage_address(t) for t in tensors} - {0} for tensors in (trained, changed)
    )
    shares = f"the network {name} is made anew for each run, and yet shares "
    for key, tensor in [*second.named_parameters(), *second.named_buffers()]:
        if storage_address(tensor) in weights:
            raise ValueError(
                f"{shares}{key} with the one made before, so what is trained would go from run to "
                "run: make the layers inside the function, as in model=lambda: nn.Sequential(...), "
                "or freeze them: layers.requires_grad_(False). To start from trained layers, copy "
                "them inside the function, copy.deepcopy(layers)"
            )
        if storage_address(tensor) in buffers:
            raise ValueError(
                f"{shares}{key} with the one made before, and training changes it, as it does "
                "BatchNorm's running statistics: keep those layers in eval mode, by a method "
                "train(mode) of the network that ends with layers.eval(), or copy them inside the "
                "function, copy.deepcopy(layers)"
            )


@contextmanager
def restoring_network(network: nn.Module) -> Iterator[Callable[[], list[Tensor]]]:
    """Restore a network's buffers, modes and ``requires_grad`` after the block, because the caller
    may still use its layers. Yields a function that lists the buffers that have changed so far."""
    modules = list(network.modules())
    modes = [(module, module.training) for module in modules]
    frozen = [(p, p.requires_grad) for p in registered(network)]
    buffers = [
        (module, key, buffer, buffer.detach().clone())
        for module in modules
        for key, buffer in module._buffers.items()
        if buffer is not None
    ]
    try:
        yield lambda: [buffer for *_, buffer, before in buffers if differs(buffer, before)]
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, needed in frozen:
            if parameter.requires_grad != needed:
                parameter.requires_grad_(needed)
        for module, key, buffer, before in buffers:
            if module._buffers.get(key) is not buffer:
                module._buffers[key] = buffer
            if differs(buffer, before) and buffer.shape == before.shape:
                with torch.no_grad():
                    buffer.copy_(before)


@contextmanager
def on_copies(objective: Any) -> Iterator[None]:
    """Replace a user's loss, alone or as the base of another method, by a deep copy inside the
    block, so that the state of an object stays as it was. What a function refers to is not
    copied."""
    parts = (objective, getattr(objective, "base", None))
    owners: list[Any] = [type(part) for part in parts if hasattr(part, "own_function")]
    before = [(owner, owner.own_function, owner.loss) for owner in owners]
    try:
        for owner, function, _ in before:
            with suppress(Exception):  # if it cannot be copied, it is used itself
                copied = copy.deepcopy(function)
                if code_digest(copied) != code_digest(function):
                    continue  # the copy differs, as with modules of TorchScript
                owner.own_function = staticmethod(copied)
                owner.loss = lambda self, logits, y, loss=copied: loss(logits, y)
        yield
    finally:
        for owner, function, loss in before:
            owner.own_function, owner.loss = staticmethod(function), loss


def loss_digests(objective: Any) -> list[Any]:
    """Digests of a user's loss and all it refers to, alone or as the base of another method, to
    notice changes. A loss that cannot be digested gives an object that equals nothing else."""
    parts: list[Any] = [objective, getattr(objective, "base", None)]
    digests: list[Any] = []
    for part in parts:
        if hasattr(part, "own_function"):
            try:
                digests.append(code_digest(part.own_function))
            except Exception:  # it may hold anything, such as a generator or a lock
                digests.append(object())
    return digests


@contextmanager
def own_generators() -> Iterator[None]:
    """Seed torch's generators inside the block, and restore those of torch, NumPy and Python after
    it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002
