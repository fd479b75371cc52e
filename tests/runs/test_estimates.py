"""How long runs will take, from finished ones."""

from dataclasses import replace

import pytest

from nslab.configs import EvolveConfig, RunConfig, TrainConfig
from nslab.configs.serialization import encode
from nslab.datasets import dataset_of
from nslab.evolve import EVOLVERS
from nslab.neuroevolution.baselines import WeightAverage
from nslab.objectives import NS, Focal
from nslab.runs.estimates import STARTING, Estimates, finished_here
from nslab.runs.probe import probed_seconds
from nslab.system.provenance import environment

BASE = TrainConfig(network="lenet5", epochs=10)


def run(config: RunConfig, seconds: float, **metrics: float) -> dict:
    """A finished run."""
    return {"config": encode(config), "metrics": metrics | {"seconds": seconds}, "env": {}}


def test_scaled_by_epochs() -> None:
    """The median of runs alike, per epoch that they really took."""
    known = [run(replace(BASE, seed=s), 20.0 + s, epochs=10) for s in (0, 1, 2)]
    estimates = Estimates(known)
    assert estimates.of(replace(BASE, epochs=100)) == pytest.approx(STARTING + 210)
    assert estimates.of(replace(BASE, network="lenet1")) is None
    assert estimates.of(replace(BASE, dataset="mnist")) is None


def test_the_closest_kin_counts() -> None:
    """Another objective's seconds only where there are none of its own."""
    estimates = Estimates(
        [run(BASE, 20, epochs=10), run(replace(BASE, objective=NS()), 40, epochs=10)]
    )
    assert estimates.of(BASE) == STARTING + 20
    assert estimates.of(replace(BASE, objective=NS(sigma=2.0))) == STARTING + 40
    assert estimates.of(replace(BASE, objective=Focal())) == STARTING + 30


def test_early_stopping() -> None:
    """As many epochs as others took; all of them before there are others."""
    patient = replace(BASE, epochs=100, hold_out=10, patience=5)
    assert Estimates([run(BASE, 20, epochs=10)]).of(patient) == STARTING + 200
    known = [run(replace(patient, seed=1), 60, epochs=30)]
    assert Estimates(known).of(patient) == STARTING + 60


def test_evolutions_and_combinations() -> None:
    """By what is scored; a weight average takes what it took."""
    base = replace(BASE, epochs=20)
    evolved = EvolveConfig(base, size=8, method=EVOLVERS["de"], batches=2, generations=4)
    estimates = Estimates([run(evolved, 30), run(replace(evolved, method=WeightAverage()), 2)])
    assert estimates.of(replace(evolved, batches=20)) == pytest.approx(STARTING + 300)
    assert estimates.of(replace(evolved, method=WeightAverage())) == STARTING + 2


def test_other_devices_and_old_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs of another device say nothing here; configs that cannot be read are left out."""
    old = encode(BASE)
    for younger in ("sampler", "train_size", "patience"):
        del old[younger]
    here = environment()["device"]
    every = [
        {"config": old, "metrics": {"seconds": 20, "epochs": 10}, "env": {"device": here}},
        {"config": old, "metrics": {"seconds": 1, "epochs": 10}, "env": {"device": "GPU"}},
        {"config": {"@": "gone"}, "metrics": {"seconds": 1}, "env": {"device": here}},
        {"config": old, "metrics": {}, "env": {"device": here}},
    ]
    monkeypatch.setattr("nslab.runs.estimates.frozen.runs", lambda: dict(enumerate(every)))
    found = finished_here()
    assert len(found) == 3
    assert Estimates(found).of(BASE) == STARTING + 20


def test_a_batch_has_all_images_of_a_folder_at_most() -> None:
    """A larger one takes no longer, once a step of the network is timed."""
    base = TrainConfig("digits_folder", "resnet8", epochs=6, hold_out=100)
    layout = dataset_of(base.dataset).layout
    whole = EvolveConfig(base, "last_epochs", size=6, batch_size=layout.train - 100)
    larger = replace(whole, batch_size=10 * whole.batch_size)
    assert probed_seconds(larger) == pytest.approx(probed_seconds(whole))
