"""The loss networks that come with the package, each with its provenance beside it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nslab.lossnet.files import load_loss
from nslab.lossnet.net import LossNet
from nslab.system.validation import hints, strict

FOLDER = Path(__file__).parent / "evolved"


@dataclass(frozen=True)
class Shipped:
    """An evolved loss network of the package.

    ``"log"`` has log p as an input and was evolved with margins in log p_y: it is close to
    cross-entropy where a prediction is wrong. ``"order"`` has p alone as input and was evolved for
    order only, which is all that the abstract asks for; it is flatter where p_y is small, and so
    trains more slowly with many classes.
    """

    name: Literal["log", "order"] = "log"

    def __post_init__(self) -> None:
        strict("Shipped: name", self.name, hints(Shipped)["name"])

    @property
    def file(self) -> Path:
        """The file of its weights."""
        return FOLDER / f"{self.name}.safetensors"

    def net(self) -> LossNet:
        """The network; ``FileNotFoundError`` or ``ValueError`` for a damaged installation."""
        return load_loss(self.file)[0]

    def provenance(self) -> dict[str, Any]:
        """How, where and from what code it was evolved."""
        return load_loss(self.file)[1]
