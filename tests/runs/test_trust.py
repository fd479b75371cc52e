"""The store tells the truth: about code, data, files, and runs in several stretches."""

import json
import math
import os
import shutil
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import nslab
from nslab import DATASETS, NETWORKS, OBJECTIVES, EvolveConfig, TrainConfig
from nslab.datasets import load
from nslab.datasets.arrays import Arrays, write_arrays
from nslab.evolve import EVOLVERS
from nslab.objectives.weighted import PlainLoss
from nslab.runs import compute, frozen, store
from nslab.runs.results import every_run, find
from nslab.system.provenance import ACCEPT
from nslab.training import loop
from nslab.training.epoch import NonFiniteLoss

TINY = TrainConfig(network="mlp", epochs=2, lr=0.05, train_size=200)
BASE = TrainConfig(network="mlp", epochs=6, lr=0.05, train_size=200, hold_out=100)
EVOLUTION = EvolveConfig(BASE, size=6, method=EVOLVERS["de"], batches=3, generations=1,
                         batch_size=50)  # fmt: skip


def loss_class(scale: float) -> type:
    """A loss under a key, as a file that is edited gives it."""

    @dataclass(frozen=True)
    class Scaled(PlainLoss):
        def loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return scale * torch.nn.functional.cross_entropy(logits, y, reduction="none")

    OBJECTIVES.pop("scaled", None)
    OBJECTIVES.register("scaled", Scaled)
    return Scaled


def test_an_edited_loss_does_not_get_the_old_results(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said and computed anew; back to the old code, the old result is the answer again."""
    old = store.run(replace(TINY, objective=loss_class(1.0)()), show=False)
    edited = replace(TINY, objective=loss_class(0.0)())
    assert edited.id == old.id
    assert find(edited) is None
    assert "objective scaled changed since its result was made" in capsys.readouterr().err
    new = store.run(edited, show=False)
    assert (new.origin, find(edited).origin) == ("computed", "stored")
    assert new.metrics["test_loss"] != old.metrics["test_loss"]
    back = replace(TINY, objective=loss_class(1.0)())
    assert find(back).metrics == old.metrics
    third = replace(TINY, objective=loss_class(2.0)())
    assert find(third) is None
    monkeypatch.setenv(ACCEPT, "1")
    assert find(third).metrics == new.metrics
    assert "is used all the same" in capsys.readouterr().err


def test_an_edited_network_is_trained_anew_for_those_that_evolve_it() -> None:
    """What is made of other runs is as old as they are."""

    def register(width: int) -> None:
        NETWORKS.pop("wide", None)
        NETWORKS["wide"] = lambda shape, classes: torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(1024, width), torch.nn.Linear(width, classes)
        )

    register(4)
    config = replace(EVOLUTION, base=replace(BASE, network="wide"))
    store.run(config, show=False)
    assert find(config)
    register(5)
    assert find(config) is None
    assert store.run(config, show=False).origin == "computed"


def rotated(folder: Path) -> None:
    """Other images under the same name."""
    arrays = load("digits").arrays
    write_arrays(
        folder / "digits.npz", arrays._replace(train_x=np.rot90(arrays.train_x, axes=(1, 2)))
    )


def test_other_data_do_not_get_the_old_results(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Images rotated under the same name; a copy of the same arrays in another file is the same."""
    old = store.run(TINY, show=False)
    copies, other = tmp_path / "copies", tmp_path / "other"
    copies.mkdir()
    other.mkdir()
    np.savez_compressed(copies / "digits.npz", **load("digits").arrays._asdict())
    rotated(other)
    monkeypatch.setenv("NSLAB_DATA", str(copies))
    assert find(TINY).metrics == old.metrics
    monkeypatch.setenv("NSLAB_DATA", str(other))
    assert find(TINY) is None
    assert "data of digits changed" in capsys.readouterr().err
    assert store.run(TINY, show=False).metrics != old.metrics


def test_a_frozen_row_of_other_data_is_named_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is never computed anew by itself."""
    result = store.run(TINY, show=False)
    monkeypatch.setattr(frozen, "frozen_dir", lambda: tmp_path / "frozen")
    frozen.freeze("mine", [result])
    shutil.rmtree(result.folder)
    (tmp_path / "other").mkdir()
    rotated(tmp_path / "other")
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "other"))
    assert find(TINY).origin == "frozen"
    assert "data of digits changed since its frozen result was made" in capsys.readouterr().err


def test_a_data_set_whose_code_was_edited_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that the old code left is kept under another name."""
    about = DATASETS["digits"]
    arrays = load("digits").arrays
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path))  # it leaves files there

    def register(turns: int) -> None:
        def fetch(folder: Path, name: str) -> Arrays:
            return arrays._replace(test_x=np.rot90(arrays.test_x, turns, axes=(1, 2)))

        DATASETS.pop("turned", None)
        DATASETS["turned"] = replace(about, fetch=fetch)

    register(0)
    config = replace(TINY, dataset="turned")
    old = store.run(config, show=False)
    register(2)
    with pytest.warns(UserWarning, match="made by other code"):
        assert find(config) is None
    assert store.run(config, show=False).metrics != old.metrics


def tamper(folder: Path, change: Any) -> None:
    """Change a result as a person would, its seal broken or taken away."""
    file = folder / "result.json"
    whole = json.loads(file.read_text())
    del whole["sha256"]
    change(whole)
    file.write_text(json.dumps(whole))


HOLLOW = {
    "no metrics": lambda w: w.update(metrics={}),
    "nan": lambda w: w["metrics"].update(test_accuracy=math.nan),
    "infinite": lambda w: w["metrics"].update(best_test_accuracy=math.inf),
    "text": lambda w: w["metrics"].update(test_accuracy="97"),
    "no config": lambda w: w.update(config={}),
    "another's config": lambda w: w["config"].update(lr=0.07),
    "another seed": lambda w: w["config"].update(seed=7),
    "rows": lambda w: w.update(history=[1, 2]),
    "more": lambda w: w.update(extra=1),
    "less": lambda w: w.pop("env"),
}


@pytest.mark.parametrize("change", HOLLOW.values(), ids=HOLLOW)
def test_a_hollow_or_foreign_result_counts_as_broken(change: Any) -> None:
    """It names its file, stops nothing else, and is computed again, the broken one kept."""
    result = store.run(TINY, show=False)
    other = store.run(TINY.with_seed(9), show=False)
    tamper(result.folder, change)
    with pytest.warns(UserWarning, match=r"result.json is broken \("):
        assert find(TINY) is None
    with pytest.warns(UserWarning, match="is broken"):
        assert other.id in {found.id for found in every_run()} - {result.id}
    with pytest.warns(UserWarning, match="is broken"):
        again = store.run(TINY, show=False)
    assert again.metrics["test_accuracy"] == result.metrics["test_accuracy"]
    assert (result.folder / "result.broken").exists()


def test_a_digit_changed_in_a_result_shows() -> None:
    """Even where what it says could be."""
    result = store.run(TINY, show=False)
    file = result.folder / "result.json"
    text = file.read_text()
    value = repr(result.metrics["test_accuracy"])
    file.write_text(text.replace(value, "9" + value[1:] if value[0] != "9" else "8" + value[1:]))
    with pytest.warns(UserWarning, match="digest"):
        assert find(TINY) is None


def test_results_of_older_versions_are_read() -> None:
    """They have no seal, no digests of files, code or data."""
    result = store.run(TINY, show=False)

    def older(whole: dict) -> None:
        del whole["files"], whole["env"]["made_of"]

    tamper(result.folder, older)
    assert find(TINY, weights=True).metrics == result.metrics


def test_what_is_undefined_is_null_in_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """And nan when it is read."""
    trained = loop.fit(TINY, show=False)
    trained.history[0]["weight_mean_clean"] = math.nan
    trained.metrics["per_class_accuracy"][0] = math.nan
    monkeypatch.setattr(compute, "fit", lambda *_, **__: trained)
    store.run(TINY, show=False)
    found = find(TINY)
    assert "NaN" not in (found.folder / "result.json").read_text()
    assert math.isnan(found.history[0]["weight_mean_clean"])
    assert math.isnan(found.metrics["per_class_accuracy"][0])


def test_a_training_whose_last_step_is_nan_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its losses were finite; what it leaves is not."""

    @dataclass(frozen=True)
    class Breaking(PlainLoss):
        def loss(self, logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            loss = torch.nn.functional.cross_entropy(logits, y, reduction="none")
            return loss + 0 * torch.where(logits.detach()[:, 0] > -1e9, logits[:, 0] * 0, 0).sqrt()

    OBJECTIVES.register("breaking", Breaking)
    config = replace(TINY, objective=Breaking(), batch_size=200, epochs=1)
    with pytest.raises(NonFiniteLoss, match="not finite after epoch 0"):
        store.run(config, show=False)
    assert find(config) is None


@pytest.mark.parametrize("name", ["weights.safetensors", "epoch-2.safetensors"])
@pytest.mark.parametrize("how", ["flipped", "swapped", "missing"])
def test_damaged_weights_are_made_again(name: str, how: str) -> None:
    """Numbers stay what they are; weights are computed again where they are asked for."""
    config = replace(TINY, keep_last=2)
    result = store.run(config, show=False)
    file = result.folder / name
    right = file.read_bytes()
    if how == "missing":
        file.unlink()
    elif how == "swapped":
        other = store.run(config.with_seed(3), show=False)
        shutil.copy(other.folder / name, file)
    else:
        damaged = bytearray(right)
        damaged[-5] ^= 4
        file.write_bytes(damaged)
    assert find(config).metrics == result.metrics
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert find(config, weights=True) is None
        again = store.run(config, weights=True, show=False)
    assert again.metrics["test_loss"] == result.metrics["test_loss"]
    assert file.read_bytes() == right
    assert find(config, weights=True)


def killed_after(monkeypatch: pytest.MonkeyPatch, config: Any, rows: int) -> None:
    """Begin a run and stop it after so many rows."""
    count = 0

    def stop(self: Any, row: Any) -> None:
        nonlocal count
        count += 1
        if count == rows:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("nslab.runs.loggers.RunLog.__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            store.run(config, show=False)


@pytest.mark.parametrize("config", [replace(TINY, epochs=4), EVOLUTION], ids=["train", "evolve"])
def test_a_damaged_checkpoint_is_set_aside(config: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run begins afresh and ends as it would have."""
    whole = store.run(config, show=False)
    shutil.rmtree(whole.folder)
    for needed in config.requires():
        store.run(needed, weights=True, show=False)
    killed_after(monkeypatch, config, 2)
    name = "checkpoint.pt" if config is not EVOLUTION else "evolution.pt"
    file = whole.folder / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.warns(UserWarning, match=r"starts again: it is kept as"):
        again = store.run(config, show=False)
    assert again.metrics["test_loss"] == whole.metrics["test_loss"]
    assert (whole.folder / f"{name}.broken").exists()


def test_a_checkpoint_that_does_not_fit_is_no_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network has changed, and nothing was written down of its code."""

    def network(width: int) -> None:
        NETWORKS.pop("wide", None)
        NETWORKS["wide"] = lambda shape, classes: torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(1024, width), torch.nn.Linear(width, classes)
        )

    network(4)
    config = replace(TINY, network="wide", epochs=4)
    killed_after(monkeypatch, config, 2)
    network(6)
    (store.folder_of(config) / "stretches.json").unlink()
    with pytest.warns(UserWarning, match="does not fit"):
        assert store.run(config, show=False).metrics["epochs"] == 4


def test_code_that_changes_under_a_half_done_run_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was begun with the old loss is set aside; the end is that of the new one alone."""
    config = replace(TINY, objective=loss_class(1.0)(), epochs=4)
    killed_after(monkeypatch, config, 2)
    config = replace(TINY, objective=loss_class(0.5)(), epochs=4)
    with pytest.warns(UserWarning, match="was started before objective scaled changed"):
        found = store.run(config, show=False)
    shutil.rmtree(found.folder)
    assert store.run(config, show=False).metrics["test_loss"] == found.metrics["test_loss"]
    assert "stretches" not in found.env


@pytest.mark.parametrize("config", [replace(TINY, epochs=4), EVOLUTION], ids=["train", "evolve"])
def test_data_that_change_under_a_half_done_run_are_noticed(
    config: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two stretches."""
    killed_after(monkeypatch, config, 2)
    (tmp_path / "other").mkdir()
    rotated(tmp_path / "other")
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "other"))
    with pytest.warns(UserWarning, match="was started before data of digits changed"):
        store.run(config, show=False)


def test_data_that_change_while_a_run_computes_fail_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one stretch."""
    (tmp_path / "mine").mkdir()
    load("digits", tmp_path / "mine")
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "mine"))
    fit = compute.fit

    def and_replaced(*args: Any, **more: Any) -> Any:
        trained = fit(*args, **more)
        rotated(tmp_path / "mine")
        return trained

    monkeypatch.setattr(compute, "fit", and_replaced)
    with pytest.raises(ValueError, match="data of digits changed while the run was computed"):
        store.run(TINY, show=False)
    assert find(TINY) is None


def test_every_stretch_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was taken up has threads, versions and data of each go."""
    config = replace(TINY, epochs=4)
    killed_after(monkeypatch, config, 2)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        env = store.run(config, show=False).env
    finally:
        torch.set_num_threads(before)
    assert [stretch["threads"] for stretch in env["stretches"]] == [before, before + 1]
    assert all({"begun", "versions", "made_of"} <= stretch.keys() for stretch in env["stretches"])
    assert "stretches" not in store.run(TINY, show=False).env
    assert not (store.folder_of(config) / "stretches.json").exists()


def test_how_many_were_looked_up_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """By where they were found."""
    store.run(TINY, show=False)
    store.run_all([TINY, TINY.with_seed(5)], show=True)
    assert "1 of 2 runs looked up (1 stored), 1 to compute" in capsys.readouterr().out


def test_an_identity_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of thousands of runs asks for it again and again."""
    config = replace(TINY, seed=11)
    first = config.id
    monkeypatch.setattr("nslab.configs.protocol.identity", lambda config: pytest.fail("again"))
    assert config.id == first


def test_a_run_folder_may_hold_anything(tmp_path: Path) -> None:
    """Files and folders that are no runs are passed over."""
    result = store.run(TINY, show=False)
    (result.folder.parent / "notes.txt").write_text("mine")
    os.mkdir(result.folder.parent / "empty")
    assert result.id in {found.id for found in every_run()}


def test_a_loss_that_counts_is_no_other_code_by_the_end(tmp_path: Path) -> None:
    """In a plug-in its globals may move while it runs; an edit is still seen."""
    file = tmp_path / "counting_loss.py"

    def write(scale: float) -> Any:
        file.write_text(
            "from dataclasses import dataclass\n"
            "from torch.nn.functional import cross_entropy\n"
            "from nslab import OBJECTIVES\n"
            "from nslab.objectives.weighted import PlainLoss\n"
            "CALLS, CACHE = 0, {}\n"
            "@OBJECTIVES.register\n"
            "@dataclass(frozen=True)\n"
            "class Counting(PlainLoss):\n"
            "    key = 'counting'\n"
            "    def loss(self, logits, y):\n"
            "        global CALLS\n"
            "        CALLS += 1\n"
            "        CACHE[CALLS] = len(y)\n"
            f"        return {scale} * cross_entropy(logits, y, reduction='none')\n"
        )
        return replace(TINY, objective=nslab.use(file).Counting())

    config = write(1.0)
    assert store.run(config, show=False).origin == "computed"
    assert find(config)
    assert find(write(0.5)) is None


def test_stretches_that_are_damaged_set_the_checkpoint_aside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else what was begun with another loss would go on, and nobody would know."""
    config = replace(TINY, objective=loss_class(1.0)(), epochs=4)
    killed_after(monkeypatch, config, 2)
    (store.folder_of(config) / "stretches.json").write_text("{")
    config = replace(TINY, objective=loss_class(0.5)(), epochs=4)
    with pytest.warns(UserWarning, match="has lost the record of its origin"):
        found = store.run(config, show=False)
    shutil.rmtree(found.folder)
    assert store.run(config, show=False).metrics["test_loss"] == found.metrics["test_loss"]
