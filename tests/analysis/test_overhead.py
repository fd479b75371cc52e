"""What NS costs: ratios by construction, tables by hand, memory of child processes."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from nslab.analysis import overhead
from nslab.analysis.overhead import (
    OVERHEAD_PRESETS,
    STAGES,
    Overhead,
    OverheadSetting,
    TimedVariant,
    measure,
    overhead_settings,
    variants,
)
from nslab.analysis.overhead_tables import cost_table, percent_table, stage_table
from nslab.analysis.paper_tables import beside, readable
from nslab.objectives import NS
from nslab.plots import style
from nslab.plots.overhead import step_by_stage
from nslab.system import timing
from nslab.system.timing import Times

SMALL = OverheadSetting("digits", "lenet5", batch_size=8, rounds=2, memory_of=())
LARGE = torch.zeros(0)


@dataclasses.dataclass(frozen=True)
class Wasteful:
    """Cross-entropy that takes memory on the side, to be found by a child process."""

    size: int

    def build(self, info: object) -> object:
        global LARGE
        LARGE = torch.ones(self.size // 4)
        return variants((2, 2))["ce"].objective.build(info)  # type: ignore[arg-type]


@dataclasses.dataclass(frozen=True)
class Broken:
    """Fails when built."""

    def build(self, info: object) -> object:
        raise ValueError("built to fail")


def times(*seconds: float) -> Times:
    """CPU times as given; twice that by the wall."""
    return Times(np.array(seconds, float), 2 * np.array(seconds, float))


def made(setting: OverheadSetting, device: str = "CPU of paper") -> Overhead:
    """By construction NS takes 10 % more in each round, 9 % of which are stages."""
    steps = {"ce": times(1, 2, 4), "ns_ws": times(1.1, 2.2, 4.4)}
    stages = dict(zip(STAGES, (times(0.01, 0.02, 0.04), times(0.07, 0.14, 0.28)), strict=False))
    stages[STAGES[2]] = times(0.01, 0.02, 0.04)
    return Overhead(setting, steps, stages, {"ce": 200, "ns_ws": 203}, "ns_ws", device)


def test_every_contender_takes_every_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The order rotates and turns round; each one's times are its own, by a clock that is fake."""
    now, order = [0.0, 0.0], []
    monkeypatch.setattr(timing, "clock", lambda device: (now[0], now[1]))

    def spend(name: str, cpu: float, wall: float) -> None:
        order.append(name)
        now[0] += cpu
        now[1] += wall

    slow = [1.0, 5.0, 5.0, 1.0]  # how slow the machine is in each round
    contenders = {
        "a": lambda: spend("a", 2 * slow[len(order) // 2], 10),
        "b": lambda: spend("b", 3 * slow[len(order) // 2], 30),
    }
    found = timing.interleaved(contenders, 4)
    assert "".join(order) == "abbabaab"
    assert found["a"].cpu.tolist() == [2, 10, 10, 2]
    assert timing.ratio(found["b"].cpu, found["a"].cpu) == (1.5, 1.5, 1.5)
    assert timing.ratio(found["b"].wall, found["a"].wall) == (3, 3, 3)
    assert str(timing.ratio(np.arange(1.0, 6), np.ones(5))) == "3.000 (2.000-4.000)"
    order.clear()
    timing.interleaved({k: lambda k=k: order.append(k) for k in "abc"}, 3)  # type: ignore[misc]
    assert "".join(order) == "abccbabca"
    with pytest.raises(ValueError, match="0 rounds measure nothing"):
        timing.interleaved(contenders, 0)


def test_threads_are_put_back() -> None:
    """And a device that is not there is refused, with what to do."""
    before = torch.get_num_threads()
    with timing.threads(before + 1):
        assert torch.get_num_threads() == before + 1
    with pytest.raises(ValueError, match="no device 'cuda:99'"):
        measure(dataclasses.replace(SMALL, device="cuda:99"))
    assert torch.get_num_threads() == before


def test_measure_small() -> None:
    """Every variant and stage is timed; stages are part of the step, give or take noise."""
    result = measure(SMALL)
    assert list(result.steps) == list(variants((2, 2)))
    assert list(result.stages) == list(STAGES)
    assert result.device
    for t in (*result.steps.values(), *result.stages.values()):
        assert t.wall.shape == (2,)
        assert (t.wall > 0).all()
    assert result.ratio("ce") == (1, 1, 1)
    assert sum(np.median(t.wall) for t in result.stages.values()) < 3 * np.median(
        result.steps["ns_ws"].wall
    )
    assert set(cost_table([result], "smoke")["quantity"]) == {"time"}


def test_stages_give_what_the_objective_uses() -> None:
    """Stitching, inference and weights one by one end in the weights of the whole."""
    step = overhead.TimedStep(SMALL, TimedVariant(NS()))
    before = {k: v.clone() for k, v in step.model.state_dict().items()}
    *_, weights = (stage() for stage in overhead._stages(SMALL, step).values())
    torch.testing.assert_close(weights, NS().weigh(step.model, step.batch))
    torch.testing.assert_close(step.model.state_dict(), before)
    step()
    assert any((v != before[k]).any() for k, v in step.model.state_dict().items())


def test_tables_by_hand() -> None:
    """Medians, extrapolation to an epoch, ratios within rounds, what is left unexplained."""
    setting = OverheadSetting("cifar10", "resnet110b")
    assert setting.steps == 391
    costs = cost_table([made(setting)], "cpu").set_index(["quantity", "method"])
    assert set(costs["network"]) == {"resnet110"}
    assert costs.loc[("time", "ns_ws"), "value"] == pytest.approx(391 * 2.2)
    assert costs.loc[("time", "ns_ws"), "extra"] == pytest.approx(391 * 0.2)
    quartiles = costs.loc[("time", "ns_ws"), ["ratio", "ratio_q1", "ratio_q3"]].tolist()
    assert quartiles == pytest.approx([1.1] * 3)
    assert costs.loc[("memory", "ns_ws"), "value"] == pytest.approx(203e-6)
    assert costs.loc[("memory", "ns_ws"), "ratio"] == pytest.approx(1.015)
    stages = stage_table([made(setting)], "cpu").set_index("operation")
    assert stages["value"].tolist() == pytest.approx([391 * v for v in (0.02, 0.14, 0.02, 0.02)])
    assert stages["share"].tolist() == pytest.approx([v / 1.1 for v in (0.01, 0.07, 0.01, 0.01)])
    on_gpu = made(dataclasses.replace(setting, device="cuda"), "some GPU")
    wall = cost_table([on_gpu], "paper").set_index(["quantity", "method"])
    assert wall.loc[("time", "ns_ws"), "value"] == pytest.approx(391 * 4.4)


def test_percent_table_and_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's +10.2, +12.7 and +1.5 % beside ours; the same figure to the byte, labelled."""
    results = [made(SMALL)]
    table = percent_table(cost_table(results, "smoke"), stage_table(results, "smoke"))
    paper = table[table["source"] == "paper"].set_index(["part", "dataset"])["percent"].round(1)
    assert [paper["time", d] for d in ("cifar10", "cifar100")] == [10.2, 12.7]
    assert [paper["memory", d] for d in ("cifar10", "cifar100")] == [1.5, 1.5]
    assert paper["inference", "cifar10"] == 9.7
    ours = table[table["source"] == "ours"].set_index("part")
    assert ours["percent"].to_dict() == pytest.approx(
        {"time": 10, "memory": 1.5, "unexplained": 1} | dict(zip(STAGES, (1, 7, 1), strict=True))
    )
    assert ours.loc["time", ["q1", "q3"]].tolist() == pytest.approx([10, 10])
    style.apply()
    made_of = []
    for attempt in ("a", "b"):
        monkeypatch.setenv("NSLAB_HOME", str(tmp_path / attempt))
        figure = step_by_stage(table, "title")
        made_of.append(style.save(figure, "overhead", "smoke").read_bytes())
    assert made_of[0] == made_of[1]
    whole, added = figure.get_axes()
    assert "%" in whole.get_xlabel()
    assert "%" in added.get_xlabel()
    assert len(whole.get_yticks()) == 3


def ours(**columns: object) -> pd.DataFrame:
    """One row of ours that the paper has too."""
    row = {"dataset": "cifar10", "network": "resnet110", "method": "ce", "quantity": "time"}
    return pd.DataFrame([row | {"value": 24.81, "unit": "s per epoch"} | columns])


def test_beside_by_hand() -> None:
    """Each side's rows, blanks for what it lacks; a delta only against a GPU."""
    other = ours(network="resnet20", value=3.0, n=7, preset="cpu", device="CPU x")
    table = beside("ns/table12", pd.concat([ours(n=5, preset="paper", device="some GPU"), other]))
    assert len(table) == 9
    both = table[(table["n"] == 5)].iloc[0]
    assert (both["paper"], both["ours"], both["preset"]) == (23.81, 24.81, "paper")
    assert both["delta"] == pytest.approx(1.0)
    alone = table.iloc[-1]
    assert (alone["network"], alone["ours"], alone["device"]) == ("resnet20", 3.0, "CPU x")
    assert math.isnan(alone["paper"])
    assert table["delta"].notna().sum() == 1
    assert (table["n"] == 0).sum() == table["ours"].isna().sum() == 7
    assert "24.81 (n = 5, paper)" in set(readable(table)["ours"])
    for device, said in (("CPU x", "ours on a CPU: no delta"), ("", "our device unknown")):
        row = beside("ns/table12", ours(device=device)).set_index(["paper", "quantity"]).loc[23.81]
        assert row["ours"].item() == 24.81
        assert math.isnan(row["delta"].item())
        assert said in row["note"].item()


def test_beside_refuses_what_does_not_fit() -> None:
    """Keys that are lacking, and other units; a key that holds for a whole table can be given."""
    with pytest.raises(ValueError, match=r"ours lacks quantity: ns/table12 needs dataset, network"):
        beside("ns/table12", ours().drop(columns="quantity"))
    with pytest.raises(ValueError, match="ours is in ms, the paper in s per epoch: convert ours"):
        beside("ns/table12", ours(unit="ms"))
    stages = stage_table([made(OverheadSetting("cifar10", "resnet20"))], "cpu")
    table = beside("ns/table13", stages, {"network": "resnet110"})
    assert table.loc[table["network"] == "resnet110", "ours"].isna().all()
    assert table.loc[table["network"] == "resnet20", "paper"].isna().all()
    same = beside("ns/table13", stages.assign(network="resnet110"), {"network": "resnet110"})
    assert (same["paper"].notna() & same["ours"].notna()).sum() == 2


@pytest.mark.slow
def test_memory_of_child_processes() -> None:
    """100 MB more are found, and not this process's own size, which is larger."""
    large = torch.ones(150_000_000)
    plain, more = (overhead.peak_of_child(SMALL, TimedVariant(Wasteful(n))) for n in (0, 10**8))
    assert more - plain == pytest.approx(1e8, rel=0.1)
    assert overhead.peak(SMALL, variants((2, 2))["ns_ws"]) >= large.nbytes
    assert more < timing.resident_peak()
    with pytest.raises(RuntimeError, match=r"ended with status 1 .*\n(.*\n)*.*built to fail"):
        overhead.peak_of_child(SMALL, TimedVariant(Broken()))


def test_presets_and_changes() -> None:
    """Paper: Table XII's network and data sets; what is empty leaves the preset alone."""
    assert overhead_settings("smoke") == list(OVERHEAD_PRESETS["smoke"])
    paper = overhead_settings("paper", rounds=7, device="cpu")
    assert [(s.dataset, s.network, s.batch_size) for s in paper] == [
        (name, "resnet110b", 128) for name in ("cifar10", "cifar100")
    ]
    assert {(s.rounds, s.device, s.clock) for s in paper} == {(7, "cpu", "cpu")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"preset": "big"}, "unknown preset 'big'; there are smoke, cpu, paper"),
        ({"network": "resnet9"}, "unknown network 'resnet9': did you mean"),
        ({"batch_size": 30}, "batch_size 30 does not fill groups of 4: take a multiple of 4"),
        ({"rounds": -1}, "rounds is -1 and threads 1: both must be"),
        ({"device": "gpu"}, "device is 'gpu', not 'cpu', 'cuda'"),
    ],
)
def test_bad_input_is_refused(changes: dict, message: str) -> None:
    """With what to do instead."""
    with pytest.raises(ValueError, match=message):
        overhead_settings(**{"preset": "smoke", **changes})
    with pytest.raises(ValueError, match="unknown dataset 'x'; there are digits"):
        OverheadSetting("x")
