"""Setup of a training: device, batches, optimizer."""

import os
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from nslab.configs.train import BACKBONE, LAST_LINEAR, TrainConfig
from nslab.datasets import ImageData
from nslab.datasets.batches import DatasetBatches, make_batches
from nslab.networks.heads import head_parts, last_linear
from nslab.system.distributed import process_group
from nslab.system.validation import unknown
from nslab.types import InputShape, Objective

_OFF = ("false", "0", "no")
# Environment variables that accelerate always reads and that would change a run's numbers: for each
# the values that change nothing, and what to do instead.
FIXED_ENVIRONMENT: dict[str, tuple[tuple[str, ...], str]] = {
    "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": (
        ("1",),
        "A batch is one step: give TrainConfig the batch_size of a whole step.",
    ),
    "ACCELERATE_DYNAMO_BACKEND": (
        ("no",),
        "To compile the network, use TrainConfig(compile=True).",
    ),
    **dict.fromkeys(
        (
            "ACCELERATE_USE_DEEPSPEED",
            "ACCELERATE_USE_FSDP",
            "ACCELERATE_USE_MEGATRON_LM",
            "ACCELERATE_USE_PARALLELISM_CONFIG",
        ),
        (_OFF, "Several processes share each batch without it."),
    ),
}


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Device, precision and processes. The precision of an earlier run in this process is reset
    first, since accelerate would refuse to change it.

    Raises ``ValueError`` for settings of accelerate in the environment that would change numbers:
    a run must compute what its config says, on every machine.
    """
    for name, (neutral, instead) in FIXED_ENVIRONMENT.items():
        if (given := os.environ.get(name, "").lower()) not in ("", *neutral):
            raise ValueError(
                f"{name}={given} in the environment would change what run {config.id} computes: "
                f"unset it (or the setting of `accelerate config` it comes from). {instead}"
            )
    process_group()
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=config.precision)


def prepared(
    config: TrainConfig, model: nn.Module, accelerator: Accelerator
) -> tuple[Any, torch.optim.Optimizer]:
    """The network on its device, prepared for the precision and the number of processes, and its
    optimizer. accelerate wraps the optimizer only where it scales losses, since the wrapper
    searches for modules that are not installed at every step."""
    optimizer = make_optimizer(config, model)
    net = accelerator.prepare(model)
    return net, optimizer if accelerator.scaler is None else accelerator.prepare(optimizer)


def make_loaders(
    config: TrainConfig, data: ImageData, objective: Objective, accelerator: Accelerator
) -> tuple[DatasetBatches, DatasetBatches, DatasetBatches | None]:
    """Training and test batches, and those of held-out samples if there are any, all on the
    training device."""
    arrays = data.arrays
    train = make_batches(
        arrays.train_x,
        arrays.train_y,
        data.dataset,
        accelerator.device,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        min_batch=max(2, objective.min_batch),  # BatchNorm needs two samples, a method perhaps more
        channels_last=config.channels_last,
        sampler=config.sampler,
        epochs=config.epochs,
        epoch_parts=config.epoch_parts,
        **({"decoding": config.decoding} if config.decoding != "exact" else {}),
    )
    test, held = (
        make_batches(
            *split,
            data.dataset,
            accelerator.device,
            batch_size=evaluation_batch(accelerator.device, data.dataset.shape)
            * accelerator.num_processes,
            rank=accelerator.process_index,
            world=accelerator.num_processes,
            channels_last=config.channels_last,
        )
        if split
        else None
        for split in ((arrays.test_x, arrays.test_y), data.held)
    )
    assert test is not None
    return train, test, held


def evaluation_batch(device: torch.device, shape: InputShape = (3, 32, 32)) -> int:
    """Samples in a batch of evaluation: few on a CPU, so that activations fit its caches, and
    fewer of large images."""
    samples, large = (256, 64) if device.type == "cpu" else (1024, 128)
    side = shape[1] if len(shape) == 3 else 0
    return samples if side <= large else max(32, samples * large**2 // side**2)


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum, AdamW, or Adam (whose weight decay is an L2 term of the loss), for every
    parameter that is not frozen. A group's ``lr_factor`` multiplies the learning rate."""
    groups = parameter_groups(config, model)
    if config.optimizer != "sgd":
        adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        return adam(groups, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        groups,
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )


def parameter_groups(config: TrainConfig, model: nn.Module) -> list[dict[str, Any]]:
    """The parameters that are trained; those of the backbone are a group of their own if their
    learning rate differs. Frozen parameters no longer require gradients.

    Raises ``ValueError`` if all are frozen.
    """
    for module in frozen_modules(config, model):
        module.requires_grad_(False)
    split = BACKBONE in config.frozen or config.backbone_lr != 1
    head = tuple(f"{part}." for part in head_parts(model)) if split else ()
    if BACKBONE in config.frozen:  # also parameters of no submodule, such as a class token
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(parameter.requires_grad and name.startswith(head))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if not trained:
        raise ValueError(
            f"frozen is {config.frozen}: nothing is left to train, so freeze fewer parts"
        )
    if config.backbone_lr == 1:
        return [{"params": list(trained.values())}]
    backbone = [p for name, p in trained.items() if not name.startswith(head)]
    rest = [p for name, p in trained.items() if name.startswith(head)]
    groups = ((backbone, config.backbone_lr), (rest, 1.0))
    return [{"params": params, "lr_factor": factor} for params, factor in groups if params]


def frozen_modules(config: TrainConfig, model: nn.Module) -> list[nn.Module]:
    """The modules that ``config.frozen`` names, with all inside them; ``ValueError`` for a name
    that the network does not have.

    >>> from torch import nn
    >>> net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    >>> frozen_modules(TrainConfig(frozen=("backbone",)), net)
    [Linear(in_features=4, out_features=4, bias=True), ReLU()]
    """
    known = {name: module for name, module in model.named_modules() if name}
    chosen: list[str] = []
    for name in config.frozen:
        if name == BACKBONE:
            parts = head_parts(model)
            chosen += [k for k in known if not any(_in(k, p) or _in(p, k) for p in parts)]
        elif name in known or name == LAST_LINEAR:
            part = last_linear(model) if name == LAST_LINEAR else name
            chosen += [k for k in known if _in(k, part)]
        else:
            raise unknown("part of the network to freeze", name, [*known, BACKBONE, LAST_LINEAR])
    return [known[name] for name in dict.fromkeys(chosen)]


def _in(name: str, part: str) -> bool:
    """Whether the module ``name`` is ``part`` or lies inside it."""
    return name == part or name.startswith(f"{part}.")
