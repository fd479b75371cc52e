"""Every number of the papers beside ours."""

import math
import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import readme_tables
from scipy import stats
from typer.testing import CliRunner

from nslab.analysis import ledger
from nslab.cli import app
from nslab.configs.serialization import encode
from nslab.experiments import experiment
from nslab.runs.results import Result
from nslab.system.paths import papers_dir

ROOT = Path(__file__).parents[2]


def result(config: object, accuracy: float) -> Result:
    """A finished run with that test accuracy."""
    metrics, env = {"test_accuracy": accuracy}, {"device": "GPU X", "source": "0"}
    return Result(config.id, encode(config), metrics, [], env)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_every_printed_number_has_a_line() -> None:
    """As many as the files have rows, whatever there is of ours; blanks say why."""
    table = ledger.build_ledger()
    files = [f for p in ("ns", "de") for f in (papers_dir() / p).glob("table*.csv")]
    assert len(table) == sum(len(pd.read_csv(file)) for file in files)
    without = table[table["n"] == 0]
    assert without["ours"].isna().all()
    assert without["note"].str.len().min() > 0
    assert list(table.columns) == ledger.LEDGER_COLUMNS
    order = table.loc[table["paper"] == "de", "table"].unique().tolist()
    assert order == ["1", "2", "3", *(f"S{n}" for n in range(1, 10))]


def test_difference_and_interval_at_the_papers_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """By hand, for three seeds; a smaller run of the same row has neither and gives way."""
    exp = experiment("ns/table7")
    config = exp.plan("paper")[0]
    values = [93.0, 94.0, 96.5]
    full = [result(replace(config, seed=2024 + i), v) for i, v in enumerate(values)]
    small = [result(exp.plan("smoke")[0], 50.0)]

    monkeypatch.setattr(ledger, "every_run", lambda: full + small)
    table = ledger.build_ledger(["ns"])
    (line,) = table[table["preset"] == "paper"].to_dict("records")
    sd = pd.Series(values).std()
    reach = stats.t.ppf(0.975, 2) * sd / math.sqrt(3)
    assert line["n"] == 3
    assert line["device"] == "GPU X"
    assert line["ours"] == pytest.approx(94.5)
    assert line["delta"] == pytest.approx(94.5 - line["value"])
    assert line["low"] == pytest.approx(line["delta"] - reach)
    assert line["high"] == pytest.approx(line["delta"] + reach)
    others = table[(table["n"] > 0) & (table["preset"] != "paper")]
    assert others["delta"].isna().all()
    counted = ledger.counts(table).set_index("table")
    assert counted.loc["7", "at the paper's setting"] == 1
    assert others["differs"].eq("reduced setting").all()


def test_only_whole_means_and_todays_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One factor of four is no number of Table IX, nor are CIFAR's runs a difference to a mean over
    a network more; a run in bfloat16 is found, one by code that computed something else is not."""
    exp = experiment("ns/table9")
    paper = [replace(c, precision="bf16") for c in exp.plan("paper", seeds=(1,))]
    tailed = [c for c in paper if c.imbalance > 1 and c.dataset == "cifar10"]
    whole = [c for c in paper if c.imbalance == 1 and c.dataset == "cifar10"]
    stale = replace(result(exp.plan("paper", seeds=(1,))[-1], 60.0), id="0" * 12)
    runs = [result(c, 70.0 + i) for i, c in enumerate([*tailed[:1], *whole])]
    monkeypatch.setattr(ledger, "every_run", lambda: [*runs, stale])
    table = ledger.build_ledger(["ns"])
    nine = table[table["table"] == "9"].set_index("row")
    part = nine.loc["dataset cifar10_lt"]
    assert (part["n"], math.isnan(part["ours"])) == (0, True)
    assert part["note"] == "no mean like the paper's: 1 of 4 factors at preset paper"
    fifth = nine.loc["dataset cifar10"]
    assert (fifth["ours"], fifth["n"], math.isnan(fifth["delta"])) == (72.5, 1, True)
    assert "a fifth network" in fifth["note"]
    assert fifth["differs"] == "another mean"
    five = table[(table["table"] == "5") & (table["n"] > 0)]
    assert five["note"].str.contains("bf16").tolist() == [True]
    assert five["delta"].notna().all()


def test_exports(tmp_path: Path) -> None:
    """CSV keeps all digits and comes back; Markdown and HTML are for people."""
    table = pd.DataFrame({"row": ["a | b", "c"], "value": [1.23456, math.nan], "n": [3, 0]})
    back = pd.read_csv(ledger.export(table, tmp_path / "x.csv"))
    pd.testing.assert_frame_equal(back, table)
    text = ledger.export(table, tmp_path / "x.md").read_text()
    assert (
        text == "| row | value | n |\n| --- | --- | --- |\n| a \\| b | 1.23 | 3 |\n| c |  | 0 |\n"
    )
    html = ledger.export(table, tmp_path / "x.html").read_text()
    assert html.count("<tr") == 3
    assert "nan" not in html.partition("<tbody>")[2].partition("</tbody>")[0].lower()
    with pytest.raises(ValueError, match=r"must end in one of .md, .csv, .html"):
        ledger.export(table, tmp_path / "x.xlsx")


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    """Counts on the screen, everything in the file; what cannot be is refused before any work."""
    file = tmp_path / "deep" / "ledger.csv"
    done = CliRunner().invoke(app, ["ledger", "--paper", "ns", "--to", str(file)])
    assert done.exit_code == 0, done.output
    assert set(pd.read_csv(file)["paper"]) == {"ns"}
    page = tmp_path / "ledger.md"
    done = CliRunner().invoke(app, ["ledger", "--to", str(page)])
    assert done.exit_code == 0, done.output
    assert "200-300" in page.read_text(encoding="utf-8")  # of Table S2, which prints settings
    for wrong in (["--paper", "xy"], ["--to", "ledger.pdf"]):
        refused = CliRunner().invoke(app, ["ledger", *wrong])
        assert refused.exit_code == 2
        assert "error" in refused.output


@pytest.mark.slow
@pytest.mark.parametrize("name", ["README.md", "data/results/README.md"])
def test_readmes_say_what_the_ledger_says(name: str) -> None:
    """`python tests/helpers/readme_tables.py` brings them up to date."""
    text = (readme_tables.ROOT / name).read_text(encoding="utf-8")
    ((begin, end),) = readme_tables.BLOCK.findall(text)
    assert begin + readme_tables.blocks()[name] + end in text


def test_provenance_names_every_commit() -> None:
    """That frozen numbers were made at, and says where changes were not committed."""
    said = (ROOT / "data/results/README.md").read_text(encoding="utf-8")
    for file in sorted((ROOT / "data/results").glob("*.csv")):
        table = pd.read_csv(file, dtype=str, keep_default_na=False)
        columns = {name.rpartition(".")[2]: table[name].str.strip('"') for name in table}
        if "commit" not in columns:
            continue
        assert file.name in said
        made = {
            (commit[:7], dirty)
            for commit, dirty in zip(columns["commit"], columns["dirty"], strict=True)
        }
        for commit, dirty in made:
            assert commit in said, (file.name, commit)
            if dirty.lower() == "true":
                assert re.search(rf"{commit}\s+with[\s\w]+committed", said), (file.name, commit)
