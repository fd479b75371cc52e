"""What training needs before its first step: device, batches, optimizer."""

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from jaxtyping import Int, UInt8
from torch import Tensor, nn

from nslab.datasets import ImageData
from nslab.datasets.loader import Loader
from nslab.experiments.config import TrainConfig
from nslab.processes import processes
from nslab.types import Objective


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Device, precision and processes. The precision of an earlier run in this process is
    forgotten, which accelerate would otherwise refuse to change."""
    processes()
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=config.precision)


def make_loaders(
    config: TrainConfig, data: ImageData, objective: Objective, accelerator: Accelerator
) -> tuple[Loader, Loader, Loader | None]:
    """Training and test batches, and those of held-out samples if there are any, all on the
    training device."""
    arrays = data.arrays
    train = Loader(
        *on_device(arrays.train_x, arrays.train_y, accelerator.device),
        data.dataset,
        batch_size=config.batch_size,
        seed=config.seed,
        augment=config.augment,
        rank=accelerator.process_index,
        world=accelerator.num_processes,
        min_batch=max(2, objective.min_batch),  # BatchNorm needs two samples, a method perhaps more
        channels_last=config.channels_last,
        sampler=config.sampler,
        epochs=config.epochs,
    )
    test, held = (
        Loader(
            *on_device(*split, accelerator.device),
            data.dataset,
            batch_size=1024 * accelerator.num_processes,
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


def on_device(
    x: np.ndarray, y: np.ndarray, device: torch.device
) -> tuple[UInt8[Tensor, "n h w c"], Int[Tensor, " n"]]:
    """Images and labels as tensors on a device; a split lives there whole."""
    return torch.tensor(x).to(device), torch.tensor(y).to(device)


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum, AdamW, or Adam, whose weight decay is an L2 term of the loss; on every
    parameter."""
    if config.optimizer != "sgd":
        adam = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
        return adam(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )
