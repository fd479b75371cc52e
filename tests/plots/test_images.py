"""Images of a batch as figures."""

import pytest
import torch

from nslab.datasets import DATASETS
from nslab.plots.images import batch_images, restored
from nslab.types import Batch


@pytest.mark.parametrize(("name", "channels", "count"), [("digits", 1, 3), ("cifar10", 3, 20)])
def test_every_panel_shows_an_image_under_its_class(name: str, channels: int, count: int) -> None:
    """At most as many as asked for; pixels are what they were before they were normalised."""
    dataset = DATASETS[name]
    pixels = torch.rand(count, channels, 8, 8)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (dataset.mean, dataset.std))
    y = torch.arange(count) % 10
    batch = Batch((pixels - mean) / std, y, torch.arange(count))
    figure = batch_images(batch, dataset, "title", most=16)
    drawn = [axes for axes in figure.axes if axes.images]
    assert len(drawn) == min(count, 16)
    for axes, image, label in zip(drawn, pixels, y.tolist(), strict=False):
        shown = torch.as_tensor(axes.images[0].get_array()).reshape(8, 8, channels)
        torch.testing.assert_close(shown, image.permute(1, 2, 0), rtol=0, atol=1e-5)
        assert axes.get_title() == dataset.classes[label]
    assert restored(batch.x, dataset.mean, dataset.std).shape == (count, 8, 8, channels)
