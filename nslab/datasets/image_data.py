"""`ImageData`: a loaded data set, and variants of it whose training set is changed."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import torch

from nslab.datasets.arrays import Arrays
from nslab.datasets.catalogue import Dataset
from nslab.datasets.tokenization import Tokenizer, padded
from nslab.datasets.variants import LabelNoise, held_out, long_tail, noisy_labels
from nslab.types import DataInfo


@dataclass(frozen=True)
class ImageData:
    """A loaded data set, of images or texts.

    Attributes:
        name: as runs know it, see `nslab.datasets.resolved`.
        dataset: layout, normalisation and classes.
        arrays: samples and labels; for image files, paths in the place of images.
        mislabelled: after label noise, which training labels are wrong; bool (n,).
        held: samples and labels that are held out of the training set.
        accepted: all right labels of each test image, where images have several; int64 (n, most),
            padded with -1. ``test_y`` has the first of them.
        present: for data read from a sheet, which training images are in it; bool (n,).
    """

    name: str
    dataset: Dataset
    arrays: Arrays
    mislabelled: np.ndarray | None = None
    held: tuple[np.ndarray, np.ndarray] | None = None
    accepted: np.ndarray | None = None
    present: np.ndarray | None = None

    @property
    def info(self) -> DataInfo:
        """What a method may know of the training set; ``ValueError`` if there is none."""
        self._check_trains()
        labels = torch.from_numpy(np.ascontiguousarray(self.arrays.train_y))
        info = DataInfo.of(labels, self.dataset.layout.num_classes)
        return dataclasses.replace(info, tokens=self.dataset.tokens)

    def tokenized(self, tokenizer: Tokenizer) -> "ImageData":
        """The same data with texts replaced by rows of token ids."""
        info = tokenizer.info
        train, test = (
            padded(tokenizer.encode(texts.tolist()), info)
            for texts in (self.arrays.train_x, self.arrays.test_x)
        )
        held = self.held and (padded(tokenizer.encode(self.held[0].tolist()), info), self.held[1])
        return dataclasses.replace(
            self,
            dataset=dataclasses.replace(self.dataset, tokens=info),
            arrays=self.arrays._replace(train_x=train, test_x=test),
            held=held,
        )

    def variant(
        self,
        imbalance: float = 1.0,
        noise: LabelNoise = "none",
        noise_rate: float = 0.0,
        hold_out: int = 0,
        train_size: int = 0,
    ) -> "ImageData":
        """The same data with a changed training set. The steps are taken in this order:

        Args:
            hold_out: number of samples to hold out; neither the long tail nor noise changes these.
            train_size: number of the remaining samples to train on; 0 for all.
            imbalance: largest over smallest class size of the long tail, see
                `nslab.datasets.variants.long_tail`; 1 leaves the classes as they are.
            noise, noise_rate: kind and rate of label noise, see
                `nslab.datasets.variants.noisy_labels`.

        Raises ``ValueError`` if there is no training set, ``train_size`` is too large, or needed
        images are not in the sheet that the data set is read from.
        """
        self._check_trains()
        arrays, classes, wrong, held = self.arrays, self.dataset.layout.num_classes, None, None
        present = self.present
        if hold_out:
            stay, out = (part.numpy() for part in held_out(len(arrays.train_y), hold_out))
            held = arrays.train_x[out], arrays.train_y[out]
            arrays = arrays._replace(train_x=arrays.train_x[stay], train_y=arrays.train_y[stay])
            if present is not None:
                if absent := int((~present[out]).sum()):
                    raise self._missing(absent)
                present = present[stay]
        if train_size >= len(arrays.train_y) > 0:
            raise ValueError(
                f"train_size is {train_size}, and {self.name} has {len(arrays.train_y)} training "
                "samples that are not held out: use fewer, or all of them with train_size=0"
            )
        if train_size:
            part = held_out(len(arrays.train_y), train_size)[1].numpy()
            arrays = arrays._replace(train_x=arrays.train_x[part], train_y=arrays.train_y[part])
            present = None if present is None else present[part]
        if imbalance != 1:
            kept = long_tail(torch.tensor(arrays.train_y), classes, imbalance).numpy()
            arrays = arrays._replace(train_x=arrays.train_x[kept], train_y=arrays.train_y[kept])
            present = None if present is None else present[kept]
        if present is not None and not present.all():
            raise self._missing(int((~present).sum()))
        if noise != "none":
            labels = noisy_labels(torch.tensor(arrays.train_y), classes, noise, noise_rate)
            wrong = labels.numpy() != arrays.train_y
            arrays = arrays._replace(train_y=labels.numpy())
        return dataclasses.replace(self, arrays=arrays, mislabelled=wrong, held=held, present=None)

    def _missing(self, count: int) -> ValueError:
        return ValueError(
            f"{count} training images of {self.name} are not in its sheet, which holds only a part "
            "of it for long-tailed runs: write a sheet with more (`nslab data "
            f"{self.name} --sheet FILE --imbalance ...`), or put the whole data set in its place"
        )

    def _check_trains(self) -> None:
        if not len(self.arrays.train_y):
            raise ValueError(
                f"data set {self.name} has no training images: use it to evaluate networks that "
                "were trained on another"
            )
