"""Texts that are joined, as tables show them: against joining by hand."""

from dataclasses import replace
from pathlib import Path

import pytest
from text_helpers import rows, write_csv

from nslab import TrainConfig
from nslab.analysis.texts import joined_texts, lost_texts
from nslab.plots.texts import joined_rows

LENGTH = 16


@pytest.fixture
def config(tmp_path: Path) -> TrainConfig:
    """A training on small texts of 1 to 20 words, all of which it knows."""
    name = f"csv:{write_csv(tmp_path / 'texts.csv', rows(120))}"
    settings = {"batch_size": 18, "text_length": LENGTH, "vocabulary": 60, "min_count": 1}
    return TrainConfig(name, "textcnn_64", **settings)  # type: ignore[arg-type]


def test_a_group_is_joined(config: TrainConfig) -> None:
    """Tiled, each text's first words; literal, texts one after the other up to the end."""
    group = joined_texts(config)
    words = [text.split() for text in group.texts]
    tiled = [word for text in words for word in text[: LENGTH // 4]]
    literal = [word for text in words for word in text][:LENGTH]
    assert group.composites == {"tiled": " ".join(tiled), "literal": " ".join(literal)}
    numbers = [k for k, text in enumerate(words) for _ in text]
    assert [k for k in group.owners["literal"] if k >= 0] == numbers[:LENGTH]
    numbers = [k for k, text in enumerate(words) for _ in text[: LENGTH // 4]]
    assert [k for k in group.owners["tiled"] if k >= 0] == numbers
    figure = joined_rows(group, "four texts")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["tiled", "literal"]
    (legend,) = figure.legends
    assert [t.get_text() for t in legend.get_texts()] == [
        *(f"{k}: {label}" for k, label in enumerate(group.labels, 1)),
        "padding",
    ]


def test_a_group_that_loses_a_text_is_found(config: TrainConfig) -> None:
    """The first of the epoch, the same each time; where none does, the first group at all."""
    group = joined_texts(config, losing=True)
    assert set(group.owners["literal"]) - {-1} < {0, 1, 2, 3}
    assert set(group.owners["tiled"]) - {-1} == {0, 1, 2, 3}
    assert joined_texts(config, losing=True) == group
    roomy = replace(config, text_length=200)
    assert joined_texts(roomy, losing=True) == joined_texts(roomy)


def test_lost_texts(config: TrainConfig) -> None:
    """None when tiled; literally, those before whom the row was full; words that both ways keep
    are counted over whole groups of an epoch."""
    from nslab.analysis.texts import _batches

    lost = texts = kept = words = tiles = 0
    for batch in _batches(config):
        for k in range(0, len(batch.y) // 4 * 4, 4):
            lengths = [int((row != 0).sum()) for row in batch.x[k : k + 4]]
            before = [sum(lengths[:j]) for j in range(4)]
            lost += sum(start >= LENGTH for start in before)
            kept += min(LENGTH, sum(lengths))
            tiles += sum(min(LENGTH // 4, n) for n in lengths)
            words += sum(lengths)
            texts += 4
    table = lost_texts([config]).set_index("joined")
    assert lost > 0
    assert table.loc["literal", "texts_lost"] == pytest.approx(100 * lost / texts)
    assert table.loc["literal", "words_kept"] == pytest.approx(100 * kept / words)
    assert table.loc["tiled", "texts_lost"] == 0
    assert table.loc["tiled", "words_kept"] == pytest.approx(100 * tiles / words)
    assert table.loc["tiled", "words"] == pytest.approx(words / texts)
