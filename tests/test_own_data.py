"""Images of one's own: batches that are the same whenever asked, prepared as is usual."""

from pathlib import Path

import numpy as np
import torch
from own_helpers import CPU, data_of, images
from torchvision.transforms import functional

from nslab.own.data import MEAN, STD, ImageFiles, listed, opened, random_part
from nslab.rng import generator

__all__ = ["images"]


def test_batches_are_the_same_whenever_asked(images: Path) -> None:
    """Whatever was asked before, with one thread or four; the global stream is left alone."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = [data_of(images, workers=4, seed=7).batch_of(k) for k in (0, 1, 2, 3, 0)]
    lazy = data_of(images, workers=1, seed=7)
    for k in (3, 1):
        assert all(torch.equal(a, b) for a, b in zip(first[k], lazy.batch_of(k), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first[0], first[4], strict=True))
    assert torch.equal(before, torch.get_rng_state())
    other = data_of(images, seed=8).batch_of(0)[0]
    assert not torch.equal(first[0][0], other)
    assert not torch.equal(first[0][0], first[2][0])


def test_every_image_of_every_batch_is_drawn_anew(images: Path) -> None:
    """Two batches of one and the same image: eight different parts."""
    one = ImageFiles([listed(images)[0][0]] * 4, [0] * 4, 32, 4, 0, 0, "crop", CPU, 2)
    x = torch.cat([one.batch_of(k)[0] for k in (0, 1)])
    assert len({t.numpy().tobytes() for t in x}) == 8


def test_an_epoch_has_every_image_once_and_none_held_out(images: Path) -> None:
    """The held-out ones are the same for all seeds; shares of two processes make up the whole."""
    pixels = {}
    for seed in (0, 1):
        data = data_of(images, augment="none", seed=seed, batch_size=14, share=0.2)
        assert data.batch_size == 14
        held = torch.cat([x for x, _ in data.held_out(0, 1)])
        used = torch.cat([data.batch_of(k)[0] for k in range(2)])
        pixels[seed] = [{t.numpy().tobytes() for t in part} for part in (held, used)]
        assert [len(part) for part in pixels[seed]] == [7, 28]
        assert not pixels[seed][0] & pixels[seed][1]
    assert pixels[0][0] == pixels[1][0]
    everything = data_of(images, share=0.0, augment="none", batch_size=99)
    assert everything.batch_size == 36
    assert list(everything.held_out(0, 1)) == []
    assert {t.numpy().tobytes() for t in everything.batch_of(0)[0]} > pixels[0][0]


def test_images_are_prepared_as_torchvision_does(images: Path) -> None:
    """The middle as Resize and CenterCrop give it; parts are where and what they should be."""
    data, (files, labels, _) = data_of(images, share=0.0, augment="none"), listed(images)
    x, y = data_of(images, share=0.0, augment="none", batch_size=36, size=28).batch_of(0)
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
        data_of(images, share=0.0, batch_size=36, augment=way).batch_of(0)[0]
        for way in ("crop", "crop_flip")
    )
    kept = [bool(torch.equal(a, b)) for a, b in zip(plain, mirrored, strict=True)]
    turned = [bool(torch.equal(a.flip(2), b)) for a, b in zip(plain, mirrored, strict=True)]
    assert all(a != b for a, b in zip(kept, turned, strict=True))
    assert 8 < sum(turned) < 28
