"""Model selection: one rule for all kinds of run by which the reported network is chosen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class ModelSelection:
    """Chooses the network that is best on held-out samples; the first of equals.

    Attributes:
        by: the measure that counts; the other decides between equals. NaN is worse than any number.
    """

    by: Literal["accuracy", "loss"] = "accuracy"

    @property
    def name(self) -> str:
        """The rule as a result records it under ``selected_by``."""
        return f"held-out {self.by}"

    def key(self, row: Mapping[str, Any]) -> tuple[float, float]:
        """Rank of a network by its row with ``held_out_accuracy`` and ``held_out_loss``; higher is
        better.

        >>> row = {"held_out_accuracy": 90.0, "held_out_loss": 0.5}
        >>> ModelSelection().key(row) > ModelSelection().key(row | {"held_out_loss": math.nan})
        True
        """
        accuracy, loss = float(row["held_out_accuracy"]), float(row["held_out_loss"])
        accuracy = -math.inf if math.isnan(accuracy) else accuracy
        loss = math.inf if math.isnan(loss) else loss
        return (accuracy, -loss) if self.by == "accuracy" else (-loss, accuracy)

    def best(self, rows: Sequence[Mapping[str, Any]]) -> int | None:
        """The index of the best row among those with held-out numbers; None if there are none."""
        seen = [place for place, row in enumerate(rows) if "held_out_loss" in row]
        return max(seen, key=lambda place: self.key(rows[place]), default=None)


SELECTION = ModelSelection()
LAST = "last"  # what a result records if nothing was held out
