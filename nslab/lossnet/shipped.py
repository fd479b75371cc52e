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

    ``"log"``: sees log p too and has log p_y in its margins: close to cross-entropy where a
    prediction is wrong. ``"order"``: sees p alone and only orders, which is all that the abstract
    asks for; flatter where p_y is small, so slower with many classes.
    """

    name: Literal["log", "order"] = "log"

    def __post_init__(self) -> None:
        strict("Shipped: name", self.name, hints(Shipped)["name"])

    @property
    def file(self) -> Path:
        """Its weights."""
        return FOLDER / f"{self.name}.safetensors"

    def net(self) -> LossNet:
        """The network; ``FileNotFoundError`` or ``ValueError`` for a damaged installation."""
        return load_loss(self.file)[0]

    def provenance(self) -> dict[str, Any]:
        """How, where and from what code it was evolved."""
        return load_loss(self.file)[1]
