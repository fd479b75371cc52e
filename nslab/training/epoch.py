"""One pass over the training set: the inner training loop, the same for every method."""

import dataclasses
import math
from contextlib import nullcontext

import torch
from accelerate import Accelerator
from jaxtyping import Bool
from torch import Tensor, nn

from nslab.configs.train import TrainConfig
from nslab.datasets.batches import DatasetBatches
from nslab.networks.modes import unwrap_model
from nslab.objectives.checks import check_scored
from nslab.objectives.weighted import counted
from nslab.training.epoch_sums import EpochSums
from nslab.training.pauses import Pauses
from nslab.training.setup import frozen_modules
from nslab.types import Batch, Objective, Row


class NonFiniteLoss(RuntimeError):
    """A loss that is NaN or infinite."""


def train_epoch(
    config: TrainConfig,
    model: nn.Module,
    objective: Objective,
    loader: DatasetBatches,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    epoch: int,
    wrong: Bool[Tensor, " n"] | None = None,
    begun: tuple[int, Tensor | None] = (0, None),
    pauses: Pauses | None = None,
) -> Row:
    """One pass over the training set; returns its means over the samples of all processes.

    ``wrong`` marks mislabelled samples: the row then also has accuracy and mean weight of either
    kind, ``..._clean`` and ``..._mislabelled``. ``begun``: steps of the epoch that are already
    done, and their sums; ``pauses`` saves the state inside the epoch. Raises `NonFiniteLoss`.
    """
    training_mode(config, model)
    # Reading a loss waits for the device. On a CPU that costs nothing, so look at every step.
    look_every = 1 if accelerator.device.type == "cpu" else 50
    losses: list[Tensor] = []
    first, before = begun
    epoch_sums = EpochSums(accelerator.device, wrong, before)
    lr = config.lr_at(max(0, epoch * len(loader) + first - 1), len(loader))
    part_size = -(-config.batch_size // (accelerator.num_processes * config.accumulate))
    for i, batch in enumerate(loader.epoch(epoch, first), first):
        lr = config.lr_at(epoch * len(loader) + i, len(loader))
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("lr_factor", 1.0)
        optimizer.zero_grad()
        whole: Tensor | None = None
        parts = split_batch(
            dataclasses.replace(batch, lr=lr), part_size, max(2, objective.min_batch)
        )
        for k, part in enumerate(parts):
            last = k + 1 == len(parts)
            with nullcontext() if last else accelerator.no_sync(model):
                scored = objective(model, part)
                check_scored(scored, part.y, type(config.objective).__name__)
                total = scored.total()
                if len(parts) > 1:
                    total = total * (len(part.y) / len(batch.y))
                whole = total.detach() if whole is None else whole + total.detach()
                if last:
                    losses.append(whole)
                    if len(losses) == look_every:
                        check_finite(losses, config, epoch, i)
                if accelerator.scaler is None:
                    total.backward()
                else:
                    accelerator.backward(total)
            epoch_sums.add(scored, part)
        if config.clip_norm is not None:
            accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        if pauses and i + 1 < len(loader) and pauses.due(i + 1):
            check_finite(losses, config, epoch, i)
            pauses.keep(i + 1, epoch_sums.total())
    check_finite(losses, config, epoch, len(loader) - 1)
    sums = accelerator.reduce(epoch_sums.total(), "sum")
    n, right, loss, weight, squares, negative = sums.sum(0).tolist()
    more = {}
    if wrong is not None:
        for name, (count, hits, _, total_weight, *_) in zip(
            ("clean", "mislabelled"), sums.tolist(), strict=True
        ):
            more[f"train_accuracy_{name}"] = 100 * hits / count if count else math.nan
            more[f"weight_mean_{name}"] = total_weight / count if count else math.nan
    for name, counts in counted(objective).items():
        share, of = accelerator.reduce(counts.to(accelerator.device), "sum").tolist()
        more[name] = share / of if of else math.nan
    spread = math.sqrt(max(0.0, squares / n - (weight / n) ** 2))
    return {
        "epoch": epoch,
        "lr": lr,
        "train_loss": loss / n,
        "train_accuracy": 100 * right / n,
        "weight_mean": weight / n,
        "weight_sd": spread,
        "negative_weights": negative / n,
        **more,
    }


def training_mode(config: TrainConfig, model: nn.Module) -> None:
    """Put a network into training mode, and its frozen parts into evaluation mode."""
    model.train()
    for module in frozen_modules(config, unwrap_model(model)):
        module.eval()


def split_batch(batch: Batch, size: int, smallest: int) -> list[Batch]:
    """A batch in parts of ``size`` samples; a remainder below ``smallest`` joins the part before.

    >>> batch = Batch(torch.zeros(9, 1), torch.zeros(9, dtype=torch.long), torch.arange(9))
    >>> [len(part.y) for part in split_batch(batch, 4, smallest=2)]
    [4, 5]
    >>> len(split_batch(batch, 9, smallest=2))
    1
    """
    starts = list(range(0, len(batch.y), size))
    if len(starts) > 1 and len(batch.y) - starts[-1] < smallest:
        starts.pop()
    if len(starts) < 2:
        return [batch]
    ends = [*starts[1:], len(batch.y)]
    return [
        dataclasses.replace(batch, x=batch.x[a:b], y=batch.y[a:b], index=batch.index[a:b])
        for a, b in zip(starts, ends, strict=True)
    ]


def check_finite(losses: list[Tensor], config: TrainConfig, epoch: int, last: int) -> None:
    """Raise `NonFiniteLoss` if one of the latest losses is not finite; forget them otherwise.

    ``last`` is the batch that the last of them belongs to.
    """
    if not losses:
        return
    values = [losses[0].item()] if len(losses) == 1 else torch.stack(losses).tolist()
    finite = list(map(math.isfinite, values))
    first = last - len(losses) + 1
    losses.clear()
    if not all(finite):
        raise NonFiniteLoss(
            f"loss is not finite in epoch {epoch}, batch {first + finite.index(False)}, with "
            f"{config.objective} on {config.dataset} (run {config.id}). A stored run keeps its "
            f"state after epoch {epoch - 1}; try a smaller learning rate, warm-up or clip_norm."
            if epoch
            else f"loss is not finite in epoch 0, batch {first + finite.index(False)}, with "
            f"{config.objective} on {config.dataset} (run {config.id}), before any whole epoch; "
            "try a smaller learning rate, warm-up or clip_norm."
        )
