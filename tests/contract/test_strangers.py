"""What a stranger brings, each defined here, goes through store, table and figure like ours: a
loss, a network, a data set, an experiment over them, and a kind of run of their own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import nslab
from nslab.configs import RUN_KINDS, RunConfig, TrainConfig, decode, encode
from nslab.datasets import DATASETS, Dataset
from nslab.datasets.arrays import Arrays, Layout
from nslab.experiments import EXPERIMENTS, Experiment
from nslab.networks import NETWORKS
from nslab.objectives import OBJECTIVES
from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.weighted import PlainLoss
from nslab.plots import comparison, style
from nslab.runs.compute import COMPUTE, RunContext
from nslab.runs.estimates import Estimates
from nslab.runs.results import find
from nslab.system.validation import check_fields
from nslab.types import ImageShape, Labels, Logits, PerSample

SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class Doubt(PlainLoss):
    """``scale`` times 1 - p_y."""

    scale: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, positive=("scale",))

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Per sample."""
        return self.scale * (1 - of_label(log_probabilities(logits, y).exp(), y))


class Line(nn.Module):
    """One linear layer."""

    def __init__(self, shape: ImageShape, num_classes: int) -> None:
        super().__init__()
        self.head = nn.Linear(int(np.prod(shape)), num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits."""
        return self.head(x.flatten(1))


def halves(folder: Path, name: str) -> Arrays:
    """Noise whose upper or lower half is bright."""
    draw = np.random.default_rng(5)
    x = draw.integers(0, 150, (90, 8, 8, 1), dtype=np.uint8)
    y = np.arange(90) % 2
    x[y == 0, :4] += 80
    x[y == 1, 4:] += 80
    return Arrays(x[:60], y[:60], x[60:], y[60:])


def plan(
    preset: str, seeds: tuple[int, ...] = SEEDS, methods: tuple[str, ...] = ("ce", "doubt")
) -> list[TrainConfig]:
    """A method and a seed each."""
    losses = {"ce": nslab.CrossEntropy(), "doubt": Doubt(3.0)}
    return [
        TrainConfig("halves", "line", losses[method], epochs=3, lr=0.02, batch_size=20, seed=seed)
        for seed in seeds
        for method in methods
    ]


def method_of(config: TrainConfig) -> dict[str, str]:
    """Whose row it is."""
    return {"method": "doubt" if config.objective == Doubt(3.0) else "ce"}


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in its registry."""
    layout = Layout(60, 30, (8, 8, 1), 2)
    halved = Dataset(layout, (0.4,), (0.2,), ("upper", "lower"), halves)
    monkeypatch.setitem(DATASETS, "halves", halved)
    monkeypatch.setitem(NETWORKS, "line", Line)
    monkeypatch.setitem(OBJECTIVES, "doubt", Doubt)
    mine = Experiment("Halves", plan, method_of, baseline={"method": "ce"})
    monkeypatch.setitem(EXPERIMENTS, "mine/halves", mine)


@pytest.mark.usefixtures("brought")
def test_through_store_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs are kept and found, the table pairs seeds, the figure is drawn and saved."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "data"))
    configs = nslab.experiment("mine/halves").plan("smoke")
    results = nslab.run_all(configs, show=False)
    assert [find(config).metrics for config in configs] == [r.metrics for r in results]
    assert all(decode(encode(config)) == config for config in configs)
    assert {r.metrics["selected_by"] for r in results} == {"last"}
    table = nslab.compare("mine/halves", results)
    assert sorted(table["method"]) == ["ce", "doubt"]
    assert set(table["n"]) == {3}
    doubt = table.set_index("method").loc["doubt"]
    assert doubt["ours"] > 80
    assert "doubt" in nslab.readable(table).to_html()
    lines = [method_of(decode(r.config)) | {"seed": r.config["seed"]} for r in results]
    values = [
        line | {"value": r.metrics["test_accuracy"]} for line, r in zip(lines, results, strict=True)
    ]
    figure = comparison.methods(pd.DataFrame(values), "Doubt beside CE")
    files = style.save(figure, "mine_halves", "smoke", runs=results)
    assert all(file.stat().st_size for file in (files if isinstance(files, list) else [files]))
    assert nslab.run_all(configs, show=False)[0].origin == "stored"


@dataclass(frozen=True)
class Coin(RunConfig):
    """A kind of run that is neither training nor evolution: tosses of a coin, after a training."""

    kind: ClassVar = "coin"

    tosses: int = 10
    seed: int = 0

    def requires(self) -> list[RunConfig]:
        """A training, because it can."""
        return [plan("smoke", seeds=(1,), methods=("doubt",))[0]]


@dataclass(frozen=True)
class Tossed:
    """Heads, toss by toss."""

    metrics: dict[str, Any]
    history: list[dict[str, Any]]


def toss(config: Coin, context: RunContext) -> Tossed:
    """Compute it, row by row."""
    draws = np.random.default_rng(config.seed).integers(0, 2, config.tosses).tolist()
    rows = [{"epoch": e, "heads": d} for e, d in enumerate(draws)]
    for row in rows:
        context.log(row)
    return Tossed({"heads": sum(draws), "seconds": 1.0}, rows)


@pytest.mark.usefixtures("brought")
def test_a_kind_of_run_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth kind needs its class, its function and a line each."""
    monkeypatch.setenv("NSLAB_DATA", str(tmp_path / "data"))
    monkeypatch.setitem(RUN_KINDS, "coin", Coin)
    monkeypatch.setitem(COMPUTE, "coin", toss)
    coins = Experiment("Coins", lambda preset: [Coin(seed=s) for s in SEEDS], row, measure="heads")
    monkeypatch.setitem(EXPERIMENTS, "mine/coins", coins)
    configs = coins.plan("smoke")
    assert isinstance(configs[0], RunConfig)
    results = nslab.run_all(configs, show=False)
    assert [decode(r.config) for r in results] == configs
    assert find(configs[0].requires()[0]) is not None
    assert nslab.run(configs[0]).history == results[0].history
    assert len(results[0].history) == 10
    (line,) = nslab.compare("mine/coins", results).to_dict("records")
    heads = [r.metrics["heads"] for r in results]
    assert line["ours"] == pytest.approx(sum(heads) / 3)
    assert Estimates([{"config": results[0].config, "metrics": results[0].metrics}]).of(configs[1])
    assert len({c.id for c in configs}) == 3
    assert configs[0].with_seed(2) == Coin(seed=2)


def row(config: Coin) -> dict[str, Any]:
    """All in one row."""
    return {"tosses": config.tosses}
