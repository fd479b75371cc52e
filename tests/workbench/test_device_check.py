"""The check of a device: what is wrong is caught, what is right agrees, the report is whole."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from nslab import check
from nslab.cli import app
from nslab.evolve import breeding, operators
from nslab.evolve.breeding import Terms
from nslab.objectives import OBJECTIVES, competition, focal
from nslab.objectives.weighted import CrossEntropy
from nslab.system.content_names import parse_content_name
from nslab.workbench import device_check
from nslab.workbench.device_check import Finding, Ratio, Report, run, strategies
from nslab.workbench.device_check.findings import AGREES, DISAGREES, SKIPPED, largest_error
from nslab.workbench.device_check.page import page

QUICK = ["Natural Selection", "fitness", "EDL's search", "batches"]


def test_this_machine_agrees() -> None:
    """In every part that takes no time; each finding has a reason for its tolerance."""
    report = check("cpu", QUICK, ratios=False, show=False)
    assert report.passed, report.table()
    assert {finding.part for finding in report.findings} == set(QUICK)
    assert all(finding.reason and finding.verdict == AGREES for finding in report.findings)
    assert report.environment["device"]
    assert report.environment["checked"] == "cpu"


def test_every_registered_loss_is_compared() -> None:
    """But NS, which has a part of its own; a loss without a formula here is said to be skipped."""
    report = check("cpu", ["losses"], ratios=False, show=False)
    assert report.passed, report.table()
    # other tests leave losses of their own
    ours = {key for key in OBJECTIVES if not parse_content_name(key)}
    for key in ours - {"ns"}:
        for what in ("values", "gradients"):
            (found,) = [f for f in report.findings if f.name == f"{what} of {key}"]
            assert found.verdict == AGREES


@pytest.mark.slow
def test_a_loss_that_is_wrong_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its gradient alone, and where it raises an error."""
    true = focal.focal
    monkeypatch.setattr(focal, "focal", lambda z, y, gamma, detach: true(z, y, gamma, True))
    report = check("cpu", ["losses"], ratios=False, show=False)
    wrong = {f.name for f in report.findings if f.verdict == DISAGREES}
    assert wrong == {"gradients of focal"}
    assert not report.passed

    def raises(*_: object) -> None:
        raise RuntimeError("on purpose")

    monkeypatch.setattr(CrossEntropy, "loss", raises)
    report = check("cpu", ["losses"], ratios=False, show=False)
    assert report.findings[-1].name == "RuntimeError: on purpose"
    assert not report.passed


def test_wrong_scores_and_genes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A score of another sample; a crossover that takes other genes."""
    true = competition.group_scores
    monkeypatch.setattr(competition, "group_scores", lambda z, y: true(z, y).roll(1))
    assert not check("cpu", ["Natural Selection"], ratios=False, show=False).passed
    seed_of = breeding.stream_seed
    monkeypatch.setattr(breeding, "stream_seed", lambda seed, *keys: seed_of(seed + 1, *keys))
    found = list(run.check_generations(torch.device("cpu")))
    assert any(f.verdict == DISAGREES for f in found)


@pytest.mark.parametrize("name", sorted(operators.MUTATIONS))
def test_a_wrong_strategy_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the evolver agrees with itself in float64: one of the weights has the wrong sign."""
    right = operators.MUTATIONS[name]

    def wrong(draws: operators.Draws) -> Terms:
        terms = right.terms(draws)
        return Terms(terms.picks, torch.cat([terms.weights[:, :-1], -terms.weights[:, -1:]], 1))

    assert strategies.mutants_error(name, torch.device("cpu")) < 2e-6
    monkeypatch.setitem(operators.MUTATIONS, name, right._replace(terms=wrong))
    assert strategies.mutants_error(name, torch.device("cpu")) > 1e-3


def test_wrong_survivors_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are no better than their parent."""
    monkeypatch.setattr(strategies, "survives", lambda parent, trial: trial <= parent)
    found = {f.name: f for f in strategies.check_strategies(torch.device("cpu"))}
    assert [name for name, f in found.items() if f.verdict != "agrees"] == ["who survives"]
    assert len(found) == len(operators.MUTATIONS) + 1


def test_a_folder_that_cannot_be_written_is_refused_before_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not after the minutes that it takes."""
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(device_check, "check", lambda *given, **more: pytest.fail("it began"))
    done = CliRunner().invoke(app, ["check", "--to", str(tmp_path / "file" / "report")])
    assert done.exit_code == 2, done.output


def test_generations_agree() -> None:
    """Small, large, in three precisions, and by every evolver."""
    found = list(run.check_generations(torch.device("cpu")))
    assert [f for f in found if f.verdict != AGREES] == []


def test_reports_come_back_and_say_what_is_wrong() -> None:
    """From their JSON, errors that are no numbers too; the page needs nothing else."""
    findings = [
        Finding("a", "right", 1e-7, 1e-6, "rounding"),
        Finding("a", "<wrong>", 2e-6, 1e-6, "rounding"),
        Finding("b", "no number", math.nan, 1.0, "rounding"),
        Finding("b", "absent", None, 1.0, "rounding", "there is no compiler"),
    ]
    assert [f.verdict for f in findings] == [AGREES, DISAGREES, DISAGREES, SKIPPED]
    env = {"device": "a device", "checked": "cpu", "threads": 1, "source": "0", "versions": {}}
    ratios = [Ratio("x / y", 1.5, 1.25, 1.75, "time")]
    report = Report(env, findings, ratios, 3.0)
    again = Report.from_json(report.to_json())
    assert again.to_json() == report.to_json()
    assert [f.verdict for f in again.findings] == [f.verdict for f in findings]
    assert again.ratios == ratios
    assert not again.passed
    assert report.sentence() == "1 of 4 comparisons on a device agree, 2 DISAGREE, 1 skipped"
    text = page(report)
    assert "&lt;wrong&gt;" in text
    assert "there is no compiler" in text
    assert not any(word in text for word in ("http", "src=", "@import"))
    assert "DISAGREES" in report.table()
    assert not Report(env, [findings[3]]).passed  # nothing was compared


def test_errors_are_relative_with_a_floor() -> None:
    """And infinite where there is nothing to compare."""
    assert largest_error(np.array([0.5]), np.array([0.0])) == 0.5
    assert largest_error(np.array([1100.0]), np.array([1000.0]), 0.0) == 0.1
    assert largest_error(np.array([math.nan]), np.array([0.0])) == math.inf
    assert largest_error(np.zeros(2), np.zeros(3)) == math.inf


def test_the_command_writes_the_report_and_ends_with_its_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 if all agree, 1 if something does not, 2 for what cannot be checked."""

    def call(*words: str) -> int:
        return CliRunner().invoke(app, ["check", "--no-ratios", *words]).exit_code

    assert call("--part", "batches", "--to", str(tmp_path)) == 0
    assert json.loads((tmp_path / "cpu.json").read_text())["passed"] is True
    assert "crops and mirrors" in (tmp_path / "cpu.html").read_text()
    assert call("--part", "nothing") == 2
    assert call("--device", "tpu") == 2
    bad = Finding("batches", "wrong", 1.0, 0.0, "none")
    monkeypatch.setitem(run.EXACT, "batches", lambda device: iter([bad]))
    assert call("--part", "batches", "--to", str(tmp_path)) == 1
    assert json.loads((tmp_path / "cpu.json").read_text())["passed"] is False
