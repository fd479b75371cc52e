"""Adaptation of a trained network to unlabelled images: SHOT's training loop, resumable."""

import copy
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.adapt.shot import Shot, pseudo_labels
from nslab.adapt.truth import Records, epoch_rows
from nslab.configs.adapt import AdaptConfig
from nslab.configs.selection import LAST
from nslab.datasets import ImageData, dataset_of, load
from nslab.datasets.batches import DatasetBatches
from nslab.datasets.domains import check_class_names, in_form_of
from nslab.networks import build_network
from nslab.networks.heads import features_of
from nslab.networks.logits import logits_of
from nslab.networks.modes import scoring, unwrap_ddp, unwrap_model
from nslab.objectives.weighted import full_precision, restore_state, state_of
from nslab.rng import stream_seed
from nslab.system.progress import Progress
from nslab.training.checkpoint import resume, save_checkpoint, save_weights
from nslab.training.epoch import NonFiniteLoss, train_epoch
from nslab.training.loop import Trained, dropout_stream, evaluate, metrics_row, training_set
from nslab.training.pauses import Pauses, resume_partial
from nslab.training.setup import make_accelerator, make_loaders, prepared
from nslab.types import Batch, DataInfo, Objective, Row, Scored, StateDict


def adapt(
    config: AdaptConfig,
    state: StateDict,
    folder: Path | None = None,
    *,
    data: ImageData | None = None,
    show: bool = True,
    on_epoch: Callable[[Row], object] | None = None,
) -> Trained:
    """Adapt the network with the weights ``state`` to the training images of ``config.dataset``.

    At the start of each epoch all of them are given `nslab.adapt.shot.pseudo_labels`, with the
    network in evaluation mode; then it is trained on them for one epoch, except for its last linear
    layer. Their true labels, and those of the test images, are used only after the last epoch, when
    the numbers of `nslab.adapt.truth` are added to the history. With a ``folder`` an interrupted
    adaptation continues where it stopped, bit for bit on a CPU.

    NOTE: what depends on class sizes, such as NLNL's weights, depends on those of each epoch's
    pseudo-labels.

    Raises ``ValueError`` for a target with other classes, and `NonFiniteLoss` if a loss or the
    network's outputs are not finite.

    >>> from nslab.configs import TrainConfig
    >>> from nslab.training.loop import fit
    >>> source = TrainConfig("digits", "bottleneck/mlp", epochs=2, train_size=300)
    >>> trained = fit(source, show=False).model
    >>> config = AdaptConfig(source, "digits_slanted", epochs=1, train_size=200)
    >>> row = adapt(config, trained.state_dict(), show=False).history[0]
    >>> 0 <= row["pseudo_accuracy"] <= 100
    True
    """
    steps, source_training = config.steps, config.training
    accelerator = make_accelerator(steps)
    source = dataset_of(source_training.dataset, source_training.image_size)
    data = data or load(config.dataset, image_size=steps.image_size)
    data = training_set(steps, in_form_of(data, source))
    names = (source.classes, config.dataset, data.dataset.classes, source_training.label())
    check_class_names(source_training.dataset, *names)
    truth = data.arrays.train_y, data.arrays.test_y
    data, classes = hide_labels(data), source.layout.num_classes
    objective: Objective = config.objective.build(data.info)
    train, test, _ = make_loaders(steps, data, objective, accelerator)
    model = build_network(source_training.network, source.shape, classes, config.seed)
    model.load_state_dict(state)
    if config.channels_last:
        model = model.to(memory_format=torch.channels_last)
    net: Any
    net, optimizer = prepared(steps, model, accelerator)
    found = resume(config, folder, net, objective, optimizer, accelerator)
    history, partial, kept = (found.history, found.partial, found.kept) if found else ([], {}, {})
    seen = Records(**kept) if kept else Records([predicted_classes(net, test, accelerator)])
    if {len(labels) for labels in seen.pseudo} - {len(truth[0])}:
        raise ValueError(
            f"{folder} has the checkpoint of an adaptation to other images: remove it to start over"
        )
    main = accelerator.is_main_process

    def keep(partial: dict[str, Any]) -> None:  # every process calls this
        seen.values[-1] = recorder.over_processes(accelerator)
        if folder and main:
            save_checkpoint(
                *(config, folder, net, objective, optimizer, accelerator, history, {}),
                partial,
                vars(seen),
            )

    show = show and main and config.epochs > 0
    bar = Progress(config.epochs, f"{config.label()} {config.id}", show=show)
    with dropout_stream(accelerator.device), bar:
        if history:
            bar.resume(len(history))
        while len(history) < config.epochs:
            epoch, before = len(history), float(partial.get("seconds", 0.0))
            started = time.perf_counter() - before
            if not partial:
                seen.begin(pseudo_labels(*outputs(net, train, accelerator), config.threshold))
            train.y = seen.pseudo[-1].to(train.y)
            memory = copy.deepcopy(state_of(objective))
            objective = config.objective.build(DataInfo.of(train.y, classes))
            restore_state(objective, memory)
            recorder = Recorder(objective, config, seen.values[-1].to(accelerator.device))
            torch.manual_seed(stream_seed(config.seed, "dropout", epoch, accelerator.process_index))
            try:
                row = train_epoch(
                    steps,
                    net,
                    recorder,
                    train,
                    optimizer,
                    accelerator,
                    epoch,
                    begun=resume_partial(partial, config.seed, accelerator),
                    pauses=Pauses(keep, accelerator, epoch, before) if folder else None,
                )
            except NonFiniteLoss as error:
                raise NonFiniteLoss(str(error).replace(steps.id, config.id)) from None
            partial = {}
            tested = (epoch + 1) % config.eval_every == 0 or epoch + 1 == config.epochs
            seen.tested.append(predicted_classes(net, test, accelerator) if tested else None)
            row["seconds"] = time.perf_counter() - started
            history.append(row)
            keep({})
            if on_epoch:
                on_epoch(row)
            bar.advance(f"agreement with pseudo-labels {row['train_accuracy']:.2f} %")
    if folder and main:
        save_weights(unwrap_model(net), folder)
    accelerator.wait_for_everyone()
    rows = [row | more for row, more in zip(history, epoch_rows(seen, truth, classes), strict=True)]
    test.y = torch.tensor(truth[1]).to(test.y)
    final = metrics_row("test", evaluate(net, test, classes, accelerator))
    final |= {"source_accuracy": seen.test_accuracy(0, truth[1]), "selected_by": LAST}
    last = {k: v for k, v in rows[-1].items() if k not in {"epoch", "lr", *final}} if rows else {}
    seconds = sum(row["seconds"] for row in rows)
    return Trained(
        unwrap_model(net), rows, last | final | {"epochs": len(rows), "seconds": seconds}
    )


def hide_labels(data: ImageData) -> ImageData:
    """The data with meaningless labels, 0, 1, 2, ... in turn, so that no true label can be used."""
    k = data.dataset.layout.num_classes
    train, test = (np.arange(len(y)) % k for y in (data.arrays.train_y, data.arrays.test_y))
    return dataclasses.replace(data, arrays=data.arrays._replace(train_y=train, test_y=test))


@torch.no_grad()
def outputs(
    model: nn.Module, batches: DatasetBatches, accelerator: Accelerator
) -> tuple[Float[Tensor, "n d"], Float[Tensor, "n k"]]:
    """Features (the input of the last linear layer) and probabilities of all samples of
    ``batches``, not augmented, in evaluation mode; the same in every process. Raises
    `NonFiniteLoss` if they are not finite."""
    net, parts = unwrap_ddp(model), []
    several = accelerator.num_processes > 1
    for buffer in net.buffers() if several else ():  # BatchNorm statistics of the first process
        torch.distributed.broadcast(buffer, 0)
    with scoring(net), features_of(unwrap_model(net)) as seen:
        for batch in batches.in_order():
            p = full_precision(logits_of(net(batch.x))).softmax(1)
            parts.append((batch.index, full_precision(seen.pop()), p))
    index, *found = (torch.cat(column) for column in zip(*parts, strict=True))
    if not all(bool(values.isfinite().all()) for values in found):
        raise NonFiniteLoss(
            "the network gives outputs that are not finite. The state after the last whole epoch "
            "is kept; try a smaller learning rate, or clip_norm."
        )
    made = []
    for values in found:
        whole = values.new_zeros(len(batches.y), values.shape[1])
        whole[index] = values
        made.append(accelerator.reduce(whole, "sum") if several else whole)
    return made[0], made[1]


def predicted_classes(
    model: nn.Module, batches: DatasetBatches, accelerator: Accelerator
) -> Int[Tensor, " n"]:
    """The likeliest class of each sample."""
    return outputs(model, batches, accelerator)[1].argmax(1).to("cpu", torch.int16)


class Recorder:
    """SHOT's objective, which also records for each sample of an epoch the probability of its
    pseudo-label and the weight of its loss (NaN where there is none)."""

    def __init__(
        self, inner: Objective, config: AdaptConfig, values: Float[Tensor, "two n"]
    ) -> None:
        self.objective = Shot(inner, config.pseudo_weight, config.im_weight)
        self.values, self.min_batch = values, self.objective.min_batch

    def counted(self) -> dict[str, Tensor]:
        """What the objective has counted."""
        return self.objective.counted()

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        scored = self.objective(model, batch)
        p = full_precision(scored.logits.detach()).softmax(1).gather(1, batch.y[:, None])
        self.values[0, batch.index] = p.squeeze(1)
        if scored.weight is not None:
            self.values[1, batch.index] = scored.weight.float()
        return scored

    def over_processes(self, accelerator: Accelerator) -> Float[Tensor, "two n"]:
        """What all processes recorded, on the CPU; the mean for samples that several saw."""
        if accelerator.num_processes == 1:
            return self.values.cpu()
        there = ~self.values.isnan()
        sums = accelerator.reduce(self.values.nan_to_num(0.0), "sum")
        return (sums / accelerator.reduce(there.float(), "sum")).cpu()
