"""One rule that chooses the network to report."""

import math

import pytest

from nslab.configs.selection import SELECTION, ModelSelection


def row(accuracy: float, loss: float) -> dict[str, float]:
    """What is looked at on held-out samples."""
    return {"held_out_accuracy": accuracy, "held_out_loss": loss}


@pytest.mark.parametrize(("by", "best"), [("accuracy", 2), ("loss", 1)], ids=["accuracy", "loss"])
def test_the_best_by_one_number_then_by_the_other(by: str, best: int) -> None:
    """And the first of equals; what was not looked at has no part."""
    rule = ModelSelection(by)  # type: ignore[arg-type]
    rows = [{"test_accuracy": 99.0}, row(70, 0.1), row(80, 0.5), row(80, 0.6), row(80, 0.5)]
    assert rule.best(rows) == best
    assert rule.name == f"held-out {by}"
    assert ModelSelection("accuracy") == SELECTION


def test_nan_is_worst() -> None:
    """Whichever of the two it is."""
    nan = math.nan
    for rule in (ModelSelection("accuracy"), ModelSelection("loss")):
        assert rule.best([row(50, nan), row(50, 9.0)]) == 1
        assert rule.best([row(nan, 1.0), row(1, 1.0)]) == 1
    assert SELECTION.best([{"test_accuracy": 1.0}]) is None
