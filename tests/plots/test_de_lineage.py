"""Figures of lineages: seeds that end at different epochs, and panels that hardly change."""

import pandas as pd
import pytest

from nslab.plots.de_lineage import lineage


def phase(name: str, seed: int, values: list[float], column: str = "LeNet-1") -> pd.DataFrame:
    table = pd.DataFrame({"held_out_loss": values, "held_out_accuracy": values})
    steps = range(1, len(values) + 1)
    about = {"phase": name, "method": "adam" if name == "adam" else "de", "network": column}
    return table.assign(x=steps, batch=steps, seed=seed, **about)


def test_what_is_drawn_after_adam_is_the_mean_of_each_seeds_last_epoch() -> None:
    """Each seed's line goes on to its own end, the mean's to the first of these."""
    one, two = phase("adam", 1, [2.0, 0.6]), phase("adam", 2, [2.2, 0.8, 0.5, 0.2])
    both = pd.concat([one, two, phase("evolution", 1, [0.3]), phase("evolution", 2, [0.1])])
    (axes,) = lineage(both, "network", "digits").axes
    lines = {str(line.get_label()): line.get_xydata().tolist() for line in axes.lines}
    assert lines["Adam"] == [[1, pytest.approx(2.1)], [2, pytest.approx(0.7)]]
    assert lines["Adam, mean of the seeds' last epochs"] == [[4, pytest.approx(0.4)]]
    assert lines["DE"] == [[5, pytest.approx(0.2)]]
    assert two[["x", "held_out_loss"]].to_numpy().tolist() in lines.values()
    (legend,) = axes.figure.legends
    assert "one seed" in [text.get_text() for text in legend.get_texts()]


def test_a_panel_that_hardly_changes_looks_like_it() -> None:
    """Six thousandths of a nat beside more than one."""
    soup = phase("evolution", 1, [2.2855, 2.2913], "soup")
    table = pd.concat([phase("adam", 1, [1.5, 0.2]), soup])
    left, right = lineage(table, "network", "digits").axes
    spans = [high - low for low, high in (axes.get_ylim() for axes in (left, right))]
    assert spans[1] == pytest.approx(spans[0] / 2)
    assert right.get_ylim()[0] < 2.2855 < 2.2913 < right.get_ylim()[1]
    accuracy = lineage(table, "network", "digits", ["held_out_accuracy"]).axes[1]
    assert accuracy.get_ylim()[1] - accuracy.get_ylim()[0] >= 5
