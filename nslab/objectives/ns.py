"""Natural Selection: samples of a batch compete in composites; the scores weigh the loss.

Source: "Evolution-Inspired Sample Competition for Deep Neural Network Optimization" (2026).
Read top to bottom, the functions follow the paper's section III; composites are made in
`nslab.objectives.composites` (images) and `nslab.objectives.joined_texts`. `NS` holds the
hyper-parameters. In a training loop of your own::

    ns = NS(grid=(2, 2), sigma=0.7, rho=+1)
    loss = ns.loss(model, x, y)

which is::

    w = ns.weights(model, x, y)
    loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from nslab.networks.batchnorm_folding import folded_copy
from nslab.networks.logits import check_classes, check_labels, check_logits, logits_of
from nslab.networks.modes import bare, local, scoring
from nslab.objectives.checks import check_images, check_objective, checked_grid, checked_number
from nslab.objectives.composites import (
    Compose,
    Grid,
    called,
    composite,
    rows_of,
    samples_of,
    stitch,
)
from nslab.objectives.criterion import (
    Reduction,
    SoftLabels,
    check_reduction,
    check_soft,
    is_soft,
    per_sample,
    reduced,
)
from nslab.objectives.joined_texts import TEXTS, Joined, LostTexts, compose_for
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import CrossEntropy, PlainLoss, Reweighted, full_precision
from nslab.rng import sample_bits
from nslab.system.validation import omitted_means
from nslab.types import Batch, DataInfo, Labels, Logits, ObjectiveConfig, PerSample

Inputs = Num[Tensor, "b ..."] | Mapping[str, Any]  # of transformers: see `Joined`
Forward = Callable[[Any], Any]


def group_scores(
    logits: Float[Tensor, "g k"], y: Int[Tensor, " b"] | Float[Tensor, "b k"]
) -> PerSample:
    """Scores of ``m = b / g`` consecutive samples per composite from the composites' logits.

    Worked in logarithms: with s_i = m q_i / sum_j q_j and q_i = p[y_i], the score is m times the
    softmax of log q over the group, which stays right where every q underflows. A group whose
    probabilities are all exactly 0 is a tie: every score 1. So is one whose composite has a NaN
    among its logits, which tells nothing of its samples; the other groups are scored as ever.

    For soft labels q_i = sum_k y_ik p_k, the probability of a class drawn from the label. NOTE:
    this extension is ours and has not been measured. The paper has one label a sample, for which it
    gives the same scores.
    """
    m = len(y) // len(logits)
    log_p = full_precision(logits).log_softmax(-1)  # [NS Eq. 5]
    if is_soft(y):
        log_y = full_precision(y).log().view(len(logits), m, -1)
        log_q = (log_p[:, None] + log_y).logsumexp(-1)
    else:
        log_q = log_p.gather(1, y.long().view(-1, m))  # [NS Eq. 6]
    lowest = torch.finfo(log_q.dtype).min
    log_q = log_q.nan_to_num(nan=lowest, neginf=lowest)
    return (m * log_q.softmax(-1)).flatten()  # [NS Eq. 7]


@torch.inference_mode(False)  # what is made in that mode could not enter a backward pass later
@torch.no_grad()
def ns_scores(
    model: nn.Module,
    x: Inputs,
    y: Labels | SoftLabels,
    grid: Grid,
    *,
    mode: Literal["eval", "train"] = "eval",
    antialias: bool = False,
    order: Int[Tensor, " b"] | None = None,
    forward: Forward | None = None,
    compose: Compose | None = None,
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

    ``compose``, from samples and grid to composites, is for samples that are no images, such as
    `Joined`. A model is called with composites of a mapping as transformers' are, ``model(**x)``.

    NOTE: the paper says neither which mode nor what happens to a remainder; these are our choices.

    Raises ``ValueError`` for an impossible grid, inputs that are no images, labels that are no
    classes of the model's, and a model that does not give one row of logits per composite.
    """
    rows, cols = checked_grid(grid)
    if compose is None:
        check_images(x)
        compose = partial(composite, antialias=antialias)
    some = samples_of(x, y)
    m, b = rows * cols, len(some)
    soft = is_soft(y)
    check = check_soft if soft else check_labels
    check(y, b)
    competing = b - b % m
    if not competing:
        dtype = torch.promote_types(some.dtype, torch.float32)
        return torch.ones(b, dtype=dtype, device=some.device)
    head = slice(competing) if order is None else order[:competing]
    composites = compose(rows_of(x, head), grid)
    with scoring(local(model), mode) as net:
        output = forward(composites) if forward else called(net, composites)  # [NS Eq. 4]
    logits = logits_of(output)
    check_logits(logits, competing // m)
    if soft:
        check_soft(y, b, logits.shape[1])
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
        compose: how a group becomes one input: ``"images"`` are stitched and shrunk; texts are
            joined, ``"tiled"`` or ``"literal"`` (see `Joined`), their special tokens those of the
            run's data. In a loop of one's own: a `Joined`, or any function from samples and grid
            to composites.
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
    compose: Literal["images", "tiled", "literal"] | Compose = field(
        default="images", metadata=omitted_means("images")
    )

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
        if self.compose not in ("images", *TEXTS) and not callable(self.compose):
            raise ValueError(
                f"NS: compose is {self.compose!r}, neither 'images', 'tiled' nor 'literal', nor a "
                "nslab.Joined or another function of samples and grid"
            )
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
        x: Inputs,
        y: Labels | SoftLabels,
        order: Int[Tensor, " b"] | None = None,
        *,
        forward: Forward | None = None,
    ) -> PerSample:
        """Weights of a batch's losses, constants of the backward pass (see `ns_scores`).

        A batch of any size will do: who competes with nobody has the mean weight, sigma + rho. A
        shuffled grouping without ``order`` draws one from torch's global generator. ``forward``,
        from images to logits, is for a model that is not called by its images alone. Texts are
        rows of token ids, or what a tokenizer of transformers gives for ``model(**x)``; a model of
        transformers wants the latter, as it takes every id of a bare tensor for a token.

        Raises ``ValueError`` for a ``forward`` beside a folded or 16-bit copy, and for texts where
        ``compose`` does not say which tokens are special.

        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> ns, x, y = NS(grid=(2, 2), sigma=0.7, rho=+1), torch.randn(9, 3, 8, 8), torch.arange(9)
        >>> w = ns.weights(model, x, y)
        >>> print(f"{w.mean():.2f}, and {w[8]:.2f} of the one left over")
        1.70, and 1.70 of the one left over
        >>> import torch.nn.functional as F
        >>> loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
        >>> torch.equal(w, ns.weights(model, x, y, forward=lambda images: model(input=images)))
        True
        """
        if self.compose in TEXTS:
            raise ValueError(
                f"NS: compose={self.compose!r} takes special tokens from the data of a run; in a "
                f"loop of your own give compose=nslab.Joined.of(tokenizer, how={self.compose!r})"
            )
        some = samples_of(x, y)
        if order is None and self.grouping == "shuffled":
            order = torch.randperm(len(some), device=some.device)
        if self.copies and (forward is not None or isinstance(x, Mapping)):
            other = "give forward" if forward is not None else "give texts in a mapping"
            raise ValueError(f"NS: {other}, or have a folded or 16-bit copy, not both")
        if self.copies and len(some) >= math.prod(self.grid):
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
            compose=None if isinstance(self.compose, str) else self.compose,
        )
        return ns_weights(scores, self.sigma, self.rho, self.min_weight)

    def loss(
        self,
        model: nn.Module,
        x: Inputs,
        y: Labels | SoftLabels,
        order: Int[Tensor, " b"] | None = None,
        *,
        forward: Forward | None = None,
        reduction: Reduction = "mean",
        return_outputs: bool = False,
    ) -> Any:
        """The weighted loss of a batch: its `weights`, then the losses of ``base`` with gradients.

        The model is called twice: once with a composite for each group, without gradients and in
        evaluation mode (see `ns_scores`), then with the batch, in the mode it is in. It may be
        compiled or wrapped in DistributedDataParallel, and autocast applies to both calls. Groups
        are formed within the batch given: each process and each micro-batch scores its own samples.
        For validation use the loss without weights, ``ns.base(model(x), y)``.

        ``reduction`` is that of torch's losses; the mean divides by the number of samples, not by
        the sum of the weights. ``return_outputs=True`` returns the loss and the model's output.
        The penalty of `ANL` is not included.

        Raises ``ValueError`` for a ``base`` that is not a loss per sample, and as `weights` does.

        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> x, y = torch.randn(8, 3, 8, 8), torch.arange(8)
        >>> loss, logits = NS(sigma=2.5, rho=-1).loss(model, x, y, return_outputs=True)
        >>> loss.requires_grad, logits.shape
        (True, torch.Size([8, 10]))
        """
        check_reduction(reduction)
        base = self.base
        if not isinstance(base, PlainLoss):
            name = type(base).__name__
            raise ValueError(
                f"NS: loss is for a base that is a loss per sample (a PlainLoss), and {name} is "
                "more: take objective = ns.build(nslab.DataInfo.of(labels, classes)) of all "
                "training labels, and objective(model, nslab.Batch(x, y, index)).total()"
            )
        w = self.weights(model, x, y, order, forward=forward)
        outputs = forward(x) if forward else called(model, x)
        loss = reduced(w * per_sample(base, logits_of(outputs), y), reduction)
        return (loss, outputs) if return_outputs else loss

    def weigh(self, model: nn.Module, batch: Batch, logits: Logits | None = None) -> PerSample:
        """`weights` for the training loop; a shuffled grouping follows from samples and epoch."""
        order = shuffled_order(batch) if self.grouping == "shuffled" else None
        return self.weights(model, batch.x, batch.y, order)

    def build(self, info: DataInfo) -> Reweighted:
        """The objective for a training set; the share of texts that joining loses is counted.

        NOTE: scores are taken before the batch passes through the network, as in a loop of one's
        own; the paper does not say. It matters in so far as BatchNorm learns from the batch.
        """
        ns, counter = self.for_data(info), None
        if isinstance(ns.compose, Joined) and ns.compose.how == "literal":
            counter = LostTexts(ns.compose)
            ns = dataclasses.replace(ns, compose=counter)
        return Reweighted(self.base.build(info), ns.weigh, math.prod(self.grid), counter)

    def for_data(self, info: DataInfo) -> "NS":
        """The same for a data set: texts are joined by its special tokens.

        Raises ``ValueError`` for texts composed as images, and images as texts.

        >>> from nslab.types import TokenInfo
        >>> texts = DataInfo(2, 100, torch.tensor([50, 50]), TokenInfo(length=64, vocabulary=500))
        >>> NS(compose="tiled").for_data(texts).compose.how
        'tiled'
        """
        compose = compose_for(self.compose, info.tokens)
        return self if compose is self.compose else dataclasses.replace(self, compose=compose)


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

__all__ = [
    "NS",
    "SETTINGS",
    "Grid",
    "composite",
    "group_scores",
    "ns_scores",
    "ns_weights",
    "shuffled_order",
    "stitch",
]
