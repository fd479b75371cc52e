"""The real data sets, where a copy is at hand: what is known of them must hold.

Set NSLAB_DATA to a folder with torchvision's files (or the .npz files) to run these.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from nslab.datasets import DATASETS, load

# Means of pixels in [0, 1], published with the data or by those who use them.
KNOWN = {
    "mnist": ("MNIST/raw", (0.1307,)),
    "fashion_mnist": ("FashionMNIST/raw", (0.2860,)),
    "cifar10": ("cifar-10-batches-py", (0.4914, 0.4822, 0.4465)),
    "cifar100": ("cifar-100-python", (0.5071, 0.4865, 0.4409)),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", KNOWN)
def test_real_data(name: str) -> None:
    """Counts, balance and colours; read twice, the second time from the array file."""
    raw, means = KNOWN[name]
    folder = Path(os.environ["NSLAB_DATA"])
    if not any((folder / place).exists() for place in (raw, f"{name}.npz")):
        pytest.skip(f"{name} is not in NSLAB_DATA: nothing is downloaded in tests")
    for _ in range(2):
        data = load(name)
        layout = DATASETS[name].layout
        assert data.arrays.train_x.shape == (layout.train, *layout.shape)
        tests = np.bincount(data.arrays.test_y)
        assert tests.sum() == layout.test
        assert tests.min() >= 892 if layout.num_classes == 10 else (tests == 100).all()
        colours = data.arrays.train_x.mean(axis=(0, 1, 2), dtype=np.float64) / 255
        np.testing.assert_allclose(colours, means, atol=1e-4)
        assert isinstance(data.arrays.train_x, np.memmap)
    assert (folder / f"{name}.npz").exists()
