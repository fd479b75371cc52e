"""A loss as a small network: class probabilities and a label in, a number out.

Source: the abstract of "Distribution-Free Pretraining of Classification Losses via Evolutionary
Dynamics" (EDL): a loss in probability space, parameterised as a lightweight network. NOTE: the
paper's full text was unavailable; forms, sizes, the zero at the label and the scale are ours.
"""

import math
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.system.validation import hints, strict
from nslab.types import Labels, Logits, PerSample

Weights = Float[Tensor, "m d"]  # of m candidates
Probabilities = Float[Tensor, "b k"]
Moves = Float[Tensor, "f n"]  # by how much inputs change
Begins = Float[Tensor, "c n"]  # one-hot: which corner they start from

SMALL = 1e-4  # the log feature is log(p + SMALL)
FLAT = 1e-9  # a slope below it counts as zero
PAIRS_AT_ONCE = 2**18  # numbers in a temporary while candidates are compared: these fit a cache
_SPAN = math.log1p(1 / SMALL)


@dataclass(frozen=True)
class LossForm:
    """How a vector of weights is read as a loss l(p, y), which is zero at p = onehot(y) in every
    form.

    One hidden layer of tanh; the output has no bias, which would cancel. Probabilities enter as
    2p - 1, and with ``log_feature`` also as log(p + 1e-4), scaled to [-1, 1].

    Attributes:
        kind: ``"equivariant"``: sum over k of phi(p_k, [k = y]), whatever the number of classes;
            a class of probability 0 changes nothing. ``"pairs"``: sum over j != y of
            phi(p_y, p_j), the label against each other class. ``"flat"``: a perceptron on p and
            onehot(y), which knows no symmetry, for a fixed number of ``classes``.
        hidden: units of the hidden layer.
        log_feature: whether log(p + 1e-4) is an input, too.
        classes: number of classes of the ``"flat"`` form; None for the others.
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
        """Number of inputs that depend on p."""
        views = {"equivariant": 1, "pairs": 2, "flat": self.classes or 0}[self.kind]
        return views * (2 if self.log_feature else 1)

    @property
    def inputs(self) -> int:
        """Number of inputs of the hidden layer: the `moving` ones first, then those that encode
        the label."""
        return self.moving + {"equivariant": 1, "pairs": 0, "flat": self.classes or 0}[self.kind]

    @property
    def size(self) -> int:
        """D, the number of weights: first the hidden layer's, then its biases, then the
        output's."""
        return (self.inputs + 2) * self.hidden

    def initial(self, n: int, gen: torch.Generator) -> Weights:
        """Random weights of n networks, float64: normal, with sd 1 / sqrt(inputs of the layer)."""
        sd = torch.full((self.size,), self.inputs**-0.5, dtype=torch.float64)
        sd[-self.hidden :] = self.hidden**-0.5
        return sd * torch.randn(n, self.size, generator=gen, dtype=torch.float64)

    def losses(self, w: Weights, p: Probabilities, y: Labels) -> Float[Tensor, "m b"]:
        """l(p, y) of every prediction for every candidate, in the precision of ``p``.

        Raises ``ValueError`` for weights of another form, and if p does not have the number of
        classes of a flat form.
        """
        x, begins = self.moves(p, y)
        each = changes(self.layers(w.to(p)), x.flatten(1), begins.flatten(1))
        return each.unflatten(1, x.shape[1:]).sum(1)

    def loss(self, w: Float[Tensor, " d"], logits: Logits, y: Labels) -> PerSample:
        """l(softmax(z), y) of each sample for one network, in at least float32, also under
        autocast."""
        with torch.autocast(logits.device.type, enabled=False):
            narrow = logits.dtype in (torch.float16, torch.bfloat16)
            p = (logits.float() if narrow else logits).softmax(-1)
            return self.losses(w[None], p, y)[0]

    def moves(
        self, p: Probabilities, y: Labels
    ) -> tuple[Float[Tensor, "f parts b"], Float[Tensor, "c parts b"]]:
        """The inputs of the parts that a loss is the sum of. Each part is the change of an output
        between onehot(y) and p.

        Returns for each part by how much its `moving` inputs change, exactly 0 where they do not,
        and one-hot which of the corners of `Layers` they start from.
        """
        if self.classes not in (None, p.shape[1]):
            raise ValueError(
                f"a flat loss network of {self.classes} classes cannot score {p.shape[1]}: only "
                "the forms equivariant and pairs take any number"
            )
        y = y.long()
        label = torch.arange(p.shape[1], device=y.device)[:, None] == y
        miss = p.T.masked_fill(label, 0).sum(0)  # 1 - p_y, with all its digits
        fall = self._fall(p.gather(1, y[:, None]).squeeze(1), miss)[:, None]
        rise = self._rise(p.T)
        if self.kind == "flat":
            every = torch.where(label, fall, rise) / 2
            return every.transpose(0, 1).flatten(0, 1)[:, None], label[:, None].to(p)
        if self.kind == "pairs":
            x = torch.cat([fall.expand_as(rise), rise]).masked_fill(label, 0)
            return x, torch.ones_like(x[:1])
        x = torch.cat([fall, rise.masked_fill(label, 0)], 1)
        own = torch.zeros_like(x[0])
        own[0] = 1
        return x, torch.stack([own, 1 - own])

    def layers(self, w: Weights) -> "Layers":
        """The weights of m candidates as those of layers."""
        if w.shape[-1] != self.size:
            raise ValueError(f"{self} has {self.size} weights, not {w.shape[-1]}")
        h, n = self.hidden, self.inputs * self.hidden
        into, bias, out = w[:, :n].unflatten(1, (-1, h)).mT, w[:, n : n + h, None], w[:, n + h :]
        moving, label = into.split([self.moving, self.inputs - self.moving], 2)
        if self.kind == "flat":
            corners = moving.unflatten(2, (self.classes or 0, -1)).sum(3) + label
        elif self.kind == "pairs":
            first, second = into.chunk(2, 2)
            corners = (first - second).sum(2, keepdim=True)
        else:  # inputs are all 1 at the label's own class, else all -1
            side = into.sum(2, keepdim=True)
            corners = torch.cat([side, -side], 2)
        return Layers(moving, bias + corners, out[:, None])

    def _rise(self, p: Float[Tensor, "k b"]) -> Float[Tensor, "f k b"]:
        """The features of p minus those of 0: from 0 to 2."""
        if not self.log_feature:
            return 2 * p[None]
        return torch.stack([2 * p, torch.log1p(p / SMALL) * (2 / _SPAN)])

    def _fall(self, p: PerSample, miss: PerSample) -> Float[Tensor, "f b"]:
        """The features of p minus those of 1: from -2 to 0; ``miss`` is 1 - p."""
        if not self.log_feature:
            return -2 * miss[None]
        # Each expression is exact where it is taken: zero for p = 1, all digits near p = 0.
        near = torch.log1p(-miss / (1 + SMALL))
        log = torch.where(miss < 0.5, near, torch.log1p(p / SMALL) - _SPAN)
        return torch.stack([-2 * miss, log * (2 / _SPAN)])


class Layers(NamedTuple):
    """Weights of m candidates.

    Attributes:
        into: weights of the hidden units for the inputs that move.
        corners: pre-activations of the hidden units at onehot(y), where inputs start; see
            `LossForm.moves`.
        out: weights of the output.
    """

    into: Float[Tensor, "m h f"]
    corners: Float[Tensor, "m h c"]
    out: Float[Tensor, "m 1 h"]


def changes(layers: Layers, x: Moves, begins: Begins) -> Float[Tensor, "m n"]:
    """By how much each output changes when inputs move by ``x`` from the corners ``begins``.

    tanh(a + d) - tanh(a) is computed as tanh(d) (1 - tanh(a) tanh(a + d)): exactly zero where
    nothing moved, and accurate even for a thousand classes that hardly moved.
    """
    into, corners, out = layers
    both, before = 2 * torch.cat([into, corners], 2), torch.tanh(corners) @ begins
    # tanh(u) = 2 sigmoid(2u) - 1 loses digits only for small u, and a sigmoid is faster.
    after = (both @ torch.cat([x, begins])).sigmoid_()
    change = (into @ x).tanh_() * torch.addcmul(1 + before, before, after, value=-2)
    return (out @ change).squeeze(1)


@dataclass(frozen=True, eq=False)
class LossNet:
    """A loss: ``net(logits, y)`` is the loss of each sample, ``scale`` times l(softmax(z), y).

    Attributes:
        form: how the weights are read.
        w: the weights; constants unless they require a gradient.
        scale: factor of the loss, see `matched`.

    Raises ``ValueError`` for a wrong number of weights, and unless weights and scale are finite.
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
        return self.scale * self.form.loss(self.w, logits, y)

    def slope(self, classes: int) -> float:
        """|dl/dz_y| at uniform predictions, for the flat form averaged over the labels y."""
        y = torch.arange(classes if self.form.kind == "flat" else 1)
        with torch.enable_grad():
            z = torch.zeros(len(y), classes, dtype=torch.float64, requires_grad=True)
            exact = replace(self, w=self.w.detach().to("cpu", torch.float64))
            (gradient,) = torch.autograd.grad(exact(z, y).sum(), z)
        return float(gradient.gather(1, y[:, None]).abs().mean())

    def matched(self, classes: int) -> "LossNet":
        """The same network, scaled so that |dl/dz_y| at uniform predictions is cross-entropy's.

        Ranking determines no scale, and an evolved scale would be confounded with the learning
        rate. The sign stays: a network that rewards errors still does. NOTE: without the log
        feature a loss is nearly flat where p_y is small, so with many classes the factor grows
        like their number, and with it the gradients near p_y = 1/2. Raises ``ValueError`` if the
        loss is flat at uniform predictions (a slope below 1e-9), which no factor can mend.
        """
        slope = self.slope(classes)
        if not slope > FLAT * abs(self.scale):
            raise ValueError(
                f"this loss network is flat at uniform predictions of {classes} classes: it cannot "
                "be scaled to cross-entropy; evolve another one, or use it unscaled"
            )
        return replace(self, scale=self.scale * (1 - 1 / classes) / slope)

    def to(self, device: torch.device | str) -> "LossNet":
        """The same network with its weights on a device, so that no step has to move them there."""
        return replace(self, w=self.w.to(device))
