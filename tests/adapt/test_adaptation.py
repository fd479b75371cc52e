"""Adaptation of a network: what it learns from, what stays, and that it never sees a label."""

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nslab.adapt import adapt, adaptation, pseudo_labels
from nslab.adapt.adaptation import outputs
from nslab.configs import AdaptConfig, EvaluateConfig, EvolveConfig, TrainConfig
from nslab.datasets import ImageData, load
from nslab.datasets.own_arrays import add_arrays
from nslab.datasets.samplers import SAMPLERS
from nslab.networks import build_network
from nslab.networks.heads import last_linear
from nslab.neuroevolution.baselines import Parents, WeightAverage
from nslab.objectives import NS, OBJECTIVES, CrossEntropy
from nslab.runs import store
from nslab.training.epoch import NonFiniteLoss
from nslab.training.loop import fit
from nslab.training.setup import make_accelerator


class Killed(Exception):
    """Stands for the end of a process."""


SOURCE = TrainConfig("digits", "bottleneck/mlp", epochs=2, batch_size=64, lr=0.05)
CONFIG = AdaptConfig(SOURCE, "digits_slanted", epochs=2)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    """The weights of the source's network."""
    return fit(SOURCE, show=False).model.state_dict()


def with_labels(train: np.ndarray | None = None, test: np.ndarray | None = None) -> ImageData:
    """The target with other labels."""
    data = load("digits_slanted")
    arrays = data.arrays._replace(
        train_y=data.arrays.train_y if train is None else train,
        test_y=data.arrays.test_y if test is None else test,
    )
    return dataclasses.replace(data, arrays=arrays)


@pytest.mark.slow
@pytest.mark.parametrize("objective", [CrossEntropy(), NS(sigma=0.6)], ids=["ce", "ns"])
def test_target_labels_are_never_seen(trained: dict[str, Tensor], objective: Any) -> None:
    """Shuffled, or all the same, they change no weight and no number but those that count them."""
    config = dataclasses.replace(CONFIG, objective=objective, sampler="cbs")
    draws, arrays = np.random.default_rng(0), load("digits_slanted").arrays
    shuffled = with_labels(draws.permutation(arrays.train_y), draws.permutation(arrays.test_y))
    constant = with_labels(np.zeros_like(arrays.train_y), np.full_like(arrays.test_y, 3))
    own, *others = (
        adapt(config, trained, data=data, show=False)
        for data in (with_labels(), shuffled, constant)
    )
    for other in others:
        for name, tensor in own.model.state_dict().items():
            assert torch.equal(tensor, other.model.state_dict()[name]), name
        for mine, theirs in zip(own.history, other.history, strict=True):
            for number in ("train_loss", "train_accuracy", "weight_mean", "lr"):
                assert mine[number] == theirs[number]
        assert other.metrics["test_accuracy"] < 40 < own.metrics["test_accuracy"]
        assert other.history[0]["pseudo_accuracy"] < 40 < own.history[0]["pseudo_accuracy"]


@pytest.mark.slow
def test_it_learns_the_target_and_keeps_the_classifier(trained: dict[str, Tensor]) -> None:
    """Accuracy rises well above the source's; the last layer stays to the bit, all else moves."""
    done = adapt(dataclasses.replace(CONFIG, epochs=4), trained, show=False)
    assert done.metrics["test_accuracy"] > done.metrics["source_accuracy"] + 15
    assert done.history[-1]["pseudo_accuracy"] > done.history[0]["pseudo_accuracy"]
    head = last_linear(done.model)
    assert head == "classifier"
    for name, tensor in done.model.state_dict().items():
        assert torch.equal(tensor, trained[name]) == name.startswith("classifier."), name


def test_pseudo_labels_of_the_first_epoch_are_the_sources(trained: dict[str, Tensor]) -> None:
    """They follow from its features and probabilities, in evaluation mode, not augmented."""
    network = build_network(SOURCE.network, (1, 32, 32), 10, seed=0)
    network.load_state_dict(trained)
    data = load("digits_slanted")
    x = torch.tensor(data.arrays.train_x).permute(0, 3, 1, 2).float() / 255
    about = load("digits").dataset
    with torch.no_grad():
        features = network.eval().bottleneck(network.features((x - about.mean[0]) / about.std[0]))
        p = network.classifier(features).softmax(1)
    expected = pseudo_labels(features, p)
    config = dataclasses.replace(CONFIG, epochs=1, augment="crop")
    row = adapt(config, trained, show=False).history[0]
    right = 100 * float((expected.numpy() == data.arrays.train_y).mean())
    assert row["pseudo_accuracy"] == pytest.approx(right, abs=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("key", OBJECTIVES)
def test_any_objective_learns_from_pseudo_labels(key: str, trained: dict[str, Tensor]) -> None:
    """Their defaults, for an epoch: finite, and each number that results must have is there."""
    config = dataclasses.replace(CONFIG, objective=OBJECTIVES[key](), epochs=1, train_size=256)
    done = adapt(config, trained, show=False)
    assert all(np.isfinite(done.metrics[name]) for name in AdaptConfig.measured)
    assert done.metrics["epochs"] == 1


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_balance_the_pseudo_labels(sampler: str, trained: dict[str, Tensor]) -> None:
    """Classes are those of the pseudo-labels, for whatever the labels may be."""
    config = dataclasses.replace(CONFIG, sampler=sampler, epochs=1, train_size=256)
    data = load("digits_slanted")
    data = dataclasses.replace(
        data, arrays=data.arrays._replace(train_y=np.zeros_like(data.arrays.train_y))
    )
    assert adapt(config, trained, data=data, show=False).metrics["epochs"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("network", ["mlp", "lenet5", "resnet8", "torchvision/resnet18"])
def test_any_network_with_a_head_is_adapted(network: str) -> None:
    """Without a bottleneck the last linear layer is frozen, and the backbone's rate is for all."""
    state = build_network(network, (1, 32, 32) if "/" not in network else (3, 32, 32), 10, 0)
    source = TrainConfig("digits" if "/" not in network else "cifar10", network)
    config = AdaptConfig(source, "digits_slanted", epochs=1, train_size=64)
    done = adapt(config, state.state_dict(), show=False)
    head = last_linear(done.model)
    moved = [
        name
        for name, tensor in done.model.named_parameters()
        if not torch.equal(tensor, dict(state.named_parameters())[name])
    ]
    assert moved
    assert not any(name.startswith(f"{head}.") for name in moved)


def test_no_epochs_leave_the_source_as_it_is(trained: dict[str, Tensor]) -> None:
    """The row that frames the table: both accuracies are the source's."""
    config = dataclasses.replace(CONFIG, epochs=0)
    done = adapt(config, trained, show=False)
    assert done.history == []
    assert done.metrics["test_accuracy"] == pytest.approx(done.metrics["source_accuracy"])
    assert all(torch.equal(t, trained[k]) for k, t in done.model.state_dict().items())
    assert config.method == "source_only"


@pytest.mark.slow
@pytest.mark.parametrize("key", ["ns", "ogc"])
@pytest.mark.parametrize("inside", [False, True], ids=["between epochs", "inside an epoch"])
def test_an_interrupted_adaptation_ends_the_same(
    key: str, inside: bool, trained: dict[str, Tensor], tmp_path: Path, monkeypatch: Any
) -> None:
    """To the bit, with what objectives remember, and with what is written down for later."""
    config = dataclasses.replace(CONFIG, objective=OBJECTIVES[key](), epochs=3, train_size=512)
    whole = adapt(config, trained, tmp_path / "whole", show=False)
    folder = tmp_path / config.id
    folder.mkdir()
    (tmp_path / "whole").mkdir(exist_ok=True)
    if inside:
        monkeypatch.setenv("NSLAB_CHECKPOINT_MINUTES", "0")
        saves, save = [], adaptation.save_checkpoint

        def killing(*args: Any) -> None:
            save(*args)
            saves.append(args)
            if len(saves) == 12:  # steps of the second epoch
                raise Killed

        monkeypatch.setattr(adaptation, "save_checkpoint", killing)
    else:

        def killing_row(row: Any) -> None:
            if row["epoch"] == 1:
                raise Killed

    with pytest.raises(Killed):
        adapt(config, trained, folder, show=False, on_epoch=None if inside else killing_row)
    monkeypatch.undo()
    again = adapt(config, trained, folder, show=False)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, again.model.state_dict()[name]), name
    for mine, theirs in zip(whole.history, again.history, strict=True):
        assert repr(mine | {"seconds": 0}) == repr(theirs | {"seconds": 0})


def test_outputs_are_in_the_order_of_the_data(trained: dict[str, Tensor]) -> None:
    """Features times the classifier are the logits, sample by sample."""
    steps = CONFIG.steps
    network = build_network(SOURCE.network, (1, 32, 32), 10, seed=0)
    network.load_state_dict(trained)
    data = adaptation.hide_labels(load("digits_slanted"))
    accelerator = make_accelerator(steps)
    loaders = adaptation.make_loaders(steps, data, CrossEntropy().build(data.info), accelerator)
    features, p = outputs(network, loaders[1], accelerator)
    torch.testing.assert_close(network.classifier(features).softmax(1).detach(), p)
    assert len(p) == len(data.arrays.test_y)


def test_misfits_are_refused_before_anything_is_trained(
    as_users_call: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Classes of another number or name, images in another form, too few of them."""
    with pytest.raises(ValueError, match="5 classes, the network was trained on 10"):
        dataclasses.replace(CONFIG, dataset="digits_half")
    with pytest.raises(ValueError, match="square and in colour"):
        dataclasses.replace(CONFIG, dataset="digits_folder")
    with pytest.raises(ValueError, match="has 1294 training images: take fewer"):
        dataclasses.replace(CONFIG, train_size=1294)
    digits = load("digits").arrays
    names = [f"c{k}" for k in range(10)]
    sets = {}
    for key, scale, classes in (
        ("bytes", None, names),
        ("turned", None, names[::-1]),
        ("floats", 255, names),
    ):
        x, test = (a if scale is None else a / np.float32(scale) for a in
                   (digits.train_x, digits.test_x))  # fmt: skip
        pairs = (x[:300], digits.train_y[:300]), (test[:100], digits.test_y[:100])
        sets[key] = add_arrays(*pairs, classes=classes, name=key)
    source = TrainConfig(sets["bytes"], "mlp")
    assert AdaptConfig(source, sets["bytes"]).steps.dataset == sets["bytes"]
    with pytest.raises(ValueError, match="Name the classes alike"):
        AdaptConfig(source, sets["turned"])
    with pytest.raises(ValueError, match="floats in one of"):
        AdaptConfig(source, sets["floats"])
    floats = AdaptConfig(TrainConfig(sets["floats"], "mlp"), sets["floats"], epochs=1)
    network = build_network("mlp", (1, 32, 32), 10, 0)
    assert adapt(floats, network.state_dict(), show=False).metrics["epochs"] == 1


def test_a_ruined_network_is_told(trained: dict[str, Tensor]) -> None:
    """Also one that its last step has ruined."""
    config = dataclasses.replace(CONFIG, lr=1e30, epochs=1, batch_size=200, train_size=200)
    with pytest.raises(NonFiniteLoss, match="smaller learning rate"):
        adapt(config, trained, show=False)


def test_other_images_than_the_checkpoints_are_refused(
    trained: dict[str, Tensor], tmp_path: Path
) -> None:
    """Where fewer go on than were begun with."""

    def stop(row: Any) -> None:
        raise Killed

    with pytest.raises(Killed):
        adapt(CONFIG, trained, tmp_path / CONFIG.id, show=False, on_epoch=stop)
    data = load("digits_slanted")
    arrays = data.arrays._replace(
        train_x=data.arrays.train_x[:900], train_y=data.arrays.train_y[:900]
    )
    fewer = dataclasses.replace(data, arrays=arrays)
    with pytest.raises(ValueError, match="adaptation to other images"):
        adapt(CONFIG, trained, tmp_path / CONFIG.id, data=fewer, show=False)


def test_two_images_are_enough(trained: dict[str, Tensor], as_users_call: None) -> None:
    """BatchNorm needs as many; with one the message says so."""
    config = dataclasses.replace(CONFIG, epochs=1, train_size=2)
    assert adapt(config, trained, show=False).metrics["epochs"] == 1
    with pytest.raises(ValueError, match="1 samples per batch"):
        adapt(dataclasses.replace(config, train_size=1), trained, show=False)


def test_an_adapted_network_is_adapted_again(trained: dict[str, Tensor]) -> None:
    """Its form is that of the first training."""
    first = dataclasses.replace(CONFIG, epochs=1, train_size=128)
    second = AdaptConfig(first, "digits", epochs=1, train_size=128)
    assert second.training == SOURCE
    assert second.requires() == [first]
    assert second.with_seed(1).source.source.seed == 1


def test_configs_refuse_what_cannot_be(as_users_call: None) -> None:
    """With the reason."""
    many = EvolveConfig(TrainConfig(epochs=20), method=Parents("all"))
    for changes, error, words in (
        ({"source": many}, ValueError, "leaves no weights"),
        ({"source": "digits"}, TypeError, "source must be"),
        ({"pseudo_weight": 0.0, "im_weight": 0.0}, ValueError, "set one of the losses above 0"),
        ({"epochs": -1}, ValueError, "at least 0"),
        ({"lr": 0.0}, ValueError, "above 0"),
        ({"sampler": "balanced"}, ValueError, "unknown sampler"),
        ({"dataset": "digits_skewed"}, ValueError, "unknown data set"),
        ({"objective": NS}, TypeError, "objective"),
    ):
        with pytest.raises(error, match=words):
            dataclasses.replace(CONFIG, **changes)


@pytest.mark.slow
def test_an_adaptation_is_a_run_like_any_other() -> None:
    """Its source is computed first, it is looked up afterwards, and its network can be tested and
    adapted from again."""
    config = dataclasses.replace(CONFIG, epochs=1, train_size=128)
    result = store.run(config, show=False)
    assert store.run(config, show=False).metrics == result.metrics
    assert (Path(os.environ["NSLAB_HOME"]) / "data" / "runs" / SOURCE.id).is_dir()
    tested = store.run(EvaluateConfig(config, "digits_slanted"), show=False)
    assert tested.metrics["test_accuracy"] == pytest.approx(result.metrics["test_accuracy"])
    averaged = EvolveConfig(dataclasses.replace(SOURCE, epochs=3), size=2, method=WeightAverage())
    evolved = store.run(AdaptConfig(averaged, "digits_slanted", epochs=1), show=False)
    assert evolved.metrics["epochs"] == 1
