"""A person's own arrays: kept, found again, and what is refused."""

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, TensorDataset

from nslab.configs import TrainConfig
from nslab.datasets import load
from nslab.datasets.batches import make_batches
from nslab.datasets.own_arrays import add_arrays
from nslab.training.loop import fit

CPU = torch.device("cpu")
GEN = torch.Generator().manual_seed(0)
BYTES = torch.randint(0, 256, (40, 3, 8, 6), generator=GEN, dtype=torch.uint8)
FLOATS = torch.randn(40, 3, 8, 6, generator=GEN) * torch.tensor([1.0, 5, 0.1]).view(3, 1, 1) + 2
Y = torch.arange(40) % 4


@pytest.mark.parametrize("x", [BYTES, FLOATS], ids=["bytes", "floats"])
def test_images_are_normalised_by_the_training_set(x: torch.Tensor) -> None:
    """Mean 0 and sd 1 in each channel, whatever the units were, in the order given."""
    name = add_arrays((x, Y), (x[:9], Y[:9]), "pets", classes=list("abcd"))
    assert name.startswith("arrays:pets#")
    data = load(name)
    assert data.dataset.classes == ("a", "b", "c", "d")
    assert data.dataset.shape == (3, 8, 6)
    arrays = data.arrays
    batches = make_batches(arrays.train_x, arrays.train_y, data.dataset, CPU, batch_size=40)
    batch = next(batches.in_order())
    mean, sd = x.double().mean((0, 2, 3)), x.double().std((0, 2, 3), correction=0)
    wanted = (x.double() - mean.view(3, 1, 1)) / sd.view(3, 1, 1)
    assert torch.allclose(batch.x.double(), wanted, atol=1e-5)
    assert torch.equal(batch.y, Y)
    assert np.array_equal(arrays.test_y, Y[:9])


def test_the_same_content_is_the_same_data() -> None:
    """However it is laid out or called; another pixel, label or class name is another."""
    pair = (FLOATS, Y)
    first = TrainConfig(add_arrays(pair, pair, "one"), "mlp")
    numpy_pair = FLOATS.permute(0, 2, 3, 1).numpy(), Y.numpy()
    items = TensorDataset(FLOATS, Y)
    same = [add_arrays(numpy_pair, numpy_pair, "two"), add_arrays(items, items, "three")]
    assert {TrainConfig(name, "mlp").id for name in same} == {first.id}
    assert first.columns()["dataset"].startswith("one #")
    changed = FLOATS.clone()
    changed[3, 1, 2, 2] += 0.5
    others = [
        add_arrays((changed, Y), pair),
        add_arrays((FLOATS, Y.flip(0)), pair),
        add_arrays(pair, pair, classes=list("abcd")),
        add_arrays((FLOATS.half(), Y), (FLOATS.half(), Y)),
    ]
    assert len({TrainConfig(name, "mlp").id for name in others} | {first.id}) == 5


def test_grey_images_and_transforms() -> None:
    """Without an axis of channels; a torch data set of PIL-like arrays."""

    class Theirs(Dataset):
        def __len__(self) -> int:
            return 12

        def __getitem__(self, i: int) -> tuple[np.ndarray, int]:
            return np.full((5, 5, 3), i, np.uint8), i % 2

    assert load(add_arrays(Theirs(), Theirs())).dataset.shape == (3, 5, 5)
    grey = np.zeros((6, 7, 7)), np.arange(6) % 3
    data = load(add_arrays(grey, grey))
    assert data.dataset.shape == (1, 7, 7)
    assert data.dataset.std == (1.0,)
    assert data.dataset.classes == ("0", "1", "2")


def test_samples_and_columns() -> None:
    """Two samples are no pair of images and labels; labels may be a column."""
    items = [(FLOATS[i], i) for i in range(2)]
    assert load(add_arrays(items, items)).dataset.layout.train == 2
    pair = (FLOATS, Y)
    assert add_arrays((FLOATS, Y[:, None]), pair) == add_arrays(pair, pair)


def test_a_network_learns_from_them() -> None:
    """A run like any other; the arrays are found by another process, so by a second look."""
    x = torch.randn(80, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    y = torch.arange(80) % 2
    x[y == 1] += 1.5
    name = add_arrays((x[:60], y[:60]), (x[60:], y[60:]))
    config = TrainConfig(
        name, "mlp", epochs=5, lr=0.02, batch_size=16, augment="crop_flip", hold_out=10
    )
    assert fit(config, show=False).metrics["test_accuracy"] >= 90


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ((BYTES, Y[:5]), "train: labels must be 40 whole numbers from 0"),
        ((BYTES, Y - 1), "whole numbers from 0"),
        ((BYTES, Y.float()), "whole numbers from 0"),
        ((BYTES.flatten(1), Y), r"images must be \(n, height, width\) or have a fourth axis"),
        ((BYTES.repeat(1, 3, 1, 1), Y), r"neither axis 1 nor 3 of \(40, 9, 8, 6\)"),
        ((FLOATS / 0, Y), "some pixels are NaN or infinite"),
        ((BYTES.int() * 2, Y), "must be 0 to 255"),
        ("cifar", "must be a pair .* or a torch Dataset"),
        ([], "must be a pair"),
        ((BYTES[:0], Y[:0]), "train has no images"),
        (TensorDataset(BYTES), "each item of the data set must be an image and a label"),
        ((BYTES[:, :, :4], Y), r"test images are .* both must be alike"),
    ],
)
def test_what_is_no_data(train: object, message: str) -> None:
    """Said at once, by its name."""
    with pytest.raises(ValueError, match=message):
        add_arrays(train, (BYTES, Y))


def test_arrays_that_are_not_here() -> None:
    """A stored run is read all the same; training says what to do."""
    config = TrainConfig("arrays:gone#0123456789ab", "mlp")
    with pytest.raises(ValueError, match=r"gone #0123456789ab are not in .* add them again"):
        fit(config, show=False)
