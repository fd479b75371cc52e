"""Pixels of image files: exactly those of torchvision, or nearly the same from reduced JPEGs."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_helpers import file_batches, images
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

import nslab.datasets.decoding as decoding
import nslab.datasets.image_files as image_files
from nslab.datasets.decoding import (
    Decoding,
    Part,
    middle_square,
    random_part,
    random_square,
    reading,
    reduced,
    resized,
    resized_to,
)
from nslab.rng import generator
from nslab.types import Batch

__all__ = ["images"]  # a fixture

SIDES = ((301, 233), (64, 500), (40, 40), (256, 300))


def smooth(height: int, width: int) -> Image.Image:
    """A picture without sharp edges, as large as asked for."""
    small = np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Files by what they are."""
    folder, made = tmp_path_factory.mktemp("photographs"), {}
    large = smooth(601, 803)
    for name, image, options in (
        ("large.jpg", large, {"quality": 95}),
        ("progressive.jpg", large, {"quality": 95, "progressive": True}),
        ("grey.jpg", large.convert("L"), {"quality": 95}),
        ("cmyk.jpg", large.convert("CMYK"), {"quality": 95}),
        ("large.png", large, {}),
        ("small.jpg", smooth(30, 41), {"quality": 95}),
    ):
        image.save(folder / name, **options)
        made[name] = str(folder / name)
    return made


@pytest.mark.parametrize("sides", SIDES)
def test_exact_is_what_torchvision_makes(sides: tuple[int, int], tmp_path: Path) -> None:
    """To the bit: middles as Resize and CenterCrop, parts as resized_crop and hflip."""
    file = str(tmp_path / "image.jpg")
    smooth(*sides).save(file)
    image, size = Image.open(file).convert("RGB"), 56
    theirs = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(size)])
    assert np.array_equal(middle_square(file, size), np.asarray(theirs(image)))
    turned = 0
    for i in range(8):
        gen = generator(0, "part", i)
        part = random_part(*sides, gen)
        wanted = functional.resized_crop(image, *part, [size, size])
        flip = float(torch.rand((), generator=gen)) < 0.5
        turned += flip
        wanted = functional.hflip(wanted) if flip else wanted
        found = random_square(file, size, generator(0, "part", i), True)
        assert np.array_equal(found, np.asarray(wanted))
        plain = random_square(file, size, generator(0, "part", i))
        assert np.array_equal(found[:, ::-1] if flip else found, plain)
    assert 0 < turned < 8


def test_sizes_are_rounded_as_torchvision_rounds() -> None:
    """Whichever side is the shorter."""
    for height, width in [(375, 500), (500, 375), (301, 233), (7, 900), (64, 64)]:
        resize = functional.resize(torch.zeros(1, height, width), [64])
        assert resized_to(height, width, 64) == tuple(resize.shape[1:])


def test_reduced_is_nearly_the_same(photographs: dict[str, str]) -> None:
    """Of every kind of image: the same middles and parts, mirrored or not."""

    def part(file: str, place: int, how: Decoding) -> np.ndarray:
        return random_square(file, 56, generator(0, "part", place), True, how)

    for name, file in photographs.items():
        ways = [lambda how, file=file: middle_square(file, 56, how)]
        ways += [lambda how, file=file, i=i: part(file, i, how) for i in range(3)]
        for way in ways:
            exact, found = way("exact").astype(int), way("reduced")
            assert found.shape == (56, 56, 3)
            assert np.abs(exact - found).mean() < 3, name
            assert np.array_equal(found, way("reduced"))


def test_jpegs_are_reduced_as_far_as_the_result_allows(photographs: dict[str, str]) -> None:
    """A half, a quarter, an eighth; other images not at all."""
    seen = []

    def whole(name: str, size: int) -> tuple[int, int]:
        with reading(photographs[name]) as image:
            reduced(image, Part(0, 0, 601, 803), size, size)
            seen.append(image.size)
            return image.size

    for size, width in ((601, 803), (301, 803), (300, 402), (151, 402), (150, 201), (75, 101)):
        assert whole("large.jpg", size)[0] == width
    assert whole("large.jpg", 9)[0] == 101
    assert whole("large.png", 9)[0] == 803
    assert whole("grey.jpg", 75)[0] == 101


def test_a_reduced_part_lies_where_it_should(photographs: dict[str, str]) -> None:
    """At every corner, within a pixel of what is decoded."""
    image = Image.open(photographs["large.jpg"]).convert("RGB")
    for top in (0, 201):
        for left in (0, 403):
            part = Part(top, left, 400, 400)
            wanted = functional.resized_crop(image, *part, [90, 90])
            with reading(photographs["large.jpg"]) as opened:
                found = reduced(opened, part, 90, 90)
            assert np.abs(found.astype(int) - np.asarray(wanted)).mean() < 2


def test_torchs_filter_is_that_of_pil() -> None:
    """Within 1 of 255, smaller and larger."""
    pixels = np.random.default_rng(1).integers(0, 256, (97, 131, 3), dtype=np.uint8)
    for height, width in ((50, 60), (97, 131), (200, 150)):
        theirs = Image.fromarray(pixels).resize((width, height), Image.Resampling.BILINEAR)
        found = resized(pixels, height, width)
        assert np.abs(found.astype(int) - np.asarray(theirs)).max() <= 1


def test_broken_files_are_named(photographs: dict[str, str], tmp_path: Path) -> None:
    """However they are decoded."""
    half = tmp_path / "half.jpg"
    half.write_bytes(Path(photographs["large.jpg"]).read_bytes()[:3000])
    for size in (500, 56):
        for how in ("exact", "reduced"):
            with pytest.raises(ValueError, match=r"half\.jpg cannot be read as an image: "):
                middle_square(str(half), size, how)
            with pytest.raises(ValueError, match=r"half\.jpg cannot be read"):
                random_square(str(half), size, generator(0, "x"), decoding=how)


def test_prepared_images_stay_as_they_are(tmp_path: Path) -> None:
    """Only those of just that size."""
    file, image = str(tmp_path / "image.png"), smooth(56, 56)
    image.save(file)
    assert np.array_equal(middle_square(file, 56, prepared=True), np.asarray(image))
    assert not np.array_equal(middle_square(file, 56), np.asarray(image))
    assert np.array_equal(middle_square(file, 48, prepared=True), middle_square(file, 48))


def whole(batches: list[Batch]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, labels and places of batches, one after the other."""
    return tuple(torch.cat([getattr(b, name) for b in batches]) for name in ("x", "y", "index"))


@pytest.mark.parametrize("kept", [2**30, 0])
@pytest.mark.parametrize("augment", ["crop_flip", "none"])
def test_parts_are_the_batch(
    images: Path, kept: int, augment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Held as bytes or streamed, again and again, in any order; what is held is decoded once."""
    monkeypatch.setattr(image_files, "DECODED_BYTES", kept)
    batches, asked = file_batches(images, seed=5, augment=augment), []
    for k in (0, 1, 1, 2, 0, 4):
        expected = file_batches(images, seed=5, augment=augment).nth(k)
        parts = list(batches.parts(k, 5))
        assert [len(part.y) for part in parts] == ([5, 5, 2] if k != 2 else [5, 1])
        for found, wanted in zip(whole(parts), whole([expected]), strict=True):
            assert torch.equal(found, wanted)
        assert {(part.epoch, part.seed) for part in parts} == {(expected.epoch, expected.seed)}
    name = "random_square" if augment == "crop_flip" else "middle_square"
    real = getattr(image_files, name)
    monkeypatch.setattr(image_files, name, lambda *a: asked.append(a) or real(*a))
    for _ in range(3):
        assert len(list(batches.parts(5, 4))) == 2
    batches.close()
    if not kept:
        assert len(asked) == 3 * 6
    with pytest.raises(ValueError, match="must have samples, not 0"):
        next(batches.parts(0, 0))


def test_a_file_that_breaks_ends_all(images: Path) -> None:
    """It is named, each time, and nothing goes on in the background."""
    batches = file_batches(images, augment="none")
    batches.files = [*batches.files]
    batches.files[int(batches.places(1)[3])] = "gone.jpg"
    list(batches.parts(0, 6))
    for _ in range(2):
        with pytest.raises(ValueError, match=r"gone\.jpg cannot be read"):
            list(batches.parts(1, 6))
        assert batches.ahead is None
        assert batches.held is None
    with pytest.raises(ValueError, match=r"gone\.jpg cannot be read"):
        list(batches.epoch(0))
    with pytest.raises(ValueError, match=r"gone\.jpg cannot be read"):
        list(batches.in_order())


def test_other_decoding_is_refused(images: Path) -> None:
    """Before any file is read; another one changes pixels, not which parts."""
    with pytest.raises(ValueError, match="decoding is 'fast', not one of exact, reduced"):
        decoding.check_decoding("fast")
    exact, other = (file_batches(images, decoding=how).nth(0) for how in ("exact", "reduced"))
    assert torch.equal(exact.index, other.index)
    assert 0 < float((exact.x - other.x).abs().mean()) < 0.1
