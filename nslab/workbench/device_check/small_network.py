"""A small network with BatchNorm, and the same computed in float64 without torch."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

CHANNELS, SIDE, CLASSES = 3, 12, 10
Weights = Mapping[str, np.ndarray]


def small_network(seed: int = 0) -> nn.Sequential:
    """Convolution, BatchNorm with random statistics, ReLU, mean over the image and a linear layer,
    with random weights and in evaluation mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        norm = nn.BatchNorm2d(8)
        net = nn.Sequential(
            nn.Conv2d(CHANNELS, 8, 3, padding=1),
            norm,
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, CLASSES),
        )
        assert norm.running_mean is not None
        assert norm.running_var is not None
        for tensor in (*net.parameters(), norm.running_mean):
            tensor.data.normal_(0.0, 1.0)
        norm.running_var.uniform_(0.5, 2.0)
    return net.eval()


def images(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random images of different brightness, and labels."""
    draws = torch.Generator().manual_seed(seed)
    x = torch.randn(n, CHANNELS, SIDE, SIDE, generator=draws)
    x = x + 2 * torch.randn(n, CHANNELS, 1, 1, generator=draws)
    return x, torch.randint(CLASSES, (n,), generator=draws)


def weights_of(net: nn.Module) -> dict[str, np.ndarray]:
    """A network's tensors in float64, by name."""
    return {k: v.detach().double().cpu().numpy() for k, v in net.state_dict().items()}


def logits(w: Weights, x: np.ndarray) -> np.ndarray:
    """The logits of `small_network` for images, in float64; the convolution is a sum over the
    positions of the kernel."""
    n, _, height, width = x.shape
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
    out = np.zeros((n, len(w["0.bias"]), height, width))
    for i in range(3):
        for j in range(3):
            part = padded[:, :, i : i + height, j : j + width]
            out += np.einsum("nchw,oc->nohw", part, w["0.weight"][:, :, i, j])
    out += w["0.bias"][:, None, None]
    slope = w["1.weight"] / np.sqrt(w["1.running_var"] + 1e-5)
    normed = (out - w["1.running_mean"][:, None, None]) * slope[:, None, None]
    seen = np.maximum(normed + w["1.bias"][:, None, None], 0).mean((2, 3))
    return seen @ w["5.weight"].T + w["5.bias"]


def log_softmax(z: np.ndarray) -> np.ndarray:
    """log p along the last axis."""
    top = z.max(-1, keepdims=True)
    return z - top - np.log(np.exp(z - top).sum(-1, keepdims=True))
