"""`EvaluateConfig`: a finished network on other test images, as a run of its own."""

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from nslab.configs.adapt import AdaptConfig
from nslab.configs.evolve import EvolveConfig
from nslab.configs.labels import columns, label
from nslab.configs.protocol import RunConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import is_text, resolved
from nslab.system.content_names import content_of, short_name
from nslab.system.validation import check_fields, hashed_as


@dataclass(frozen=True)
class EvaluateConfig(RunConfig):
    """A trained, evolved or adapted network, tested on the test images of another data set.

    Attributes:
        trained: the run whose network is tested; it is computed first.
        dataset: key of ``DATASETS`` or ``folder:PATH`` with the classes of that run's data set;
            of a folder without ``test/`` or ``val/`` all images are tested on, unless the network
            was trained on that very folder: then one in five, as after training.
            Images get the size and the normalisation of that run's. Texts (``csv:PATH`` too) become
            tokens as in that run, and their labels are its classes, by name or number.

    >>> config = EvaluateConfig(TrainConfig("digits", "mlp"), "digits")
    >>> config.label(), config.requires()[0] == config.trained
    ('digits: digits mlp CrossEntropy(), seed 2024', True)
    """

    kind: ClassVar = "evaluate"
    measured: ClassVar = ("test_accuracy", "test_loss", "seconds")

    trained: TrainConfig | EvolveConfig | AdaptConfig
    dataset: str = dataclasses.field(default="digits", metadata=hashed_as(content_of))

    def __post_init__(self) -> None:
        check_fields(self)
        object.__setattr__(self, "dataset", resolved(self.dataset))
        if not isinstance(self.trained, TrainConfig | EvolveConfig | AdaptConfig):
            raise TypeError(
                f"EvaluateConfig: trained must be a TrainConfig, an EvolveConfig or an "
                f"AdaptConfig, not {self.trained!r}"
            )
        kinds = [is_text(name) for name in (self.dataset, str(self.trained.dataset))]
        if kinds[0] != kinds[1]:
            words = ["texts" if kind else "images" for kind in kinds]
            raise ValueError(
                f"EvaluateConfig: {short_name(self.dataset)} has {words[0]}, the network of "
                f"{self.trained.label()} reads {words[1]}"
            )
        if not self.trained.leaves_weights:
            raise ValueError(
                f"EvaluateConfig: {self.trained.label()} leaves no weights of one network to test: "
                "take a run that trains or evolves one"
            )

    @property
    def seed(self) -> int:
        """The seed of the network's run."""
        return self.trained.seed

    @property
    def seedless(self) -> bool:
        """Whether the network's run does not depend on its seed."""
        return bool(self.trained.seedless)

    @property
    def training(self) -> TrainConfig:
        """The training that defines the network's architecture."""
        return self.trained.training

    def with_seed(self, seed: int) -> "EvaluateConfig":
        """The same evaluation of the network of another seed."""
        if seed == self.seed:
            return self
        return dataclasses.replace(self, trained=self.trained.with_seed(seed))

    def label(self) -> str:
        """Data set, and the network's run."""
        return f"{short_name(self.dataset)}: {label(self.trained)}"

    def columns(self) -> dict[str, str | int | float]:
        """The columns of the network's run, with the data set it is tested on."""
        return columns(self.trained) | {"dataset": short_name(self.dataset)}

    def requires(self) -> list[RunConfig]:
        """The network's run."""
        return [self.trained]

    def kin(self) -> list[tuple]:
        """Evaluations of the same network on the same data."""
        return [(self.kind, self.dataset, self.training.network)]
