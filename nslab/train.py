"""The training loop: any objective, any network, one process or many, stopped and resumed."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from nslab.checkpoint import keep, resume, save_weights, start_weights
from nslab.datasets import ImageData, load
from nslab.datasets.loader import Loader
from nslab.experiments.config import TrainConfig
from nslab.metrics import Tally
from nslab.networks import build_network
from nslab.networks.modes import bare, local, scoring
from nslab.prepare import make_accelerator, make_loaders, make_optimizer
from nslab.progress import Progress
from nslab.rng import stream_seed
from nslab.types import Objective, Scored

Row = dict[str, Any]


class NonFiniteLoss(RuntimeError):
    """A loss that is NaN or infinite."""


@dataclass(frozen=True)
class Trained:
    """What `fit` returns: the network, one row per epoch, and the final numbers."""

    model: nn.Module
    history: list[Row]
    metrics: Row


def fit(
    config: TrainConfig,
    folder: Path | None = None,
    *,
    data: ImageData | None = None,
    show: bool = True,
    on_epoch: Callable[[Row], None] | None = None,
) -> Trained:
    """Train as ``config`` says and evaluate after every epoch.

    With a ``folder``, the state after each epoch is kept there and an interrupted training goes
    on from it: on a CPU the end is the same to the bit. Under ``accelerate launch`` each process
    takes its share of every batch. Random draws come from streams of ``config.seed``; torch's
    global generator is left as it was.

    Raises `NonFiniteLoss` as soon as a loss is NaN or infinite; the state after the last whole
    epoch stays in ``folder``.
    """
    accelerator = make_accelerator(config)
    data = training_set(config, data)
    objective = config.objective.build(data.info)
    train, test = make_loaders(config, data, objective, accelerator)
    wrong = None if data.mislabelled is None else torch.from_numpy(data.mislabelled)
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model = start_weights(build_network(config.network, shape, classes, config.seed), config)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    net: Any
    net, optimizer = accelerator.prepare(model, make_optimizer(config, model))
    if config.compile:
        net = torch.compile(net)
    history = resume(config, folder, net, objective, optimizer, accelerator)
    label = f"{config.dataset} {config.network} {type(config.objective).__name__} {config.id}"
    main = accelerator.is_main_process
    with (
        dropout_stream(accelerator.device),
        Progress(config.epochs, label, show=show and main) as bar,
    ):
        if history:
            bar.advance("resumed", len(history))
        for epoch in range(len(history), config.epochs):
            started = time.perf_counter()
            torch.manual_seed(stream_seed(config.seed, "dropout", epoch, accelerator.process_index))
            row = train_epoch(config, net, objective, train, optimizer, accelerator, epoch, wrong)
            tally = evaluate(net, test, classes, accelerator)
            row |= {
                "test_loss": tally.mean_loss,
                "test_accuracy": tally.accuracy,
                "balanced_accuracy": tally.balanced,
                "per_class_accuracy": tally.per_class,
                "seconds": time.perf_counter() - started,
            }
            history.append(row)
            if folder and main:
                if epoch >= config.epochs - config.keep_last:
                    save_weights(bare(net), folder, epoch + 1)
                keep(config, folder, net, objective, optimizer, accelerator, history)
            if on_epoch:
                on_epoch(row)
            bar.advance(f"test accuracy {row['test_accuracy']:.2f} %")
    if folder and main:
        save_weights(bare(net), folder)
    accelerator.wait_for_everyone()
    return Trained(bare(net), history, summary(history))


def training_set(config: TrainConfig, data: ImageData | None = None) -> ImageData:
    """The data of a run, its training set long-tailed or mislabelled as the config says."""
    data = data or load(config.dataset)
    return data.variant(config.imbalance, config.noise, config.noise_rate)


@contextmanager
def dropout_stream(device: torch.device) -> Iterator[None]:
    """Layers such as Dropout draw from torch's global generator: lend it, then put it back."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


def train_epoch(
    config: TrainConfig,
    model: nn.Module,
    objective: Objective,
    loader: Loader,
    optimizer: torch.optim.Optimizer,
    accelerator: Accelerator,
    epoch: int,
    wrong: Bool[Tensor, " n"] | None = None,
) -> Row:
    """One pass over the training set; returns its means over the samples of all processes.

    ``wrong`` marks mislabelled samples: the row then also has accuracy and mean weight of either
    kind, ``..._clean`` and ``..._mislabelled``.
    """
    model.train()
    # Reading a loss waits for the device: look every step on a CPU, where waiting costs nothing.
    look_every = 1 if accelerator.device.type == "cpu" else 50
    losses: list[Tensor] = []
    marked = torch.zeros(1, dtype=torch.bool) if wrong is None else wrong
    marked = marked.to(accelerator.device)
    sums = torch.zeros(2, 6, dtype=torch.float64, device=accelerator.device)
    lr = 0.0
    for i, batch in enumerate(loader.epoch(epoch)):
        lr = config.lr_at(epoch * len(loader) + i, len(loader))
        for group in optimizer.param_groups:
            group["lr"] = lr
        scored = objective(model, dataclasses.replace(batch, lr=lr))
        total = scored.total()
        losses.append(total.detach())
        if len(losses) == look_every:
            check_finite(losses, config, epoch, i)
        optimizer.zero_grad()
        accelerator.backward(total)
        if config.clip_norm is not None:
            accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.step()
        sums += batch_sums(scored, batch.y, marked[batch.index % len(marked)])
    check_finite(losses, config, epoch, len(loader) - 1)
    sums = accelerator.reduce(sums, "sum")
    n, right, loss, weight, squares, negative = sums.sum(0).tolist()
    kinds = {}
    if wrong is not None:
        for name, (count, hits, _, total_weight, *_) in zip(
            ("clean", "mislabelled"), sums.tolist(), strict=True
        ):
            kinds[f"train_accuracy_{name}"] = 100 * hits / count if count else math.nan
            kinds[f"weight_mean_{name}"] = total_weight / count if count else math.nan
    spread = math.sqrt(max(0.0, squares / n - (weight / n) ** 2))
    return {
        "epoch": epoch,
        "lr": lr,
        "train_loss": loss / n,
        "train_accuracy": 100 * right / n,
        "weight_mean": weight / n,
        "weight_sd": spread,
        "negative_weights": negative / n,
        **kinds,
    }


@torch.no_grad()
def batch_sums(
    scored: Scored, y: Int[Tensor, " b"], wrong: Bool[Tensor, " b"]
) -> Float[Tensor, "2 6"]:
    """Sums over a batch's samples with right and with ``wrong`` labels: samples, hits, loss,
    weights, their squares, negative ones."""
    w = torch.ones_like(scored.loss) if scored.weight is None else scored.weight
    hits = scored.logits.argmax(1) == y
    parts = [torch.ones_like(w), hits, scored.loss, w, w * w, w < 0]
    columns = torch.stack([part.double() for part in parts], 1)
    kinds = torch.stack([~wrong, wrong]).double()
    return kinds @ columns


def check_finite(losses: list[Tensor], config: TrainConfig, epoch: int, last: int) -> None:
    """Raise `NonFiniteLoss` if one of the latest losses is not finite; forget them otherwise.

    ``last`` is the batch that the last of them belongs to.
    """
    if not losses:
        return
    finite = torch.isfinite(torch.stack(losses)).tolist()
    first = last - len(losses) + 1
    losses.clear()
    if not all(finite):
        raise NonFiniteLoss(
            f"loss is not finite in epoch {epoch}, batch {first + finite.index(False)}, with "
            f"{config.objective} on {config.dataset} (run {config.id}). The state after epoch "
            f"{epoch - 1} is kept; try a smaller learning rate, warm-up or clip_norm."
            if epoch
            else f"loss is not finite in epoch 0, batch {first + finite.index(False)}, with "
            f"{config.objective} on {config.dataset} (run {config.id}), before any whole epoch; "
            "try a smaller learning rate, warm-up or clip_norm."
        )


@torch.no_grad()
def evaluate(
    model: nn.Module, loader: Loader, num_classes: int, accelerator: Accelerator | None = None
) -> Tally:
    """Accuracy and cross-entropy on every sample, in evaluation mode."""
    tally = Tally.empty(num_classes, loader.y.device)
    net = local(model)
    if accelerator is not None and accelerator.num_processes > 1:
        for buffer in net.buffers():  # BatchNorm statistics of the first process count
            torch.distributed.broadcast(buffer, 0)
    with scoring(net):
        for batch in loader.in_order():
            tally.add(net(batch.x), batch.y)
    if accelerator is not None:
        tally = Tally.unpacked(accelerator.reduce(tally.packed(), "sum"))
    return tally


def summary(history: list[Row]) -> Row:
    """The numbers of a finished run: the last epoch's, and the best accuracy beside the last."""
    last = history[-1]
    best = max(range(len(history)), key=lambda e: history[e]["test_accuracy"])
    return {
        **{name: value for name, value in last.items() if name not in ("epoch", "lr", "seconds")},
        "best_test_accuracy": history[best]["test_accuracy"],
        "best_epoch": best,
        "epochs": len(history),
        "seconds": sum(row["seconds"] for row in history),
    }
