"""Compute an evaluation: test the network of a finished run on another data set."""

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from accelerate.utils import reduce

from nslab.configs.evaluation import EvaluateConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import ImageData, load
from nslab.datasets.batches import make_batches
from nslab.datasets.domains import check_class_names
from nslab.datasets.image_folder import split_root
from nslab.networks import build_network
from nslab.runs.folder import folder_of
from nslab.system.content_names import content_of, parse_content_name, short_name
from nslab.system.distributed import process_group
from nslab.training.checkpoint import load_weights
from nslab.training.loop import Trained, evaluate, metrics_row
from nslab.training.metrics import Tally
from nslab.training.setup import evaluation_batch
from nslab.training.texts import texts_to_test_on


def run_evaluation(config: EvaluateConfig) -> Trained:
    """Test the network that ``config.trained`` ended with.

    Where images have several right labels, the likeliest class counts as right if it is any of
    them; ``top5`` likewise. Raises ``ValueError`` if the images have another shape, or the data set
    other classes, than the network was trained for: another number, or other folder names.
    """
    started, training = time.perf_counter(), config.training
    form = training.about
    if training.tokenization:
        data = texts_to_test_on(training, config.dataset, folder_of(config.trained))
    else:
        data = tested_images(load(config.dataset, image_size=training.image_size), training)
    about, classes = data.dataset, form.layout.num_classes
    for what, has, needs in (
        ("classes", about.layout.num_classes, classes),
        ("images of shape", about.shape, form.shape),
    ):
        if has != needs:
            raise ValueError(
                f"{config.dataset} has {what} {has}, the network of {training.label()} is for "
                f"{what} {needs}: it cannot be tested on this data"
            )
    check_class_names(
        training.dataset, form.classes, config.dataset, about.classes, training.label()
    )
    group = process_group()
    model = build_network(training.network, form.shape, classes, training.seed)
    model = load_weights(model, folder_of(config.trained)).to(group.device)
    if training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    batches = make_batches(
        data.arrays.test_x,
        data.arrays.test_y,
        dataclasses.replace(about, mean=form.mean, std=form.std),
        group.device,
        batch_size=evaluation_batch(group.device, form.shape) * group.num_processes,
        rank=group.process_index,
        world=group.num_processes,
        channels_last=training.channels_last,
    )
    tally = evaluate(model, batches, classes, accepted=data.accepted)
    if group.num_processes > 1:
        tally = Tally.unpacked(reduce(tally.packed(), "sum"))
    row = metrics_row("test", tally) | {"images": len(data.arrays.test_y)}
    row |= {"tested_on": short_name(config.dataset), "selected_by": "nothing"}
    return Trained(model, [], row | {"seconds": time.perf_counter() - started})


def tested_images(data: ImageData, training: TrainConfig) -> ImageData:
    """The data with the images to test on as its test set. A folder of class folders without a
    split is tested on as a whole, because none of it was trained on, unless the network was trained
    on that very folder."""
    kind, where, _ = parse_content_name(data.name) or ("", "", "")
    own = content_of(data.name) == content_of(training.dataset)
    if kind != "folder" or own or split_root(Path(where)) is not None:
        return data
    x, y = (
        np.concatenate([getattr(data.arrays, f"{split}_{part}") for split in ("test", "train")])
        for part in "xy"
    )
    return dataclasses.replace(data, arrays=data.arrays._replace(test_x=x, test_y=y))
