"""The data sets that nslab knows by name: what each looks like and which function fetches it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nslab.datasets.arrays import Arrays, Layout
from nslab.datasets.digit_folders import write_digits, write_half, write_hard
from nslab.datasets.image_folder import MEAN, SIZE, STD
from nslab.datasets.sources import (
    MissingDataset,
    fetch_digits,
    fetch_slanted,
    fetch_small_digits,
    fetch_torchvision,
)
from nslab.system.registry import Registry, instance_of
from nslab.types import InputShape, TokenInfo


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set.

    Attributes:
        layout: numbers of samples and classes, and shape of an image.
        mean, std: to normalise with; per channel, of pixels in [0, 1].
        classes: names of the classes.
        fetch: downloads or makes the arrays, given the folder and the data set's name.
        tokens: of texts, length and vocabulary; None until a tokenizer is chosen.
    """

    layout: Layout
    mean: tuple[float, ...]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    fetch: Callable[[Path, str], Arrays]
    tokens: TokenInfo | None = None

    @property
    def shape(self) -> InputShape:
        """Channels, height, width."""
        height, width, channels = self.layout.shape
        return channels, height, width


def not_fetched(folder: Path, name: str) -> Arrays:
    """Raises `MissingDataset`: the data set cannot be downloaded."""
    raise MissingDataset(f"{name} must be in a folder of its own: nothing downloads it")


@dataclass(frozen=True)
class ImageFolderDataset(Dataset):
    """A data set whose images are files in a folder below ``NSLAB_DATA``. Loading it lists the
    files without reading them. An entry holds the published numbers, so that runs can be planned
    without the data.

    Attributes:
        layout: published numbers of images and classes, and the usual size of a prepared image.
        mean, std: by default those of ImageNet.
        classes: by default ``class 0``, ``class 1``, ...; once the folder is loaded, the names of
            its class folders.
        places: folders below ``NSLAB_DATA`` where the images may lie; the first that exists counts.
        form: how images are found. ``"classes"``: ``class/image``, or ``train/class/image`` beside
            ``test/`` or ``val/``; without a test folder, one image in five of each class is tested
            on, drawn by seed 0 from the sorted names: the same in all runs. ``"imagenet"``:
            ``train/wnid/image`` and ``val/wnid/image``, see `nslab.datasets.imagenet_tree`.
            ``"labels"``: test images only, each with one or more right labels from a file, see
            `nslab.datasets.several_labels`.
        whole: whether every image is both trained and tested on, as benchmarks of domain adaptation
            do, which use no label of the target. A supervised run must then hold some out.
        make: for a data set that comes with nslab: writes it into an empty folder at first use, and
            returns a digest of what it wrote.

    >>> flowers = ImageFolderDataset(Layout(6149, 2040, (224, 224, 3), 102), places=("flowers",))
    >>> flowers.shape, flowers.classes[:2]
    ((3, 224, 224), ('class 0', 'class 1'))
    """

    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    classes: tuple[str, ...] = ()
    fetch: Callable[[Path, str], Arrays] = not_fetched
    places: tuple[str, ...] = ()
    form: Literal["classes", "imagenet", "labels"] = "classes"
    whole: bool = False
    make: Callable[[Path], str] | None = None

    def __post_init__(self) -> None:
        if not self.classes:
            names = tuple(f"class {k}" for k in range(self.layout.num_classes))
            object.__setattr__(self, "classes", names)

    def of_side(self, side: int) -> "ImageFolderDataset":
        """The same entry with images of ``side`` x ``side`` pixels; unchanged for 0."""
        size = (side, side, self.layout.shape[2]) if side else self.layout.shape
        return replace(self, layout=replace(self.layout, shape=size))


@dataclass(frozen=True)
class TextDataset(Dataset):
    """Texts with labels, in files that you put below ``NSLAB_DATA``: nothing is downloaded. An
    entry holds the published numbers, so that runs can be planned without the data; those of the
    files replace them when they are loaded.

    Attributes:
        layout: published numbers of texts and classes; texts have no shape.
        classes: their names, in the order of their numbers.
        places: folders or archives below ``NSLAB_DATA`` where the texts may lie.
        columns: names of the columns, for CSV files without a header line.
        titled: whether the column ``title`` is put before the text.
        length: tokens of a text, unless a run sets another number.
        make: lists the texts, for a data set that comes with nslab.
        version: returns versions that change whenever the texts of ``make`` change.

    >>> reviews = TextDataset(Layout(900, 100, (), 2), classes=("bad", "good"), places=("reviews",))
    >>> reviews.length
    128
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    classes: tuple[str, ...] = ()
    fetch: Callable[[Path, str], Arrays] = not_fetched
    places: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    titled: bool = False
    length: int = 128
    make: Callable[[], Any] | None = None
    version: Callable[[], dict[str, str]] | None = None

    @property
    def shape(self) -> InputShape:
        """Tokens of a text and size of the vocabulary; ``ValueError`` before a tokenizer is
        chosen."""
        if self.tokens is None:
            raise ValueError("texts have no shape before a tokenizer turns them into tokens")
        return self.tokens.length, self.tokens.vocabulary


def _digits(layout: Layout, mean: float, std: float, fetch: Callable) -> Dataset:
    return Dataset(layout, (mean,), (std,), tuple("0123456789"), fetch)


_FASHION = "T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
_CIFAR10 = "airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"
# The sd used for both CIFAR sets since bearpaw/pytorch-classification, whose recipe the papers
# follow (it averages the sd of single images, hence smaller than that of all pixels).
_CIFAR_MEAN, _CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


def _dataset_problem(key: str, value: object) -> str:
    if isinstance(value, ImageFolderDataset | TextDataset):
        there = value.places or value.make
        return "" if there else "its field places must say where its folder lies below NSLAB_DATA"
    return "its key names a file: no /" if "/" in key else instance_of(Dataset)(key, value)


DATASETS: Registry[Dataset] = Registry("data set", check=_dataset_problem)
DATASETS |= {
    "digits": _digits(Layout(1294, 503, (32, 32, 1), 10), 0.1717, 0.2907, fetch_digits),
    "digits_16": _digits(Layout(1294, 503, (16, 16, 1), 10), 0.1717, 0.2853, fetch_small_digits),
    "digits_slanted": _digits(Layout(1294, 503, (32, 32, 1), 10), 0.1717, 0.2881, fetch_slanted),
    "mnist": _digits(Layout(60000, 10000, (28, 28, 1), 10), 0.1307, 0.3081, fetch_torchvision),
    "usps": _digits(Layout(7291, 2007, (16, 16, 1), 10), 0.2469, 0.2989, fetch_torchvision),
    "svhn": Dataset(
        Layout(73257, 26032, (32, 32, 3), 10),
        (0.4377, 0.4438, 0.4728),
        (0.1980, 0.2010, 0.1970),
        tuple("0123456789"),
        fetch_torchvision,
    ),
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


def split_in_five(images: int, classes: int, *places: str) -> ImageFolderDataset:
    """An entry for class folders with ``images`` images in all; one in five is tested on."""
    layout = Layout(images - images // 5, images // 5, (SIZE, SIZE, 3), classes)
    return ImageFolderDataset(layout, places=places)


def _office(domain: str, images: int, whole: bool) -> ImageFolderDataset:
    homes = ("office_home", "OfficeHome", "office-home", "OfficeHomeDataset_10072016")
    names = dict.fromkeys((domain, domain.replace(" ", ""), domain.replace(" ", "_")))
    entry = split_in_five(images, 65, *(f"{home}/{name}" for home in homes for name in names))
    layout = replace(entry.layout, train=images, test=images)
    return replace(entry, layout=layout, whole=True) if whole else entry


# Images of each domain of Office-Home (Venkateswara et al. 2017)
_OFFICE = {"Art": 2427, "Clipart": 4365, "Product": 4439, "Real World": 4357}

_TEN = tuple("0123456789")

_FOLDERS: dict[str, Dataset] = {
    # Russakovsky et al. 2015
    "imagenet": ImageFolderDataset(
        Layout(1281167, 50000, (SIZE, SIZE, 3), 1000),
        places=("imagenet", "imagenet-1k", "imagenet1k", "ImageNet", "ILSVRC2012", "ILSVRC"),
        form="imagenet",
    ),
    # 10,980 images, each with one or more right labels (Taesiri et al. 2023)
    "imagenet_hard": ImageFolderDataset(
        Layout(0, 10980, (SIZE, SIZE, 3), 1000),
        places=("imagenet_hard", "imagenet-hard", "ImageNet-Hard"),
        form="labels",
    ),
    # emotions that images evoke, with the sizes that NS gives
    "twitter1": split_in_five(1251, 2, "twitter1", "twitter_1", "Twitter1", "TwitterI"),
    "twitter2": split_in_five(545, 2, "twitter2", "twitter_2", "Twitter2", "TwitterII"),
    "flickr": split_in_five(42848, 2, "flickr", "Flickr"),
    "instagram": split_in_five(60729, 2, "instagram", "Instagram"),
    "fi": split_in_five(21829, 8, "fi", "FI"),
    "emoset": split_in_five(
        118102, 8, "emoset/image", "EmoSet/image", "EmoSet-118K/image", "emoset", "EmoSet"
    ),
    **{f"office_home/{domain}": _office(domain, n, False) for domain, n in _OFFICE.items()},
    **{f"office_home_all/{domain}": _office(domain, n, True) for domain, n in _OFFICE.items()},
    # scikit-learn's digits as files, made at first use
    "digits_folder": ImageFolderDataset(
        Layout(840, 310, (32, 32, 3), 10),
        classes=_TEN,
        places=("digits_folder",),
        make=write_digits,
    ),
    "digits_half": ImageFolderDataset(
        Layout(600, 200, (32, 32, 3), 5),
        classes=_TEN[:5],
        places=("digits_half",),
        make=write_half,
    ),
    "digits_hard": ImageFolderDataset(
        Layout(0, 200, (32, 32, 3), 10),
        classes=_TEN,
        places=("digits_hard",),
        form="labels",
        make=write_hard,
    ),
}
DATASETS |= _FOLDERS
