"""What training and evolution expect of batches: arrays in memory, image files and texts are bound
by these alike."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from image_helpers import folder_data, images
from text_helpers import text_data

from nslab.datasets import load
from nslab.datasets.batches import DatasetBatches, make_batches
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.loader import Loader
from nslab.datasets.text_batches import TextBatches
from nslab.types import Batch, Batches

__all__ = ["images"]  # a fixture

CPU = torch.device("cpu")
Make = Callable[..., DatasetBatches]


TYPES = {"arrays": Loader, "files": ImageFiles, "named": ImageFiles, "texts": TextBatches}


@pytest.fixture(params=list(TYPES))
def make(request: pytest.FixtureRequest, images: Path, tmp_path: Path) -> Make:
    """Makes batches of 30 images of a kind, or texts; 12 a batch unless said otherwise. Texts are
    not augmented."""
    if request.param == "files":
        data = folder_data(images, 16)
    elif request.param == "texts":
        data = text_data(tmp_path)
    else:
        data = load("digits" if request.param == "arrays" else "digits_folder")
    step = 28 if request.param == "named" else 1  # its classes come one after the other
    x, y = data.arrays.train_x[::step][:30], data.arrays.train_y[::step][:30]

    def of(**options: Any) -> DatasetBatches:
        if request.param == "texts" and str(options.get("augment")).startswith("crop"):
            del options["augment"]
        return make_batches(x, y, data.dataset, CPU, **{"batch_size": 12} | options)

    assert type(of()) is TYPES[request.param]
    return of


def equal(a: Batch, b: Batch) -> bool:
    """Whether two batches are the same to the bit."""
    same = torch.equal(a.x, b.x) and torch.equal(a.y, b.y) and torch.equal(a.index, b.index)
    return same and (a.epoch, a.seed) == (b.epoch, b.seed)


@pytest.mark.parametrize("augment", ["none", "crop", "crop_flip"])
def test_the_same_whenever_asked(make: Make, augment: str) -> None:
    """By epoch or by number, in any order; another seed or epoch gives others."""
    batches = make(augment=augment, seed=3)
    assert isinstance(batches, Batches)
    epochs = [list(batches.epoch(e)) for e in (0, 1)]
    assert [len(batch.y) for batch in epochs[0]] == [12, 12, 6]
    assert len(batches) == 3
    again = make(augment=augment, seed=3)
    for k in (4, 0, 5, 2):
        assert equal(again.nth(k), epochs[k // 3][k % 3])
    again.close()
    assert not torch.equal(epochs[0][0].index, epochs[1][0].index)
    assert not torch.equal(make(augment=augment, seed=4).nth(0).index, epochs[0][0].index)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_an_epoch_from_any_batch_on(make: Make, augment: str) -> None:
    """The rest of it to the bit; none after the last."""
    whole = list(make(augment=augment).epoch(1))
    for start in range(5):
        rest = list(make(augment=augment).epoch(1, start))
        assert len(rest) == max(0, 3 - start)
        assert all(equal(a, b) for a, b in zip(rest, whole[start:], strict=True))


def test_parts_are_the_batch(make: Make) -> None:
    """Piece by piece, to the bit, as often as it is asked for."""
    batches = make(augment="crop_flip", seed=3)
    for k in (1, 1, 0, 5):
        wanted, parts = make(augment="crop_flip", seed=3).nth(k), list(batches.parts(k, 5))
        assert [len(part.y) for part in parts] == ([5, 1] if k == 5 else [5, 5, 2])
        for name in ("x", "y", "index"):
            assert torch.equal(
                torch.cat([getattr(part, name) for part in parts]), getattr(wanted, name)
            )
        assert {(part.epoch, part.seed) for part in parts} == {(wanted.epoch, wanted.seed)}
    with pytest.raises(ValueError, match="must have samples, not 0"):
        next(batches.parts(0, 0))
    batches.close()


def test_labels_belong_to_images(make: Make) -> None:
    """As evaluated, in their order; augmented batches name the same samples."""
    whole = list(make(batch_size=30).in_order())
    x, y = torch.cat([b.x for b in whole]), torch.cat([b.y for b in whole])
    for batch in make(augment="none").epoch(2):
        width = batch.x.shape[1]  # texts are cut at the longest of a batch
        assert torch.equal(batch.x, x[batch.index][:, :width])
        assert not x[batch.index][:, width:].any()
        assert torch.equal(batch.y, y[batch.index])
    for batch in make(augment="crop_flip").epoch(2):
        assert torch.equal(batch.y, y[batch.index])
        assert batch.x.shape[2:] == x.shape[2:]
        assert batch.x.dtype == (torch.float32 if x.ndim == 4 else torch.int64)


@pytest.mark.parametrize("augment", ["none", "crop_flip"])
def test_ranks_share_each_batch(make: Make, augment: str) -> None:
    """Together they see what one process would."""
    alone = list(make(augment=augment).epoch(1))
    ranks = [list(make(augment=augment, rank=r, world=3).epoch(1)) for r in range(3)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert torch.equal(whole.x, torch.cat([part.x for part in parts]))
    seen = [b.index for r in range(3) for b in make(rank=r, world=3).in_order()]
    assert torch.equal(torch.cat(seen).sort().values, torch.arange(30))


def test_samplers_and_smallest_batches(make: Make) -> None:
    """Classes balanced; a batch too short for the method is left out, or refused."""
    y = torch.cat([batch.y for batch in make(sampler="cbs", batch_size=30, epochs=1).epoch(0)])
    counts = torch.bincount(y)
    assert len(y) == 30
    assert counts.max() < 20
    assert [len(batch.y) for batch in make(min_batch=7).epoch(0)] == [12, 12]


@pytest.mark.usefixtures("as_users_call")
def test_what_cannot_be_is_said(make: Make) -> None:
    """When the batches are made."""
    for wrong, message in (
        ({"min_batch": 13}, "12 samples per batch and rank are fewer than the 13"),
        ({"batch_size": 0}, "not a positive multiple of 1 ranks"),
        ({"batch_size": 13, "world": 2}, "not a positive multiple of 2 ranks"),
        ({"augment": "flip"}, "augment is 'flip'"),
        ({"sampler": "odd"}, "unknown sampler 'odd'"),
    ):
        with pytest.raises(ValueError, match=message):
            make(**wrong)


def test_channels_last_is_a_matter_of_layout(make: Make) -> None:
    """The same images either way."""
    last, first = (make(channels_last=flag).nth(0).x for flag in (True, False))
    assert torch.equal(last, first)
    if last.ndim < 4:
        return
    assert last.is_contiguous(memory_format=torch.channels_last)
    assert first.is_contiguous()
