"""Runs on texts: whose words are known, and what is done with a trained network."""

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from config_examples import ARGUMENTS
from text_helpers import TOPICS, rows, write_csv
from typer.testing import CliRunner

import nslab
from nslab import EvaluateConfig, EvolveConfig, TrainConfig
from nslab.analysis.confusion import confusion
from nslab.cli import app
from nslab.datasets import MissingDataset
from nslab.datasets.tokenization import WordTokenizer
from nslab.objectives import NS, OBJECTIVES, Mixup
from nslab.runs import store
from nslab.training.loop import fit, training_set
from nslab.training.texts import VOCABULARY, class_indices, tokenizer_of

LF = NS(sigma=2.5, rho=-1.0, compose="tiled")


def config(folder: Path, n: int = 120, **changes: object) -> TrainConfig:
    """A short training on small texts, whose words tell their class."""
    name = f"csv:{write_csv(folder / 'texts.csv', rows(n))}"
    settings = {"optimizer": "adam", "lr": 0.01, "weight_decay": 0.0, "epochs": 4}
    settings |= {"batch_size": 12, "text_length": 12, "vocabulary": 60, "min_count": 1}
    return TrainConfig(name, "textcnn_64", **settings | changes)  # type: ignore[arg-type]


def words(run: TrainConfig) -> set[str]:
    """The words that a run knows."""
    made = tokenizer_of(run)
    assert isinstance(made, WordTokenizer)
    return set(made.words)


@pytest.mark.parametrize(
    "changes",
    [{"hold_out": 40}, {"train_size": 30}, {"imbalance": 20.0}, {"hold_out": 9, "train_size": 20}],
)
def test_words_of_the_texts_that_are_trained_on(tmp_path: Path, changes: dict[str, float]) -> None:
    """A word of a held-out, a left-out or a test text alone is not in the vocabulary."""
    table = [(label, f"{text} only{k}") for k, (label, text) in enumerate(rows(120))]
    run = dataclasses.replace(
        config(tmp_path, **changes),
        dataset=f"csv:{write_csv(tmp_path / 'marked.csv', table)}",
        vocabulary=10_000,
    )
    plain = nslab.datasets.load(run.dataset).variant(
        run.imbalance, "none", 0.0, run.hold_out, run.train_size
    )
    known = {w for text in plain.arrays.train_x for w in text.split()}
    assert words(run) == known
    assert 0 < len([w for w in known if w.startswith("only")]) < 100
    data = training_set(run)
    assert data.info.tokens == data.dataset.tokens
    assert data.arrays.train_x.shape == (len(plain.arrays.train_y), 12)
    assert (data.held is None) == (run.hold_out == 0)
    if data.held:
        assert data.held[0].shape == (run.hold_out, 12)
    assert training_set(run) is data, "tokenised once"


def test_harder_training_sets(tmp_path: Path) -> None:
    """Long tails, wrong labels and samplers are as of images, and so are the test texts."""
    run = config(tmp_path, imbalance=10.0, noise="symmetric", noise_rate=0.3, sampler="cbs")
    data, whole = training_set(run), training_set(config(tmp_path))
    assert data.mislabelled is not None
    assert 0.1 < data.mislabelled.mean() < 0.5
    assert len(data.arrays.train_y) < len(whole.arrays.train_y)
    assert data.arrays.test_y.tolist() == whole.arrays.test_y.tolist()
    row = fit(run, show=False).history[-1]
    assert {"train_accuracy_clean", "weight_mean_mislabelled"} <= set(row)


def test_texts_are_learned(tmp_path: Path) -> None:
    """By cross-entropy and by NS, whose weights have their mean; ``literal`` counts lost texts."""
    for objective in ("ce", LF, dataclasses.replace(LF, compose="literal")):
        run = config(tmp_path, epochs=6)
        run = dataclasses.replace(run, objective=objective) if objective != "ce" else run
        done = fit(run, show=False)
        assert done.metrics["test_accuracy"] > 60
        assert done.metrics["weight_mean"] == pytest.approx(1.0 if objective == "ce" else 1.5)
    assert 0 < done.metrics["texts_lost"] < 1


def test_a_network_is_tested_elsewhere(tmp_path: Path) -> None:
    """On all texts of another file: labels by name in any case, or by number; the run's own one
    in five for its own file. The vocabulary lies with the weights, and answers for the texts."""
    run = config(tmp_path, epochs=2)
    result = nslab.run(run, show=False)
    assert result.folder is not None
    kept = json.loads((result.folder / VOCABULARY).read_text())["words"]
    assert kept == list(tokenizer_of(run).words)  # type: ignore[attr-defined]
    own = nslab.run(EvaluateConfig(run, run.dataset), show=False).metrics
    assert own["test_accuracy"] == result.metrics["test_accuracy"]
    assert own["images"] == 24
    others = rows(50, seed=1)
    named = write_csv(tmp_path / "named.csv", [(k.upper(), text) for k, text in others])
    places = {name: str(k) for k, name in enumerate(TOPICS)}
    numbered = write_csv(tmp_path / "numbered.csv", [(places[k], text) for k, text in others])
    found = [
        nslab.run(EvaluateConfig(run, f"csv:{file}"), show=False).metrics
        for file in (named, numbered)
    ]
    assert found[0]["images"] == 50
    assert found[0]["test_accuracy"] == found[1]["test_accuracy"]
    odd = write_csv(tmp_path / "odd.csv", [(f"x{k}", text) for k, text in others])
    with pytest.raises(
        ValueError, match=r"odd\.csv #\w+ has the classes xanimals.* has learned anim"
    ):
        nslab.run(EvaluateConfig(run, f"csv:{odd}"), show=False)
    tokenizer = tokenizer_of(run, result.folder)
    (result.folder / VOCABULARY).write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        tokenizer_of(run, result.folder)
    assert tokenizer == tokenizer_of(run)


def test_predictions(tmp_path: Path) -> None:
    """Of a file with and without labels, of words on the command line; not of images."""
    run = config(tmp_path, epochs=6)
    result = nslab.run(run, show=False)
    others = rows(40, seed=2)
    file = write_csv(tmp_path / "others.csv", others)

    def call(*given: object) -> str:
        done = CliRunner().invoke(app, ["predict", result.id, *map(str, given)])
        return done.output

    to = tmp_path / "found.csv"
    said = call(f"csv:{file}", "--to", to)
    table = pd.read_csv(to)
    assert table["text"].tolist() == [text for _, text in others]
    assert table["true"].tolist() == [label for label, _ in others]
    right = 100 * (table["true"] == table["predicted"]).mean()
    assert f"40 texts, {right:.2f} % right of the 40 with a label" in said
    tested = nslab.run(EvaluateConfig(run, f"csv:{file}"), show=False)
    assert tested.metrics["test_accuracy"] == pytest.approx(right)
    (tmp_path / "plain.csv").write_text("id,Text\n1,the old cat\n")
    assert "1 text\n" in call(f"csv:{tmp_path / 'plain.csv'}", "--to", tmp_path / "p.csv")
    assert "true" not in pd.read_csv(tmp_path / "p.csv")
    call("text:moon star sun moon", "--to", tmp_path / "t.csv")
    assert pd.read_csv(tmp_path / "t.csv")["predicted"].tolist() == ["sky"]
    call(run.dataset, "--to", tmp_path / "own.csv")
    assert len(pd.read_csv(tmp_path / "own.csv")) == 24
    assert "need texts, csv:PATH or text:WORDS" in call("folder:.", "--to", tmp_path / "x.csv")
    assert "text: has no words" in call("text: ", "--to", tmp_path / "x.csv")
    (tmp_path / "texts.csv").unlink()
    assert f"40 texts, {right:.2f} % right" in call(f"csv:{file}", "--to", to, "--force")


def test_confusion_and_evolution(tmp_path: Path) -> None:
    """Weights evolve as those of images do; the evolved network knows the words too."""
    run = config(tmp_path, epochs=6, hold_out=20, keep_last=6)
    evolved = EvolveConfig(run, "last_epochs", 6, batches=1, generations=2, batch_size=24)
    result = nslab.run(evolved, show=False)
    assert result.folder is not None
    assert (result.folder / VOCABULARY).exists()
    assert nslab.run(EvaluateConfig(evolved, run.dataset), show=False).metrics[
        "test_accuracy"
    ] == pytest.approx(result.metrics["test_accuracy"])
    parent = store.find(run)
    assert parent is not None
    found = confusion([parent])
    right = 100 * np.trace(found.counts) / found.counts.sum()
    assert right == pytest.approx(parent.metrics["test_accuracy"])
    with pytest.raises(ValueError, match="needs runs on one data set"):
        confusion([parent, nslab.run(config(tmp_path, vocabulary=20), show=False)])


def test_a_run_whose_texts_are_gone(tmp_path: Path) -> None:
    """It can be planned and looked up; training says what is missing."""
    run = config(tmp_path)
    os.remove(tmp_path / "texts.csv")
    assert TrainConfig(run.dataset, "textcnn_64").dataset == run.dataset
    with pytest.raises(MissingDataset, match="put it back"):
        fit(run, show=False)


@pytest.mark.usefixtures("as_users_call")
def test_what_does_not_go_together() -> None:
    """Is said when a run is planned."""
    for changes, message in (
        ({"network": "resnet8"}, "imdb has texts, the network resnet8 reads images"),
        ({"dataset": "digits"}, "digits has images, the network textcnn reads texts"),
        ({"dataset": "digits", "network": "mlp", "vocabulary": 9}, "vocabulary is for texts"),
        ({"augment": "crop"}, "augment is 'crop', which is for images"),
        ({"image_size": 32}, "texts of imdb have a fixed size"),
        (
            {"objective": NS()},
            r"NS composes 'images' and imdb has texts: write nslab.NS\(compose='tiled'\)",
        ),
        (
            {"dataset": "digits", "network": "mlp", "objective": LF},
            r"write nslab.NS\(compose='images'\)",
        ),
        ({"objective": OBJECTIVES["mixup"]()}, "blends images, not texts"),
        ({"text_length": -1}, "text_length"),
    ):
        with pytest.raises(ValueError, match=message):
            TrainConfig(**{"dataset": "imdb", "network": "textcnn"} | changes)  # type: ignore[arg-type]
    run = TrainConfig("imdb", "textcnn")
    with pytest.raises(ValueError, match="digits has images, the network of imdb textcnn"):
        EvaluateConfig(run, "digits")
    with pytest.raises(ValueError, match="a network alone does not say which tokens"):
        nslab.evaluate(torch.nn.Linear(2, 2), "imdb")
    with pytest.raises(ValueError, match="which word has which number"):
        nslab.evolve_checkpoints("textcnn", ["a.pt"] * 10, "imdb")
    assert (run.text_length, run.vocabulary, run.min_count) == (200, 20_000, 2)
    assert run.about.shape == (200, 20_000)
    assert TrainConfig(min_count=0).id == TrainConfig().id


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(set(OBJECTIVES) - {"mixup"}))
def test_every_objective_trains_on_texts(tmp_path: Path, key: str) -> None:
    """Those that see images alone apart."""
    made = LF if key == "ns" else OBJECTIVES[key](*ARGUMENTS.get(key, ()))
    done = fit(config(tmp_path, 60, epochs=1, objective=made), show=False)
    assert 0 <= done.metrics["test_accuracy"] <= 100


def test_classes_are_matched_by_name_first() -> None:
    """Names that differ in case alone are two; other numbers are no places."""
    assert class_indices(["A", "a"], ["a", "A"], "x").tolist() == [1, 0]
    assert class_indices(["GOOD"], ["bad", "good"], "x").tolist() == [1]
    with pytest.raises(ValueError, match="name them alike"):
        class_indices(["A", "a"], ["a", "b"], "x")
    with pytest.raises(ValueError, match="name them alike"):
        class_indices(["0", "1"], ["1", "2"], "x")


def test_kinds_are_checked_inside_of_ns(as_users_call: None) -> None:
    """A method that blends images is refused wherever it stands; a vocabulary has words."""
    with pytest.raises(ValueError, match="blends images, not texts"):
        TrainConfig("docstrings", "textcnn_64", NS(compose="tiled", base=Mixup()))
    with pytest.raises(ValueError, match="vocabulary must be at least 3"):
        TrainConfig("docstrings", "textcnn_64", vocabulary=2)
