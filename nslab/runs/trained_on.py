"""The data that a finished run was trained on: classes, shape, mean and sd."""

import dataclasses

from nslab.configs.serialization import decode
from nslab.configs.train import TrainConfig
from nslab.datasets import Dataset
from nslab.datasets.provenance import remembered
from nslab.runs.result_file import Result


def data_of(result: Result) -> Dataset:
    """A description of the data that a run was trained on: from the data, or, for a folder or texts
    that are gone or have changed since, from what the run recorded of them.

    Raises ``ValueError`` or ``FileNotFoundError``, with what to do, if there is neither, and
    ``ValueError`` for a run that trains no classifier.
    """
    training: TrainConfig | None = decode(result.config).training
    if training is None:
        raise ValueError(f"run {result.id} trains no classifier: give a run that does")
    try:
        return training.about
    except (ValueError, FileNotFoundError):
        written = result.env.get("data") or {}
        if (found := remembered(training.dataset, written, training.image_size)) is None:
            raise
    texts = training.tokenization
    return dataclasses.replace(found, tokens=texts.info) if texts else found
