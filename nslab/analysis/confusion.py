"""Classes that a trained network confuses: confusion matrices and tables of classes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from jaxtyping import Int

from nslab.analysis.run_tables import trained_model
from nslab.configs import TrainConfig
from nslab.configs.serialization import decode
from nslab.datasets import ImageData, load
from nslab.datasets.batches import make_batches
from nslab.networks.logits import logits_of
from nslab.networks.modes import scoring
from nslab.runs.results import Result
from nslab.system.distributed import process_group
from nslab.training.setup import evaluation_batch
from nslab.training.texts import texts_to_test_on, variant_of

MOST = 20  # most pairs of classes in a table


@dataclass(frozen=True, eq=False)
class Confusion:
    """The confusion matrix of one or several networks on test images, summed over networks.

    Attributes:
        classes: names, in the order of the network's outputs.
        counts: images of each class (rows) that were predicted to be of each class (columns).
        networks: how many networks made the predictions.

    >>> found = Confusion(("cat", "dog"), np.array([[3, 1], [0, 4]]))
    >>> found.per_class["accuracy"].tolist(), found.pairs()[["class", "taken_for", "images"]].values
    ([75.0, 100.0], array([['cat', 'dog', 1]], dtype=object))
    """

    classes: tuple[str, ...]
    counts: Int[np.ndarray, "k k"]
    networks: int = 1

    @property
    def per_class(self) -> pd.DataFrame:
        """A line per class: number of ``images``; ``accuracy`` (recall) and ``precision`` in
        percent, NaN if there are no images; the other class that it is most often ``taken_for``,
        and the percentage of its images that are (``share``)."""
        right, seen, named = self.counts.diagonal(), self.counts.sum(1), self.counts.sum(0)
        wrong = self.counts - np.diag(right)
        most = wrong.argmax(1)
        count = wrong[np.arange(len(most)), most]
        with np.errstate(invalid="ignore"):
            shares = [100 * part / whole for part, whole in ((right, seen), (right, named))]
            shares.append(100 * count / seen)
        names = [self.classes[k] if n else "" for k, n in zip(most, count, strict=True)]
        return pd.DataFrame(
            {
                "class": self.classes,
                "images": seen,
                "accuracy": shares[0],
                "precision": shares[1],
                "taken_for": names,
                "share": shares[2],
            }
        )

    def pairs(self, most: int = MOST) -> pd.DataFrame:
        """The classes that are most often taken for another: ``class``, ``taken_for``, how many
        ``images``, and what percentage of the class's images (``share``)."""
        wrong = self.counts - np.diag(self.counts.diagonal())
        order = np.argsort(-wrong, axis=None, kind="stable")[:most]
        rows, columns = np.unravel_index(order, wrong.shape)
        lines = [
            {
                "class": self.classes[row],
                "taken_for": self.classes[column],
                "images": int(wrong[row, column]),
                "share": 100 * wrong[row, column] / self.counts[row].sum(),
            }
            for row, column in zip(rows, columns, strict=True)
            if wrong[row, column]
        ]
        return pd.DataFrame(lines, columns=["class", "taken_for", "images", "share"])


@torch.no_grad()
def confusion(results: Sequence[Result]) -> Confusion:
    """The confusion matrix of finished runs on the test images of their data set, summed over runs.

    It is computed from the weights that the runs kept. If an image has several right labels, any
    of them counts as right. Raises ``ValueError`` for runs of different data sets and where
    `trained_model` does, ``FileNotFoundError`` if weights are not here.
    """
    forms = [decode(result.config).training for result in results]
    if len({form and reads(form) for form in forms}) != 1:
        raise ValueError("a confusion matrix needs runs on one data set: choose those of one")
    models = [trained_model(result) for result in results]
    device = process_group().device
    data = test_set(forms[0], results[0].folder)
    size = evaluation_batch(device, data.dataset.shape)
    images = data.arrays.test_x, data.arrays.test_y
    batches = make_batches(*images, data.dataset, device, batch_size=size)
    accepted = None if data.accepted is None else torch.from_numpy(data.accepted).to(device)
    number = data.dataset.layout.num_classes
    counts = torch.zeros(number * number, dtype=torch.int64, device=device)
    for model in models:
        with scoring(model.to(device)):
            for batch in batches.in_order():
                found = logits_of(model(batch.x)).argmax(1)
                if accepted is not None:
                    right = (accepted[batch.index] == found[:, None]).any(1)
                    found = torch.where(right, batch.y, found)
                pairs = batch.y * number + found
                counts += torch.bincount(pairs, minlength=number * number)
        model.cpu()
    whole = counts.view(number, number).cpu().numpy()
    return Confusion(data.dataset.classes, whole, len(models))


def reads(form: TrainConfig) -> tuple:
    """What runs must have in common to be tested on the same inputs: data set and image size; for
    texts also the tokenization and the training set, which give the vocabulary."""
    texts = form.tokenization and (form.tokenization, *variant_of(form).values())
    return form.dataset, form.image_size, texts


def test_set(form: TrainConfig, folder: Path | None) -> ImageData:
    """The test images of a run's data set, or its test texts as tokens."""
    if form.tokenization:
        return texts_to_test_on(form, form.dataset, folder)
    return load(form.dataset, image_size=form.image_size)
