"""Sources of images: the digits that come with scikit-learn, and torchvision's downloads.

Each ``fetch`` function takes the folder of the data sets and the data set's name.
"""

from http.client import HTTPException
from pathlib import Path

import numpy as np

from nslab.datasets.arrays import Arrays

SLANT = 0.45  # horizontal shift per pixel of height


class MissingDataset(FileNotFoundError):
    """A data set that is neither here nor available; the message says what to do."""


def fetch_digits(folder: Path, name: str, side: int = 32) -> Arrays:
    """1,797 handwritten digits of 8x8 pixels (Alpaydin and Kaynak 1998, UCI), enlarged to three
    quarters of ``side`` inside a black frame: to 24x24 with 4 pixels of frame.

    The frame, which the originals lack, keeps the digits of a 2x2 composite apart and legible. Of
    each class's images, in their published order, 5 of every 18 are test images: 1,294 to train
    on and 503 to test.
    """
    import torch
    import torch.nn.functional as F
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    small = torch.from_numpy(images).view(-1, 1, 8, 8) * (255 / 16)
    inner, frame = side * 3 // 4, side // 8
    large = F.interpolate(small, size=(inner, inner), mode="bilinear", align_corners=False)
    framed = F.pad(large, (frame, frame, frame, frame)).round().to(torch.uint8)
    x = framed.permute(0, 2, 3, 1).numpy()
    place = np.zeros(len(labels), dtype=np.int64)  # how many images of the class came before
    for label in range(10):
        place[labels == label] = np.arange((labels == label).sum())
    test = (place * 5) % 18 < 5
    return Arrays(x[~test], labels[~test].astype(np.int64), x[test], labels[test].astype(np.int64))


def fetch_small_digits(folder: Path, name: str) -> Arrays:
    """The digits of `fetch_digits` at half the size, on which a ResNet takes a quarter of the time:
    12x12 pixels inside a frame of 2."""
    return fetch_digits(folder, name, side=16)


def fetch_slanted(folder: Path, name: str) -> Arrays:
    """The digits of `fetch_digits`, sheared: a second domain, made here.

    A pixel at height y above the middle of the image moves 0.45 y to the right (to the left below
    the middle), with bilinear interpolation. The split is that of the digits.
    """
    import torch
    import torch.nn.functional as F

    def slanted(x: np.ndarray) -> np.ndarray:
        images = torch.from_numpy(x).permute(0, 3, 1, 2).double()
        shear = torch.tensor([[1.0, SLANT, 0.0], [0.0, 1.0, 0.0]]).double().expand(len(x), 2, 3)
        grid = F.affine_grid(shear, list(images.shape), align_corners=False)
        made = F.grid_sample(images, grid, mode="bilinear", align_corners=False)
        return made.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()

    digits = fetch_digits(folder, name)
    return digits._replace(train_x=slanted(digits.train_x), test_x=slanted(digits.test_x))


def fetch_torchvision(folder: Path, name: str) -> Arrays:
    """A data set of torchvision, from its files in ``folder``; downloaded if they are not there.

    Raises `MissingDataset` if the download fails.
    """
    from torchvision import datasets

    known = {
        "mnist": ("MNIST", "MNIST/raw/*-ubyte.gz"),
        "fashion_mnist": ("FashionMNIST", "FashionMNIST/raw/*-ubyte.gz"),
        "cifar10": ("CIFAR10", "cifar-10-batches-py/*"),
        "cifar100": ("CIFAR100", "cifar-100-python/*"),
        "usps": ("USPS", "usps*.bz2"),
        "svhn": ("SVHN", "*_32x32.mat"),
    }
    cls, files = known[name]
    parts = [{"split": s} if name == "svhn" else {"train": s == "train"} for s in ("train", "test")]
    try:
        splits = [getattr(datasets, cls)(folder, download=True, **part) for part in parts]
    except (OSError, RuntimeError, HTTPException) as error:
        raise MissingDataset(
            f"data set {name!r} is not in {folder} and could not be downloaded ({error}). "
            f"Run `nslab data {name}` on a machine with internet access and copy {name}.npz into "
            f"that folder, or put torchvision's files there as {files}, or set NSLAB_DATA to a "
            "folder that has either."
        ) from error
    arrays = []
    for split in splits:
        x = np.asarray(split.data)
        x = x.transpose(0, 2, 3, 1) if name == "svhn" else x if x.ndim == 4 else x[..., None]
        labels = split.labels if name == "svhn" else split.targets
        arrays += [np.ascontiguousarray(x), np.asarray(labels, dtype=np.int64)]
    return Arrays(*arrays)
