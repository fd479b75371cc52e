"""What a table shows of runs: a measure of one's own goes through comparison and ledger."""

import math
from collections.abc import Sequence

import pandas as pd
import pytest

from nslab.analysis import ledger, paper_tables
from nslab.analysis.measures import MEASURES, measure_of
from nslab.analysis.paper_tables import compare, readable, run_table
from nslab.configs.serialization import decode, encode
from nslab.experiments import EXPERIMENTS
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.ns.ablations import ablation_base
from nslab.objectives import NS
from nslab.papers.tables import paper_table
from nslab.runs.results import Result
from nslab.system.provenance import source_digest


def sigmas(preset: str = "smoke", seeds: tuple[int, ...] = (1, 2)) -> list:
    """Two settings of Table VII, in every preset its own."""
    return with_seeds(ablation_base(preset), [NS(sigma=s) for s in (0.8, 1.5)], seeds)  # type: ignore[arg-type]


def sigma_row(config: object) -> TableRow:
    """The setting."""
    return {"sigma": config.objective.sigma}  # type: ignore[attr-defined]


def gaps(results: Sequence[Result]) -> pd.DataFrame:
    """Gap of training and test accuracy, of two halves of the classes; the second half is a part of
    what the paper has."""
    lines = [
        {
            "run": result.id,
            "half": half,
            "value": result.metrics["train_accuracy"] - result.metrics["test_accuracy"] + shift,
            "part": "1 of 2 halves" if shift else "",
        }
        for result in results
        for half, shift in (("first", 0.0), ("second", 10.0))
    ]
    return pd.DataFrame(lines)


def finished(config: object, accuracy: float) -> Result:
    """A run with made-up numbers."""
    metrics = {"test_accuracy": accuracy, "train_accuracy": 99.0}
    env = {"source": source_digest(), "device": "GPU X"}
    return Result(config.id, encode(config), metrics, [], env)  # type: ignore[attr-defined]


@pytest.fixture
def name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A stranger's experiment with a measure of its own."""
    monkeypatch.setitem(MEASURES, "gaps", gaps)
    mine = Experiment("Gaps", sigmas, sigma_row, measure="gaps", baseline={"sigma": 0.8})
    monkeypatch.setitem(EXPERIMENTS, "ns/gaps", mine)
    return "ns/gaps"


def test_through_comparison(name: str) -> None:
    """A line per row and key of the measure; differences to the baseline within each key."""
    runs = [finished(c, 90.0 - 2 * i) for i, c in enumerate(EXPERIMENTS[name].plan("smoke"))]
    table = compare(name, runs).set_index(["sigma", "half"])
    assert table["ours"].to_dict() == {
        ("0.8", "first"): 11.0,
        ("0.8", "second"): 21.0,
        ("1.5", "first"): 13.0,
        ("1.5", "second"): 23.0,
    }
    assert set(table["n"]) == {2}
    assert table.loc[("1.5", "second"), "difference"] == pytest.approx(2.0)
    assert table.loc[("1.5", "second"), "part"] == "1 of 2 halves"
    assert "13.00 ± 2.83 (n = 2, smoke)" in set(readable(table.reset_index())["ours"])
    runs_shown = run_table(name, runs)
    assert len(runs_shown) == 8
    assert {decode(run.config).seed for run in runs} == set(runs_shown["seed"])


def test_through_the_ledger(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a printed number it is a difference at the paper's size only, and not of a part."""
    printed = paper_table("ns/table7").head(2).assign(sigma=[0.8, 1.5]).drop(columns="note")
    halves = pd.concat([printed.assign(half=half) for half in ("first", "second")])
    halves = halves[["sigma", "half", "value", "sd", "unit", "n", "source", "doubtful"]]
    with monkeypatch.context() as patch:
        for module in (ledger, paper_tables):
            patch.setattr(
                module, "paper_table", lambda t: halves if t == "ns/table7" else paper_table(t)
            )
        patch.setitem(
            EXPERIMENTS,
            name,
            Experiment("Gaps", sigmas, sigma_row, "table7", measure="gaps"),
        )
        runs = [finished(c, 90.0) for c in EXPERIMENTS[name].plan("paper")]
        patch.setattr(ledger, "every_run", lambda: runs)
        table = ledger.build_ledger(["ns"])
    mine = table[(table["experiment"] == name)].set_index("row")
    whole = mine.loc["sigma 0.8, half first"]
    assert (whole["ours"], whole["n"], whole["device"]) == (9.0, 2, "GPU X")
    assert whole["delta"] == pytest.approx(9.0 - whole["value"])
    part = mine.loc["sigma 0.8, half second"]
    assert (part["n"], math.isnan(part["delta"])) == (0, True)
    assert part["note"] == "no mean like the paper's: 1 of 2 halves at preset paper"


def test_a_final_number_needs_no_entry() -> None:
    """It goes by its name; a run without it says so."""
    runs = [finished(c, 90.0) for c in sigmas()]
    assert measure_of("train_accuracy")(runs)["value"].tolist() == [99.0] * 4
    with pytest.raises(ValueError, match=r"no number 'speed': choose one of its own, test_acc"):
        measure_of("speed")(runs)
