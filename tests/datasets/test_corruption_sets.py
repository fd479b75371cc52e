"""Corrupted test sets: what every corruption keeps to."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from corruption_helpers import apply, colours, distance

from nslab.datasets import load
from nslab.datasets.corruption.cifar10_c import CIFAR10_C
from nslab.datasets.corruption.mnist_c import MNIST_C
from nslab.datasets.corruption.primitives import CHUNK
from nslab.datasets.corruption.sets import CORRUPTIONS, corrupted
from nslab.system.paths import papers_dir

EACH = [(name, corruption) for name, known in CORRUPTIONS.items() for corruption in known]
# Nothing in these is drawn.
FIXED = {"scale", "stripe", "brightness", "canny_edges", "defocus_blur", "zoom_blur", "contrast"}
FIXED |= {"pixelate", "jpeg_compression"}
# Published severities of which a later one is not further from the clean image: of glass blur the
# third blurs, so that it moves less than it seems; elastic transform bends more, but turns less;
# frost of the last two also darkens the image, which the ice brightens.
NOT_MONOTONE = {"glass_blur", "elastic_transform", "frost"}


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Some of the digits."""
    arrays = load("digits").arrays
    return np.array(arrays.test_x[:30]), np.array(arrays.test_y[:30])


def test_names_are_those_of_the_paper() -> None:
    """Tables S4 to S6 list exactly these, in any order."""
    for table, name in (("S4", "mnist_c"), ("S5", "cifar10_c"), ("S6", "cifar10_c")):
        listed = set(pd.read_csv(papers_dir() / "de" / f"table{table}.csv")["corruption"])
        assert listed - {"average"} == set(CORRUPTIONS[name])
    assert all(len(c.severities) == 1 for c in MNIST_C.values())
    assert all(len(c.severities) == 5 for c in CIFAR10_C.values())


@pytest.mark.parametrize("grey", [True, False], ids=["digits", "colour"])
@pytest.mark.parametrize(("name", "corruption"), EACH)
def test_contract(
    name: str, corruption: str, grey: bool, digits: tuple[np.ndarray, np.ndarray]
) -> None:
    """Dtype, shape and labels stay; the seed decides; nothing else is touched."""
    x, y = digits if grey else (colours(6), np.arange(6))
    kept = x.copy(), y.copy()
    x.setflags(write=False)
    torch.manual_seed(3)
    before, before_numpy = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for severity in range(1, len(CORRUPTIONS[name][corruption].severities) + 1):
        made = corrupted(name, corruption, severity, (x, y), seed=5)
        assert made.origin == "generated"
        assert made.x.dtype == np.uint8
        assert made.x.shape == x.shape
        assert made.x.flags.writeable
        np.testing.assert_array_equal(made.y, kept[1])
        again = corrupted(name, corruption, severity, (x, y), seed=5).x
        np.testing.assert_array_equal(made.x, again)
        other = corrupted(name, corruption, severity, (x, y), seed=6).x
        assert (distance(made.x, other) == 0) == (corruption in FIXED)
        changed = (made.x != kept[0]).any((1, 2, 3))
        assert changed.mean() > 0.9
    np.testing.assert_array_equal(x, kept[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], before_numpy)  # noqa: NPY002


@pytest.mark.parametrize(("name", "corruption"), EACH)
def test_other_sizes(name: str, corruption: str) -> None:
    """28 pixels, rectangles, and no image at all."""
    for shape in ((3, 28, 28, 1), (2, 20, 36, 3), (0, 28, 28, 1)):
        x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert apply(name, corruption, x).shape == shape


@pytest.mark.parametrize(("name", "corruption"), EACH)
def test_images_have_draws_of_their_own(name: str, corruption: str) -> None:
    """Copies of an image come out differently, also beyond a chunk; or all alike."""
    n = CHUNK + 2 if corruption not in ("fog", "glass_blur") else 3
    x = np.repeat(colours(1, 16), n, 0)
    made = apply(name, corruption, x)
    alike = {"shear": 2, "rotate": 2, "translate": 4}
    count = len({image.tobytes() for image in made})
    if corruption in FIXED:
        assert count == 1
    else:
        assert count >= min(alike.get(corruption, 3), n - 1)
        if corruption not in alike and n > CHUNK:
            assert (made[0] != made[CHUNK]).any()


@pytest.mark.parametrize("corruption", sorted(CIFAR10_C))
def test_severities_grow(corruption: str) -> None:
    """The mean squared error grows from severity to severity, but for the few named above.

    Motion blur of severity 4 has the same sd as that of 3, and so is as far away.
    """
    x = colours(120)
    found = [distance(apply("cifar10_c", corruption, x, s), x) for s in range(1, 6)]
    if corruption not in NOT_MONOTONE:
        assert all(later > earlier * 0.97 for earlier, later in pairwise(found)), found
        assert found[4] > 1.3 * found[0]


@pytest.mark.slow
def test_digits_stay_legible(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """Where shapes stay in their place, corrupted digits still correlate with the clean ones."""
    x = digits[0]
    moved = {"stripe", "canny_edges", "elastic_transform"}
    for name, corruption in EACH:
        for severity in range(1, len(CORRUPTIONS[name][corruption].severities) + 1):
            made = apply(name, corruption, x, severity)
            pairs = zip(made.reshape(len(x), -1), x.reshape(len(x), -1), strict=True)
            alike = np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs])
            assert alike > (0.45 if corruption not in moved else -1), (corruption, severity)


def test_unknown_names(digits: tuple[np.ndarray, np.ndarray]) -> None:
    """The error lists what there is."""
    with pytest.raises(ValueError, match=r"'mnist': did you mean mnist_c\? There are mnist_c, c"):
        corrupted("mnist", "fog", 1, digits)
    with pytest.raises(ValueError, match=r"corruption of mnist_c 'snow'; there are shot_noise"):
        corrupted("mnist_c", "snow", 1, digits)
    with pytest.raises(ValueError, match=r"mnist_c has severities 1 to 1, not 2"):
        corrupted("mnist_c", "fog", 2, digits)
    for severity in (0, 6):
        with pytest.raises(ValueError, match=rf"cifar10_c has severities 1 to 5, not {severity}"):
            corrupted("cifar10_c", "fog", severity, digits)
    with pytest.raises(ValueError, match=r"severity is 2, not one of 1 to 1"):
        MNIST_C["fog"](digits[0], 2)
