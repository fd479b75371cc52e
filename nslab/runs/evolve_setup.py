"""Setup of an evolution: the network, fitness batches, held-out and test data."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from torch import Tensor, nn

from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.evolve import EvolveConfig
from nslab.configs.selection import SELECTION
from nslab.configs.train import TrainConfig
from nslab.datasets import ImageData
from nslab.datasets.batches import DatasetBatches, make_batches
from nslab.datasets.image_files import ImageFiles
from nslab.networks import build_network
from nslab.networks.external import fitted
from nslab.neuroevolution.averaging import gaussian
from nslab.neuroevolution.batch_parts import BatchParts
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.rng import generator
from nslab.system.distributed import process_group
from nslab.training.loop import evaluate, metrics_row, training_set
from nslab.training.metrics import Tally
from nslab.training.setup import evaluation_batch
from nslab.training.starts import start_weights
from nslab.types import AUTOCAST, Batch, Row, StateDict

CALIBRATION = 20  # batches, of the training's size, to estimate BatchNorm's statistics
WHOLE_BYTES = 2**32  # a fitness batch of image files that takes more as float32 is read in parts
PART = 256  # samples of such a part, unless ``microbatch`` gives their number


class EvolveSetup:
    """A network, and the data that evolution scores networks on: batches of the training set for
    fitness and for BatchNorm's statistics, held-out and test batches."""

    def __init__(self, config: EvolveConfig) -> None:
        base, device = config.base, process_group().device
        data: ImageData = training_set(base)
        self.classes, self.shape = data.dataset.layout.num_classes, data.dataset.shape
        self.model = build_network(base.network, data.dataset.shape, self.classes, base.seed)
        if base.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model = self.model.to(device).eval()
        x, y = data.arrays.train_x, data.arrays.train_y
        group, tests = process_group(), evaluation_batch(device, data.dataset.shape)
        share = {"rank": group.process_index, "world": group.num_processes}

        def training(size: int, seed: int) -> DatasetBatches:
            size = min(size, len(y))  # as min_batch, too: no shorter last batch
            options: dict[str, Any] = {"seed": seed, "augment": base.augment, "min_batch": size}
            if base.decoding != "exact":
                options |= {"decoding": base.decoding}
            return make_batches(x, y, data.dataset, device, batch_size=size, **options)

        def evaluated(x: np.ndarray, y: np.ndarray) -> DatasetBatches:
            size = tests * group.num_processes
            return make_batches(x, y, data.dataset, device, batch_size=size, **share)

        self.batches = training(config.batch_size, base.seed)
        self.statistics = training(base.batch_size, base.seed + 1)
        self.tests = evaluated(data.arrays.test_x, data.arrays.test_y)
        self.held = evaluated(*data.held) if data.held else None
        self.precision, self.part = config.precision, config.microbatch or PART

    def batch_of(self, k: int) -> Batch | BatchParts:
        """Fitness batch k: whole, or in parts if it is of image files and larger than
        ``WHOLE_BYTES``."""
        batches = self.batches
        shape = torch.Size((min(batches.batch_size, len(batches.y)), *self.shape))
        if isinstance(batches, ImageFiles) and 4 * shape.numel() > WHOLE_BYTES:
            y = batches.y[batches.places(k).to(batches.y.device)]
            return BatchParts(y, shape, lambda: ((b.x, b.y) for b in batches.parts(k, self.part)))
        return batches.nth(k)

    def close(self) -> None:
        """Stop decoding images ahead; no more batches will be asked for."""
        for batches in (self.batches, self.statistics):
            batches.close()

    def calibration(self) -> Iterator[Tensor]:
        """Batches for BatchNorm's statistics, augmented as in training."""
        return (self.statistics.nth(k).x for k in range(CALIBRATION))

    def score(self, network: nn.Module) -> float:
        """Held-out accuracy, in percent."""
        return float(self.held_out(network)["held_out_accuracy"])

    def rank(self, network: nn.Module) -> tuple[float, float]:
        """The key by which the best network is chosen, see `ModelSelection`: larger is better."""
        return SELECTION.key(self.held_out(network))

    def held_out(self, network: nn.Module) -> Row:
        """Loss and accuracy on held-out samples, for a config that has them (``hold_out``)."""
        assert self.held is not None
        return metrics_row("held_out", self._evaluate(network, self.held))

    def test(self, network: nn.Module) -> Row:
        """Test metrics of a network."""
        tally = self._evaluate(network, self.tests)
        return metrics_row("test", tally) | {"test_top5": tally.top5}

    def _evaluate(self, network: nn.Module, batches: DatasetBatches) -> Tally:
        dtype, group = AUTOCAST[self.precision], process_group()
        with torch.autocast(batches.y.device.type, dtype, enabled=dtype is not None):
            tally = evaluate(network, batches, self.classes)
        if group.num_processes > 1:
            tally = Tally.unpacked(reduce(tally.packed(), "sum"))
        return tally


def population(config: EvolveConfig, parents: Sequence[StateDict]) -> list[StateDict]:
    """The states that the method begins with: ``parents``, states from files, or for the other
    values of ``config.init`` networks made here."""
    base = config.base
    if isinstance(config.init, CheckpointFiles):
        return read_files(config.init, base)
    if config.init not in ("random", "noise", "pretrained"):
        return list(parents)
    data = training_set(base).dataset
    form = (base.network, data.shape, data.layout.num_classes)
    if config.init == "random":
        seeds = range(1000 * base.seed, 1000 * base.seed + config.size)
        return [build_network(*form, seed).state_dict() for seed in seeds]
    begin: StateDict = start_weights(build_network(*form, base.seed), base).state_dict()
    if config.init == "pretrained":
        return [begin]
    centre = begin if base.origin else parents[-1]  # "added to the pre-trained model"
    return list(gaussian(centre, parents, config.size, generator(base.seed, "noise")))


def read_files(given: CheckpointFiles, base: TrainConfig) -> list[StateDict]:
    """The states in files, in the network's own types.

    Raises ``ValueError``, naming the file, if one has changed or belongs to another network.
    """
    given.check()
    data = base.about
    model = build_network(base.network, data.shape, data.layout.num_classes, base.seed)
    return fitted(model, from_checkpoints(given.files), given.files, data.layout.num_classes)
