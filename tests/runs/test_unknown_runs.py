"""Runs of classes and data that are gone: shown greyed, passed over, in nobody's way."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from plugin_helpers import as_before, write_plugin
from typer.testing import CliRunner

import nslab
from nslab import TrainConfig, compare, run
from nslab.analysis import ledger
from nslab.cli import app
from nslab.explore.results.panel import Results, finished_runs
from nslab.runs.estimates import Estimates, finished_here
from nslab.runs.portability import known_config
from nslab.runs.results import every_run
from nslab.system.paths import arrays_dir

SOURCE = """from dataclasses import dataclass
from torch import nn
from nslab.datasets import DATASETS
from nslab.networks import NETWORKS
from nslab.objectives import OBJECTIVES, Focal

@OBJECTIVES.register
@dataclass(frozen=True)
class Gone(Focal):
    key = "gone_loss"

@NETWORKS.register("gone_net")
def net(shape, classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(shape[0] * shape[1] * shape[2], classes))

DATASETS["gone_data"] = DATASETS["digits"]
"""
SMALL = {"epochs": 1, "train_size": 100, "batch_size": 50}


@pytest.fixture
def ids(tmp_path: Path) -> dict[str, str]:
    """Runs by what is gone of each; a plug-in is, a folder of images, and arrays."""
    images = tmp_path / "images"
    draws = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in "ab":
            (images / part / name).mkdir(parents=True)
            for i in range(4):
                pixels = draws.integers(0, 255, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(images / part / name / f"{i}.png")
    x, y = draws.integers(0, 255, (40, 8, 8), dtype=np.uint8), np.arange(40) % 2
    arrays = nslab.add_arrays((x, y), (x, y), "mine")
    with as_before(tmp_path):
        module = nslab.use(write_plugin(tmp_path, "gone_plugin", SOURCE))
        loss = module.Gone()  # type: ignore[attr-defined]
        made = {
            "loss": TrainConfig("digits", "mlp", objective=loss, **SMALL),
            "network": TrainConfig("digits", "gone_net", **SMALL),
            "data": TrainConfig("gone_data", "mlp", **SMALL),
            "folder": TrainConfig(f"folder:{images}", "mlp", epochs=1, batch_size=4, image_size=16),
            "arrays": TrainConfig(arrays, "mlp", epochs=1, batch_size=20),
            "nothing": TrainConfig("digits", "mlp", **SMALL),
        }
        ids = {what: run(config, show=False).id for what, config in made.items()}
    shutil.rmtree(images)
    shutil.rmtree(arrays_dir())
    return ids


@pytest.mark.slow
def test_what_is_gone(ids: dict[str, str]) -> None:
    """The explorer lists it, what is unknown, and the plug-in that made it; the ledger, a dry run
    with its estimates, and a comparison do without it."""
    stored = [result for result in every_run() if result.origin == "stored"]
    known = {result.id for result in stored if known_config(result.config)}
    assert {ids[what] for what in ("folder", "arrays", "nothing")} == known
    table = finished_runs(stored)
    assert set(table["run"]) == known
    greyed = {line["run"]: line for line in table.attrs["unknown"]}
    for what, said in {
        "loss": "unknown kind of config 'gone_loss'; ",
        "network": "unknown network 'gone_net'; ",
        "data": "unknown data set 'gone_data'; ",
    }.items():
        line = greyed.pop(ids[what])
        assert line["unknown"].startswith(said)
        assert "made with the plug-in gone_plugin (digest" in line["unknown"]
        assert line["seed"] == 2024
    assert not greyed
    panel = Results("ns/first")
    assert "3 more, greyed, are of a class or data set unknown here" in panel.status.text
    assert panel.listed.widget.value.count("gone_plugin") == 3
    panel.experiment.value = "all"
    panel.filters["method"].value = "ce"
    assert panel.listed.widget.value.count("gone_plugin") == 2
    assert len(ledger.build_ledger(("ns",)))
    Estimates(finished_here())
    assert set(compare("ns/first", stored)["n"]) <= {0, 1}
    dry = CliRunner().invoke(app, ["run", "ns/first", "--dry-run"])
    assert dry.exit_code == 0
    assert "to do" in dry.output
