"""What tables expect of any experiment: a new entry of EXPERIMENTS is bound by these."""

import pytest

from nslab import compare, experiment
from nslab.analysis.measures import measure_of
from nslab.configs import RunConfig, decode, encode
from nslab.experiments import EXPERIMENTS, PRESETS
from nslab.papers.tables import paper_table
from nslab.runs.store import Result
from nslab.system.provenance import source_digest


def result(config: RunConfig, value: float) -> Result:
    """A finished run, made up."""
    numbers = {exp.measure for exp in EXPERIMENTS.values()} | {"test_accuracy", "test_top5"}
    row = dict.fromkeys(numbers, value)
    return Result(config.id, encode(config), row, [], {"source": source_digest()})


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_runs_of_smoke_are_configs(name: str) -> None:
    """Each comes back from its JSON, has another id with another seed unless the seed changes
    nothing, and requires runs."""
    for config in experiment(name).plan("smoke"):
        assert isinstance(config, RunConfig)
        assert decode(encode(config)) == config
        assert config.seedless or config.with_seed(config.seed + 1).id != config.id
        assert all(isinstance(before, RunConfig) for before in config.requires())
        assert config.cost() > 0
        assert config.label()
        assert config.columns()["seed"] == config.seed or config.seedless
        assert config.kin()


# Presets of experiments that are smoke's runs with more seeds.
MORE_SEEDS = {"edl/rates": ("cpu", "paper"), "edl/transfer": ("cpu",)}


@pytest.mark.slow
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_can_be_planned(name: str) -> None:
    """All presets give distinct runs whose rows have the paper's key columns; the paper preset
    covers rows of the paper's table."""
    exp = experiment(name)
    for preset in PRESETS:
        configs = exp.plan(preset)
        assert len({c.id for c in configs}) == len(configs) > 0
        expected = "smoke" if preset in MORE_SEEDS.get(name, ()) else preset
        assert exp.preset_of(configs[0], PRESETS) == expected
    assert exp.plan("smoke", seeds="7")[0].seed == 7
    if exp.table:
        table = paper_table(f"{name.partition('/')[0]}/{exp.table}")
        keys = list(exp.row(exp.plan("paper")[0]))
        assert keys == list(table.columns[: len(keys)])
        if exp.measure.endswith("_errors"):
            return  # each number has keys of its own: tests/analysis/test_robustness.py
        runs = [result(c, 1.0) for c in exp.plan("paper")]
        compared = compare(name, runs, measure_of(exp.measure)(runs))
        assert compared["delta"].notna().any() == exp.comparable
