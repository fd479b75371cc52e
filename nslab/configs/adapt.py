"""`AdaptConfig`: source-free adaptation of a finished network to another domain, as a run."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from nslab.configs.evolve import EvolveConfig
from nslab.configs.labels import short_repr
from nslab.configs.loss_search import losses_of
from nslab.configs.methods import training_method
from nslab.configs.protocol import RunConfig
from nslab.configs.schedules import InverseDecay, Schedule
from nslab.configs.train import LAST_LINEAR, TrainConfig
from nslab.datasets import dataset_of, is_folder, is_text, resolved
from nslab.datasets.batch_order import Augment
from nslab.datasets.decoding import Decoding
from nslab.datasets.domains import check_class_names, check_form, has_floats
from nslab.objectives import CrossEntropy
from nslab.system.content_names import content_of, short_name
from nslab.system.validation import check_fields, hashed_as
from nslab.types import ObjectiveConfig


@dataclass(frozen=True)
class AdaptConfig(RunConfig):
    """SHOT: a trained network continues training on the images of another domain, without ever
    seeing their labels; see `nslab.adapt`. The defaults are those of SHOT for Office-Home.

    Attributes:
        source: the run whose network is adapted, a training, an evolution, or an adaptation; it is
            computed first, and its seed is this run's.
        dataset: the target domain: key of ``DATASETS`` or ``folder:PATH``, with as many classes as
            the source. Images are brought to the source's size and number of channels, and
            normalised as there; floats must be in the source's units. Its training images are
            adapted to, its test images tested on.
        objective: of the pseudo-labels, any value of a class in ``OBJECTIVES``.
        epochs: number of epochs, at whose starts the pseudo-labels are computed again; 0: the
            source's network as it is.
        batch_size, optimizer, lr, momentum, nesterov, weight_decay, schedule, augment, precision,
            channels_last, clip_norm, accumulate, decoding: as in `TrainConfig`.
        backbone_lr: multiplies ``lr`` for all but the bottleneck; a network without one is all
            backbone, as its last linear layer is frozen.
        sampler: key of ``SAMPLERS``; classes are those of the pseudo-labels.
        train_size: how many of the target's training images are adapted to; 0: all.
        pseudo_weight: factor of the pseudo-label losses.
        im_weight: factor of the information-maximisation loss.
        threshold: a class must be the likeliest one of more than this many images to be used as a
            pseudo-label.
        eval_every: number of epochs between two classifications of the test images; the last
            epoch is always included. The correct ones are counted at the end.

    >>> source = TrainConfig("digits", "bottleneck/resnet8", epochs=4)
    >>> AdaptConfig(source, "digits_slanted").label()
    'digits_slanted from digits: bottleneck/resnet8 CrossEntropy(), seed 2024'
    """

    kind: ClassVar = "adapt"
    measured: ClassVar = ("test_accuracy", "test_loss", "source_accuracy", "seconds")

    source: "TrainConfig | EvolveConfig | AdaptConfig"
    dataset: str = field(default="digits_slanted", metadata=hashed_as(content_of))
    objective: ObjectiveConfig = field(default_factory=CrossEntropy)
    epochs: int = 15
    batch_size: int = 64
    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    lr: float = 0.01
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 1e-3
    schedule: Schedule = field(default_factory=InverseDecay)
    backbone_lr: float = 0.1
    augment: Augment = "none"
    sampler: str = "shuffle"
    train_size: int = 0
    precision: Literal["no", "bf16", "fp16"] = "no"
    channels_last: bool = True
    clip_norm: float | None = None
    accumulate: int = 1
    decoding: Decoding = "exact"
    pseudo_weight: float = 0.3
    im_weight: float = 1.0
    threshold: int = 0
    eval_every: int = 1

    def __post_init__(self) -> None:
        check_fields(
            self, at_least=dict.fromkeys(("epochs", "pseudo_weight", "im_weight", "threshold"), 0)
        )
        if not isinstance(self.source, TrainConfig | EvolveConfig | AdaptConfig):
            raise TypeError(
                "AdaptConfig: source must be a TrainConfig, an EvolveConfig or an AdaptConfig, not "
                f"a value of {type(self.source).__name__}"
            )
        if not self.source.leaves_weights:
            raise ValueError(
                f"AdaptConfig: {self.source.label()} leaves no weights of one network to adapt: "
                "take a run that trains or evolves one"
            )
        if not (self.pseudo_weight or self.im_weight):
            raise ValueError(
                "AdaptConfig: pseudo_weight and im_weight are 0: set one of the losses above 0"
            )
        object.__setattr__(self, "dataset", resolved(self.dataset))
        if self.training.tokenization or is_text(self.dataset):
            raise ValueError("AdaptConfig: texts are not adapted to, only images")
        try:
            _ = self.steps  # TrainConfig checks the fields that both have
        except (TypeError, ValueError) as error:
            raise type(error)(str(error).replace("TrainConfig", "AdaptConfig")) from None
        self.check_domain()

    def check_domain(self) -> None:
        """``ValueError`` for a target that does not fit the source's network, as far as that is
        known without loading data; data that are not here are checked when they are loaded."""
        form = self.training
        try:
            source = dataset_of(form.dataset, form.image_size)
            target = dataset_of(self.dataset, self.steps.image_size)
            floats = has_floats(form.dataset), has_floats(self.dataset)
        except (OSError, ValueError):  # not here, or no longer what it was
            return
        check_form(self.dataset, target, source)
        names = (source.classes, self.dataset, target.classes, form.label())
        check_class_names(form.dataset, *names)
        if len({*floats}) > 1:
            raise ValueError(
                f"AdaptConfig: images are floats in one of {form.dataset} and {self.dataset}, and "
                "bytes in the other: give both in the same units"
            )
        if 0 < target.layout.train <= self.train_size:
            raise ValueError(
                f"AdaptConfig: train_size is {self.train_size}, and {self.dataset} has "
                f"{target.layout.train} training images: take fewer, or all with train_size=0"
            )

    @property
    def steps(self) -> TrainConfig:
        """The training steps on the target as a `TrainConfig`: it sets up optimizer and batches,
        and is never run itself, because a training of its own would see the labels."""
        form, of_training = self.training, {f.name for f in dataclasses.fields(TrainConfig)}
        same = [f.name for f in dataclasses.fields(self) if f.name in of_training]
        side = dataset_of(form.dataset, form.image_size).shape[1] if is_folder(self.dataset) else 0
        fields = {name: getattr(self, name) for name in same} | {"epochs": max(1, self.epochs)}
        return TrainConfig(
            **fields,
            network=form.network,
            seed=form.seed,
            frozen=(LAST_LINEAR,),
            image_size=side,
        )

    @property
    def training(self) -> TrainConfig:
        """The training that defines the network's architecture."""
        return self.source.training

    @property
    def leaves_weights(self) -> bool:
        """Always."""
        return True

    @property
    def seed(self) -> int:
        """The seed of the network's run."""
        return self.source.seed

    def with_seed(self, seed: int) -> "AdaptConfig":
        """The same adaptation of the network of another seed."""
        if seed == self.seed:
            return self
        return dataclasses.replace(self, source=self.source.with_seed(seed))

    @property
    def method(self) -> str:
        """The name of the method that learns the pseudo-labels; ``source_only`` for 0 epochs."""
        if not self.epochs:
            return "source_only"
        return training_method(self.objective, self.sampler, 1.0)

    def label(self) -> str:
        """Both domains, network, method, seed."""
        what = short_repr(self.objective) if self.epochs else "as it is"
        domains = f"{short_name(self.dataset)} from {short_name(self.training.dataset)}"
        return f"{domains}: {short_name(self.training.network)} {what}, seed {self.seed}"

    def columns(self) -> dict[str, str | int | float]:
        """The columns that identify it in tables."""
        return {
            "source": short_name(self.training.dataset),
            "dataset": short_name(self.dataset),
            "network": short_name(self.training.network),
            "method": self.method,
            "seed": self.seed,
        }

    def requires(self) -> list[RunConfig]:
        """The searches of losses that it uses, and the run of the source's network."""
        return [*losses_of(self), self.source]

    def cost(self, epochs: float = 0) -> float:
        """Passes over the target's images: the pseudo-labels of an epoch take a third of one."""
        return 1.0 + 4 / 3 * (epochs or self.epochs)

    def kin(self) -> list[tuple]:
        """Adaptations of the same network to the same data: by the same loss, then by any."""
        rough = (self.kind, self.dataset, self.training.network, self.train_size)
        return [(*rough, type(self.objective), self.batch_size), rough]
