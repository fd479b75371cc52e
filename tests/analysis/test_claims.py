"""Claims decided by code: statistics against scipy, verdicts by hand, every line of the files."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from typer.testing import CliRunner

from nslab.analysis.claims import kinds
from nslab.analysis.claims import table as claims
from nslab.analysis.claims.differences import printed_differences
from nslab.analysis.claims.effects import Effect, holm
from nslab.analysis.claims.evidence import Evidence
from nslab.analysis.claims.quantities import QUANTITIES, by_seed
from nslab.analysis.smallest_effect import smallest_effect
from nslab.cli import app
from nslab.configs.serialization import encode
from nslab.experiments import EXPERIMENTS, experiment
from nslab.objectives.fast_scores import fast as fast_scores
from nslab.papers.claims import PAPERS, Claim, claims_of
from nslab.papers.tables import as_text, paper_table
from nslab.plots.claims import claims_forest, claims_title
from nslab.runs.results import Result

TABLE5 = "ns/table5"


def result(config: object, accuracy: float, device: str = "CPU X") -> Result:
    """A finished run with that test accuracy, half an hour long on two threads."""
    metrics = {"test_accuracy": accuracy, "seconds": 1800.0}
    env = {"device": device, "source": "0", "threads": 2, "processes": 1}
    return Result(config.id, encode(config), metrics, [], env)  # type: ignore[attr-defined]


def table5(gains: Sequence[float], method: str = "ns_lf", preset: str = "cpu") -> list[Result]:
    """Runs of CE and of a method that is better by ``gains``, a seed each."""
    given = {"datasets": ("cifar10",), "imbalances": (100.0,)} if preset == "paper" else {}
    seeds = tuple(range(2024, 2024 + len(gains)))
    made = []
    for seed, gain in zip(seeds, gains, strict=True):
        plan = experiment(TABLE5).plan(preset, methods=("ce", method), seeds=(seed,), **given)
        made += [result(c, 50 + seed % 7 + (gain if k else 0)) for k, c in enumerate(plan)]
    return made


def verdict_of(runs: list[Result], monkeypatch: pytest.MonkeyPatch, against: str = "ce") -> dict:
    """The line of the claim on CIFAR-LT-10, factor 100, as though there were no other."""
    monkeypatch.setattr(claims, "every_run", lambda: runs)
    alone = [claim for claim in claims_of("ns") if claim.key == "long_tail_10_100"]
    monkeypatch.setattr(claims, "claims_of", lambda paper: alone)
    table = claims.claim_table(["ns"])
    (line,) = table[table["against"] == against].to_dict("records")
    return line


def test_effects_agree_with_scipy() -> None:
    """Interval and p value of random differences, and of correlations, from far to near."""
    draws = np.random.default_rng(0)
    for n in (2, 3, 9, 30):
        values = draws.normal(0.7, 1.5, n)
        effect = Effect.of_differences(values.tolist())
        theirs = stats.ttest_1samp(values, 0.3)
        interval = theirs.confidence_interval(0.95)
        assert effect.interval() == pytest.approx((interval.low, interval.high))
        above, below = effect.p_values((0.3, 0.3))
        assert min(above, below) == pytest.approx(theirs.pvalue)
    x, y = draws.normal(size=(2, 25))
    r = stats.pearsonr(x, x + 2 * y)
    low, high = Effect.of_correlations([(r.statistic, 25)]).interval()
    theirs = r.confidence_interval(0.95)
    assert (low, high) == pytest.approx((theirs.low, theirs.high))


def test_holm_is_the_closure_of_bonferroni_and_leaves_gaps() -> None:
    """By its definition: a hypothesis falls when each set of hypotheses with it falls; ties, and
    NaN, which is no test."""
    draws = np.random.default_rng(1)
    for _ in range(20):
        p = draws.choice([0.001, 0.01, 0.02, 0.2, 0.9], 6).tolist()
        sets = [s for k in range(1, 7) for s in itertools.combinations(range(6), k)]
        bonferroni = {s: min(1.0, len(s) * min(p[i] for i in s)) for s in sets}
        closed = [max(value for s, value in bonferroni.items() if i in s) for i in range(6)]
        assert holm(p) == pytest.approx(closed)
    assert holm([0.01, math.nan, 0.04])[::2] == [0.02, 0.04]
    assert math.isnan(holm([0.01, math.nan, 0.04])[1])


def test_a_clear_gain_is_supported_and_a_clear_loss_contradicted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nine seeds as the preset has them; hours, interval and size are said."""
    up = [1.9, 2.1, 2.0, 2.2, 1.8, 2.0, 2.1, 1.9, 2.0]
    line = verdict_of(table5(up), monkeypatch)
    assert (line["verdict"], line["n"], line["planned"]) == ("supported", 9, 9)
    assert line["effect"] == pytest.approx(2.0)
    assert line["low"] < 2.0 < line["high"]
    assert line["core_hours"] == pytest.approx(18 * 1.0)
    assert line["preset"] == "cpu"
    assert verdict_of(table5([-gain for gain in up]), monkeypatch)["verdict"] == "contradicted"


def test_a_gain_far_below_the_printed_one_contradicts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper prints 1.7 points there: surely less than half of it is not what it claims, even if
    nothing is lost; but a small gain that is sure is a gain."""
    none = [0.1, -0.1, 0.05, -0.05, 0.0, 0.1, -0.1, 0.02, -0.02]
    line = verdict_of(table5(none), monkeypatch)
    assert line["printed"] == pytest.approx(71.2 - 69.5)
    assert line["least"] == pytest.approx(1.7 / 2)
    assert line["verdict"] == "contradicted"
    small = [0.2 + value / 10 for value in none]
    assert verdict_of(table5(small), monkeypatch)["verdict"] == "supported"


def test_a_verdict_waits_for_every_planned_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However clear the first seeds are; and seeds beyond the plan do not count."""
    line = verdict_of(table5([2.0, 2.1, 1.9]), monkeypatch)
    assert (line["verdict"], line["n"], line["planned"]) == ("waiting", 3, 9)
    assert math.isnan(line["p"])
    more = [0.9, 2.1, 1.0, 2.2, 1.8, 0.0, 2.1, -0.9, 2.0, 90.0, 90.0]
    line = verdict_of(table5(more), monkeypatch)
    assert line["n"] == 9
    assert line["effect"] < 3


def test_numbers_that_are_all_alike_are_judged_by_their_count() -> None:
    """Ties, up to rounding, tell no spread: three of them prove nothing, nine do."""
    for n in (2, 3, 9):
        effect = Effect.of_differences([60.1 - 60.0, 50.1 - 50.0, *[0.1] * (n - 2)][:n])
        above, below = effect.p_values((0.0, 0.2))
        assert above == below == pytest.approx(2 * 0.5**n)
        assert all(map(math.isnan, effect.interval()))
        more = effect.more_units_needed((0.0, 0.2), 0.05)
        assert more == max(0, 6 - n)
    assert 2 * 0.5**6 < 0.05 < 2 * 0.5**5
    assert Effect.of_differences([0.0] * 5).p_above(0.0) == 0.5


def test_a_verdict_waits_for_every_planned_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody stops at the first network or factor that shows a gain; nor are rows of one precision
    completed by another's."""
    gains = {2024: 2.0, 2025: 2.2, 2026: 2.1}

    def line_of(factors: dict[float, str]) -> dict:
        runs = []
        for seed, gain in gains.items():
            for factor, precision in factors.items():
                plan = experiment(TABLE5).plan(
                    "paper",
                    methods=("ce", "ns_lf"),
                    seeds=(seed,),
                    datasets=("cifar10",),
                    imbalances=(factor,),
                    precision=precision,
                )
                runs += [result(c, 50 + seed % 7 + gain * k) for k, c in enumerate(plan)]
        monkeypatch.setattr(claims, "every_run", lambda: runs)
        table = claims.claim_table(["ns"])
        mine = table[(table["key"] == "long_tail_10") & (table["against"] == "ce")]
        (line,) = mine.to_dict("records")
        return line

    part = line_of({200.0: "no", 50.0: "no"})
    assert (part["verdict"], part["n"], part["planned"]) == ("waiting", 3, 3)
    assert "runs of the preset are missing" in part["note"]
    assert part["cells"] == "2 of 3 rows"
    shown = claims.readable_claims(pd.DataFrame([part]))
    assert shown["verdict"].tolist() == ["waiting for rows"]
    assert line_of({200.0: "no", 50.0: "no", 10.0: "bf16"})["verdict"] == "waiting"
    assert line_of({200.0: "bf16", 50.0: "bf16", 10.0: "bf16"})["verdict"] == "supported"


def test_scores_in_bfloat16_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table's line notes, the claim's does too."""
    runs = []
    for seed in (2024, 2025, 2026):
        given = {"datasets": ("cifar10",), "imbalances": (100.0,), "scores": "fast"}
        plan = experiment(TABLE5).plan("paper", methods=("ce", "ns_lf"), seeds=(seed,), **given)
        runs += [result(c, 50 + k + seed % 3) for k, c in enumerate(plan)]
    assert "scores in bf16" in verdict_of(runs, monkeypatch)["note"]


def test_plain_scores_count_before_fast_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one seed run both ways, whichever id comes first."""
    runs = []
    for seed in range(2024, 2033):
        for scores, accuracy in (("exact", 52.0), ("fast", 70.0)):
            plan = experiment(TABLE5).plan("cpu", methods=("ce", "ns_lf"), seeds=(seed,))
            fast = dataclasses.replace(plan[1], objective=fast_scores(plan[1].objective))
            runs += [result(plan[0], 50.0), result(fast if scores == "fast" else plan[1], accuracy)]
    assert len({run.id for run in runs}) == 27
    line = verdict_of(list({run.id: run for run in runs}.values()), monkeypatch)
    assert line["effect"] == 2.0
    assert "scores in bf16" not in line["note"]


def test_sides_are_paired_on_what_else_differs() -> None:
    """Where one side lacks a setting, the other's does not count: a mean over other settings than
    its own is no difference."""
    claim = dataclasses.replace(claims_of("edl")[0], experiment="edl/factors", rows={})
    claim = dataclasses.replace(claim, ours={"search": "a"}, theirs={"search": "b"})
    lines = [("a", 1, 64, 1.0), ("a", 1, 256, 50.0), ("b", 1, 64, 0.0), ("b", 2, 64, 9.0)]
    table = pd.DataFrame(lines, columns=["search", "seed", "pairs", "value"])
    evidence = Evidence([])
    evidence.runs = lambda experiment, preset: [1]  # type: ignore[assignment,return-value]
    evidence.complete = lambda *given: False  # type: ignore[assignment]
    measured, *_ = by_seed(lambda runs: table, lambda e, p: (1, 2), claim, claim.theirs, evidence)
    assert (measured.effect.n, measured.effect.estimate, measured.complete) == (1, 1.0, False)


def test_losses_of_one_evolution_are_one_unit() -> None:
    """Forty-two losses of six evolutions are six units, not forty-two."""
    table = claims.claim_table(["edl"])
    (line,) = table[(table["key"] == "metrics_tell") & (table["n"] > 0)].to_dict("records")
    plan = experiment("edl/transfer").plan("cpu")
    evolutions = {(c.objective.source.seed, c.objective.source.form) for c in plan}
    assert line["n"] == line["planned"] == len(evolutions)
    assert -1 <= line["low"] < line["effect"] < line["high"]


def test_undecided_says_how_many_more_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as make the interval, at the corrected level, clear the nearer bound."""
    gains = [4.0, -3.0, 2.0, -1.0, 3.0, -2.0, 4.0, 0.0, 1.0]
    line = verdict_of(table5(gains), monkeypatch)
    assert line["verdict"] == "undecided"
    n, sd, mean = 9 + int(line["more"]), float(np.std(gains, ddof=1)), float(np.mean(gains))
    distance = max(mean, line["least"] - mean)  # one comparison alone has a p value here
    assert stats.t.ppf(0.975, n - 1) * sd / math.sqrt(n) < distance
    assert stats.t.ppf(0.975, n - 2) * sd / math.sqrt(n - 1) >= distance


def test_the_control_is_a_side_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """NS against cross-entropy times its mean weight, where that was run."""
    gains = [2.0, 2.1, 1.9, 2.0, 2.1, 1.9, 2.0, 2.1, 1.9]
    both = {r.id: r for r in table5(gains) + table5(gains, "ce_constant")}
    line = verdict_of(list(both.values()), monkeypatch, "ce_constant")
    assert line["effect"] == 0
    assert line["verdict"] == "contradicted"  # it is the larger step that gained
    assert math.isnan(line["printed"])
    assert (line["kind"], line["claim"]) == (
        kinds.CONTROL,
        "NS-LF raises accuracy on CIFAR-LT-10, imbalance factor 100: against the control "
        "CE × mean weight",
    )


def test_verdicts_are_counted_by_whose_comparison_it_is() -> None:
    """The paper's own, controls and questions of ours; a control is not worded as the claim."""
    table = claims.claim_table(["edl"])
    assert set(table["kind"]) == set(kinds.KINDS)
    found = dict(zip(table["key"], table["kind"], strict=True))  # the last of a key's
    assert (found["margin"], found["faster"]) == (kinds.QUESTION, kinds.CONTROL)
    assert not table.loc[table["kind"] == kinds.CONTROL, "claim"].str.contains(" than ").any()
    title = claims_title(table)
    for words in kinds.KINDS.values():
        assert words in title
    counts = claims.verdict_counts(table).drop(columns=["paper", "preset", "kind"])
    assert counts.to_numpy().sum() == len(table)
    said = kinds.counted(table, claims.VERDICTS)
    assert sum(int(word) for word in said.split() if word.isdigit()) == len(table)


def test_the_papers_own_size_is_told_from_a_smaller_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each preset has a line; smoke supports no claim and has none."""
    runs = table5([2.0, 2.2, 2.1], preset="paper") + table5([1.0, 2.0]) + table5([1.0] * 2, "ns_lf")
    smoke = experiment(TABLE5).plan("smoke", methods=("ce", "ns_lf"))
    monkeypatch.setattr(claims, "every_run", lambda: runs + [result(c, 50) for c in smoke])
    table = claims.claim_table(["ns"])
    mine = table[(table["key"] == "long_tail_10_100") & (table["against"] == "ce")]
    assert dict(zip(mine["preset"], mine["n"], strict=True)) == {"cpu": 2, "paper": 3}
    assert claims_title(table).endswith("1 at the paper's own size")
    figure = claims_forest(table)
    texts = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert any("factor 100" in text and "paper, n = 3" in text for text in texts)


@pytest.mark.parametrize("paper", PAPERS)
def test_every_claim_can_be_looked_up(paper: str) -> None:
    """Quantity, experiment and keys exist; what is compared is in the paper's table if it has one;
    a claim says where it stands."""
    found = claims_of(paper)
    assert len(found) >= 10
    for claim in found:
        assert claim.source
        if not claim.quantity:
            assert claim.note
            continue
        assert claim.quantity in QUANTITIES, claim.key
        exp = EXPERIMENTS[claim.experiment]
        assert claim.unit
        assert exp.plan("paper")
        if claim.quantity == "difference" and exp.table and claim.key not in WITHOUT_PRINTED:
            assert printed_differences(claim, claim.theirs), claim.key


# claims of whose comparison the table prints one side only, or nothing
WITHOUT_PRINTED = {"networks"}


@pytest.mark.parametrize("paper", PAPERS)
def test_the_keys_of_a_difference_are_those_of_its_experiment(paper: str) -> None:
    """A misspelt key would match nothing and look like a claim without runs."""
    for claim in claims_of(paper):
        if claim.quantity != "difference":
            continue
        exp = EXPERIMENTS[claim.experiment]
        rows = [{k: as_text(v) for k, v in exp.row(c).items()} for c in exp.plan("paper")]
        printed = paper_table(f"{claim.paper}/{exp.table}") if exp.table else pd.DataFrame()
        known = {*rows[0], *printed.columns, "metric", "corruption"}
        for side in (claim.ours, claim.theirs, claim.control, claim.rows):
            assert set(side) <= known, (claim.key, side)
        for side in filter(None, (claim.ours, claim.theirs, claim.control)):
            mine = {k: v for k, v in side.items() if k in rows[0] and k != "initialization"}
            assert any(mine.items() <= row.items() for row in rows), (claim.key, side)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claimed": "better"}, "claimed must be one of"),
        ({"quantity": "", "claimed": ""}, "a note that says why"),
        ({"quantity": "", "note": "why"}, "has a blank claimed"),
        ({"claimed": "not lower", "least": ""}, "needs a least"),
        ({"least": "-1"}, "must not be negative"),
        ({"rows": "dataset cifar10"}, "name=value"),
        ({"key": ""}, "key is blank"),
    ],
)
def test_a_wrong_line_is_named(
    changes: dict[str, str], message: str, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """File, line number and what is wrong."""
    line = dict.fromkeys((f.name for f in dataclasses.fields(Claim) if f.name != "paper"), "")
    line |= {"key": "a", "claim": "b", "source": "c", "quantity": "difference", "claimed": "higher"}
    (tmp_path / "ns").mkdir()
    pd.DataFrame([line | changes]).to_csv(tmp_path / "ns" / "claims.csv", index=False)
    monkeypatch.setattr("nslab.papers.claims.papers_dir", lambda: tmp_path)
    with pytest.raises(ValueError, match=f"line 2: .*{message}"):
        claims_of("ns")


def test_claims_in_a_shell(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table, counts and a file; an unknown paper and suffix are refused before anything."""
    monkeypatch.setattr(claims, "every_run", lambda: table5([2.0, 2.1, 1.9]))
    shell = CliRunner()
    done = shell.invoke(app, ["claims", "--paper", "ns", "--to", str(tmp_path / "c.csv")])
    assert done.exit_code == 0, done.output
    assert "long_tail_10_100" in done.output
    assert "3 of 9" in done.output
    written = pd.read_csv(tmp_path / "c.csv")
    assert list(written.columns) == claims.CLAIM_COLUMNS
    assert shell.invoke(app, ["claims", "--paper", "xs"]).exit_code == 2
    assert shell.invoke(app, ["claims", "--to", "claims.pdf"]).exit_code == 2


def test_the_smallest_effect_before_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the unit of the runs once some tell their spread; one seed tells nothing."""
    exp = experiment(TABLE5)
    plan = exp.plan("cpu", seeds=(1, 2, 3))
    runs = table5([1.0, 2.0, 3.0])
    monkeypatch.setattr("nslab.analysis.smallest_effect.every_run", lambda: runs)
    said = smallest_effect(TABLE5, plan)
    assert "3 seeds tell differences from CE of 3.3 standard deviations" in said
    assert "3.3 at the spread seen so far, 1 " in said
    assert "one seed" in smallest_effect(TABLE5, exp.plan("cpu", seeds=(1,)))
    assert smallest_effect("ns/table9", experiment("ns/table9").plan("smoke")) == ""
