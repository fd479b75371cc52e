"""Panel: an evolved loss beside cross-entropy, focal loss and GCE (paper EDL)."""

import functools
import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.experiments import PretrainConfig
from nslab.explore import controls
from nslab.explore.losses_view import View
from nslab.explore.small import trained
from nslab.explore.work import Desk
from nslab.lossnet import LossForm, LossNet
from nslab.objectives import GCE, OBJECTIVES, CrossEntropy, Focal
from nslab.objectives.weighted import PlainLoss
from nslab.store import Result
from nslab.types import Loss

POINTS = 161  # of a curve
EDGE = 0.002  # how near to 0 and 1 the curves go
FORMS = {
    "of p, class by class": LossForm(),
    "of p and log p": LossForm(log_feature=True),
    "of p, label against each": LossForm("pairs"),
}
SHOWN = ("evolved", "CE", "focal", "GCE", "other")


class Losses:
    """Curves of the losses over p_y, their gradients beside cross-entropy's, and one of them on the
    triangle of three classes. The loss is evolved in the background."""

    name = "losses"

    def __init__(self, *, classes: int = 10, generations: int = 100, seed: int = 2024) -> None:
        """``generations``: of the search for the evolved loss."""
        self.generations, self.seed = generations, seed
        self.runs: list[Result] = []
        self.net: LossNet | None = None
        self.view = View()
        self.figure = self.view.canvas.figure
        self.status = controls.Status(self.name)
        self.desk = Desk(self.status.fail)
        others = tuple(k for k in plain_losses() if k not in ("ce", "focal", "gce"))
        forms = tuple(FORMS)
        self.gamma = controls.slider("losses-gamma", "γ", "focus (focal)", 2.0, (0.0, 5.0), 0.1)
        self.q = controls.slider("losses-q", "q", "robustness (GCE)", 0.7, (0.05, 1.0), 0.05)
        self.classes = controls.counter("losses-classes", "K", "classes", classes, (2, 100))
        self.form = controls.choice("losses-form", "", "evolved loss", forms, forms[0])
        self.other = controls.choice("losses-other", "", "one more loss", others, others[0])
        self.shown = controls.choice("losses-shown", "", "on the triangle", SHOWN, "evolved")
        controls.on_change(self.desk, self._evolve, self.form)
        controls.on_change(
            self.desk, self._draw, self.gamma, self.q, self.classes, self.other, self.shown
        )
        self.widget = controls.column(
            self.name,
            controls.row(self.gamma, self.q, self.classes, self.form, self.other, self.shown),
            self.status.widget,
            self.view.canvas.widget,
        )
        self.view.build()
        self._evolve()

    @property
    def parameters(self) -> dict[str, Any]:
        """What the figure shows."""
        found = ("gamma", "q", "classes", "form", "other", "shown")
        return {name: getattr(self, name).value for name in found} | {
            "generations": self.generations,
            "seed": self.seed,
        }

    def advance(self, steps: int) -> None:
        """Nothing goes on here by itself."""

    def close(self) -> None:
        """Nothing to end."""

    def losses(self, classes: int) -> dict[str, Loss]:
        """The losses shown, by name; the evolved one, if it is there, as large as cross-entropy
        where so many classes are equally likely."""
        found: dict[str, Loss] = {} if self.net is None else {"evolved": scaled(self.net, classes)}
        found |= {"CE": CrossEntropy().loss, "focal": Focal(self.gamma.value).loss}
        return found | {"GCE": GCE(self.q.value).loss, "other": plain_losses()[self.other.value]}

    def _evolve(self) -> None:
        """Evolve a loss, and show the others meanwhile."""
        form, self.net = self.form.value, None
        self._draw()

        def evolved(found: tuple[Result, LossNet]) -> None:
            if form == self.form.value:
                result, self.net = found
                self.runs = [result]
                self._draw()

        config = PretrainConfig(form=FORMS[form], generations=self.generations, seed=self.seed)
        apart = self.desk.live
        self.desk.later(lambda: (trained(config, apart), config.net()), evolved, slow=True)

    def _draw(self) -> None:
        many, three = self.losses(self.classes.value), self.losses(3)
        found = {name: curve(loss, self.classes.value) for name, loss in many.items()}
        names = {"other": self.other.value}
        self.view.draw(found, names, self.shown.value, triangle(three.get(self.shown.value)))
        evolved = "evolving a loss in the background …"
        if self.net is not None:
            evolved = (
                "evolved loss scaled to equal cross-entropy where all classes are equally likely"
            )
        self.status.say(f"{evolved}; what p_y leaves is shared evenly by the other classes")


@functools.cache
def plain_losses() -> dict[str, Loss]:
    """The losses among the objectives, by name, with their default parameters."""
    built = {name: kind() for name, kind in OBJECTIVES.items() if issubclass(kind, PlainLoss)}
    return {name: made.loss for name, made in built.items()}


def scaled(net: LossNet, classes: int) -> LossNet:
    """The same loss, with cross-entropy's value where so many classes are equally likely.

    Ranking fixes no scale. Raises ``ValueError`` for a loss that is not above 0 there.
    """
    even, y = torch.zeros(1, classes, dtype=torch.float64), torch.zeros(1, dtype=torch.int64)
    value = float(net(even, y))
    if not value > 0:
        raise ValueError(f"this evolved loss is {value:.2g} at even predictions: evolve another")
    return replace(net, scale=net.scale * math.log(classes) / value)


def curve(loss: Loss, classes: int) -> Float[Tensor, "3 p"]:
    """p_y, the loss there, and |dl/dz_y| as a multiple of cross-entropy's, 1 - p_y."""
    p = torch.linspace(EDGE, 1 - EDGE, POINTS, dtype=torch.float64)
    rest = ((1 - p) / (classes - 1)).log()[:, None].expand(-1, classes - 1)
    z = torch.cat([p.log()[:, None], rest], 1).requires_grad_()
    y = torch.zeros(POINTS, dtype=torch.int64)
    value = loss(z, y)
    (gradient,) = torch.autograd.grad(value.sum(), z)
    return torch.stack([p, value.detach(), gradient[:, 0].abs() / (1 - p)])


@torch.no_grad()
def triangle(loss: Loss | None, side: int = 141) -> Float[Tensor, "h w"]:
    """A loss over all predictions of three classes, as a multiple of that of even ones.

    Rows go from p_y = 0 to 1 (the label's corner on top), columns over the triangle's base; nan
    outside of it, and everywhere without a loss.
    """
    top = torch.linspace(0, 1, round(side * 3**0.5 / 2), dtype=torch.float64)[:, None]
    across = torch.linspace(0, 1, side, dtype=torch.float64)[None]
    third = across - top / 2
    p = torch.stack(torch.broadcast_tensors(top, 1 - top - third, third), -1)
    inside = (p >= -1e-9).all(-1)
    found = torch.full(inside.shape, torch.nan, dtype=torch.float64)
    if loss is None:
        return found
    z = p[inside].clamp(min=1e-6).log()
    y = torch.zeros(len(z), dtype=torch.int64)
    even = loss(torch.zeros(1, 3, dtype=torch.float64), y[:1])
    found[inside] = loss(z, y) / even
    return found
