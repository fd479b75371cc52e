"""A loss as a small network: class probabilities and a label in, a number out.

Source: the abstract of "Distribution-Free Pretraining of Classification Losses via Evolutionary
Dynamics" (EDL): a loss in probability space, parameterised as a lightweight network. NOTE: the
paper's text was not to be had; forms, sizes, the zero at the label and the scale are ours.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from nslab.parameters import hints, strict
from nslab.types import Labels, Logits, PerSample

Weights = Float[Tensor, "m d"]  # of m candidates
Probabilities = Float[Tensor, "b k"]

SMALL = 1e-4  # the log feature is log(p + SMALL)
FLAT = 1e-9  # a slope below it is none
AT_ONCE = 2**18  # numbers in a temporary, while candidates are compared: these fit a cache
_SPAN = math.log1p(1 / SMALL)


@dataclass(frozen=True)
class LossForm:
    """What a flat vector of weights means as a loss l(p, y); zero at p = onehot(y) in every form.

    One hidden layer of tanh; its output's bias would cancel, so there is none. Probabilities enter
    as 2p - 1, and with ``log_feature`` as log(p + 1e-4) too, brought to [-1, 1].

    Attributes:
        kind: ``"equivariant"``: sum over k of phi(p_k, [k = y]), whatever the number of classes;
            a class of probability 0 changes nothing. ``"pairs"``: sum over j != y of
            phi(p_y, p_j), the label against each other class. ``"flat"``: a perceptron on p and
            onehot(y), which knows no symmetry, for a fixed number of ``classes``.
        hidden: units of the hidden layer.
    """

    kind: Literal["equivariant", "pairs", "flat"] = "equivariant"
    hidden: int = 16
    log_feature: bool = False
    classes: int | None = None

    def __post_init__(self) -> None:
        for name, hint in hints(LossForm).items():
            strict(f"LossForm: {name}", getattr(self, name), hint)
        if self.hidden < 1:
            raise ValueError(f"LossForm: hidden must be at least 1, not {self.hidden}")
        if self.kind == "flat" and (self.classes is None or self.classes < 2):
            raise ValueError(
                f"LossForm: a flat network needs its number of classes, 2 or more, in classes, "
                f"not {self.classes}"
            )
        if self.kind != "flat" and self.classes is not None:
            raise ValueError(
                f"LossForm: {self.kind} takes any number of classes: leave classes out"
            )

    @property
    def moving(self) -> int:
        """Inputs that depend on p."""
        views = {"equivariant": 1, "pairs": 2, "flat": self.classes or 0}[self.kind]
        return views * (2 if self.log_feature else 1)

    @property
    def inputs(self) -> int:
        """Inputs of the hidden layer: `moving` ones first, then those that tell the label."""
        return self.moving + {"equivariant": 1, "pairs": 0, "flat": self.classes or 0}[self.kind]

    @property
    def size(self) -> int:
        """D, the number of weights: of the hidden layer, its biases, the output's."""
        return (self.inputs + 2) * self.hidden

    def initial(self, n: int, gen: torch.Generator) -> Weights:
        """Random weights of n networks, float64: normal, each layer's by 1 / sqrt(inputs)."""
        sd = torch.full((self.size,), self.inputs**-0.5, dtype=torch.float64)
        sd[-self.hidden :] = self.hidden**-0.5
        return sd * torch.randn(n, self.size, generator=gen, dtype=torch.float64)

    def losses(self, w: Weights, p: Probabilities, y: Labels) -> Float[Tensor, "m b"]:
        """l(p, y) of every prediction for every candidate, in the precision of ``p``.

        Raises ``ValueError`` for weights of another form, and for p of other classes than a flat
        form's.
        """
        if w.shape[-1] != self.size:
            raise ValueError(f"{self} has {self.size} weights, not {w.shape[-1]}")
        if self.classes not in (None, p.shape[1]):
            raise ValueError(
                f"a flat loss network of {self.classes} classes cannot score {p.shape[1]}: only "
                "the forms equivariant and pairs take any number"
            )
        w, y = w.to(p), y.long()
        into, bias, out = self._split(w)
        label = F.one_hot(y, p.shape[1]).bool()[..., None]
        miss = p.masked_fill(label[..., 0], 0).sum(1)  # 1 - p_y, with all its digits
        fall = self._fall(p.gather(1, y[:, None]).squeeze(1), miss)
        rise, n = self._rise(p), self.moving
        if self.kind == "flat":
            moves = torch.where(label, fall[:, None], rise).flatten(1)[:, None] / 2
            at_label = into[:, :n].unflatten(1, (p.shape[1], -1)).sum(2) + into[:, n:]
            return _summed(bias + at_label[:, y], moves, into[:, :n], out)
        if self.kind == "pairs":
            first, second = into.chunk(2, 1)
            corner = bias + (first.sum(1) - second.sum(1))[:, None]
            both = torch.cat([fall[:, None].expand_as(rise), rise], -1)
            return _summed(corner, both.masked_fill(label, 0), into, out)
        corner = into.sum(1)[:, None]  # inputs are all 1 at the label's own class, else all -1
        own = _summed(bias + corner, fall[:, None], into[:, :n], out)
        return own + _summed(bias - corner, rise.masked_fill(label, 0), into[:, :n], out)

    def _split(self, w: Weights) -> tuple[Tensor, Tensor, Tensor]:
        """Weights of the hidden layer (m, inputs, h), its biases (m, 1, h), the output's (m, h)."""
        h, n = self.hidden, self.inputs * self.hidden
        return w[:, :n].unflatten(1, (-1, h)), w[:, None, n : n + h], w[:, n + h :]

    def _rise(self, p: Probabilities) -> Float[Tensor, "b k f"]:
        """The features of p less those of 0: from 0 to 2."""
        if not self.log_feature:
            return 2 * p[..., None]
        return torch.stack([2 * p, torch.log1p(p / SMALL) * (2 / _SPAN)], -1)

    def _fall(self, p: PerSample, miss: PerSample) -> Float[Tensor, "b f"]:
        """The features of p less those of 1, from -2 to 0; ``miss`` is 1 - p."""
        if not self.log_feature:
            return -2 * miss[:, None]
        # Each expression is exact where it is taken: zero for p = 1, all digits near p = 0.
        near = torch.log1p(-miss / (1 + SMALL))
        log = torch.where(miss < 0.5, near, torch.log1p(p / SMALL) - _SPAN)
        return torch.stack([-2 * miss, log * (2 / _SPAN)], -1)


def _summed(
    corner: Float[Tensor, "m _ h"],
    moves: Float[Tensor, "b k f"],
    into: Float[Tensor, "m f h"],
    out: Float[Tensor, "m h"],
) -> Float[Tensor, "m b"]:
    """Sum over k of what the network's output changes by when its inputs move from a corner.

    tanh(a + d) - tanh(a) is written tanh(d) (1 - tanh(a) tanh(a + d)): exactly zero where nothing
    moved, and no digits lost for a thousand classes that hardly moved.
    """
    b, k, _ = moves.shape
    a = corner[:, :, None]
    d = (moves.flatten(0, 1) @ into).unflatten(1, (b, k))
    change = torch.tanh(d) * (1 - torch.tanh(a) * torch.tanh(a + d))
    return (change.sum(2) @ out[..., None]).squeeze(-1)


@dataclass(frozen=True, eq=False)
class LossNet:
    """A loss: ``net(logits, y)`` is the loss of each sample, ``scale`` times l(softmax(z), y).

    Attributes:
        w: the weights that ``form`` reads; constants unless they ask for a gradient.
        scale: see `matched`.

    Raises ``ValueError`` for weights of a wrong number, or not finite.
    """

    form: LossForm
    w: Float[Tensor, " d"]
    scale: float = 1.0

    def __post_init__(self) -> None:
        if self.w.shape != (self.form.size,):
            raise ValueError(f"{self.form} has {self.form.size} weights, not {tuple(self.w.shape)}")
        if not bool(self.w.isfinite().all()) or not math.isfinite(self.scale):
            raise ValueError("the weights and the scale of a loss network must be finite")

    def __call__(self, logits: Logits, y: Labels) -> PerSample:
        """Loss of each sample, in at least float32, also under autocast."""
        with torch.autocast(logits.device.type, enabled=False):
            narrow = logits.dtype in (torch.float16, torch.bfloat16)
            p = (logits.float() if narrow else logits).softmax(-1)
            return self.scale * self.form.losses(self.w[None], p, y)[0]

    def slope(self, classes: int) -> float:
        """|dl/dz_y| at uniform predictions, the mean over labels where they differ (flat)."""
        y = torch.arange(classes if self.form.kind == "flat" else 1)
        with torch.enable_grad():
            z = torch.zeros(len(y), classes, dtype=torch.float64, requires_grad=True)
            exact = replace(self, w=self.w.detach().to("cpu", torch.float64))
            (gradient,) = torch.autograd.grad(exact(z, y).sum(), z)
        return float(gradient.gather(1, y[:, None]).abs().mean())

    def matched(self, classes: int) -> "LossNet":
        """The same network, scaled so that |dl/dz_y| at uniform predictions is cross-entropy's.

        Ranking fixes no scale, and an evolved one would mix with the learning rate. The sign stays:
        a network that rewards errors goes on doing so. NOTE: without the log feature a loss is
        nearly flat where p_y is small, so with many classes the factor grows like their number,
        and with it the gradients near p_y = 1/2. Raises ``ValueError`` where the loss is flat
        at uniform predictions (a slope below 1e-9), which no factor can mend.
        """
        slope = self.slope(classes)
        if not slope > FLAT * abs(self.scale):
            raise ValueError(
                f"this loss network is flat at uniform predictions of {classes} classes: it cannot "
                "be scaled to cross-entropy; evolve another one, or use it as it is"
            )
        return replace(self, scale=self.scale * (1 - 1 / classes) / slope)

    def to(self, device: torch.device | str) -> "LossNet":
        """The same network with its weights on a device, so that no step has to bring them."""
        return replace(self, w=self.w.to(device))
