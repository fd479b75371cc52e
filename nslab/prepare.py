"""What training needs before its first step: device, batches, optimizer."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

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
) -> tuple[Loader, Loader]:
    """Training and test batches, both splits on the training device."""
    made = []
    world = accelerator.num_processes
    for split, augment in (("train", config.augment), ("test", "none")):
        x, y = (torch.tensor(getattr(data.arrays, f"{split}_{part}")) for part in "xy")
        made.append(
            Loader(
                x.to(accelerator.device),
                y.to(accelerator.device),
                data.dataset,
                batch_size=config.batch_size
                if split == "train"
                else 1024 * accelerator.num_processes,
                seed=config.seed,
                augment=augment,
                rank=accelerator.process_index,
                world=world,
                # BatchNorm needs two samples to train on, a method perhaps more
                min_batch=max(2, objective.min_batch) if split == "train" else 1,
                channels_last=config.channels_last,
                sampler=config.sampler if split == "train" else "shuffle",
                epochs=config.epochs,
            )
        )
    return made[0], made[1]


def make_optimizer(config: TrainConfig, model: nn.Module) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW; weight decay on every parameter."""
    if config.optimizer == "adamw":
        return torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(
        model.parameters(),
        lr=config.lr,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
    )
