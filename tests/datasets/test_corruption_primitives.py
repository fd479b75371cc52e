"""Single corruptions, by hand and against Pillow and scipy."""

import io

import numpy as np
import pytest
import torch
from corruption_helpers import apply, colours, distance
from PIL import Image
from scipy import ndimage

from nslab.datasets.corruption.cifar10_c import CIFAR10_C
from nslab.datasets.corruption.jpeg import jpeg
from nslab.datasets.corruption.mnist_c import canny_edges, line
from nslab.datasets.corruption.primitives import boxed, plasma, resampled, zooming
from nslab.datasets.corruption.sets import CORRUPTIONS


@pytest.mark.parametrize(
    "corruption",
    [
        "defocus_blur",
        "glass_blur",
        "motion_blur",
        "zoom_blur",
        "contrast",
        "elastic_transform",
        "pixelate",
        "jpeg_compression",
    ],
)
def test_even_images_stay(corruption: str) -> None:
    """Blurs and moves of one grey, or one colour, give the same again."""
    for channels in (1, 3):
        x = np.full((2, 32, 32, channels), 128, dtype=np.uint8)
        for severity in range(1, 6):
            np.testing.assert_array_equal(apply("cifar10_c", corruption, x, severity), x)


def test_noise_has_the_published_strength() -> None:
    """Mean and variance on even grey; the share of salt, and of pepper."""
    x = np.full((40, 32, 32, 3), 102, dtype=np.uint8)
    for severity, (sd,) in enumerate(CIFAR10_C["gaussian_noise"].severities, 1):
        made = apply("cifar10_c", "gaussian_noise", x, severity) / 255
        assert made.mean() == pytest.approx(0.4, abs=2e-3)
        assert made.std() == pytest.approx(sd, rel=0.02)
    for severity, (photons,) in enumerate(CIFAR10_C["shot_noise"].severities, 1):
        made = apply("cifar10_c", "shot_noise", x, severity) / 255
        assert made.mean() == pytest.approx(0.4, abs=2e-3)
        assert made.var() == pytest.approx(0.4 / photons, rel=0.05)
    for name in CORRUPTIONS:
        for severity, (share,) in enumerate(CORRUPTIONS[name]["impulse_noise"].severities, 1):
            made = apply(name, "impulse_noise", x, severity)
            assert (made == 255).mean() == pytest.approx(share / 2, rel=0.1)
            assert (made == 0).mean() == pytest.approx(share / 2, rel=0.1)
            assert ((made == 102) | (made == 0) | (made == 255)).all()


def test_brightness_and_contrast_by_hand() -> None:
    """Value raised with hue and saturation kept, white stays, black turns grey; a third of the way
    from the mean."""
    x = np.array([[[[51, 102, 0], [255, 255, 255], [0, 0, 0], [200, 100, 250]]]], dtype=np.uint8)
    made = apply("cifar10_c", "brightness", x, 4)[0, 0]
    assert made.tolist() == [[76, 153, 0], [255] * 3, [51] * 3, [204, 102, 255]]
    grey = np.array([[[[100], [200]]]], dtype=np.uint8)
    assert apply("mnist_c", "brightness", grey).ravel().tolist() == [228, 255]
    assert apply("cifar10_c", "contrast", grey, 4).ravel().tolist() == [135, 165]


def test_translate_by_hand() -> None:
    """Three pixels along both axes, black moves in."""
    x = np.random.default_rng(0).integers(1, 256, (40, 12, 10, 1), dtype=np.uint8)
    seen = set()
    for before, after in zip(x, apply("mnist_c", "translate", x), strict=True):
        for rows in (-3, 3):
            for columns in (-3, 3):
                expected = ndimage.shift(before, (rows, columns, 0), order=0)
                seen |= {(rows, columns)} if np.array_equal(after, expected) else set()
        assert (after == 0).mean() == pytest.approx(1 - 9 * 7 / 120)
    assert len(seen) == 4


def test_turns_keep_the_centre() -> None:
    """A white spot in the middle stays there; a square is as much smaller, a bar as much turned."""
    spot = np.zeros((8, 28, 28, 1), dtype=np.uint8)
    spot[:, 13:15, 13:15] = 255
    rows, columns = np.mgrid[:28, :28] - 13.5
    for corruption in ("shear", "scale", "rotate"):
        mass = apply("mnist_c", corruption, spot)[..., 0].astype(float)
        for image in mass:
            for away in (rows, columns):
                assert (image * away).sum() / image.sum() == pytest.approx(0, abs=0.02)
    bar = np.zeros((20, 28, 28, 1), dtype=np.uint8)
    bar[:, 13:15, 4:24] = 255
    angles = []
    for image in apply("mnist_c", "rotate", bar)[..., 0].astype(float):
        slope = (image * rows * columns).sum() / (image * columns**2).sum()
        angles.append(np.arctan(slope))
    assert np.abs(angles) == pytest.approx(0.4, abs=0.02)
    assert min(angles) < 0 < max(angles)
    square = np.zeros((1, 28, 28, 1), dtype=np.uint8)
    square[:, 4:24, 4:24] = 255
    assert apply("mnist_c", "scale", square).mean() == pytest.approx(0.49 * square.mean(), rel=0.06)


def test_stripe_by_hand() -> None:
    """Seven of 28 columns on each side are negatives; a negative of it is the image again."""
    x = np.random.default_rng(1).integers(0, 256, (3, 28, 28, 1), dtype=np.uint8)
    made = apply("mnist_c", "stripe", x)
    np.testing.assert_array_equal(made[:, :, 7:21], x[:, :, 7:21])
    np.testing.assert_array_equal(made[:, :, :7], 255 - x[:, :, :7])
    np.testing.assert_array_equal(made[:, :, 21:], 255 - x[:, :, 21:])
    np.testing.assert_array_equal(apply("mnist_c", "stripe", made), x)


def test_lines_only_add_light() -> None:
    """Dashes two columns wide with two between; a zigzag in every column but two on each side."""
    x = np.zeros((50, 28, 28, 1), dtype=np.uint8)
    dotted = apply("mnist_c", "dotted_line", x)[..., 0].max(1)
    dashes = np.arange(28) // 2 % 2 == 1
    dashes[27] = False
    assert (dotted[:, dashes] > 150).all()
    assert (dotted[:, ~dashes] == 0).all()
    zigzag = apply("mnist_c", "zigzag", x)[..., 0]
    lit = zigzag.max(1) > 0
    assert not lit[:, :1].any()
    assert not lit[:, 27:].any()
    assert lit[:, 6:22].mean() > 0.97  # some leave the image above or below
    assert (apply("mnist_c", "zigzag", x + 255) == 255).all()
    assert line(torch.tensor([[2.0]]), 5, 2.3).ravel().tolist() == pytest.approx(
        [0, 1 + np.log(1 - 1 / 2.3), 1, 1 + np.log(1 - 1 / 2.3), 0], abs=1e-6
    )


def test_edges_of_a_square() -> None:
    """A closed outline one pixel wide along the square's border, for each image apart."""
    x = torch.zeros(2, 1, 28, 28)
    x[0, 0, 8:20, 8:20] = 1
    edges = canny_edges(x, torch.Generator(), 1.0, 0.1, 0.2)[:, 0].numpy()
    assert not edges[1].any()
    inside = ndimage.binary_fill_holes(edges[0])
    assert inside[9:19, 9:19].all()
    assert not inside[:7].any()
    assert edges[0, 14].sum() in (2, 4)  # two equal gradients stand on either side of the border
    faint = canny_edges(0.04 * x, torch.Generator(), 1.0, 0.1, 0.2)
    assert not faint.any()


def test_plasma() -> None:
    """From 0 to 1 over the whole map, smooth for a large decay, of any size."""
    for side in (16, 32, 50):
        cloud = plasma(4, side, side, 2.0, torch.Generator().manual_seed(0))
        assert cloud.shape == (4, 1, side, side)
        assert cloud.min() >= 0
        assert cloud.max() <= 1
    rough, smooth = (
        plasma(20, 32, 32, decay, torch.Generator().manual_seed(0)).diff(dim=2).abs().mean()
        for decay in (1.2, 3.0)
    )
    assert rough > 2 * smooth


@pytest.mark.parametrize("factor", [1.0, 1.01, 1.06, 1.25, 1.75, 2.25])
def test_zoom_against_scipy(factor: float) -> None:
    """A middle part enlarged by scipy and trimmed."""
    x = colours(1)[0] / 255
    part = int(np.ceil(32 / factor))
    top = (32 - part) // 2
    large = ndimage.zoom(
        x[top : top + part, top : top + part], (factor, factor, 1), order=1, grid_mode=False
    )
    trim = (len(large) - 32) // 2
    zoom = zooming(32, factor)
    found = resampled(torch.tensor(x).permute(2, 0, 1)[None].float(), zoom, zoom)
    np.testing.assert_allclose(
        found[0].permute(1, 2, 0), large[trim : trim + 32, trim : trim + 32], atol=1e-5
    )


def test_pixelate_against_pillow() -> None:
    """Within the one grey level that Pillow rounds on the way."""
    x = colours(3)
    for severity, (share,) in enumerate(CIFAR10_C["pixelate"].severities, 1):
        small = (int(32 * share),) * 2
        made = apply("cifar10_c", "pixelate", x, severity)
        for before, after in zip(x, made, strict=True):
            image = Image.fromarray(before).resize(small, Image.Resampling.BOX)
            expected = np.array(image.resize((32, 32), Image.Resampling.BOX))
            assert np.abs(after.astype(int) - expected).max() <= 1
    assert torch.equal(boxed(4, 2), torch.tensor([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]))
    assert torch.equal(boxed(2, 4), torch.tensor([[1.0, 0], [1, 0], [0, 1], [0, 1]]))


@pytest.mark.parametrize("quality", [10, 40, 58, 80, 95])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_against_pillow(quality: int, channels: int) -> None:
    """Within a grey level, on average, of Pillow's files, whose library rounds more on the way; and
    as far from the originals as they are."""
    x = np.ascontiguousarray(colours(30, 32 if channels == 3 else 28)[..., :channels])
    files = []
    for image in x:
        file = io.BytesIO()
        Image.fromarray(image.squeeze()).save(file, "JPEG", quality=quality)
        files.append(np.array(Image.open(file)).reshape(image.shape))
    expected = np.stack(files)
    images = torch.tensor(x).permute(0, 3, 1, 2).float() / 255
    found = (255 * jpeg(images, quality).clamp(0, 1)).round().permute(0, 2, 3, 1).numpy()
    assert np.abs(found - expected).mean() < (0.8 if channels == 3 else 0.3)
    assert distance(found, x) == pytest.approx(distance(expected, x), rel=0.03)
