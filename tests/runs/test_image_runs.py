"""Runs on folders of images, end to end: fine-tuning, evolution, networks tested on hard images."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from image_helpers import make_images
from PIL import Image

from nslab.analysis.run_tables import trained_model
from nslab.configs import EvaluateConfig, EvolveConfig, TrainConfig
from nslab.configs.schedules import Cosine
from nslab.datasets import load
from nslab.datasets.batches import make_batches
from nslab.evolve import PSO
from nslab.neuroevolution.baselines import Parents
from nslab.runs import evolve_setup, store
from nslab.runs.evolve_run import run_evolution
from nslab.runs.evolve_setup import EvolveSetup

HALF = TrainConfig("digits_half", "resnet8", epochs=1, batch_size=64, train_size=150)
TUNED = dataclasses.replace(
    HALF, dataset="digits_folder", ancestor=HALF, train_size=0, hold_out=100, schedule=Cosine(),
    epochs=3, epoch_parts=3, augment="crop",
)  # fmt: skip
EVOLVED = EvolveConfig(
    TUNED, "last_epochs", 3, PSO(), batches=2, generations=1, batch_size=200, microbatch=64,
    test_each_batch=True,
)  # fmt: skip


def test_half_of_the_classes_then_all_of_them_then_hard_ones() -> None:
    """A pretrained network gets a new head, its partial epochs are a population, each batch's
    fittest is tested, and what comes of it is tested on images with two right labels."""
    config = EvaluateConfig(EVOLVED, "digits_hard")
    result = store.run(config, show=False)
    evolved = store.find(EVOLVED)
    assert evolved is not None
    tested = [row for row in evolved.history if "test_accuracy" in row]
    assert [row["batch"] for row in tested] == [0, 1]
    assert all("test_top5" in row for row in tested)
    assert evolved.metrics["best_test_accuracy"] >= max(row["test_accuracy"] for row in tested)
    hard = load("digits_hard")
    assert hard.accepted is not None
    assert result.metrics["images"] == len(hard.arrays.test_y)
    assert 0 <= result.metrics["test_accuracy"] <= result.metrics["test_top5"] <= 100
    again = store.run(config, show=False)
    assert again.origin == "stored"
    assert store.run(config.with_seed(config.seed), show=False).id == config.id


def test_either_right_label_counts() -> None:
    """The accuracy on hard images is what a loop over them gives."""
    trained = dataclasses.replace(HALF, dataset="digits_folder")
    config = EvaluateConfig(trained, "digits_hard")
    result = store.run(config, show=False)
    model, hard = trained_model(store.run(trained, weights=True, show=False)), load("digits_hard")
    batches = make_batches(
        hard.arrays.test_x, hard.arrays.test_y, hard.dataset, torch.device("cpu"), batch_size=50
    )
    right = total = 0
    assert hard.accepted is not None
    with torch.no_grad():
        for batch in batches.in_order():
            for logits, place in zip(model(batch.x), batch.index.tolist(), strict=True):
                right += int(logits.argmax()) in [k for k in hard.accepted[place] if k >= 0]
                total += 1
    assert result.metrics["test_accuracy"] == pytest.approx(100 * right / total)


def test_what_cannot_be_tested_is_refused() -> None:
    """Other classes, other shapes, several networks; all before anything is computed."""
    with pytest.raises(ValueError, match="leaves no weights"):
        EvaluateConfig(dataclasses.replace(EVOLVED, method=Parents("all")), "digits_hard")
    with pytest.raises(ValueError, match=r"classes 10, .* classes 5"):
        store.run(EvaluateConfig(HALF, "digits_hard"), show=False)
    gray = TrainConfig("digits", "mlp", epochs=1, train_size=100)
    with pytest.raises(ValueError, match="images of shape"):
        store.run(EvaluateConfig(gray, "digits_hard"), show=False)
    with pytest.raises(ValueError, match="no training images"):
        store.run(TrainConfig("digits_hard", "resnet8", epochs=1), show=False)


def test_classes_of_other_names_are_not_taken_for_the_networks(tmp_path: Path) -> None:
    """As many class folders, one of them called otherwise: numbers would mean nothing."""
    folders = {name: tmp_path / name for name in ("seen", "alike", "other")}
    for name, folder in folders.items():
        make_images(folder)
        if name == "other":
            (folder / "red").rename(folder / "x")
    seen, alike, other = (f"folder:{folder}" for folder in folders.values())
    trained = TrainConfig(seen, "mlp", epochs=1, batch_size=8, lr=0.001, image_size=16)
    assert store.run(EvaluateConfig(trained, alike), show=False).metrics["images"] > 0
    with pytest.raises(ValueError, match=r"class 2 is 'x' here and 'red' there. Name"):
        store.run(EvaluateConfig(trained, other), show=False)


@pytest.mark.parametrize("policy", ["inherit", "recalibrate", "parent"])
def test_a_batch_in_parts_scores_as_the_whole(monkeypatch: pytest.MonkeyPatch, policy: Any) -> None:
    """To the bit where the parts are the same, statistics too, generation after generation."""
    base = dataclasses.replace(TUNED, ancestor=None, augment="crop")
    config = dataclasses.replace(
        EVOLVED,
        base=base,
        init="random",
        policy=policy,
        batch_size=48,
        microbatch=16,
        generations=2,
    )

    def history() -> list[dict[str, Any]]:
        return run_evolution(config, [], show=False).history

    whole = history()
    monkeypatch.setattr(evolve_setup, "WHOLE_BYTES", 0)
    assert isinstance(EvolveSetup(config).batch_of(0), evolve_setup.BatchParts)
    assert history() == whole


def test_all_of_a_plain_folder_is_tested_on(tmp_path: Path) -> None:
    """But not where the network was trained on it: then one image in five."""
    for label in range(10):
        for k in range(5):
            file = tmp_path / "plain" / str(label) / f"{k}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (40, 40), (20 * label, 50 * k, 9)).save(file)
    name = f"folder:{tmp_path / 'plain'}"
    trained = dataclasses.replace(HALF, dataset="digits_folder", image_size=32)
    assert store.run(EvaluateConfig(trained, name), show=False).metrics["images"] == 50
    own = TrainConfig(name, "resnet8", epochs=1, batch_size=8, image_size=32)
    result = store.run(EvaluateConfig(own, name), show=False)
    assert result.metrics["images"] == 10
    with pytest.raises(ValueError, match=f"tested the network of run {own.id}"):
        trained_model(result)
