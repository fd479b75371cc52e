"""Images of one's own: batches that are the same whenever asked, prepared as is usual."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from own_helpers import CPU, data_of, images
from torchvision.transforms import functional

from nslab.datasets.image_files import MEAN, STD, ImageFiles, opened, random_part
from nslab.datasets.image_folder import listed
from nslab.neuroevolution.evolution import pair
from nslab.rng import generator

__all__ = ["images"]


def test_batches_are_the_same_whenever_asked(images: Path) -> None:
    """Whatever was asked before, with one thread or four; the global stream is left alone."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [pair(data_of(images, workers=4, seed=7).train.nth(k)) for k in (0, 1, 2, 3, 0)]
    lazy = data_of(images, workers=1, seed=7)
    for k in (3, 1):
        assert all(
            torch.equal(a, b) for a, b in zip(first[k], pair(lazy.train.nth(k)), strict=True)
        )
    assert all(torch.equal(a, b) for a, b in zip(first[0], first[4], strict=True))
    assert torch.equal(before, torch.get_rng_state())
    other = data_of(images, seed=8).train.nth(0).x
    assert not torch.equal(first[0][0], other)
    assert not torch.equal(first[0][0], first[2][0])


def test_every_image_of_every_batch_is_drawn_anew(images: Path) -> None:
    """Two batches of one and the same image: eight different parts."""
    files, pool = [listed(images)[0][0]] * 4, ThreadPoolExecutor(2)
    one = ImageFiles(files, [0] * 4, torch.arange(4), 32, 4, 0, "crop", CPU, pool)
    x = torch.cat([one.nth(k).x for k in (0, 1)])
    assert len({t.numpy().tobytes() for t in x}) == 8


def test_an_epoch_has_every_image_once_and_none_held_out(images: Path) -> None:
    """The held-out ones are the same for all seeds; shares of two processes make up the whole."""
    pixels = {}
    for seed in (0, 1):
        data = data_of(images, augment="none", seed=seed, batch_size=14, share=0.2)
        assert data.batch_size == 14
        held = torch.cat([batch.x for batch in data.held.in_order()])
        used = torch.cat([batch.x for batch in data.train.epoch(0)])
        pixels[seed] = [{t.numpy().tobytes() for t in part} for part in (held, used)]
        assert [len(part) for part in pixels[seed]] == [7, 28]
        assert not pixels[seed][0] & pixels[seed][1]
    assert pixels[0][0] == pixels[1][0]
    everything = data_of(images, share=0.0, augment="none", batch_size=99)
    assert everything.batch_size == 36
    assert everything.held is None
    assert {t.numpy().tobytes() for t in everything.train.nth(0).x} > pixels[0][0]


def test_images_are_prepared_as_torchvision_does(images: Path) -> None:
    """The middle as Resize and CenterCrop give it; parts are where and what they should be."""
    data, (files, labels, _) = data_of(images, share=0.0, augment="none"), listed(images)
    x, y = pair(data_of(images, share=0.0, augment="none", batch_size=36, size=28).train.nth(0))
    image = functional.center_crop(functional.resize(opened(files[4]), [32]), [28, 28])
    wanted = functional.normalize(functional.to_tensor(image), MEAN, STD)
    (place,) = [i for i, t in enumerate(x) if torch.allclose(t, wanted, atol=1e-5)]
    assert int(y[place]) == labels[4]
    assert data.shape == (3, 32, 32)
    boxes = [random_part(60, 80, generator(0, "box", i)) for i in range(500)]
    areas, ratios = ([f(h, w) for _, _, h, w in boxes] for f in (lambda h, w: h * w, np.divide))
    assert all(0 <= t <= 60 - h and 0 <= u <= 80 - w for t, u, h, w in boxes)
    assert 0.07 < min(areas) / 4800 < 0.12
    assert 0.8 < max(areas) / 4800 <= 1
    assert 0.7 < min(ratios) < 0.8 < 1.25 < max(ratios) < 1.4
    assert random_part(10, 1000, generator(0, "box")) == (0, 493, 10, 13)
    assert random_part(1000, 10, generator(0, "box")) == (493, 0, 13, 10)


def test_mirrored_half_of_the_time(images: Path) -> None:
    """``crop_flip`` is ``crop`` with some images mirrored."""
    plain, mirrored = (
        data_of(images, share=0.0, batch_size=36, augment=way).train.nth(0).x
        for way in ("crop", "crop_flip")
    )
    kept = [bool(torch.equal(a, b)) for a, b in zip(plain, mirrored, strict=True)]
    turned = [bool(torch.equal(a.flip(2), b)) for a, b in zip(plain, mirrored, strict=True)]
    assert all(a != b for a, b in zip(kept, turned, strict=True))
    assert 8 < sum(turned) < 28
