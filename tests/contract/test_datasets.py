"""What training expects of any data set: a new entry of DATASETS is bound by these."""

import pytest

from nslab.datasets import DATASETS


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_description(name: str) -> None:
    """Normalisation fits the channels, names fit the classes, numbers are possible ones."""
    data = DATASETS[name]
    height, width, channels = data.layout.shape
    assert data.shape == (channels, height, width)
    assert len(data.mean) == len(data.std) == channels
    assert all(0 < value < 1 for value in (*data.mean, *data.std))
    assert len(data.classes) == len(set(data.classes)) == data.layout.num_classes
    assert data.layout.train > data.layout.test > data.layout.num_classes > 1
    assert callable(data.fetch)
