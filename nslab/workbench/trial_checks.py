"""Checks of a trial besides numbers: tensors that gradients reach, layers that two networks
share, what a loss holds; and how all of it is left as it was."""

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
    """The tensors that the gradients of some outputs go to."""
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
    """All parameters of a network, also where its ``parameters()`` gives some only."""
    modules = nn.Module.modules(network)
    return [p for module in modules for p in module._parameters.values() if p is not None]


def outside(outputs: Iterable[Tensor | None], own: Iterable[Tensor]) -> list[Tensor]:
    """The `leaves` of outputs that are not among some tensors."""
    known = {id(tensor) for tensor in own}
    return [leaf for leaf in leaves(outputs) if id(leaf) not in known]


def stays(first: Iterable[Tensor], second: Iterable[Tensor]) -> list[Tensor]:
    """The tensors of two calls that are the same; what is made at each call is another then."""
    ids = {id(tensor) for tensor in second}
    return [tensor for tensor in first if id(tensor) in ids]


def differs(tensor: Tensor, before: Tensor) -> bool:
    """Whether a tensor holds something else than before; BatchNorm does not raise its version."""
    if tensor.layout != torch.strided:
        return False
    return tensor.shape != before.shape or not torch.equal(tensor, before)


def place(tensor: Tensor) -> int:
    """Where the numbers of a tensor lie; 0 for one without, or sparse."""
    if tensor.layout != torch.strided or not tensor.numel():
        return 0
    return tensor.untyped_storage().data_ptr()


def check_trained(name: str, network: nn.Module, logits: Tensor, kept: list[Tensor]) -> None:
    """``ValueError`` where nothing of a network is trained, or layers are not; a warning for a
    plain tensor (``kept``: what has gradients and is not of the network)."""
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
    """``ValueError`` where a second network has what training changes of the first, parameters
    that gradients reach or buffers that a pass changes: one run would go on from another's."""
    weights, buffers = ({place(t) for t in tensors} - {0} for tensors in (trained, changed))
    shares = f"the network {name} is made anew for each run, and yet shares "
    for key, tensor in [*second.named_parameters(), *second.named_buffers()]:
        if place(tensor) in weights:
            raise ValueError(
                f"{shares}{key} with the one made before, so what is trained would go from run to "
                "run: make the layers inside the function, say model=lambda: nn.Sequential(...), "
                "or freeze them: layers.requires_grad_(False). Of layers that were trained before "
                "take copies there, copy.deepcopy(layers)"
            )
        if place(tensor) in buffers:
            raise ValueError(
                f"{shares}{key} with the one made before, and training changes it. If it is of a "
                "BatchNorm: BatchNorm's running statistics change: keep it in eval mode, by a "
                "method train(mode) of the network that ends with layers.eval(), or make a copy "
                "inside the function, copy.deepcopy(layers)"
            )


@contextmanager
def untouched(network: nn.Module) -> Iterator[Callable[[], list[Tensor]]]:
    """Afterwards a network's buffers, modes and what is frozen are as before: its layers may be
    somebody's who goes on with them. Gives a function that lists buffers that are others now."""
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
    """A loss that is somebody's object, alone or under another method, is a copy of it meanwhile,
    and its buffers stay as they were. Nothing is copied of what a function refers to."""
    parts = (objective, getattr(objective, "base", None))
    owners: list[Any] = [type(part) for part in parts if hasattr(part, "own_function")]
    before = [(owner, owner.own_function, owner.loss) for owner in owners]
    try:
        for owner, function, _ in before:
            with suppress(Exception):  # it cannot be copied
                copied = copy.deepcopy(function)
                if code_digest(copied) != code_digest(function):
                    continue  # as of a module of TorchScript
                owner.own_function = staticmethod(copied)
                owner.loss = lambda self, logits, y, loss=copied: loss(logits, y)
        yield
    finally:
        for owner, function, loss in before:
            owner.own_function, owner.loss = staticmethod(function), loss


def held(objective: Any) -> list[Any]:
    """Digests of what a loss that is a plain function refers to, alone or under another method; of
    what has none, something that equals nothing."""
    parts: list[Any] = [objective, getattr(objective, "base", None)]
    digests: list[Any] = []
    for part in parts:
        if hasattr(part, "own_function"):
            try:
                digests.append(code_digest(part.own_function))
            except Exception:  # a generator, a lock, what else a person's loss may keep
                digests.append(object())
    return digests


@contextmanager
def own_generators() -> Iterator[None]:
    """Whatever is drawn inside, the generators of torch, NumPy and Python stay as they were."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    ours, numpys = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng(devices=list(devices)):
        torch.manual_seed(0)
        try:
            yield
        finally:
            random.setstate(ours)
            np.random.set_state(numpys)  # noqa: NPY002
