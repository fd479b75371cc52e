"""Panel: an evolved loss beside cross-entropy, focal loss and GCE (paper EDL)."""

import functools
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.analysis.edl import along
from nslab.configs import LossSearchConfig
from nslab.explore.losses.figure import LossesFigure
from nslab.explore.ui import controls
from nslab.explore.ui.panel import Panel
from nslab.explore.ui.small_runs import trained
from nslab.lossnet import LossForm, LossNet, Shipped
from nslab.objectives import GCE, OBJECTIVES, CrossEntropy, Focal
from nslab.objectives.weighted import PlainLoss
from nslab.runs.store import Result
from nslab.types import Loss

POINTS = 161  # points of a curve
_EDGE = 0.002  # distance of a curve's ends from p_y = 0 and 1
SOURCES: dict[str, Shipped | LossForm] = {
    "shipped: log p, log margin": Shipped("log"),
    "shipped: p, order": Shipped("order"),
    "evolve now: p": LossForm(),
    "evolve now: p and log p": LossForm(log_feature=True),
    "evolve now: label against each": LossForm("pairs"),
}
OWN = ("ce", "focal", "gce", "edl")  # always shown, so not offered as the other loss
_SHOWN = ("evolved", "CE", "focal", "GCE", "other")


class Losses(Panel):
    """Curves of losses over p_y, their gradients relative to cross-entropy's, and one loss on the
    triangle of three classes. A loss that does not come with nslab is evolved in the background."""

    name = "losses"

    def __init__(self, *, classes: int = 10, generations: int = 100, seed: int = 2024) -> None:
        """``generations`` and ``seed`` are those of the search if a loss is evolved."""
        self.generations, self.seed = generations, seed
        self.net: LossNet | None = None
        self.view = LossesFigure()
        super().__init__(self.view.canvas)
        others = tuple(name for name in plain_losses() if name not in OWN)
        sources = tuple(SOURCES)
        self.gamma = controls.slider("losses-gamma", "γ", "focus (focal)", 2.0, (0.0, 5.0), 0.1)
        self.q = controls.slider("losses-q", "q", "robustness (GCE)", 0.7, (0.05, 1.0), 0.05)
        self.classes = controls.counter("losses-classes", "K", "classes", classes, (2, 100))
        self.source = controls.choice("losses-source", "", "evolved loss", sources, sources[0])
        self.other = controls.choice("losses-other", "", "one more loss", others, others[0])
        self.shown = controls.choice("losses-shown", "", "on the triangle", _SHOWN, "evolved")
        controls.on_change(self.ui_thread, self._evolve, self.source)
        controls.on_change(
            self.ui_thread, self._draw, self.gamma, self.q, self.classes, self.other, self.shown
        )
        self.widget = controls.column(
            self.name,
            controls.row(self.gamma, self.q, self.classes, self.source, self.other, self.shown),
            self.status.widget,
            self.view.canvas.widget,
        )
        self.view.build()
        self._evolve()

    @property
    def parameters(self) -> dict[str, Any]:
        """Values of the controls, as provenance of the figure."""
        found = ("gamma", "q", "classes", "source", "other", "shown")
        return {name: getattr(self, name).value for name in found} | {
            "generations": self.generations,
            "seed": self.seed,
        }

    def losses(self, classes: int) -> dict[str, Loss]:
        """The losses shown, by name. The evolved one, if it is ready, is scaled to cross-entropy's
        slope at uniform predictions for this number of classes."""
        found: dict[str, Loss] = {} if self.net is None else {"evolved": self.net.matched(classes)}
        found |= {"CE": CrossEntropy().loss, "focal": Focal(self.gamma.value).loss}
        return found | {"GCE": GCE(self.q.value).loss, "other": plain_losses()[self.other.value]}

    def _evolve(self) -> None:
        """Get the evolved loss: load, look up or evolve it, while the other losses are shown."""
        name, self.net, self.runs = self.source.value, None, []
        source = SOURCES[name]
        if isinstance(source, Shipped):
            self.net = source.net()
            self._draw()
            return
        config = LossSearchConfig(form=source, generations=self.generations, seed=self.seed)
        self._draw()

        def evolved(found: tuple[Result, LossNet]) -> None:
            if name == self.source.value:
                result, self.net = found
                self.runs = [result]
                self._draw()

        subprocess = self.ui_thread.live
        self.ui_thread.later(
            lambda: (trained(config, subprocess), config.net()), evolved, slow=True
        )

    def _draw(self) -> None:
        many, three = self.losses(self.classes.value), self.losses(3)
        found = {name: curve(loss, self.classes.value) for name, loss in many.items()}
        names = {"other": self.other.value}
        self.view.draw(found, names, self.shown.value, triangle(three.get(self.shown.value)))
        evolved = "evolving a loss in the background …"
        if self.net is not None:
            evolved = "evolved loss scaled to cross-entropy's slope at even predictions"
        self.status.say(f"{evolved}; what p_y leaves is shared evenly by the other classes")


@functools.cache
def plain_losses() -> dict[str, Loss]:
    """The losses among the objectives, by name, with their default parameters."""
    built = {name: kind() for name, kind in OBJECTIVES.items() if issubclass(kind, PlainLoss)}
    return {name: made.loss for name, made in built.items()}


def curve(loss: Loss, classes: int) -> Float[Tensor, "3 p"]:
    """p_y, the loss there, and |dl/dz_y| as a multiple of cross-entropy's, 1 - p_y."""
    p = torch.linspace(_EDGE, 1 - _EDGE, POINTS, dtype=torch.float64)
    value, slope = along(loss, p, classes)
    return torch.stack([p, value, slope.abs() / (1 - p)])


@torch.no_grad()
def triangle(loss: Loss | None, side: int = 141) -> Float[Tensor, "h w"]:
    """A loss over all predictions for three classes, divided by its value at the uniform one.

    Rows go from p_y = 0 to 1 (the label's corner on top), ``side`` columns along the triangle's
    base; NaN outside of the triangle, and everywhere if ``loss`` is None.
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
