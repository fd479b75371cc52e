"""Batches of image files: the same whenever asked, prepared as is usual."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_helpers import file_batches, folder_data, images, seen
from PIL import Image
from torchvision.transforms import functional

from nslab.datasets.decoding import opened, pool, random_part
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.image_folder import MEAN, STD
from nslab.rng import generator

__all__ = ["images"]  # a fixture


def test_batches_are_the_same_whenever_asked(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was asked before, with one thread or four; the global stream is left alone."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [file_batches(images, seed=7).nth(k) for k in (0, 1, 2, 3, 0)]
    pool.cache_clear()
    monkeypatch.setenv("NSLAB_WORKERS", "1")
    lazy = file_batches(images, seed=7)
    for k in (3, 1):
        batch = lazy.nth(k)
        assert torch.equal(first[k].x, batch.x)
        assert torch.equal(first[k].y, batch.y)
    pool.cache_clear()
    assert torch.equal(first[0].x, first[4].x)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(first[0].x, file_batches(images, seed=8).nth(0).x)
    assert not torch.equal(first[0].x, first[3].x)
    epoch = list(file_batches(images, seed=7).epoch(1))
    assert torch.equal(epoch[0].x, first[3].x)


def test_wrong_numbers_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said before any image is read."""
    pool.cache_clear()
    monkeypatch.setenv("NSLAB_WORKERS", "many")
    with pytest.raises(
        ValueError, match="NSLAB_WORKERS is 'many': set it to the number of threads"
    ):
        pool()


def test_every_image_of_every_batch_is_drawn_anew(images: Path) -> None:
    """Two batches of one and the same image: eight different parts."""
    data = folder_data(images)
    files = [data.arrays.train_x[0]] * 4
    one = ImageFiles(files, torch.zeros(4).long(), data.dataset, batch_size=4, augment="crop")
    assert len(set(seen([one.nth(k) for k in (0, 1)]))) == 8


def test_an_epoch_has_every_image_once(images: Path) -> None:
    """Its last batch is shorter, or left out where it would be too short; ranks share batches."""
    everything = set(seen(list(file_batches(images, augment="none").in_order())))
    assert len(everything) == 30
    plain = list(file_batches(images, augment="none", seed=3).epoch(0))
    assert [len(batch.y) for batch in plain] == [12, 12, 6]
    assert set(seen(plain)) == everything
    assert len(list(file_batches(images, min_batch=7).epoch(0))) == 2
    for way in ("none", "crop_flip"):
        whole = list(file_batches(images, augment=way, seed=3).epoch(0))
        ranks = [
            list(file_batches(images, augment=way, seed=3, rank=r, world=2).epoch(0))
            for r in (0, 1)
        ]
        for alone, *parts in zip(whole, *ranks, strict=True):
            assert torch.equal(alone.x, torch.cat([part.x for part in parts]))
            assert torch.equal(alone.index, torch.cat([part.index for part in parts]))
    shares = [list(file_batches(images, rank=r, world=2).in_order()) for r in (0, 1)]
    index = torch.cat([batch.index for share in shares for batch in share])
    assert torch.equal(index.sort().values, torch.arange(30))


def test_images_are_prepared_as_torchvision_does(images: Path) -> None:
    """The middle as Resize and CenterCrop give it; parts are where and what they should be."""
    batches = file_batches(images, size=28, augment="none", batch_size=30)
    batch = next(iter(batches.epoch(0)))
    image = functional.center_crop(functional.resize(opened(batches.files[4]), [32]), [28, 28])
    wanted = functional.normalize(functional.to_tensor(image), MEAN, STD)
    (place,) = [i for i, t in enumerate(batch.x) if torch.allclose(t, wanted, atol=1e-5)]
    assert int(batch.index[place]) == 4
    assert int(batch.y[place]) == int(batches.y[4])
    boxes = [random_part(60, 80, generator(0, "box", i)) for i in range(500)]
    areas, ratios = ([f(h, w) for _, _, h, w in boxes] for f in (lambda h, w: h * w, np.divide))
    assert all(0 <= t <= 60 - h and 0 <= u <= 80 - w for t, u, h, w in boxes)
    assert 0.07 < min(areas) / 4800 < 0.12
    assert 0.8 < max(areas) / 4800 <= 1
    assert 0.7 < min(ratios) < 0.8 < 1.25 < max(ratios) < 1.4
    assert random_part(10, 1000, generator(0, "box")) == (0, 493, 10, 13)
    assert random_part(1000, 10, generator(0, "box")) == (493, 0, 13, 10)


def test_images_of_many_kinds(tmp_path: Path) -> None:
    """Grey, palettes, transparency; 16 bits are scaled, not cut to white; floats are refused."""
    ramp = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(ramp).save(tmp_path / "wide.png")
    Image.fromarray((ramp // 257).astype(np.uint8)).save(tmp_path / "grey.png")
    wide, grey = (np.asarray(opened(str(tmp_path / f"{n}.png"))) for n in ("wide", "grey"))
    assert wide.shape == (8, 8, 3)
    assert np.abs(wide.astype(int) - grey.astype(int)).max() <= 1
    colours = Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))
    for mode in ("P", "RGBA", "CMYK", "1"):
        name = str(tmp_path / f"{mode}.{'tif' if mode == 'CMYK' else 'png'}")
        colours.convert(mode).save(name)
        assert np.asarray(opened(name)).shape == (8, 8, 3)
    Image.fromarray(ramp.astype(np.float32)).save(tmp_path / "f.tif")
    Image.fromarray(ramp.astype(np.int32) * 9).save(tmp_path / "i.tif")
    for name, message in (
        ("f.tif", "floats of unknown range"),
        ("i.tif", "values range from 0 to 589815"),
    ):
        with pytest.raises(ValueError, match=f"{name} cannot be read as an image: .*{message}"):
            opened(str(tmp_path / name))


def test_mirrored_half_of_the_time(images: Path) -> None:
    """``crop_flip`` is ``crop`` with some images mirrored."""
    plain, mirrored = (
        next(iter(file_batches(images, batch_size=30, augment=way).epoch(0))).x
        for way in ("crop", "crop_flip")
    )
    kept = [bool(torch.equal(a, b)) for a, b in zip(plain, mirrored, strict=True)]
    turned = [bool(torch.equal(a.flip(2), b)) for a, b in zip(plain, mirrored, strict=True)]
    assert all(a != b for a, b in zip(kept, turned, strict=True))
    assert 6 < sum(turned) < 24


def test_nothing_is_decoded_after_the_end(images: Path) -> None:
    """Neither after an epoch nor once nobody asks for more."""
    batches = file_batches(images, batch_size=10)
    batches.nth(0)
    ahead = batches.ahead
    assert ahead is not None
    assert ahead[0] == 1
    batches.close()
    assert batches.ahead is None
    assert all(part.cancelled() or part.done() or part.running() for part in ahead[1].parts)
    for _ in batches.epoch(0):
        pass
    assert batches.ahead is None
