"""Data sets by name: ``load(name)`` reads a checked array file, making it at first use."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock

from nslab.datasets.arrays import Arrays, CorruptDataset, Layout, read_arrays, write_arrays
from nslab.datasets.sources import MissingDataset, fetch_digits, fetch_torchvision
from nslab.datasets.variants import LabelNoise, held_out, long_tail, noisy_labels
from nslab.system.files import explaining, remove_strays
from nslab.system.paths import cache_dir
from nslab.types import DataInfo, ImageShape


@dataclass(frozen=True)
class Dataset:
    """A data set: its layout, the mean and sd to normalise with (per channel, of pixels in
    [0, 1]), its class names, and the function that gets it when it is not there."""

    layout: Layout
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    fetch: Callable[[Path, str], Arrays]

    @property
    def shape(self) -> ImageShape:
        """Channels, height, width."""
        height, width, channels = self.layout.shape
        return channels, height, width


def _digits(layout: Layout, mean: float, std: float, fetch: Callable) -> Dataset:
    return Dataset(layout, (mean,), (std,), tuple("0123456789"), fetch)


_FASHION = "T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
_CIFAR10 = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
# The sd used for both CIFAR sets since bearpaw/pytorch-classification, whose recipe the papers
# follow (it averages the sd of single images, hence smaller than that of all pixels).
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)

DATASETS: dict[str, Dataset] = {
    "digits": _digits(Layout(1294, 503, (32, 32, 1), 10), 0.1717, 0.2907, fetch_digits),
    "mnist": _digits(Layout(60000, 10000, (28, 28, 1), 10), 0.1307, 0.3081, fetch_torchvision),
    "fashion_mnist": Dataset(
        Layout(60000, 10000, (28, 28, 1), 10),
        (0.2860,),
        (0.3530,),
        tuple(_FASHION.split(", ")),
        fetch_torchvision,
    ),
    "cifar10": Dataset(
        Layout(50000, 10000, (32, 32, 3), 10),
        _CIFAR_MEAN,
        _CIFAR_STD,
        tuple(_CIFAR10.split(", ")),
        fetch_torchvision,
    ),
    "cifar100": Dataset(
        Layout(50000, 10000, (32, 32, 3), 100),
        _CIFAR_MEAN,
        _CIFAR_STD,
        tuple(f"class {k}" for k in range(100)),
        fetch_torchvision,
    ),
}


@dataclass(frozen=True)
class ImageData:
    """A loaded data set."""

    name: str
    dataset: Dataset
    arrays: Arrays
    mislabelled: np.ndarray | None = None  # of a noisy training set: which labels are wrong
    held: tuple[np.ndarray, np.ndarray] | None = None  # images and labels kept out of training

    @property
    def info(self) -> DataInfo:
        """What a method may know of the training set."""
        labels = torch.from_numpy(np.ascontiguousarray(self.arrays.train_y))
        return DataInfo.of(labels, self.dataset.layout.num_classes)

    def variant(
        self,
        imbalance: float = 1.0,
        noise: LabelNoise = "none",
        noise_rate: float = 0.0,
        hold_out: int = 0,
        train_size: int = 0,
    ) -> "ImageData":
        """The same with another training set: first samples are held out, then so many of the
        others taken (0: all), then comes the long tail, then wrong labels. What is held out keeps
        its classes and labels."""
        arrays, classes, wrong, held = self.arrays, self.dataset.layout.num_classes, None, None
        if hold_out:
            stay, out = (part.numpy() for part in held_out(len(arrays.train_y), hold_out))
            held = arrays.train_x[out], arrays.train_y[out]
            arrays = arrays._replace(train_x=arrays.train_x[stay], train_y=arrays.train_y[stay])
        if train_size:
            _, part = held_out(len(arrays.train_y), train_size)
            arrays = arrays._replace(train_x=arrays.train_x[part], train_y=arrays.train_y[part])
        if imbalance != 1:
            kept = long_tail(torch.tensor(arrays.train_y), classes, imbalance).numpy()
            arrays = arrays._replace(train_x=arrays.train_x[kept], train_y=arrays.train_y[kept])
        if noise != "none":
            labels = noisy_labels(torch.tensor(arrays.train_y), classes, noise, noise_rate)
            wrong = labels.numpy() != arrays.train_y
            arrays = arrays._replace(train_y=labels.numpy())
        return dataclasses.replace(self, arrays=arrays, mislabelled=wrong, held=held)


def load(name: str, folder: Path | None = None) -> ImageData:
    """Load a data set from ``folder`` (default: ``NSLAB_DATA``, else ``data/cache``).

    Raises ``ValueError`` for an unknown name, `MissingDataset` and `CorruptDataset` with advice.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown data set {name!r}; there are {', '.join(DATASETS)}")
    dataset, folder = DATASETS[name], folder or cache_dir()
    file = folder / f"{name}.npz"
    if not file.exists():
        with explaining(folder):
            folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(folder / f".{name}.lock")
            lock.acquire()
        with lock:
            remove_strays(folder, file.name)
            if not file.exists():
                arrays = dataset.fetch(folder, name)
                if problem := dataset.layout.problem(arrays):
                    raise CorruptDataset(
                        f"the files of data set {name!r} in {folder} are wrong: {problem}. "
                        "Remove them, then fetch them again."
                    )
                write_arrays(file, arrays)
    return ImageData(name, dataset, read_arrays(file, dataset.layout))


__all__ = ["DATASETS", "CorruptDataset", "Dataset", "ImageData", "MissingDataset", "load"]
