"""What a method makes of a population, as a run of the store."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.evolve import Init
from nslab.configs.selection import SELECTION, ModelSelection
from nslab.evolve import EVOLVERS
from nslab.networks import build_network
from nslab.neuroevolution.averaging import average
from nslab.neuroevolution.baselines import GreedySoup, Parents, Vote, WeightAverage
from nslab.neuroevolution.evolution import CHECKPOINT
from nslab.runs import evolve_run, evolve_setup, store

BASE = TrainConfig(network="resnet8", epochs=6, lr=0.05, batch_size=64, hold_out=150)
SMALL = TrainConfig(network="mlp", epochs=6, lr=0.05, batch_size=64, hold_out=150)
EVOLUTION = EvolveConfig(SMALL, size=6, batches=3, generations=2, batch_size=200)


def states(config: EvolveConfig) -> list[dict[str, torch.Tensor]]:
    """The parents' weights."""
    return store.weights_of(config.parents(), show=False)


def plain(row: dict[str, Any]) -> dict[str, Any]:
    """Without the time it took."""
    return {k: v for k, v in row.items() if k != "seconds"}


def test_evolution_chooses_by_held_out_samples() -> None:
    """The result is the best of parent and batches there; its test numbers are its own."""
    result = store.run(EVOLUTION, show=False)
    assert result.folder is not None
    looks = [row for row in result.history if "held_out_loss" in row]
    assert [row["batch"] for row in looks] == [0, 1, 2]
    assert all(row["diversity"] > 0 for row in looks)
    there = evolve_setup.EvolveSetup(EVOLUTION)
    _, start = evolve_run.best_parent(there, states(EVOLUTION))
    ranks = [SELECTION.key(row) for row in (start, *looks)]
    assert result.metrics["chosen_batch"] == ranks.index(max(ranks))
    model = build_network("mlp", (1, 32, 32), 10, 0)
    model.load_state_dict(load_file(result.folder / "weights.safetensors"))
    assert there.test(model)["test_accuracy"] == result.metrics["test_accuracy"]
    assert there.held_out(model)["held_out_loss"] == pytest.approx(result.metrics["held_out_loss"])
    assert not (result.folder / CHECKPOINT).exists()
    assert store.find(EVOLUTION) == store.run(EVOLUTION, show=False)


def test_parent_is_the_result_where_evolution_harms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch 0: the best parent, with its numbers."""
    monkeypatch.setattr(ModelSelection, "key", lambda _, row: row.get("batch", 9.0))
    parents = states(EVOLUTION)
    made = evolve_run.run_evolution(EVOLUTION, parents, show=False)
    assert made.metrics["chosen_batch"] == 0
    assert made.metrics["test_accuracy"] == made.metrics["start_test_accuracy"]


def test_interrupted_and_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same numbers and the same network, also where the best batch lies before the break."""

    class Stop(Exception):
        pass

    parents = states(EVOLUTION)
    # it falls from batch to batch, so the first one is chosen
    monkeypatch.setattr(ModelSelection, "key", lambda _, row: row.get("diversity", 0.0))
    whole = evolve_run.run_evolution(EVOLUTION, parents, show=False)
    look, seen = evolve_setup.EvolveSetup.held_out, []

    def stopping(self: evolve_setup.EvolveSetup, network: torch.nn.Module) -> dict:
        seen.append(1)
        if len(seen) == 6 + 3:  # parents, two batches, and the third
            raise Stop
        return look(self, network)

    with monkeypatch.context() as patch:
        patch.setattr(evolve_setup.EvolveSetup, "held_out", stopping)
        with pytest.raises(Stop):
            evolve_run.run_evolution(EVOLUTION, parents, tmp_path, show=False)
    assert (tmp_path / evolve_run.BEST.format(1)).exists()
    again = evolve_run.run_evolution(EVOLUTION, parents, tmp_path, show=False)
    assert plain(again.metrics) == plain(whole.metrics)
    assert again.metrics["chosen_batch"] == 1
    assert again.history == whole.history
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], tensor), name


def test_without_held_out_samples_the_last_counts() -> None:
    """Nothing to choose by."""
    config = replace(EVOLUTION, base=replace(SMALL, hold_out=0))
    made = evolve_run.run_evolution(config, states(config), show=False)
    assert made.metrics["chosen_batch"] == 3
    assert made.metrics["test_accuracy"] == made.metrics["last_test_accuracy"]
    assert "held_out_accuracy" not in made.metrics
    for method in (Parents("best"), GreedySoup()):
        with pytest.raises(ValueError, match="set hold_out"):
            replace(config, method=method)


def test_rivals_are_what_they_say() -> None:
    """Mean and best of the parents, the mean network, the vote: each computed by hand."""
    config = replace(EVOLUTION, method=Parents())
    found, parents = states(config), evolve_setup.EvolveSetup(config)
    networks = []
    for state in found:
        networks.append(build_network("mlp", (1, 32, 32), 10, 0))
        networks[-1].load_state_dict(state)
    accuracies = [parents.test(network)["test_accuracy"] for network in networks]
    made = evolve_run.run_evolution(config, found, show=False)
    assert made.metrics["test_accuracies"] == accuracies
    assert made.metrics["test_accuracy"] == pytest.approx(sum(accuracies) / 6)
    held = [parents.score(network) for network in networks]
    best = evolve_run.run_evolution(replace(config, method=Parents("best")), found, show=False)
    assert best.metrics["test_accuracy"] == accuracies[held.index(max(held))]
    mean = build_network("mlp", (1, 32, 32), 10, 0)
    mean.load_state_dict(average(found))
    averaged = evolve_run.run_evolution(replace(config, method=WeightAverage()), found, show=False)
    assert averaged.metrics["test_accuracy"] == parents.test(mean)["test_accuracy"]
    voted = evolve_run.run_evolution(replace(config, method=Vote()), found, show=False)
    y = parents.tests.y
    probabilities = sum(
        torch.cat([network(b.x).softmax(1) for b in parents.tests.in_order()])
        for network in networks
    )
    right = (torch.as_tensor(probabilities).argmax(1) == y).double().mean()
    assert voted.metrics["test_accuracy"] == pytest.approx(100 * float(right))


def test_statistics_of_an_average_are_estimated_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """With BatchNorm, and from augmented batches; a soup is scored with them."""
    monkeypatch.setattr(evolve_setup, "CALIBRATION", 5)
    base = replace(BASE, augment="crop", epochs=2)
    config = replace(EVOLUTION, base=base, size=2, method=WeightAverage())
    found, there = states(config), evolve_setup.EvolveSetup(config)
    shown = list(there.calibration())
    assert len(shown) == evolve_setup.CALIBRATION
    assert not torch.equal(shown[0], shown[1])
    assert there.statistics.augment == "crop"
    made = evolve_run.run_evolution(config, found, show=False)
    plainly = average(found)
    name = next(k for k in plainly if k.endswith("running_var"))
    assert not torch.allclose(made.model.state_dict()[name], plainly[name], rtol=1e-3)
    weight = next(k for k in plainly if k.endswith("weight"))
    assert torch.equal(made.model.state_dict()[weight], plainly[weight])
    soup = evolve_run.run_evolution(replace(config, method=GreedySoup()), found, show=False)
    assert soup.metrics["test_accuracy"] > 30


@pytest.mark.parametrize(
    "init", ["init_rs", "init_hp", "init_hp_top_k", "noise", "random", "pretrained"]
)
def test_initial_populations(init: Init) -> None:
    """Each of the wished size and form; noise is about the pretrained network."""
    ancestor = replace(SMALL, epochs=1)
    base = replace(SMALL, epochs=2 if init == "noise" else 1, ancestor=ancestor)
    size = 1 if init == "pretrained" else 2
    config = replace(EVOLUTION, base=base, init=init, size=size, method=Parents())
    found = evolve_setup.population(config, states(config))
    assert len(found) == config.size
    begin = store.weights_of(base.parents(), show=False)[0]
    if init == "pretrained":
        assert all(torch.equal(found[0][k], v) for k, v in begin.items())
    else:
        assert not torch.equal(found[0]["1.weight"], found[1]["1.weight"])
    if init == "noise":
        gap = (found[0]["1.weight"] - begin["1.weight"]).abs().mean()
        assert 0 < gap < (found[0]["1.weight"]).abs().mean()


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"size": 5}, "at least 6"),
        ({"size": 7}, "6"),
        ({"method": SMALL}, "give a value of an evolver or a baseline"),
        ({"base": EVOLVERS["de"]}, "must be a TrainConfig"),
        ({"batches": 0}, "at least 1"),
        ({"init": "pretrained", "method": Parents()}, "size of 1"),
        ({"init": "noise", "size": 1, "method": Parents()}, "no spread"),
    ],
)
@pytest.mark.usefixtures("as_users_call")
def test_impossible_wishes(wrong: dict[str, Any], words: str) -> None:
    """A clear error before anything is trained."""
    with pytest.raises((ValueError, TypeError), match=words):
        replace(EVOLUTION, **wrong)


def test_recalibrating_evolution(monkeypatch: pytest.MonkeyPatch) -> None:
    """The policy has its batches: statistics are estimated from so many."""
    monkeypatch.setattr(evolve_setup, "CALIBRATION", 2)
    config = replace(
        EVOLUTION,
        base=replace(BASE, hold_out=0),
        init="random",
        policy="recalibrate",
        batches=1,
        generations=1,
        batch_size=32,
    )
    made = evolve_run.run_evolution(config, states(config), show=False)
    statistics = made.model.state_dict()
    counted = next(k for k in statistics if k.endswith("num_batches_tracked"))
    assert statistics[counted] == 2


def test_runs_without_weights_of_their_own_are_found() -> None:
    """An ensemble has none: asked for with weights, it is looked up all the same."""
    config = replace(EVOLUTION, method=Vote())
    first = store.run(config, weights=True, show=False)
    assert first.origin == "computed"
    assert store.run(config, weights=True, show=False).origin == "stored"
    assert first.folder is not None
    assert not (first.folder / "weights.safetensors").exists()


def test_batches_of_fitness_have_one_size() -> None:
    """The rest of an epoch is left for the next, so that selection never rests on a few samples."""
    there = evolve_setup.EvolveSetup(replace(EVOLUTION, batch_size=700))
    assert {len(there.batches.nth(k).y) for k in range(3)} == {700}
    whole = evolve_setup.EvolveSetup(replace(EVOLUTION, batch_size=10**6))
    assert len(whole.batches.nth(1).y) == 1294 - 150


def test_parents_come_first_in_processes_of_their_own() -> None:
    """Forced with several jobs, a population is made of the forced parents; where a parent fails
    its population says so, and the others go on."""
    broken = replace(SMALL, lr=1e30, seed=5)
    hopeless, good = replace(EVOLUTION, base=broken, method=Vote()), replace(SMALL, seed=6)
    with pytest.raises(store.RunsFailed, match=r"its parent .* failed") as error:
        store.run_all([hopeless, good], jobs=2, show=False)
    assert hopeless.id in error.value.failed
    assert store.find(good) is not None
    config = replace(EVOLUTION, method=WeightAverage())
    parent = config.parents()[0].config
    for force in (False, True):
        trained, made = store.run_all([parent, config], jobs=2, force=force, show=False)
        assert trained.env["finished"] <= made.env["finished"]
