"""Natural Selection: samples of a batch compete in composites; their scores weight the loss.

Source: "Evolution-Inspired Sample Competition for Deep Neural Network Optimization" (2026).
Scores and weights are computed in `nslab.objectives.competition`; `NS` holds the hyper-parameters.
In a training loop of your own::

    ns = NS(grid=(2, 2), sigma=0.7, rho=+1)
    loss = ns.loss(model, x, y)

which is::

    w = ns.weights(model, x, y)
    loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Int
from torch import Tensor, nn

from nslab.networks.batchnorm_folding import folded_copy
from nslab.networks.logits import logits_of
from nslab.networks.modes import unwrap_model
from nslab.objectives.checks import check_objective, checked_grid, checked_number
from nslab.objectives.competition import Forward, Inputs, ns_scores, ns_weights, shuffled_order
from nslab.objectives.composites import Compose, Grid, call_model, sample_tensor
from nslab.objectives.criterion import Reduction, SoftLabels, check_reduction, per_sample, reduced
from nslab.objectives.joined_texts import TEXTS, Joined, LostTexts, compose_for
from nslab.objectives.recommended import Setting
from nslab.objectives.weighted import CrossEntropy, PlainLoss, Reweighted
from nslab.system.renamed import refuse_old_names
from nslab.system.type_words import misfit, not_one_of
from nslab.system.validation import omitted_means
from nslab.types import Batch, DataInfo, Labels, Logits, ObjectiveConfig, PerSample


@dataclass(frozen=True)
class NS:
    """Hyper-parameters of Natural Selection; the defaults are the paper's for CIFAR-10.

    Attributes:
        grid: rows and columns of a composite; a group has m = rows * columns samples.
        sigma, rho: weights are sigma + rho * score; their mean is sigma + rho, which must be above
            0 for the loss to go down: with rho = -1 the paper takes a sigma of 1.5 to 2.5.
        grouping: ``"consecutive"`` samples of the (already shuffled) batch, or ``"shuffled"``.
        mode: how composites are scored, see `ns_scores`.
        antialias: smooth composites before shrinking them, which the paper does not.
        min_weight: lower bound of a weight; None, as in the paper, for no bound.
        fold_batchnorm: score with a copy whose BatchNorm is folded into its convolutions.
        score_dtype: precision of the scoring pass; ``"model"`` keeps the model's own.
        compose: how a group becomes one input: ``"images"`` are stitched and shrunk; texts are
            joined, ``"tiled"`` or ``"literal"`` (see `Joined`), with the special tokens of the
            run's data. In your own training loop give a `Joined`, or any function from samples
            and grid to composites.
        base: the objective whose losses are weighted. NOTE: combinations with anything but
            cross-entropy are ours and in none of the papers.

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
        for name in ("antialias", "fold_batchnorm"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(misfit(f"NS: {name}", getattr(self, name), bool))
        for name, allowed in (
            ("grouping", ("consecutive", "shuffled")),
            ("mode", ("eval", "train")),
            ("score_dtype", ("model", "bfloat16", "float16")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(not_one_of(f"NS: {name}", getattr(self, name), allowed))
        if self.compose not in ("images", *TEXTS) and not callable(self.compose):
            raise ValueError(
                f"NS: compose is {self.compose!r}, neither 'images', 'tiled' nor 'literal', nor a "
                "nslab.Joined or another function of samples and grid"
            )
        if self.uses_copy and self.mode == "train":
            raise ValueError("NS: a folded or 16-bit copy scores in eval mode only")

    @property
    def revision(self) -> int:
        """1 for a shuffled grouping, which in revision 0 was the same for every seed; else 0."""
        return int(self.grouping == "shuffled")

    @property
    def uses_copy(self) -> bool:
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

        A batch may have any size: samples that compete with nobody have the mean weight, sigma +
        rho. A shuffled grouping without ``order`` draws one from torch's global generator.
        ``forward``, a function from images to logits, is for a model that takes more than its
        images. Texts are rows of token ids, or what a tokenizer of transformers returns for
        ``model(**x)``; a model of transformers needs the latter, since it would take padding in a
        bare tensor for text.

        Raises ``ValueError`` for a ``forward`` beside a folded or 16-bit copy, and for texts where
        ``compose`` does not say which tokens are special.

        >>> model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 10))
        >>> ns, x, y = NS(grid=(2, 2), sigma=0.7, rho=+1), torch.randn(9, 3, 8, 8), torch.arange(9)
        >>> w = ns.weights(model, x, y)
        >>> print(f"mean {w.mean():.2f}; sample 8, which is left over, {w[8]:.2f}")
        mean 1.70; sample 8, which is left over, 1.70
        >>> import torch.nn.functional as F
        >>> loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()
        >>> torch.equal(w, ns.weights(model, x, y, forward=lambda images: model(input=images)))
        True
        """
        if self.compose in TEXTS:
            raise ValueError(
                f"NS: compose={self.compose!r} takes special tokens from the data of a run; in "
                f"your own loop give compose=nslab.Joined.of(tokenizer, how={self.compose!r})"
            )
        samples = sample_tensor(x, y)
        if order is None and self.grouping == "shuffled":
            order = torch.randperm(len(samples), device=samples.device)
        if self.uses_copy and (forward is not None or isinstance(x, Mapping)):
            given = "give forward" if forward is not None else "give texts in a mapping"
            raise ValueError(f"NS: {given} or score with a folded or 16-bit copy, not both")
        if self.uses_copy and len(samples) >= math.prod(self.grid):
            dtype = None if self.score_dtype == "model" else getattr(torch, self.score_dtype)
            forward = folded_copy(unwrap_model(model), dtype, self.fold_batchnorm)
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
                f"NS: loss needs a base that is a loss per sample (a PlainLoss), which {name} is "
                "not: use objective = ns.build(nslab.DataInfo.of(labels, classes)) with all "
                "training labels, then objective(model, nslab.Batch(x, y, index)).total()"
            )
        w = self.weights(model, x, y, order, forward=forward)
        outputs = forward(x) if forward else call_model(model, x)
        loss = reduced(w * per_sample(base, logits_of(outputs), y), reduction)
        return (loss, outputs) if return_outputs else loss

    def weigh(self, model: nn.Module, batch: Batch, logits: Logits | None = None) -> PerSample:
        """`weights` for the training loop; a shuffled grouping depends on the batch's samples,
        epoch and seed alone."""
        order = shuffled_order(batch) if self.grouping == "shuffled" else None
        return self.weights(model, batch.x, batch.y, order)

    def build(self, info: DataInfo) -> Reweighted:
        """The objective for a training set; it counts the share of texts that joining loses.

        NOTE: scores are computed before the batch passes through the network, as in `loss`; the
        paper does not say. The order matters only because BatchNorm learns from that pass.
        """
        ns, counter = self.for_data(info), None
        if isinstance(ns.compose, Joined) and ns.compose.how == "literal":
            counter = LostTexts(ns.compose)
            ns = dataclasses.replace(ns, compose=counter)
        return Reweighted(self.base.build(info), ns.weigh, math.prod(self.grid), counter)

    def for_data(self, info: DataInfo) -> "NS":
        """The same for a data set: texts are joined with its special tokens.

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

__getattr__ = refuse_old_names(__name__)
