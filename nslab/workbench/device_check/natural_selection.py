"""Compare Natural Selection on a device with the paper's equations, written a second time pixel by
pixel and sample by sample."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from nslab.objectives import NS
from nslab.objectives.competition import group_scores
from nslab.types import Batch, DataInfo
from nslab.workbench.device_check.findings import Finding, largest_error, worst
from nslab.workbench.device_check.hashes import order
from nslab.workbench.device_check.small_network import (
    CLASSES,
    images,
    log_softmax,
    logits,
    small_network,
    weights_of,
)

PART = "Natural Selection"
GRIDS = ((1, 2), (2, 1), (2, 2), (2, 4), (4, 2), (3, 3), (4, 4), (3, 2))
ROUNDING = "float32 against float64: a convolution and a softmax of logits up to 30, 2e-6 each"


def composite(group: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Images (m, c, h, w) stitched into a grid and shrunk bilinearly to (c, h, w): pixel i of the
    result reads the position (i + 1/2) * factor - 1/2."""
    _, channels, height, width = group.shape
    large = np.zeros((channels, rows * height, columns * width))
    for k, image in enumerate(group):
        r, c = divmod(k, columns)
        large[:, r * height : (r + 1) * height, c * width : (c + 1) * width] = image
    lines = between(height, rows)
    return np.einsum("ih,chw,jw->cij", lines, large, between(width, columns))


def between(size: int, factor: int) -> np.ndarray:
    """The matrix (size, size * factor) of bilinear weights that shrinks by ``factor``."""
    read = np.zeros((size, size * factor))
    for i in range(size):
        place = (i + 0.5) * factor - 0.5
        low = int(np.floor(place))
        read[i, low] += 1 - (place - low)
        read[i, min(low + 1, size * factor - 1)] += place - low
    return read


def scores(z: np.ndarray, y: np.ndarray, m: int) -> np.ndarray:
    """m q_i / sum_j q_j for the samples of each composite, from differences of log q."""
    found = []
    for g, row in enumerate(log_softmax(z)):
        log_q = row[y[g * m : (g + 1) * m]]
        with np.errstate(over="ignore"):  # a difference of infinity gives a score of 0
            found += [m / np.exp(log_q - one).sum() for one in log_q]
    return np.array(found)


def check_natural_selection(device: torch.device) -> Iterator[Finding]:
    """Check scores, weights and weighted losses for every grid and grouping, and scores of logits
    up to 1e4."""
    net = small_network()
    w, (x, y) = weights_of(net), images(50)
    net, epoch, seed = net.to(device), 3, 2024
    index = torch.arange(7, 57)
    batch = Batch(x.to(device), y.to(device), index.to(device), epoch, seed=seed)
    log_p = log_softmax(logits(w, x.numpy()))
    ce = -log_p[np.arange(len(y)), y.numpy()]
    for grouping in ("consecutive", "shuffled"):
        places = np.arange(len(y))
        if grouping == "shuffled":
            places = np.array(order(index.tolist(), epoch, seed, "grouping"))
        errors: dict[str, list[float]] = {"scores and weights": [], "weighted losses": []}
        for rows, columns in GRIDS:
            m = rows * columns
            ns = NS((rows, columns), sigma=2.5, rho=-1.0, grouping=grouping)
            chosen = places[: len(y) - len(y) % m]
            groups = x.double().numpy()[chosen].reshape(-1, m, *x.shape[1:])
            made = np.stack([composite(group, rows, columns) for group in groups])
            wanted = np.full(len(y), 1.5)  # sigma + rho: of those left over
            wanted[chosen] = 2.5 - scores(logits(w, made), y.numpy()[chosen], m)
            for case in (ns, replace(ns, fold_batchnorm=True)):
                errors["scores and weights"].append(largest_error(case.weigh(net, batch), wanted))
            objective = ns.build(DataInfo.of(y, CLASSES))
            errors["weighted losses"].append(largest_error(objective(net, batch).loss, wanted * ce))
        for name, found in errors.items():
            about = f"{name}, {len(GRIDS)} grids, {grouping} groups"
            yield Finding(PART, about, worst(found), 3e-5, ROUNDING)
    draw = np.random.default_rng(0)
    errors_of: list[float] = []
    for top in (10, 80, 1e4):
        z = draw.uniform(-top, top, (12, CLASSES)).astype(np.float32)
        labels = draw.integers(0, CLASSES, 48)
        there = (torch.from_numpy(values).to(device) for values in (z, labels))
        wanted = scores(z.astype(np.float64), labels, 4)
        errors_of.append(largest_error(group_scores(*there), wanted))
    reason = "log p of logits of 1e4 is known to 1e-3 in float32, and so is the ratio of two q"
    yield Finding(PART, "scores of logits up to 1e4", worst(errors_of), 3e-3, reason)
