"""An evolved loss as a module that a trainer can save, move and compile."""

from collections.abc import Callable
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.lossnet import LossNet
from nslab.networks.logits import check_batch
from nslab.objectives.criterion import Criterion, Reduction
from nslab.objectives.weighted import PlainLoss
from nslab.types import Labels, Logits, PerSample


class EvolvedCriterion(Criterion):
    """`nslab.EDL` as a module. The weights of the loss network are a buffer: they move with the
    module and are saved in its ``state_dict``, so a checkpoint keeps the exact loss of its
    training. They are constants, not parameters, and keep their precision when the module is cast.

    >>> from nslab.objectives.edl import EDL
    >>> criterion = EDL().criterion()
    >>> list(criterion.state_dict()), list(criterion.parameters())
    (['weights'], [])
    """

    weights: Tensor

    def __init__(
        self, config: Any, reduction: Reduction = "mean", ignore_index: int | None = None
    ) -> None:
        super().__init__(config, reduction, ignore_index)
        net = config.source.net()
        self.form, self.scale, self.matched = net.form, net.scale, config.scale == "ce"
        self.register_buffer("weights", net.w.clone())
        self.factors: dict[int, float] = {}  # by the number of classes
        self.loads = 0

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """The evolved loss of each sample."""
        check_batch(logits, y)
        factor = self.factor(logits.shape[-1], self.loads)
        return factor * self.form.loss(self.weights, logits, y)

    def losses_by_class(self, logits: Logits) -> Float[Tensor, "b c"]:
        """The evolved loss of each sample for every class."""
        return PlainLoss.losses_by_class(cast(PlainLoss, self), logits)

    @torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
    def factor(self, classes: int, loads: int) -> float:
        """The scale for this many classes, computed once, and again after ``load_state_dict``. A
        compiled step treats it as a constant; ``loads`` changes when it is out of date."""
        if classes not in self.factors:
            net = LossNet(self.form, self.weights.detach().cpu(), self.scale)
            self.factors[classes] = (net.matched(classes) if self.matched else net).scale
        return self.factors[classes]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "EvolvedCriterion":
        kept = self.weights  # a cast to 16 bits would round them
        super()._apply(fn, recurse)
        if self.weights.dtype != kept.dtype:
            self.weights = kept.to(self.weights.device)
        return self

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self.factors, self.loads = {}, self.loads + 1
