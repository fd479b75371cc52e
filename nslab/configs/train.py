"""`TrainConfig`: a training run as a frozen value whose hash is its identity."""

import dataclasses
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from nslab.configs.labels import short_repr
from nslab.configs.loss_search import losses_of
from nslab.configs.methods import training_method
from nslab.configs.protocol import RunConfig
from nslab.configs.schedules import SCHEDULES, Constant, Schedule
from nslab.configs.starts import resolved_start
from nslab.configs.texts import TEXT_FIELDS, check_kinds, text_fields
from nslab.datasets import DATASETS, Dataset, dataset_of, image_side, is_text, resolved
from nslab.datasets.batch_order import Augment
from nslab.datasets.decoding import Decoding
from nslab.datasets.samplers import SAMPLERS
from nslab.datasets.tokenization import Tokenization
from nslab.datasets.variants import LabelNoise
from nslab.networks import check_network
from nslab.networks.lenet import padding
from nslab.objectives import CrossEntropy
from nslab.objectives.checks import check_objective
from nslab.system.content_names import content_of, short_name
from nslab.system.encoder_files import is_encoder, resolved_encoder
from nslab.system.validation import check_fields, hashed_as, near, omitted_means
from nslab.types import ObjectiveConfig

# names in the field ``frozen``: everything but the head; the layer that gives the logits
BACKBONE, LAST_LINEAR = "backbone", "last_linear"


@dataclass(frozen=True)
class Parent:
    """A run's weights: final, or those it kept after an epoch, counted from 1 or, if negative,
    from the end (-1: the last)."""

    config: "TrainConfig"
    epoch: int | None = None


@dataclass(frozen=True)
class TrainConfig(RunConfig):
    """One training run; every field is part of its identity.

    Attributes:
        dataset: key of ``DATASETS``, or ``folder:PATH`` (see `nslab.datasets.image_folder`). The
            folder's digest is added and is part of the identity; its path is not. The same holds
            for texts as ``csv:PATH`` (see `nslab.datasets.text_sets`).
        network: key of ``NETWORKS``, ``torchvision/<name>``, ``timm/<name>``, or, for texts,
            ``transformers/<name or folder>`` (see `nslab.system.encoder_files`). The digest of its
            files is added and is part of the identity; their place is not.
        objective: any value of a class in ``OBJECTIVES``.
        batch_size: samples per step over all processes together.
        lr: base learning rate; warms up linearly over ``warmup_epochs``, then follows ``schedule``.
        precision: autocast to ``bf16`` or ``fp16``, or ``no``.
        compile: use torch.compile; on a GPU the steps become CUDA graphs, see
            `nslab.training.compilation`.
        clip_norm: largest gradient norm; None for no clipping.
        imbalance: of a long-tailed training set, the size of the first class divided by that of
            the last.
        noise, noise_rate: kind and share of wrong training labels.
        sampler: key of ``SAMPLERS``.
        start: what training starts from, see `nslab.training.starts`: weights of torchvision
            (``torchvision:IMAGENET1K_V1``), of timm (``timm:TAG``), those that come with a network
            of transformers (``transformers:pretrained``), a file (``file:PATH``); ``public`` for
            the CIFAR networks with public weights; a run's final weights, by its id, or ``id@e``
            for those it kept after epoch e (from 1). The digest of a file is part of the identity,
            its path is not. Empty: initial weights from ``seed``. A head for other classes is
            replaced by a new one.
        ancestor: config of the run whose final weights training starts from; it is computed first.
        backbone_lr: multiplies ``lr`` for all parameters except those of the head, which is the
            last linear layer and the bottleneck, if there is one.
        frozen: names of modules that are not trained, including their BatchNorm statistics;
            ``"backbone"``: all but the head; ``"last_linear"``: the last linear layer.
        keep_last: how many of the last epochs' weights are kept.
        lr_scale: multiplies ``lr``; for controls of methods whose weights do not average to 1.
        hold_out: how many training samples, the same in every run, are kept out of training; the
            final weights and numbers are then those of the epoch with the best accuracy on them.
        train_size: how many of the others are trained on, the same in every run; 0: all.
        patience: early stopping: training ends when held-out accuracy has not risen for this many
            epochs, at the latest after ``epochs``. 0: never.
        image_size: side of a folder's images in pixels; 0: 224, or what the data set says. Arrays
            have a size of their own.
        epoch_parts: how many partial epochs (of whole batches) one pass over the training set is
            cut into; ``epochs`` counts these.
        accumulate: how many parts each process's share of a batch is cut into, to fit the device's
            memory; gradients add up to those of the whole batch. BatchNorm sees one part at a time,
            and so does a method that compares the samples of a batch.
        decoding: of a folder's training images: ``"exact"``, or ``"reduced"``: JPEGs are decoded at
            a smaller size where that is enough, which is faster and changes pixels slightly.
        eval_every: number of epochs between two evaluations on test and held-out samples; the last
            epoch is always evaluated. A held-out choice is among the evaluated epochs.
        text_length: maximal number of tokens of a text; 0: what the data set says. Not for images.
        vocabulary, min_count: maximal number of token ids, and how often a word must occur in the
            training texts to get one; 0: 20,000 and 2. A pretrained network has its own vocabulary.

    >>> from nslab.objectives import NS
    >>> config = TrainConfig("digits", "resnet8", NS(), epochs=2)
    >>> config.id, config.with_seed(1).id == config.id
    ('c0d69fc0c17f', False)
    """

    kind: ClassVar = "train"
    measured: ClassVar = ("test_accuracy", "test_loss", "epochs", "seconds")

    dataset: str = field(default="digits", metadata=hashed_as(content_of))
    network: str = field(default="resnet8", metadata=hashed_as(content_of))
    objective: ObjectiveConfig = field(default_factory=CrossEntropy)
    epochs: int = 10
    batch_size: int = 128
    optimizer: Literal["sgd", "adamw", "adam"] = "sgd"
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 5e-4
    schedule: Schedule = field(default_factory=Constant)
    warmup_epochs: float = 0.0
    augment: Augment = "none"
    precision: Literal["no", "bf16", "fp16"] = "no"
    channels_last: bool = True
    compile: bool = False
    clip_norm: float | None = None
    seed: int = 2024
    imbalance: float = field(default=1.0, metadata=omitted_means(1.0))
    noise: LabelNoise = field(default="none", metadata=omitted_means("none"))
    noise_rate: float = field(default=0.0, metadata=omitted_means(0.0))
    sampler: str = field(default="shuffle", metadata=omitted_means("shuffle"))
    lr_scale: float = field(default=1.0, metadata=omitted_means(1.0))
    start: str = field(default="", metadata=omitted_means("") | hashed_as(content_of))
    keep_last: int = field(default=0, metadata=omitted_means(0))
    hold_out: int = field(default=0, metadata=omitted_means(0))
    train_size: int = field(default=0, metadata=omitted_means(0))
    patience: int = field(default=0, metadata=omitted_means(0))
    ancestor: "TrainConfig | None" = field(default=None, metadata=omitted_means(None))
    eval_every: int = field(default=1, metadata=omitted_means(1))
    image_size: int = field(default=0, metadata=omitted_means(0))
    backbone_lr: float = field(default=1.0, metadata=omitted_means(1.0))
    frozen: tuple[str, ...] = field(default=(), metadata=omitted_means(()))
    epoch_parts: int = field(default=1, metadata=omitted_means(1))
    accumulate: int = field(default=1, metadata=omitted_means(1))
    decoding: Decoding = field(default="exact", metadata=omitted_means("exact"))
    text_length: int = field(default=0, metadata=omitted_means(0))
    vocabulary: int = field(default=0, metadata=omitted_means(0))
    min_count: int = field(default=0, metadata=omitted_means(0))

    def __post_init__(self) -> None:
        from_zero = "momentum weight_decay warmup_epochs noise_rate keep_last hold_out train_size "
        from_zero += "patience image_size backbone_lr text_length vocabulary min_count"
        check_fields(
            self,
            positive=("epochs", "batch_size", "lr", "lr_scale", "eval_every", "clip_norm"),
            at_least={"imbalance": 1, "epoch_parts": 1, "accumulate": 1}
            | dict.fromkeys(from_zero.split(), 0),
            at_most={"noise_rate": 1, "keep_last": self.epochs},
            below={"momentum": 1},
            one_of={"sampler": SAMPLERS},
        )
        check_network(self.network)
        if is_encoder(self.network):
            object.__setattr__(self, "network", resolved_encoder(self.network))
        object.__setattr__(self, "dataset", resolved(self.dataset))
        if side := image_side(self.dataset):
            object.__setattr__(self, "image_size", self.image_size or side)
        elif self.image_size:
            kind = "texts" if is_text(self.dataset) else "images"
            raise ValueError(
                f"{kind} of {self.dataset} have a fixed size: image_size is for folders"
            )
        check_kinds(self.dataset, self.network, self.objective)
        given = {name: getattr(self, name) for name in TEXT_FIELDS}
        for name, value in text_fields(self.dataset, self.network, self.augment, given).items():
            object.__setattr__(self, name, value)
        check_objective("TrainConfig: objective", self.objective)
        if isinstance(self.schedule, type) or not hasattr(self.schedule, "factor"):
            like = SCHEDULES[[*near(self.schedule, SCHEDULES), "constant"][0]]
            raise TypeError(
                f"TrainConfig: schedule must be a schedule, not {self.schedule!r}: give a value of "
                f"a class of nslab.configs.schedules, such as {like.__name__}(...)"
            )
        if not isinstance(self.ancestor, TrainConfig | None) or (self.ancestor and self.start):
            raise TypeError(
                f"TrainConfig: ancestor is {self.ancestor!r}, start is {self.start!r}: give a "
                "TrainConfig, or a start, or neither"
            )
        if (self.noise_rate > 0) != (self.noise != "none"):
            raise ValueError(
                f"TrainConfig: noise {self.noise!r} does not fit noise_rate {self.noise_rate}: "
                'a rate above 0 needs a kind of noise other than "none", and no rate needs none'
            )
        object.__setattr__(self, "start", resolved_start(self.start, self.network))
        if self.patience and not self.hold_out:
            raise ValueError("TrainConfig: patience needs held-out samples: set hold_out")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"TrainConfig: epochs is {self.epochs}, warmup_epochs is {self.warmup_epochs:g}: "
                "train longer than the warm-up, or set warmup_epochs lower"
            )
        if self.nesterov and not self.momentum:
            raise ValueError("TrainConfig: nesterov needs momentum: set momentum above 0")

    @property
    def tokenization(self) -> Tokenization | None:
        """How texts become tokens; None for images."""
        if not is_text(self.dataset):
            return None
        return Tokenization(self.text_length, self.vocabulary, self.min_count, self.network)

    @property
    def about(self) -> Dataset:
        """A description of its data, which are not loaded for it: shape, classes, mean and sd."""
        data, texts = dataset_of(self.dataset, self.image_size), self.tokenization
        return dataclasses.replace(data, tokens=texts.info) if texts else data

    @property
    def revision(self) -> int:
        """Before revision 1, LeNet-5 took images of 28 x 28 unpadded, and had fewer parameters."""
        if self.network != "lenet5" or self.dataset not in DATASETS:
            return 0
        return int(any(padding(side) for side in DATASETS[self.dataset].shape[1:]))

    def label(self) -> str:
        """Data set, network, method, seed."""
        data, network = short_name(self.dataset), short_name(self.network)
        return f"{data} {network} {short_repr(self.objective)}, seed {self.seed}"

    def columns(self) -> dict[str, str | int | float]:
        """The columns that identify it in tables."""
        method = training_method(self.objective, self.sampler, self.lr_scale)
        return {
            "dataset": short_name(self.dataset),
            "network": short_name(self.network),
            "method": method,
            "seed": self.seed,
        }

    @property
    def origin(self) -> str:
        """Where training starts: the ancestor's id, or ``start``."""
        return self.ancestor.id if self.ancestor else self.start

    @property
    def leaves_weights(self) -> bool:
        """Always."""
        return True

    @property
    def training(self) -> "TrainConfig":
        """This one."""
        return self

    def parents(self) -> list["Parent"]:
        """The trained network it starts from, if it is another run's."""
        return [Parent(self.ancestor)] if self.ancestor else []

    def requires(self) -> list[RunConfig]:
        """The searches of the losses it uses, and the run it starts from."""
        return [*losses_of(self), *(parent.config for parent in self.parents())]

    def cost(self, epochs: float = 0) -> float:
        """Passes over the data: over ``epochs`` if given (a training may stop early), else as many
        as planned."""
        return max(1.0, epochs or self.epochs) / self.epoch_parts

    def kin(self) -> list[tuple]:
        """Trainings of the same network on the same data set: with the same class of loss, sampler
        and amounts of data, then with any."""
        rough = (self.kind, self.dataset, self.network)
        near = (self.batch_size, self.train_size, self.hold_out, self.imbalance, self.precision)
        side = (self.image_size,) if self.image_size else ()
        return [(*rough, type(self.objective), *near, *side, self.sampler), (*rough, *side)]

    def lr_at(self, step: int, steps_per_epoch: int) -> float:
        """Learning rate of a step (from 0): warm-up, then the schedule."""
        epoch, peak = step / steps_per_epoch, self.lr * self.lr_scale
        if epoch < self.warmup_epochs:
            return peak * min(1.0, (step + 1) / (self.warmup_epochs * steps_per_epoch))
        return peak * self.schedule.factor(epoch, self.warmup_epochs, self.epochs)
