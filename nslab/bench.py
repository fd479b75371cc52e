"""What a population is judged on: training batches for fitness, held-out and test samples."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from nslab.checkpoint import start_weights
from nslab.datasets import ImageData
from nslab.datasets.loader import Loader
from nslab.epoch import Row
from nslab.evolve.ensembles import State, gaussian
from nslab.experiments.evolution import EvolveConfig
from nslab.metrics import Tally
from nslab.networks import build_network
from nslab.prepare import AUTOCAST, evaluation_batch, on_device
from nslab.processes import processes
from nslab.rng import generator
from nslab.train import evaluate, held_out_rank, numbers, training_set

CALIBRATION = 20  # batches of the size of training's, for BatchNorm's statistics


class Bench:
    """A network's form, and the data it is judged on: training, held-out and test batches."""

    def __init__(self, config: EvolveConfig) -> None:
        base, device = config.base, processes().device
        data: ImageData = training_set(base)
        self.classes = data.dataset.layout.num_classes
        self.model = build_network(base.network, data.dataset.shape, self.classes, base.seed)
        if base.channels_last:
            self.model = self.model.to(memory_format=torch.channels_last)
        self.model = self.model.to(device).eval()
        train = on_device(data.arrays.train_x, data.arrays.train_y, device)

        def training(size: int, seed: int) -> Loader:
            size = min(size, len(train[1]))  # and no shorter batches at the end of an epoch
            return Loader(
                *train,
                data.dataset,
                batch_size=size,
                seed=seed,
                augment=base.augment,
                min_batch=size,
            )

        self.batches = training(config.batch_size, base.seed)
        self.statistics = training(base.batch_size, base.seed + 1)
        self.tests = Loader(
            *on_device(data.arrays.test_x, data.arrays.test_y, device),
            data.dataset,
            batch_size=evaluation_batch(device),
        )
        self.held = data.held and Loader(
            *on_device(*data.held, device),
            data.dataset,
            batch_size=evaluation_batch(device),
        )
        self.precision = config.precision

    def calibration(self) -> Iterator[Tensor]:
        """Batches for BatchNorm's statistics, augmented as in training."""
        return (self.statistics.nth(k).x for k in range(CALIBRATION))

    def score(self, network: nn.Module) -> float:
        """Held-out accuracy, in percent."""
        return float(self.held_out(network)["held_out_accuracy"])

    def rank(self, network: nn.Module) -> tuple[float, float]:
        """By what the best network is chosen, see `held_out_rank`."""
        return held_out_rank(self.held_out(network))

    def held_out(self, network: nn.Module) -> Row:
        """Loss and accuracy on held-out samples; configs that need them have them."""
        assert self.held is not None
        return numbers("held_out", self._evaluate(network, self.held))

    def test(self, network: nn.Module) -> Row:
        """Test numbers of a network."""
        tally = self._evaluate(network, self.tests)
        return numbers("test", tally) | {"test_top5": tally.top5}

    def _evaluate(self, network: nn.Module, loader: Loader) -> Tally:
        dtype = AUTOCAST[self.precision]
        with torch.autocast(loader.y.device.type, dtype, enabled=dtype is not None):
            return evaluate(network, loader, self.classes)


def population(config: EvolveConfig, parents: Sequence[State]) -> list[State]:
    """The states that the method begins with."""
    base = config.base
    if config.init not in ("random", "noise", "pretrained"):
        return list(parents)
    data = training_set(base).dataset
    form = (base.network, data.shape, data.layout.num_classes)
    if config.init == "random":
        seeds = range(1000 * base.seed, 1000 * base.seed + config.size)
        return [build_network(*form, seed).state_dict() for seed in seeds]
    begin: State = start_weights(build_network(*form, base.seed), base).state_dict()
    if config.init == "pretrained":
        return [begin]
    centre = begin if base.origin else parents[-1]  # "added to the pre-trained model"
    return list(gaussian(centre, parents, config.size, generator(base.seed, "noise")))
