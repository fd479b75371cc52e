"""The data sets that nslab knows by name, what each looks like and who fetches it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.sources import fetch_digits, fetch_torchvision
from nslab.system.registry import Registry, instance_of
from nslab.types import ImageShape


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


def _dataset_problem(key: str, value: object) -> str:
    return "its key names a file: no /" if "/" in key else instance_of(Dataset)(key, value)


DATASETS: Registry[Dataset] = Registry("data set", check=_dataset_problem)
DATASETS |= {
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
