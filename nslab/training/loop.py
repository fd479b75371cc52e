"""The training loop: any objective, any network, one process or many, resumable."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn

from nslab.configs.selection import LAST, SELECTION
from nslab.configs.train import TrainConfig
from nslab.datasets import ImageData, load
from nslab.datasets.batches import DatasetBatches
from nslab.networks import build_network
from nslab.networks.logits import logits_of
from nslab.networks.modes import scoring, unwrap_ddp, unwrap_model
from nslab.rng import stream_seed
from nslab.system.content_names import short_name
from nslab.system.progress import Progress
from nslab.training.checkpoint import (
    resume,
    save_checkpoint,
    save_weights,
    weights_file,
)
from nslab.training.compilation import compiled
from nslab.training.epoch import NonFiniteLoss, train_epoch
from nslab.training.metrics import Tally
from nslab.training.pauses import Pauses, end_if_over, resume_partial
from nslab.training.setup import make_accelerator, make_loaders, prepared
from nslab.training.starts import start_weights
from nslab.training.texts import save_vocabulary, tokenized, variant_of
from nslab.types import Row


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
    on_epoch: Callable[[Row], object] | None = None,
) -> Trained:
    """Train as ``config`` says and evaluate every ``config.eval_every`` epochs and at the end;
    ``config.hold_out`` and ``config.patience`` say which epoch's network is the result and when
    training ends.

    With a ``folder``, the state is saved there after each epoch, and every ten minutes within one
    (``NSLAB_CHECKPOINT_MINUTES``). An interrupted training continues from it; on a CPU the result
    has the same bits. If the environment limits the time (`nslab.system.time_limits`), training
    ends at such a state with `OutOfTime`. Under ``accelerate launch`` each process takes its share
    of every batch. Random draws come from streams of ``config.seed``; torch's global generator is
    left as it was. ``data`` replaces the data set that ``config`` names. ``show`` displays a
    progress bar. ``on_epoch`` is called with each epoch's row.

    Raises `NonFiniteLoss` as soon as a loss is NaN or infinite; the state after the last whole
    epoch stays in ``folder``.

    >>> trained = fit(TrainConfig("digits", "mlp", epochs=1, train_size=200), show=False)
    >>> trained.history[0]["epoch"], 0 <= trained.metrics["test_accuracy"] <= 100
    (0, True)
    """
    accelerator = make_accelerator(config)
    given, data = data, training_set(config, data)
    objective = config.objective.build(data.info)
    train, test, held = make_loaders(config, data, objective, accelerator)
    wrong = None if data.mislabelled is None else torch.from_numpy(data.mislabelled)
    shape, classes = data.dataset.shape, data.dataset.layout.num_classes
    model = start_weights(build_network(config.network, shape, classes, config.seed), config)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    net: Any
    net, optimizer = prepared(config, model, accelerator)
    if config.compile:
        net = compiled(
            net,
            accelerator.device,
            config.batch_size,
            objective.min_batch,
            processes=accelerator.num_processes,
            accumulate=config.accumulate,
        )
    found = resume(config, folder, net, objective, optimizer, accelerator)
    history, best, partial = (found.history, found.best, found.partial) if found else ([], {}, {})
    data_and_network = " ".join(map(short_name, (config.dataset, config.network)))
    label = f"{data_and_network} {type(config.objective).__name__} {config.id}"
    main = accelerator.is_main_process

    def keep(partial: dict[str, Any]) -> None:
        if folder and main:
            save_checkpoint(
                config, folder, net, objective, optimizer, accelerator, history, best, partial
            )

    with (
        dropout_stream(accelerator.device),
        Progress(config.epochs, label, show=show and main) as bar,
    ):
        if history:
            bar.resume(len(history))
        while not ended(history, config):
            epoch, before = len(history), float(partial.get("seconds", 0.0))
            started = time.perf_counter() - before
            torch.manual_seed(stream_seed(config.seed, "dropout", epoch, accelerator.process_index))
            row = train_epoch(
                config,
                net,
                objective,
                train,
                optimizer,
                accelerator,
                epoch,
                wrong,
                begun=resume_partial(partial, config.seed, accelerator),
                pauses=Pauses(keep, accelerator, epoch, before) if folder else None,
            )
            partial = {}
            if (epoch + 1) % config.eval_every == 0 or epoch + 1 == config.epochs:
                row |= metrics_row("test", evaluate(net, test, classes, accelerator))
                if held:
                    row |= metrics_row("held_out", evaluate(net, held, classes, accelerator))
                check_outputs(row, config)
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            if "held_out_loss" in row and chosen(history) == epoch:
                best = {
                    name: t.detach().clone() for name, t in unwrap_model(net).state_dict().items()
                }
            if folder and main:
                keep_epoch(config, unwrap_model(net), folder, epoch)
            keep({})
            if on_epoch:
                on_epoch(row)
            split = "test" if "test_accuracy" in row else "train"
            bar.advance(f"{split} accuracy {row[f'{split}_accuracy']:.2f} %")
            if folder and not ended(history, config):
                end_if_over()
    if best:
        unwrap_model(net).load_state_dict(best)
    if folder and main:
        save_weights(unwrap_model(net), folder)
        save_vocabulary(config, folder, given)
    accelerator.wait_for_everyone()
    return Trained(unwrap_model(net), history, summary(history))


def chosen(history: list[Row]) -> int:
    """The epoch whose network is the result: the best on held-out samples, else the last."""
    best = SELECTION.best(history)
    return len(history) - 1 if best is None else best


def ended(history: list[Row], config: TrainConfig) -> bool:
    """Whether training is over: all epochs are done, or patience is exhausted (after an epoch with
    an evaluation, and not before there are ``config.keep_last`` epochs to keep)."""
    judged = bool(history) and "held_out_loss" in history[-1]
    if not judged or not config.patience or len(history) < config.keep_last:
        return len(history) >= config.epochs
    waited = len(history) - 1 - chosen(history)
    return len(history) >= config.epochs or waited >= config.patience


def keep_epoch(config: TrainConfig, model: nn.Module, folder: Path, epoch: int) -> None:
    """Keep the weights of the last ``config.keep_last`` epochs. If training may end early, these
    are not known in advance, so the oldest are deleted when new ones are saved."""
    if config.keep_last and (config.patience or epoch >= config.epochs - config.keep_last):
        save_weights(model, folder, epoch + 1)
        weights_file(folder, epoch + 1 - config.keep_last).unlink(missing_ok=True)


def training_set(config: TrainConfig, data: ImageData | None = None) -> ImageData:
    """The data of a run, its training set cut, long-tailed or mislabelled as the config says, with
    texts as tokens."""
    if config.tokenization:
        return tokenized(config, data)[1]
    data = data or load(config.dataset, image_size=config.image_size)
    return data.variant(**variant_of(config))


@contextmanager
def dropout_stream(device: torch.device) -> Iterator[None]:
    """Restores torch's global generator afterwards, from which layers such as Dropout draw."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@torch.no_grad()
def evaluate(
    model: nn.Module,
    loader: DatasetBatches,
    num_classes: int,
    accelerator: Accelerator | None = None,
    accepted: np.ndarray | None = None,
) -> Tally:
    """Accuracy and cross-entropy on every sample, in evaluation mode.

    ``accepted``: all right labels of each sample (n, l), padded with -1, where there are several.
    """
    right = None if accepted is None else torch.from_numpy(accepted).to(loader.y.device)
    tally = Tally.empty(num_classes, loader.y.device)
    net = unwrap_ddp(model)
    if accelerator is not None and accelerator.num_processes > 1:
        for buffer in net.buffers():  # BatchNorm statistics of the first process
            torch.distributed.broadcast(buffer, 0)
    with scoring(net):
        for batch in loader.in_order():
            also = None if right is None else right[batch.index]
            tally.add(logits_of(net(batch.x)), batch.y, also)
    if accelerator is not None:
        tally = Tally.unpacked(accelerator.reduce(tally.packed(), "sum"))
    return tally


def metrics_row(split: str, tally: Tally) -> Row:
    """The numbers of an evaluation for an epoch's row; for the test set also class by class."""
    row: Row = {f"{split}_loss": tally.mean_loss, f"{split}_accuracy": tally.accuracy}
    if split == "test":
        row |= {"balanced_accuracy": tally.balanced, "per_class_accuracy": tally.per_class}
        row |= {"test_top5": tally.top5}
    return row


def check_outputs(row: Row, config: TrainConfig) -> None:
    """`NonFiniteLoss` if the losses of an evaluation are not finite: the last step of an epoch may
    ruin a network after its own loss was checked."""
    if not all(math.isfinite(row[name]) for name in row if name.endswith("_loss")):
        before = row["epoch"] - 1
        kept = f"A stored run keeps its state after epoch {before}; " if row["epoch"] else ""
        raise NonFiniteLoss(
            f"the network gives outputs that are not finite after epoch {row['epoch']}, with "
            f"{config.objective} on {config.dataset} (run {config.id}). {kept}try a smaller "
            "learning rate, warm-up or clip_norm."
        )


def summary(history: list[Row]) -> Row:
    """The numbers of a finished run: those of the `chosen` epoch, and the best test accuracy."""
    final = chosen(history)
    tested = [e for e, row in enumerate(history) if "test_accuracy" in row]
    best = max(tested, key=lambda e: history[e]["test_accuracy"])
    skipped = ("epoch", "lr", "seconds")
    return {
        **{name: value for name, value in history[final].items() if name not in skipped},
        **({"chosen_epoch": final} if "held_out_loss" in history[final] else {}),
        "selected_by": SELECTION.name if "held_out_loss" in history[final] else LAST,
        "best_test_accuracy": history[best]["test_accuracy"],
        "best_epoch": best,
        "epochs": len(history),
        "seconds": sum(row["seconds"] for row in history),
    }


__all__ = ["NonFiniteLoss", "Trained", "evaluate", "fit", "training_set"]
