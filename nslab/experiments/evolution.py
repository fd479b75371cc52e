"""What is made of trained networks, as a frozen value whose hash is the run's identity."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

from nslab.evolve import EVOLVERS
from nslab.evolve.de import AdaptiveDE
from nslab.evolve.fitness import Policy
from nslab.evolve.pso import PSO
from nslab.evolve.rivals import RIVALS, Parents, Rival, SparseMutations, Vote
from nslab.experiments.codec import identity
from nslab.experiments.config import Parent, TrainConfig
from nslab.experiments.parents import init_hp, init_rs, last_epochs
from nslab.experiments.pretraining import PretrainConfig
from nslab.parameters import hints, strict

Init = Literal[
    "last_epochs", "init_rs", "init_hp", "init_hp_top_k", "noise", "random", "pretrained"
]


@dataclass(frozen=True)
class EvolveConfig:
    """A population of trained networks and what a method makes of it.

    Attributes:
        base: how the parents are trained, on which data; its seed is the run's. Of its held-out
            samples none is trained or evolved on; they choose the network that is reported.
        init: ``"last_epochs"`` of the base run, ``"init_rs"``, ``"init_hp"``, ``"init_hp_top_k"``
            (with the smooth top-k loss for label smoothing); ``"noise"``: about the pretrained
            network, spread like the last epochs; ``"random"``: never trained; ``"pretrained"``: the
            one network that ``base`` would train on.
        size: NP, members of the population.
        method: a value of an evolver's class, or of a class in ``RIVALS``.
        batches, generations, batch_size: of the evolution, per batch, samples of each.
        policy, exempt_head: see `nslab.evolve.fitness.Fitness` and `nslab.evolve.flat.Layout`.
        dtype: of the population's genes; ``precision``: autocast of fitness and evaluation.
        microbatch: at most so many samples in one pass.

    Batches of fitness are augmented as ``base`` trains, since BatchNorm learns from them.
    """

    base: TrainConfig
    init: Init = "last_epochs"
    size: int = 10
    method: AdaptiveDE | PSO | Rival = field(default=EVOLVERS["sa-shade-tri-ensin"])
    batches: int = 20
    generations: int = 10
    batch_size: int = 2048
    policy: Policy = "inherit"
    exempt_head: bool = True
    dtype: Literal["float32", "bfloat16"] = "float32"
    precision: Literal["no", "bf16", "fp16"] = "no"
    microbatch: int | None = None

    def __post_init__(self) -> None:
        for name, hint in hints(EvolveConfig).items():
            if name not in ("base", "method"):
                value = strict(f"EvolveConfig: {name}", getattr(self, name), hint)
                object.__setattr__(self, name, value)
        if not isinstance(self.base, TrainConfig):
            raise TypeError(f"EvolveConfig: base must be a TrainConfig, not {self.base!r}")
        if not isinstance(self.method, (AdaptiveDE, PSO, *RIVALS.values())):
            raise TypeError(f"EvolveConfig: method is {self.method!r}, no evolver and no rival")
        for name in ("size", "batches", "generations", "batch_size", "microbatch"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ValueError(f"EvolveConfig: {name} must be at least 1, not {number}")
        if self.size < self.method.min_population:
            raise ValueError(
                f"EvolveConfig: {self.method!r} needs at least {self.method.min_population} "
                f"parents, not {self.size}"
            )
        if isinstance(self.method, Rival) and self.method.chooses and not self.base.hold_out:
            raise ValueError(
                f"EvolveConfig: {self.method} chooses by held-out samples: set hold_out of base"
            )
        if self.init in ("last_epochs", "noise") and self.base.epochs < self.size:
            raise ValueError(
                f"EvolveConfig: {self.size} last epochs of a training of {self.base.epochs}: train "
                "longer, or take fewer members"
            )
        if self.init == "pretrained" and (self.size > 1 or not self.base.origin):
            raise ValueError("EvolveConfig: pretrained is a size of 1 and a base that has a start")
        if self.init == "noise" and self.size < 2:
            raise ValueError("EvolveConfig: one network has no spread: noise needs a size of 2")

    @property
    def id(self) -> str:
        """Identity of the run: twelve hexadecimal digits that hash all fields."""
        return identity(self)

    @property
    def revision(self) -> int:
        """Once networks were evaluated in float32 whatever the precision."""
        return int(self.precision != "no")

    @property
    def seed(self) -> int:
        """The seed of parents and evolution."""
        return self.base.seed

    @property
    def dataset(self) -> str:
        """The data set of parents and evolution."""
        return self.base.dataset

    @property
    def about(self) -> str:
        """Population and method, for people."""
        return f"{self.size} x {self.init}: {self.method}"

    @property
    def leaves_weights(self) -> bool:
        """Whether the finished run keeps the weights of one network of the base's form."""
        many = isinstance(self.method, Parents) and self.method.report == "all" and self.size > 1
        return not many and not isinstance(self.method, Vote | SparseMutations)

    def with_seed(self, seed: int) -> "EvolveConfig":
        """The same run with another seed."""
        return dataclasses.replace(self, base=self.base.with_seed(seed))

    def parents(self) -> list[Parent]:
        """The trained networks that it, or its base, needs first."""
        makers: dict[str, Callable[[TrainConfig, int], list[Parent]]] = {
            "last_epochs": last_epochs,
            "noise": last_epochs,
            "init_rs": init_rs,
            "init_hp": init_hp,
            "init_hp_top_k": partial(init_hp, smoothed="top_k"),
        }
        trained = makers[self.init](self.base, self.size) if self.init in makers else []
        return trained or self.base.parents()


Config = TrainConfig | EvolveConfig | PretrainConfig
