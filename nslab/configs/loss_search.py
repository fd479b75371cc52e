"""`LossSearchConfig`: the evolution of a loss network as a frozen value whose hash names it."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from nslab.configs.labels import short_repr
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import encode
from nslab.evolve.es import ES
from nslab.evolve.protocol import Evolver, completed
from nslab.lossnet import LossForm, LossNet, Pretrained, Regimes, load_loss, pretrain, save_loss
from nslab.lossnet.ranking import Margin
from nslab.system.paths import runs_dir
from nslab.system.progress import Progress
from nslab.system.provenance import environment
from nslab.system.validation import check_fields

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class LossSearchConfig(RunConfig):
    """One evolution of a loss network on synthetic pairs of predictions; the fields are the
    parameters of `nslab.lossnet.pretrain`.

    With 0 generations its result is the random network that evolution starts from.

    >>> LossSearchConfig(generations=3, seed=7).label()
    'equivariant loss, ES(), seed 7'
    """

    kind: ClassVar = "pretrain"
    measured: ClassVar = ("objective", "ranking_accuracy")

    form: LossForm = field(default_factory=LossForm)
    search: Evolver = field(default_factory=ES)
    regimes: Regimes = field(default_factory=Regimes)
    margin: Margin = "order"
    generations: int = 100
    pairs: int = 512
    refresh: int = 1
    members: int = 33
    held_out: int = 2048
    rays: int = 256
    seed: int = 2024

    def __post_init__(self) -> None:
        counts = ("pairs", "refresh", "members", "held_out", "rays")
        check_fields(self, at_least=dict.fromkeys(counts, 1) | {"generations": 0})
        for name, kind in (("form", LossForm), ("search", Evolver), ("regimes", Regimes)):
            value = getattr(self, name)
            if isinstance(value, type) or not isinstance(value, kind):
                raise TypeError(
                    f"LossSearchConfig: {name} must have class {kind.__name__}, not {value!r}"
                )
        size = completed(self.search).population_size(self.members)
        if size < self.search.min_population:
            raise ValueError(
                f"LossSearchConfig: {self.search!r} needs at least {self.search.min_population} "
                f"members, not {self.members}"
            )

    @property
    def leaves_weights(self) -> bool:
        """Always: the weights of the loss network."""
        return True

    def label(self) -> str:
        """Kind of loss, evolver, seed."""
        return f"{self._method}, seed {self.seed}"

    def columns(self) -> dict[str, str | int | float]:
        """The columns that identify it in tables."""
        return {"method": self._method, "seed": self.seed}

    @property
    def _method(self) -> str:
        return f"{self.form.kind} loss, {short_repr(self.search)}"

    def cost(self, epochs: float = 0) -> float:
        """Number of pairs that are scored."""
        return max(1.0, self.generations * self.pairs * self.members)

    def kin(self) -> list[tuple]:
        """Evolutions of the same form by the same class of evolver."""
        return [(self.kind, self.form, type(self.search))]

    def evolve(self, folder: Path | None = None, *, show: bool = False) -> Pretrained:
        """Evolve the loss network; with a ``folder``, save it there with its provenance."""
        label = f"{self.form.kind} loss {self.id}"
        with Progress(self.generations, label, unit="generation", show=show) as bar:
            made = pretrain(
                self.form,
                self.search,
                self.regimes,
                self.margin,
                generations=self.generations,
                pairs=self.pairs,
                refresh=self.refresh,
                members=self.members,
                seed=self.seed,
                held_out=self.held_out,
                rays=self.rays,
                on_generation=lambda row: bar.advance(f"ranking {row['ranking_accuracy']:.4f}"),
            )
        if folder:
            origin = {"config": encode(self), "metrics": made.metrics, "env": environment()}
            save_loss(made.net, folder / WEIGHTS, origin)
        return made

    def net(self) -> LossNet:
        """The evolved network, from its finished run if that is here, else evolved now and not
        saved."""
        file = runs_dir() / self.id / WEIGHTS
        return load_loss(file)[0] if file.exists() else self.evolve().net


def losses_of(config: object) -> list[LossSearchConfig]:
    """The searches for loss networks that a config contains anywhere inside."""
    if isinstance(config, LossSearchConfig):
        return [config]
    if not dataclasses.is_dataclass(config):
        return []
    parts = (getattr(config, f.name) for f in dataclasses.fields(config))
    return [loss for part in parts for loss in losses_of(part)]
