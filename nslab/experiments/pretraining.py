"""The evolution of a loss network as a frozen value whose hash is the run's identity."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path

from nslab.evolve.chaotic import ChaoticEvolution
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.es import ES
from nslab.evolve.pso import PSO
from nslab.experiments.codec import encode, identity
from nslab.lossnet import LossForm, LossNet, Pretrained, Regimes, load, pretrain, save
from nslab.lossnet.ranking import Margin
from nslab.parameters import hints, strict
from nslab.paths import runs_dir
from nslab.progress import Progress
from nslab.provenance import environment

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class PretrainConfig:
    """One evolution of a loss network on synthetic pairs; the fields are `pretrain`'s.

    With 0 generations it is the random network that evolution begins at.
    """

    form: LossForm = field(default_factory=LossForm)
    search: ES | ChaoticEvolution | AdaptiveDE | PSO = field(default_factory=ES)
    regimes: Regimes = field(default_factory=Regimes)
    margin: Margin = "order"
    generations: int = 100
    pairs: int = 512
    refresh: int = 1
    members: int = 33
    held_out: int = 2048
    rays: int = 256
    seed: int = 2024

    dataset = ""  # no data is asked for
    leaves_weights = True

    def __post_init__(self) -> None:
        searches = (ES, ChaoticEvolution, AdaptiveDE, PSO)
        parts: dict[str, tuple[type, ...]] = {
            "form": (LossForm,),
            "search": searches,
            "regimes": (Regimes,),
        }
        for name, hint in hints(PretrainConfig).items():
            value = getattr(self, name)
            if name not in parts:
                object.__setattr__(self, name, strict(f"PretrainConfig: {name}", value, hint))
            elif not isinstance(value, parts[name]):
                raise TypeError(f"PretrainConfig: {name} cannot be {value!r}")
        for name in ("pairs", "refresh", "members", "held_out", "rays"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"PretrainConfig: {name} must be at least 1, not {getattr(self, name)}"
                )
        if self.generations < 0:
            raise ValueError(
                f"PretrainConfig: generations must not be negative, but is {self.generations}"
            )
        if not isinstance(self.search, ES) and self.members < self.search.min_population:
            raise ValueError(
                f"PretrainConfig: {self.search!r} needs at least {self.search.min_population} "
                f"members, not {self.members}"
            )

    @property
    def id(self) -> str:
        """Identity of the run: twelve hexadecimal digits that hash all fields."""
        return identity(self)

    @property
    def about(self) -> str:
        """What evolves, and by what, for people."""
        return f"{self.form.kind} loss, margin {self.margin}: {self.search}"

    def with_seed(self, seed: int) -> "PretrainConfig":
        """The same run with another seed."""
        return dataclasses.replace(self, seed=seed)

    def parents(self) -> list:
        """No run is needed first."""
        return []

    def evolve(self, folder: Path | None = None, *, show: bool = False) -> Pretrained:
        """Evolve it; with a ``folder`` the network is kept there, with where it comes from."""
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
            save(made.net, folder / WEIGHTS, origin)
        return made

    def net(self) -> LossNet:
        """The evolved network: of its finished run if that is here, else evolved now, in memory."""
        file = runs_dir() / self.id / WEIGHTS
        return load(file)[0] if file.exists() else self.evolve().net


def losses_of(config: object) -> list[PretrainConfig]:
    """The loss networks to be evolved that a config names anywhere inside."""
    if isinstance(config, PretrainConfig):
        return [config]
    if not dataclasses.is_dataclass(config):
        return []
    parts = (getattr(config, f.name) for f in dataclasses.fields(config))
    return [loss for part in parts for loss in losses_of(part)]
