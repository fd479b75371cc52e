"""What training expects of any data set: a new entry of DATASETS is bound by these."""

import pytest

from nslab.configs import TrainConfig
from nslab.datasets import (
    DATASETS,
    ImageFolderDataset,
    TextDataset,
    array_sets,
    dataset_of,
    image_side,
    is_folder,
    is_text,
    resolved,
)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_description(name: str) -> None:
    """Normalisation fits the channels, names fit the classes, numbers are possible ones."""
    data = DATASETS[name]
    if isinstance(data, TextDataset):
        assert data.layout.shape == data.mean == data.std == ()
        assert data.length > 0
        assert data.places or (data.make and data.version)
    else:
        height, width, channels = data.layout.shape
        assert data.shape == (channels, height, width)
        assert len(data.mean) == len(data.std) == channels
        assert all(0 < value < 1 for value in (*data.mean, *data.std))
    assert len(data.classes) == len(set(data.classes)) == data.layout.num_classes
    assert data.layout.test > data.layout.num_classes > 1
    assert data.layout.train >= data.layout.test or data.layout.train == 0
    assert callable(data.fetch)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_planned_without_the_data(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """A run has its identity, and shapes are known, where nothing lies on the disk; the identity
    hashes the plain name."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "nowhere"))
    assert resolved(name) == name
    config = TrainConfig(name, "textcnn" if is_text(name) else "resnet8")
    assert config.dataset == name
    assert dataset_of(name).layout == DATASETS[name].layout
    side = image_side(name)
    assert is_folder(name) == isinstance(DATASETS[name], ImageFolderDataset) == bool(side)
    assert is_text(name) == isinstance(DATASETS[name], TextDataset)
    assert (name in array_sets()) == (not is_folder(name) and not is_text(name))
    if is_text(name):
        assert config.about.shape == (DATASETS[name].length, 20_000)
    if side:
        assert dataset_of(name).shape == (3, side, side)
        assert dataset_of(name, 96).shape == (3, 96, 96)
        assert DATASETS[name].places
    assert not list(tmp_path.iterdir())
