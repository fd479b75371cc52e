"""Images as a network sees them, with their classes."""

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from nslab.datasets import Dataset
from nslab.plots.marks import page
from nslab.plots.titles import heading, panel_title, wrapped
from nslab.types import Batch

ACROSS = 8  # images in a row


def batch_images(batch: Batch, dataset: Dataset, title: str, most: int = 16) -> Figure:
    """The first images of a batch, at most ``most``, with their class names above them.

    ``dataset`` gives class names, and the mean and sd by which the normalisation is undone.
    """
    count = min(most, len(batch.y))
    down = -(-count // ACROSS)
    figure = page(0.6 + 1.3 * down)
    panels = list(figure.subplots(down, min(ACROSS, count), squeeze=False).flat)
    pixels = restored(batch.x[:count], dataset.mean, dataset.std)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, label in zip(panels, pixels, batch.y.tolist(), strict=False):
        shown = image.squeeze(-1)
        axes.imshow(shown.numpy(), cmap="gray" if shown.ndim == 2 else None, vmin=0, vmax=1)
        name = dataset.classes[label] if label < len(dataset.classes) else str(label)
        panel_title(axes, wrapped(name if len(name) < 15 else f"{name[:13]}…", 0.98))
    heading(figure, title)
    return figure


def restored(x: torch.Tensor, mean: Sequence[float], std: Sequence[float]) -> torch.Tensor:
    """Normalised images (b, c, h, w) as pixels in [0, 1], (b, h, w, c), on the CPU."""
    shape = (1, len(mean), 1, 1)
    pixels = x.float().cpu() * torch.tensor(std).view(shape) + torch.tensor(mean).view(shape)
    return pixels.clamp(0, 1).permute(0, 2, 3, 1)
