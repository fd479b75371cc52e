"""`EvolveConfig`: an evolution or combination of trained networks, as a frozen value whose hash
names it."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar, Literal

from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.initial_populations import cyclic, init_hp, init_rs, last_epochs
from nslab.configs.labels import short_repr
from nslab.configs.loss_search import losses_of
from nslab.configs.methods import evolution_method
from nslab.configs.protocol import RunConfig
from nslab.configs.train import Parent, TrainConfig
from nslab.evolve import EVOLVERS
from nslab.evolve.protocol import Evolver, completed
from nslab.neuroevolution.baselines import Baseline, Parents, SparseMutations, Vote
from nslab.neuroevolution.options import EvolveOptions
from nslab.system.validation import check_fields, omitted_means

Init = Literal[
    "last_epochs",
    "cyclic",
    "init_rs",
    "init_hp",
    "init_hp_top_k",
    "noise",
    "random",
    "pretrained",
]


@dataclass(frozen=True)
class EvolveConfig(EvolveOptions, RunConfig):
    """A population of trained networks and what a method makes of it.

    Attributes:
        base: how the parents are trained, and on which data; its seed is the run's. Its held-out
            samples are used neither for training nor for evolution; they choose the network that
            is reported.
        init: the initial population, see `nslab.configs.initial_populations`. ``"last_epochs"`` of
            the base run; ``"cyclic"``: the minima of its cyclic learning rate; ``"init_rs"``: runs
            with other seeds; ``"init_hp"``: runs with other hyper-parameters; ``"init_hp_top_k"``:
            the same with the smooth top-k loss instead of label smoothing; ``"noise"``: around the
            pretrained network, with the spread of the last epochs; ``"random"``: untrained;
            ``"pretrained"``: the single network that ``base`` starts from; or `CheckpointFiles` of
            networks like ``base``'s, which then only gives the architecture, the data and the seed.
        size: NP, the number of members of the population.
        method: a value of a class in ``EVOLVER_CLASSES`` or ``BASELINES``.
        test_each_batch: test the fittest network after each batch, as in the paper's figures. The
            history contains these numbers; nothing is chosen by them.

    The fields of `EvolveOptions` come in addition; ``precision`` also applies to evaluation.
    Fitness batches are augmented as in ``base``'s training, since BatchNorm learns from them.

    >>> base = TrainConfig("digits", "mlp", epochs=12, hold_out=100)
    >>> EvolveConfig(base, "last_epochs", size=10, generations=2).label()
    'digits mlp 10 x last_epochs: sa-shade-tri-ensin, seed 2024'
    """

    kind: ClassVar = "evolve"
    measured: ClassVar = ("test_accuracy", "seconds")

    base: TrainConfig
    init: Init | CheckpointFiles = "last_epochs"
    size: int = 10
    method: Evolver | Baseline = field(default=EVOLVERS["sa-shade-tri-ensin"])
    test_each_batch: bool = field(default=False, metadata=omitted_means(False))

    def __post_init__(self) -> None:
        super().__post_init__()
        check_fields(self, at_least={"size": 1})
        if not isinstance(self.base, TrainConfig):
            raise TypeError(f"EvolveConfig: base must be a TrainConfig, not {self.base!r}")
        if isinstance(self.method, type) or not isinstance(self.method, Evolver | Baseline):
            raise TypeError(
                f"EvolveConfig: method is {self.method!r}: give a value of an evolver or a "
                "baseline, such as nslab.evolve.EVOLVERS['de']"
            )
        if self.size < self.method.min_population:
            raise ValueError(
                f"EvolveConfig: {self.method!r} needs at least {self.method.min_population} "
                f"parents, not {self.size}"
            )
        if isinstance(self.method, Evolver):
            size = completed(self.method).population_size(self.size)
            if size != self.size:
                raise ValueError(
                    f"EvolveConfig: {self.method!r} needs {size} parents, not {self.size}"
                )
        elif self.method.chooses and not self.base.hold_out:
            raise ValueError(
                f"EvolveConfig: {self.method} chooses by held-out samples: set hold_out of base"
            )
        if isinstance(self.init, CheckpointFiles) and len(self.init.files) != self.size:
            raise ValueError(
                f"EvolveConfig: size is {self.size}, and init has {len(self.init.files)} files: "
                "they must be equal"
            )
        if self.init in ("last_epochs", "noise") and self.base.epochs < self.size:
            raise ValueError(
                f"EvolveConfig: a training of {self.base.epochs} epochs has no {self.size} last "
                "ones: train longer, or take fewer members"
            )
        if self.init == "cyclic":
            cyclic(self.base, self.size)
        if self.init == "pretrained" and (self.size > 1 or not self.base.origin):
            raise ValueError("EvolveConfig: pretrained needs a size of 1 and a base with a start")
        if self.init == "noise" and self.size < 2:
            raise ValueError("EvolveConfig: noise needs a size of 2 or more: one has no spread")

    @property
    def revision(self) -> int:
        """Before revision 1, networks were evaluated in float32 whatever the precision."""
        return int(self.precision != "no")

    @property
    def seed(self) -> int:
        """The seed of parents and evolution."""
        return self.base.seed

    @property
    def dataset(self) -> str:
        """The data set of parents and evolution."""
        return self.base.dataset

    def label(self) -> str:
        """Data set, network, population and method, seed."""
        names = [name for name, evolver in EVOLVERS.items() if evolver == self.method]
        about, method = self.base.columns(), names[0] if names else short_repr(self.method)
        made = f"{self.size} x {self.initialization}: {method}, seed {self.seed}"
        return f"{about['dataset']} {about['network']} {made}"

    def columns(self) -> dict[str, str | int | float]:
        """The columns that identify it in tables."""
        about = self.base.columns()
        return {
            "dataset": about["dataset"],
            "network": about["network"],
            "method": evolution_method(self.method, self.initialization),
            "initialization": self.initialization,
            "seed": self.seed,
        }

    @property
    def initialization(self) -> str:
        """The initial population in one word."""
        return "checkpoints" if isinstance(self.init, CheckpointFiles) else self.init

    @property
    def leaves_weights(self) -> bool:
        """Whether the finished run keeps the weights of one network of the base's architecture."""
        many = isinstance(self.method, Parents) and self.method.report == "all" and self.size > 1
        return not many and not isinstance(self.method, Vote | SparseMutations)

    def with_seed(self, seed: int) -> "EvolveConfig":
        """The same run with another seed."""
        return (
            self if seed == self.seed else dataclasses.replace(self, base=self.base.with_seed(seed))
        )

    @property
    def training(self) -> TrainConfig:
        """How the parents are trained."""
        return self.base

    @property
    def seedless(self) -> bool:
        """Whether the seed changes nothing: true of a pretrained network as it is."""
        return self.init == "pretrained"

    def requires(self) -> list[RunConfig]:
        """The searches of the losses it uses, and the runs of the parents."""
        return [*losses_of(self), *(parent.config for parent in self.parents())]

    def cost(self, epochs: float = 0) -> float:
        """Number of forward passes of samples, or 1 for a combination."""
        if isinstance(self.method, Baseline):
            return 1.0
        return float((self.generations + 1) * self.batches * self.size * self.batch_size)

    def kin(self) -> list[tuple]:
        """Evolutions of the same network by the same class of method: of populations of this size,
        then of any size."""
        rough = (self.kind, self.dataset, self.base.network, type(self.method))
        return [(*rough, self.size), rough]

    def parents(self) -> list[Parent]:
        """The trained networks that it, or its base, needs first."""
        makers: dict[str, Callable[[TrainConfig, int], list[Parent]]] = {
            "last_epochs": last_epochs,
            "cyclic": cyclic,
            "noise": last_epochs,
            "init_rs": init_rs,
            "init_hp": init_hp,
            "init_hp_top_k": partial(init_hp, smoothed="top_k"),
        }
        name = self.initialization
        trained = makers[name](self.base, self.size) if name in makers else []
        return trained or self.base.parents()
