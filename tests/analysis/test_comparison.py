"""Lines of runs: what is averaged, what is missing of it, and differences to the baseline."""

import dataclasses
import math
from typing import Any

import pytest

from nslab.analysis.comparison import baseline_differences, lines_of
from nslab.analysis.measures import final_number, measure_of
from nslab.analysis.paper_tables import compare, readable
from nslab.configs import EvolveConfig, TrainConfig
from nslab.configs.serialization import encode
from nslab.experiments import EXPERIMENTS, PRESETS, experiment
from nslab.experiments.de.presets import evolved, pretrained
from nslab.experiments.definition import precision_of, size_of
from nslab.runs.store import Result
from nslab.system.provenance import source_digest


def result(config: Any, number: float = 80.0, metric: str = "test_accuracy") -> Result:
    """A finished run with a made-up number."""
    env = {"source": source_digest()}
    return Result(config.id, encode(config), {metric: number, "test_accuracy": number}, [], env)


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, exp in EXPERIMENTS.items() if exp.baseline])
def test_the_baseline_is_a_row_of_the_experiment(name: str) -> None:
    """Its columns are the row's, and rows are paired with it at smoke and at the paper's size."""
    exp = experiment(name)
    for preset in ("smoke", "paper"):
        plan = exp.plan(preset)
        assert set(exp.baseline) <= set(exp.row(plan[0]))
        runs = [result(c, metric=exp.measure) for c in plan]
        numbers = measure_of(exp.measure)(runs) if "top5" in exp.measure else None
        known = final_number(exp.measure, runs) if numbers is None else numbers
        lines = lines_of(exp, runs, known)
        found = baseline_differences(exp, lines)
        assert found
        assert {number for pairs in found.values() for number in pairs} == {0.0}
        seeds = {len(line.values) for line in lines}
        assert max(map(len, found.values())) == max(seeds)


def test_pairs_share_a_seed() -> None:
    """A seed that only one of the two has gives none; a single pair has no sd."""
    plan = experiment("ns/table5").plan("smoke", seeds=(1, 2, 3), methods=("ce", "ns_lf"))
    numbers = [80.0, 82.0, 70.0, 75.0, 90.0]  # ce, ns_lf of seeds 1 and 2, ce of seed 3
    runs = [result(c, a) for c, a in zip(plan, numbers, strict=False)]
    table = compare("ns/table5", runs).set_index("method")
    lf = table[table["n"] > 0].loc["ns_lf"]
    assert (lf["difference"], lf["difference_n"], lf["against"]) == (3.5, 2, "ce")
    assert lf["difference_sd"] == pytest.approx(math.sqrt(4.5))
    one = compare("ns/table5", runs[:2])
    shown = readable(one[one["n"] > 0])
    assert shown["minus ce"].tolist() == ["", "+2.00 (n = 1)"]


def test_a_pretrained_network_is_every_seeds_baseline() -> None:
    """It is run once."""
    plan = experiment("de/table1").plan("smoke", methods=("pretrained", "wa"))
    assert [c.init for c in plan] == ["pretrained", "last_epochs", "last_epochs"]
    runs = [result(c, a) for c, a in zip(plan, (90.0, 91.0, 93.0), strict=True)]
    table = compare("de/table1", runs).query("n > 0").set_index("method")
    assert table.loc["wa", ["difference", "difference_n"]].tolist() == [2.0, 2]


def test_custom_runs_are_paired_in_one_setting_only() -> None:
    """A method trained for longer than the baseline is not set against it; runs of one row in
    several settings are said."""
    plan = experiment("ns/table5").plan("smoke", seeds=(1,), methods=("ce", "anl"), epochs=3)
    alike = [result(c, 50.0 + i) for i, c in enumerate(plan)]
    table = compare("ns/table5", alike)
    assert table["difference"].dropna().tolist() == [1.0]  # ANL has a weight decay of its own
    longer = result(dataclasses.replace(plan[1], epochs=4), 60.0)
    assert compare("ns/table5", [alike[0], longer])["difference_n"].max() == 0
    mixed = compare("ns/table5", [*alike, longer]).set_index("method").loc["anl"]
    assert mixed["note"].tolist()[0] == "mean of 2 settings"


def test_a_part_of_a_mean_is_marked_and_has_no_delta() -> None:
    """Table IX averages over factors or networks: all of them or no difference."""
    exp = experiment("ns/table9")
    plan = [c for c in exp.plan("paper", seeds=(1,)) if c.dataset == "cifar10"]
    tailed = [c for c in plan if c.imbalance > 1]
    for count in range(1, 5):
        table = compare("ns/table9", [result(c) for c in tailed[:count]])
        line = table.iloc[0]
        assert line["dataset"] == "cifar10_lt"
        assert line["part"] == ("" if count == 4 else f"{count} of 4 factors")
        assert math.isnan(line["delta"]) == (count < 4)
    assert (
        "(n = 1, paper; 1 of 4 factors)"
        in readable(compare("ns/table9", [result(tailed[0])])).iloc[0]["ours"]
    )
    small = [c for c in exp.plan("cpu", seeds=(1,)) if c.imbalance == 1]
    assert compare("ns/table9", [result(c) for c in small]).iloc[0]["part"] == "0 of 4 networks"
    fifth = compare("ns/table9", [result(c) for c in plan if c.imbalance == 1]).iloc[0]
    assert (fifth["part"], math.isnan(fifth["delta"])) == ("", True)
    assert "fifth network" in fifth["note"]


def numerics(config: Any) -> list[Any]:
    """The same run computed, or looked at, in other ways."""
    ways: list[dict[str, Any]] = [{"precision": "bf16"}, {"channels_last": False}]
    ways += [{"compile": True}, {"eval_every": 2}]
    return [dataclasses.replace(config, **way) for way in ways]


def test_numerics_leave_a_run_its_preset() -> None:
    """In training, of an evolution's base and of its fitness: the paper's setting still."""
    exp = experiment("ns/table7")
    for config in numerics(exp.plan("paper")[0]):
        assert exp.preset_of(config, PRESETS) == "paper"
    evolutions = experiment("de/table2")
    whole = evolutions.plan("paper")[-1]
    assert isinstance(whole, EvolveConfig)
    for base in numerics(whole.base):
        if base.precision == "bf16":
            assert evolutions.preset_of(dataclasses.replace(whole, base=base), PRESETS) == "paper"
    fast = dataclasses.replace(whole, precision="bf16")
    assert evolutions.preset_of(fast, PRESETS) == "paper"
    assert evolutions.preset_of(dataclasses.replace(whole, size=8), PRESETS) == "custom"


def test_every_plan_takes_numerics() -> None:
    """For its trainings and those they need; a value of a wrong type and any other word do not."""
    plan = experiment("ns/table5").plan("paper", seeds=(1,), precision="bf16", eval_every="5")
    assert {(config.precision, config.eval_every) for config in plan} == {("bf16", 5)}
    assert {experiment("ns/table5").preset_of(config, PRESETS) for config in plan} == {"paper"}
    for run in experiment("de/table2").plan("smoke", precision="bf16"):
        assert run.precision == run.base.precision == "bf16"
        assert run.base.ancestor.precision == "bf16"
    assert experiment("ns/table5").plan("cpu") == experiment("ns/table5").plan(
        "cpu", precision="no"
    )
    for wrong in ({"precision": "bf8"}, {"eval_every": "often"}, {"precisoin": "bf16"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            experiment("ns/table5").plan("cpu", **wrong)


def test_an_epoch_chosen_among_fewer_is_another_run() -> None:
    """With held-out samples, how often they are looked at decides which epoch is reported."""
    config = TrainConfig(hold_out=100)
    rarer = dataclasses.replace(config, eval_every=2)
    assert size_of(rarer) != size_of(config)


def test_precisions_are_lines_of_their_own() -> None:
    """Each with a delta, and the note says which; other numerics share a line."""
    config = experiment("ns/table7").plan("paper")[0]
    fast, *others = numerics(config)
    runs = [result(config, 70.0), result(fast, 60.0), *(result(c, 90.0) for c in others)]
    table = compare("ns/table7", runs)
    table = table[table["n"] > 0]
    assert table["ours"].tolist() == [70.0, 60.0], "of one seed the first run counts"
    assert table["n"].tolist() == [1, 1]
    assert table["note"].tolist() == ["", "bf16"]
    assert table["delta"].tolist() == pytest.approx([2.5, -7.5])


def test_fast_scores_share_the_line_of_plain_ones() -> None:
    """Beside the same baseline, and the note says so; each run has an id of its own."""
    ce, ns = experiment("ns/table2").plan("cpu", seeds=(1,), methods=("ce", "ns_ws"))
    same, fast = experiment("ns/table2").plan(
        "cpu", seeds=(1,), methods=("ce", "ns_ws"), scores="fast"
    )
    assert (same.id, size_of(fast)) == (ce.id, size_of(ns))
    assert fast.id != ns.id
    table = compare("ns/table2", [result(ce, 70.0), result(fast, 72.0)])
    table = table[table["n"] > 0].set_index("method")
    assert table.loc["ns_ws", "difference"] == pytest.approx(2.0)
    assert table["preset"].tolist() == ["cpu", "cpu"]
    assert ["scores in bf16" in note for note in table["note"]] == [False, True]


def test_precision_in_words() -> None:
    """Of an evolution and the training of its parents."""
    base = pretrained("paper")
    fast = dataclasses.replace(base, precision="bf16")
    run = evolved("paper", base, "init_rs", "wa")
    assert precision_of(run) == ""
    assert precision_of(dataclasses.replace(run, precision="bf16")) == "bf16 after float32"
    after = evolved("paper", fast, "init_rs", "wa")
    assert precision_of(after) == "float32 after bf16"
    assert precision_of(dataclasses.replace(after, precision="bf16")) == "bf16"


def test_runs_at_chance_are_said() -> None:
    """All of a row's, or how many; evolutions by their base's data; a ranking has no chance."""
    plan = experiment("ns/table5").plan("smoke", seeds=(1, 2), methods=("ce", "aul"))
    runs = [result(c, a) for c, a in zip(plan, (80.0, 9.9, 12.0, 10.1), strict=True)]
    table = compare("ns/table5", runs)
    notes = table[table["n"] > 0].set_index("method")["note"].to_dict()
    assert notes == {"ce": "1 of 2 runs not above chance", "aul": "not above chance"}
    assert not result(evolved("smoke", pretrained("smoke"), "init_rs", "wa"), 10.0).learnt
    loss = experiment("edl/pretraining").plan("smoke")[0]
    assert result(loss, 0.5, "ranking_accuracy").learnt
