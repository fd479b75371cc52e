"""Natural Selection: samples of a batch compete in composite images; the scores weigh the loss.

Source: "Evolution-Inspired Sample Competition for Deep Neural Network Optimization" (2026).
Read top to bottom, the functions follow the paper's section III; `NS` holds the
hyper-parameters. In a training loop of your own::

    ns = NS(grid=(2, 2), sigma=0.7, rho=+1)
    w = ns.weights(model, x, y)
    loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.networks.batchnorm_folding import folded_copy
from nslab.networks.logits import check_classes, check_labels, check_logits, logits_of
from nslab.networks.modes import bare, local, scoring
from nslab.objectives.checks import check_images, check_objective, checked_grid, checked_number
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import CrossEntropy, Reweighted, full_precision
from nslab.rng import sample_bits
from nslab.types import Batch, DataInfo, Images, Labels, Logits, ObjectiveConfig, PerSample

Grid = tuple[int, int]
Forward = Callable[[Tensor], Any]


def stitch(x: Images, grid: Grid) -> Float[Tensor, "g c H W"]:
    """Tile each R*C consecutive images into one of R rows and C columns, row by row.

    Raises ``ValueError`` if the number of images is no multiple of R*C.
    """
    rows, cols = checked_grid(grid)
    b, c, h, w = x.shape
    if b % (rows * cols):
        raise ValueError(f"{b} images do not fill {rows} x {cols} grids")
    if x.is_contiguous(memory_format=torch.channels_last):  # keep the layout, in one copy
        tiles = x.permute(0, 2, 3, 1).view(-1, rows, cols, h, w, c)
        tiled = tiles.permute(0, 1, 3, 2, 4, 5).reshape(-1, rows * h, cols * w, c)
        return tiled.permute(0, 3, 1, 2)
    tiles = x.reshape(-1, rows, cols, c, h, w)
    tiled = tiles.permute(0, 3, 1, 4, 2, 5)
    return tiled.reshape(-1, c, rows * h, cols * w)  # [NS Eq. 3]


def composite(x: Images, grid: Grid, antialias: bool = False) -> Float[Tensor, "g c h w"]:
    """Stitched images resized bilinearly to the size of one image (S' of the paper).

    Each image shrinks by R rows and C columns. Where these divide the image's sides, bilinear
    sampling (``align_corners=False``, no antialias) reads one pixel of each block if the factor is
    odd, the mean of the middle two if it is even, and never looks across a seam: so shrinking each
    image first gives the same numbers for less memory traffic. Otherwise the stitched image is
    resized as written.
    """
    (rows, cols), (h, w) = checked_grid(grid), x.shape[-2:]
    if rows > h or cols > w:
        raise ValueError(
            f"a {rows} x {cols} grid leaves less than a pixel of each {h} x {w} image: "
            "use a smaller grid or larger images"
        )
    if antialias or h % rows or w % cols:
        return F.interpolate(
            stitch(x, grid), (h, w), mode="bilinear", align_corners=False, antialias=antialias
        )
    if rows * cols == 1:
        return x
    top, left = (rows - 1) // 2, (cols - 1) // 2
    window = (2 - rows % 2, 2 - cols % 2)
    return stitch(F.avg_pool2d(x[..., top:, left:], window, stride=grid), grid)


def group_scores(logits: Float[Tensor, "g k"], y: Int[Tensor, " b"]) -> PerSample:
    """Scores of ``m = b / g`` consecutive samples per composite from the composites' logits.

    Worked in logarithms: with s_i = m q_i / sum_j q_j and q_i = p[y_i], the score is m times the
    softmax of log q over the group, which stays right where every q underflows. A group whose
    probabilities are all exactly 0 is a tie: every score 1. So is one whose composite has a NaN
    among its logits, which tells nothing of its samples; the other groups are scored as ever.
    """
    m = len(y) // len(logits)
    log_p = full_precision(logits).log_softmax(-1)  # [NS Eq. 5]
    log_q = log_p.gather(1, y.long().view(-1, m))  # [NS Eq. 6]
    lowest = torch.finfo(log_q.dtype).min
    log_q = log_q.nan_to_num(nan=lowest, neginf=lowest)
    return (m * log_q.softmax(-1)).flatten()  # [NS Eq. 7]


@torch.inference_mode(False)  # what is made in that mode could not enter a backward pass later
@torch.no_grad()
def ns_scores(
    model: nn.Module,
    x: Images,
    y: Labels,
    grid: Grid,
    *,
    mode: Literal["eval", "train"] = "eval",
    antialias: bool = False,
    order: Int[Tensor, " b"] | None = None,
    forward: Forward | None = None,
) -> PerSample:
    """Natural-selection scores of a batch, without gradients, [NS Alg. 1].

    Consecutive samples form groups of m = R*C (``order``: consecutive after this permutation);
    the scores of a group lie in [0, m] and sum to m. The last ``b % m`` samples compete with
    nobody and score 1, the mean of any group: in a batch smaller than a group that is everybody,
    and the model is not asked.

    ``mode="eval"`` runs the composites with dropout off and BatchNorm's running statistics;
    ``"train"`` as in training, with every buffer put back afterwards. Either way the model is left
    as it was found. It may return its logits as they are or inside of an object, see `logits_of`;
    ``forward``, from images to the same, is called in place of ``model``, in the same mode.

    NOTE: the paper says neither which mode nor what happens to a remainder; these are our choices.

    Raises ``ValueError`` for an impossible grid, inputs that are no images, labels that are no
    classes of the model's, and a model that does not give one row of logits per composite.
    """
    rows, cols = checked_grid(grid)
    m, b = rows * cols, len(x)
    check_images(x)
    check_labels(y, b)
    competing = b - b % m
    if not competing:
        return torch.ones(b, dtype=torch.promote_types(x.dtype, torch.float32), device=x.device)
    head = slice(competing) if order is None else order[:competing]
    images = composite(x[head], grid, antialias)
    with scoring(local(model), mode) as net:
        logits = logits_of((forward or net)(images))  # [NS Eq. 4]
    check_logits(logits, competing // m)
    check_classes(logits, y)
    scores = group_scores(logits, y[head])
    if order is None and competing == b:
        return scores
    full = torch.ones(b, dtype=scores.dtype, device=scores.device)
    full[head] = scores
    return full


def ns_weights(
    scores: PerSample, sigma: float, rho: float, min_weight: float | None = None
) -> PerSample:
    """Loss weights w = sigma + rho * s.

    rho > 0 strengthens winners (NS-WS), rho < 0 focuses on losers (NS-LF). Their mean is
    sigma + rho, so NS also changes the step size. NOTE: the paper calls sigma a lower bound, yet
    with rho = -1 a weight is negative where s > sigma; as written there is no clamp, and
    ``min_weight`` offers one.
    """
    weights = sigma + rho * scores  # [NS Eq. 8]
    return weights if min_weight is None else weights.clamp(min=min_weight)


def shuffled_order(batch: Batch, stream: str = "grouping") -> Int[Tensor, " b"]:
    """A permutation of a batch that follows from its samples, the epoch and the run's seed."""
    return torch.argsort(sample_bits(batch.index, batch.epoch, batch.seed, stream), stable=True)


@dataclass(frozen=True)
class NS:
    """Hyper-parameters of Natural Selection; the defaults are the paper's for CIFAR-10.

    Attributes:
        grid: rows and columns of a composite; a group has m = rows * columns samples.
        sigma, rho: weights are sigma + rho * score; their mean is sigma + rho, which must be above
            0 for the loss to go down: with rho = -1 the paper takes a sigma of 1.5 to 2.5.
        grouping: ``"consecutive"`` samples of the (already shuffled) batch, or ``"shuffled"``.
        mode: how composites are scored, see `ns_scores`.
        antialias: smooth before shrinking, which the paper does not.
        min_weight: lower bound of a weight; None, as in the paper, for none.
        fold_batchnorm: score with a copy whose BatchNorm is folded into its convolutions.
        score_dtype: precision of the scoring pass; ``"model"`` keeps the model's own.
        base: the objective whose losses are weighed. NOTE: any other than cross-entropy is a
            combination of ours, in none of the papers.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> batch = Batch(torch.rand(8, 1, 8, 8), torch.arange(8), torch.arange(8))
    >>> scored = NS(grid=(2, 2), sigma=0.7, rho=1.0).build(DataInfo.of(batch.y, 10))(model, batch)
    >>> scored.loss.shape, round(float(scored.weight.mean()), 4)  # sigma + rho
    (torch.Size([8]), 1.7)
    """

    grid: Grid = (2, 2)
    sigma: float = 0.7
    rho: float = 1.0
    grouping: Literal["consecutive", "shuffled"] = "consecutive"
    mode: Literal["eval", "train"] = "eval"
    antialias: bool = False
    min_weight: float | None = None
    fold_batchnorm: bool = False
    score_dtype: Literal["model", "bfloat16", "float16"] = "model"
    base: ObjectiveConfig = field(default_factory=CrossEntropy)

    def __post_init__(self) -> None:
        check_objective("NS: base", self.base)
        object.__setattr__(self, "grid", checked_grid(self.grid))
        for name in ("sigma", "rho", "min_weight"):
            if (value := getattr(self, name)) is not None or name != "min_weight":
                object.__setattr__(self, name, checked_number(f"NS: {name}", value))
        for name, allowed in (
            ("grouping", ("consecutive", "shuffled")),
            ("mode", ("eval", "train")),
            ("score_dtype", ("model", "bfloat16", "float16")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"NS: {name} is {getattr(self, name)!r}, not one of {allowed}")
        if self.copies and self.mode == "train":
            raise ValueError("NS: a folded or 16-bit copy scores in eval mode only")

    @property
    def revision(self) -> int:
        """Once a shuffled grouping was the same for every seed."""
        return int(self.grouping == "shuffled")

    @property
    def copies(self) -> bool:
        """Whether scoring uses a copy of the network."""
        return self.fold_batchnorm or self.score_dtype != "model"

    @torch.inference_mode(False)
    @torch.no_grad()
    def weights(
        self,
        model: nn.Module,
        x: Images,
        y: Labels,
        order: Int[Tensor, " b"] | None = None,
        *,
        forward: Forward | None = None,
    ) -> PerSample:
        """Weights of a batch's losses, constants of the backward pass (see `ns_scores`).

        A batch of any size will do: who competes with nobody has the mean weight, sigma + rho. A
        shuffled grouping without ``order`` draws one from torch's global generator. ``forward``,
        from images to logits, is for a model that is not called by its images alone.

        Raises ``ValueError`` for a ``forward`` beside a folded or 16-bit copy.

        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> ns, x, y = NS(grid=(2, 2), sigma=0.7, rho=+1), torch.randn(9, 3, 8, 8), torch.arange(9)
        >>> w = ns.weights(model, x, y)
        >>> print(f"{w.mean():.2f}, and {w[8]:.2f} of the one left over")
        1.70, and 1.70 of the one left over
        >>> loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
        >>> torch.equal(w, ns.weights(model, x, y, forward=lambda images: model(input=images)))
        True
        """
        if order is None and self.grouping == "shuffled":
            order = torch.randperm(len(x), device=x.device)
        if self.copies and forward is not None:
            raise ValueError("NS: give forward, or have a folded or 16-bit copy, not both")
        if self.copies and len(x) >= math.prod(self.grid):
            dtype = None if self.score_dtype == "model" else getattr(torch, self.score_dtype)
            forward = folded_copy(bare(model), dtype, self.fold_batchnorm)
        scores = ns_scores(
            model,
            x,
            y,
            self.grid,
            mode=self.mode,
            antialias=self.antialias,
            order=order,
            forward=forward,
        )
        return ns_weights(scores, self.sigma, self.rho, self.min_weight)

    def weigh(self, model: nn.Module, batch: Batch, logits: Logits | None = None) -> PerSample:
        """The same for the training loop; a shuffled grouping follows from samples and epoch."""
        order = shuffled_order(batch) if self.grouping == "shuffled" else None
        return self.weights(model, batch.x, batch.y, order)

    def build(self, info: DataInfo) -> Reweighted:
        """The objective for a training set.

        NOTE: scores are taken before the batch passes through the network, as in a loop of one's
        own; the paper does not say. It matters in so far as BatchNorm learns from the batch.
        """
        return Reweighted(self.base.build(info), self.weigh, math.prod(self.grid))


_SOURCE = "section IV-A2"
_WS, _LF = partial(NS, grid=(2, 2), rho=1.0), partial(NS, rho=-1.0)
SETTINGS: dict[str, Setting[NS]] = {
    "cifar10": Setting(_WS(sigma=0.7), _SOURCE),
    "cifar100": Setting(_WS(sigma=0.8), _SOURCE),
    "imagenet": Setting(_WS(sigma=2.0), _SOURCE),
    "office_home": Setting(_WS(sigma=0.6), _SOURCE),
    "twitter1": Setting(_LF(grid=(1, 2), sigma=2.5), _SOURCE),
    "twitter2": Setting(_LF(grid=(1, 2), sigma=2.5), _SOURCE),
    "flickr": Setting(_LF(grid=(2, 2), sigma=2.0), _SOURCE),
    "instagram": Setting(_LF(grid=(2, 2), sigma=2.0), _SOURCE),
    "fi": Setting(_LF(grid=(2, 2), sigma=2.5), _SOURCE),
    "emoset": Setting(_LF(grid=(2, 2), sigma=2.5), _SOURCE),
    "cifar10_lt": Setting(_LF(grid=(1, 2), sigma=2.5), _SOURCE),
    "cifar100_lt": Setting(_LF(grid=(2, 2), sigma=1.5), _SOURCE),
}
