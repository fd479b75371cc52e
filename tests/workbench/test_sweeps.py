"""Sweeps of settings, chosen on validation samples alone, and comparisons as text and files."""

import itertools
import re
from pathlib import Path
from statistics import mean

import pandas as pd
import pytest
import torch

from nslab.configs.serialization import decode
from nslab.runs.results import Result
from nslab.runs.store import RunsFailed
from nslab.workbench.compare_methods import MethodComparison, compare_methods
from nslab.workbench.sweeps import border, choose, settings_of

GEN = torch.Generator().manual_seed(0)
X, Y = torch.randn(160, 1, 6, 6, generator=GEN), torch.arange(160) % 2
X[Y == 1] += 0.5
TRAIN, TEST = (X[:100], Y[:100]), (X[100:], Y[100:])
SHORT = {"epochs": 2, "batch_size": 16, "show": False, "seeds": 2}
SWEEP = {"lr": [0.0001, 0.02, 0.3], "weight_decay": (0.0, 0.01)}


def test_the_choice_is_by_validation_samples() -> None:
    """Held to an independent reading of the runs' own numbers; the table is about the chosen runs,
    and shuffled test labels change no choice."""
    found = compare_methods("mlp", TRAIN, TEST, ["ce", "ns"], sweep=SWEEP, **SHORT)
    assert len(found.grid) == 12
    assert len(found.results) == len(found.runs) == 4
    kept: dict[str, dict] = {"ce": {}, "ns": {}}
    again = compare_methods("mlp", TRAIN, TEST, ["ce", "ns"], sweep=SWEEP, **SHORT)
    assert [r.origin for r in again.results] == ["stored"] * 4
    for method, lr, decay in itertools.product(kept, *SWEEP.values()):
        one = compare_methods("mlp", TRAIN, TEST, [method], lr=lr, weight_decay=decay, hold_out=20,
                              **SHORT)  # fmt: skip
        assert {r.origin for r in one.results} == {"stored"}
        rows = [max(r.history, key=lambda row: (row["held_out_accuracy"], -row["held_out_loss"]))
                for r in one.results]  # fmt: skip
        kept[method][lr, decay] = tuple(
            mean(row[name] for row in rows)
            for name in ("held_out_accuracy", "held_out_loss", "test_accuracy")
        )
    for line in found.table.to_dict("records"):
        cells = kept[line["method"]]
        best = max(cells, key=lambda key: (cells[key][0], -cells[key][1]))
        assert line["setting"] == f"lr = {best[0]:g}, weight_decay = {best[1]:g}"
        assert line["accuracy"] == pytest.approx(cells[best][2])
        assert line["n"] == 2
    for line in found.grid.to_dict("records"):
        numbers = kept[line["method"]][line["lr"], line["weight_decay"]]
        assert (line["validation"], line["validation_loss"], line["test"]) == pytest.approx(numbers)
    held = {decode(r.config).hold_out for r in found.results}
    assert held == {20}  # a fifth
    order = torch.randperm(len(TEST[1]), generator=torch.Generator().manual_seed(1))
    shuffled = (TEST[0], TEST[1][order])
    other = compare_methods("mlp", TRAIN, shuffled, ["ce", "ns"], sweep=SWEEP, **SHORT)
    assert other.table["setting"].tolist() == found.table["setting"].tolist()
    assert other.grid["validation"].tolist() == found.grid["validation"].tolist()
    assert other.grid["test"].tolist() != found.grid["test"].tolist()


def test_settings_that_fail_are_not_chosen() -> None:
    """A rate at which the loss is infinite is said; where none is left, the failure is told."""
    sweep = {"lr": [1e30, 0.05]}
    found = compare_methods("mlp", TRAIN, TEST, ["ce"], sweep=sweep, **SHORT)
    assert found.grid["chosen"].tolist() == [False, True]
    assert found.grid["validation"].isna().tolist() == [True, False]
    assert "1 settings failed" not in str(found)
    assert "1 setting failed in some seed, and could not be chosen" in str(found)
    assert "failed" in found.sweep.readable["validation accuracy (%)"].iloc[0]
    found.sweep_figure()
    with pytest.raises(RunsFailed, match="not finite"):
        compare_methods("mlp", TRAIN, TEST, ["ce"], sweep={"lr": [1e30, 1e31]}, **SHORT)


def outcome(accuracy: float, loss: float, test: float) -> Result:
    """A finished run, made up."""
    numbers = {"held_out_accuracy": accuracy, "held_out_loss": loss, "test_accuracy": test}
    return Result("x", {}, numbers, [], {})


def test_rule_of_the_choice() -> None:
    """The mean over seeds; of equals the smaller loss, then the first; never the test."""
    fields = {"lr": (0.1, 0.2, 0.3)}
    numbers = {
        ("a", 0): [(90, 1, 99), (50, 1, 99)],  # one good seed does not do
        ("a", 1): [(75, 1, 0), (75, 1, 0)],
        ("a", 2): [(80, 2, 1), (70, 2, 1)],
        ("b", 0): [(60, 1, 0), (60, 1, 0)],
        ("b", 1): [(60, 1, 99), (60, 1, 99)],
        ("b", 2): [(10, 0, 99), (10, 0, 99)],
    }
    results = {
        (m, p, seed): outcome(*of)
        for (m, p), each in numbers.items()
        for seed, of in enumerate(each)
    }
    sweep, best = choose(fields, results, 20)
    assert best == {"a": 1, "b": 0}
    assert list(best) == ["a", "b"]
    assert list(choose(fields, dict(reversed(results.items())), 20)[1]) == ["b", "a"]
    assert sweep.chosen == {"a": "lr = 0.2", "b": "lr = 0.1"}
    assert [note for note in sweep.notes if "tried" in note] == [
        "b: lr = 0.1 is the smallest tried; a smaller one may be better."
    ]
    one, _ = choose({"lr": (0.1,)}, {k: r for k, r in results.items() if k[1] == 0}, 20)
    assert one.notes[0].startswith("One setting was tried, so there was no choice; 20 validation")
    results["a", 1, 0] = None
    assert choose(fields, results, 20)[1]["a"] == 2
    with pytest.raises(ValueError, match="no setting of b ended with every seed"):
        choose(fields, results | {("b", p, 1): None for p in range(3)}, 20)


def test_borders() -> None:
    """Of numbers alone, and not of one; nothing is smaller than 0."""
    assert [border(0.0, (0.0, 0.1)), border(0.1, (0.0, 0.1))] == ["", "largest"]
    assert border(3, (1, 2, 3)) == "largest"
    assert border(1, (3, 1, 2)) == "smallest"
    assert [border(2, (1, 2, 3)), border(1, (1,)), border(True, (False, True))] == ["", "", ""]


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"sweep": ["lr"]}, "give fields and their values"),
        ({"sweep": {"rate": [1]}}, "unknown field of a sweep 'rate'"),
        ({"sweep": {"lrr": [1]}}, "did you mean lr"),
        ({"sweep": {"lr": 0.1}}, "give a list of values"),
        ({"sweep": {"lr": []}}, "give a list of values"),
        ({"sweep": {"lr": ["fast"]}}, "sweep: lr must be a number"),
        ({"sweep": {"lr": [0.1, 0.1]}}, "has a value twice"),
        ({"sweep": {"lr": [0.1, -1]}}, "lr must be above 0"),
        ({"sweep": {"seed": [1, 2]}}, "seed cannot be swept"),
        ({"sweep": {"hold_out": [1, 2]}}, "hold_out cannot be swept"),
        ({"sweep": {"lr": [0.1]}, "lr": 0.2}, "lr is swept, and given too"),
        ({"sweep": {"lr": [i / 1e4 for i in range(1, 9000)]}}, "combinations"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not available"),
        ({"device": "gpu"}, "device 'gpu' is not available"),
    ],
)
def test_mistakes_are_explained(given: dict, message: str) -> None:
    """Before anything is trained."""
    with pytest.raises(ValueError, match=message):
        compare_methods("mlp", TRAIN, TEST, ["ce"], **{**SHORT, **given})


def test_values_are_brought_to_their_types() -> None:
    """A rate may be a whole number."""
    assert settings_of({"lr": [1, "0.5"]}, {}) == {"lr": (1.0, 0.5)}


def made_up(*values: tuple[str, int, float], learnt: bool = True) -> MethodComparison:
    """A comparison of made-up numbers."""
    lines = [dict(zip(("method", "seed", "value"), v, strict=True)) for v in values]
    runs = pd.DataFrame(lines).assign(learnt=learnt, run="")
    return MethodComparison([], runs, "ce", "mlp on digits, 3 seeds")


def test_text_for_a_terminal() -> None:
    """Title, table, verdict, and what the star means."""
    both = [("ce", s, 80 + s / 10) for s in (1, 2, 3)] + [("a_b", s, 83 + s / 8) for s in (1, 2, 3)]
    text = str(made_up(*both))
    assert text.startswith("mlp on digits, 3 seeds\n")
    assert re.search(r"a_b +83\.25 ± 0\.12 +3 +\+3\.05 \(\+2\.99 to \+3\.11\)\*", text)
    assert "a_b is above ce: +3.05 points (+2.99 to +3.11)." in text
    assert "excludes 0; not corrected" in text
    one = made_up(("ce", 1, 80.0), ("a_b", 1, 81.0), learnt=False)
    assert "One seed allows no interval" in str(one)
    assert "Not above chance: ce, a_b" in str(one)
    assert "excludes 0" not in str(one)
    assert "Not above chance" in one._repr_html_()
    with pytest.raises(ValueError, match="nothing was swept"):
        _ = one.grid


def test_files(tmp_path: Path) -> None:
    """All digits in CSV; the page has the figures."""
    found = made_up(*[(m, s, 80 + s / 7) for m in ("ce", "ns") for s in (1, 2, 3)])
    back = pd.read_csv(found.to(tmp_path / "t.csv"))
    pd.testing.assert_frame_equal(back, found.table)
    page = found.to(tmp_path / "t.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") == 1
    assert "<h1>mlp on digits, 3 seeds</h1>" in page
    assert "ns cannot be distinguished from ce" in found.to(str(tmp_path / "t.md")).read_text()
    assert "\\toprule" in found.to(tmp_path / "t.tex").read_text()
    with pytest.raises(ValueError, match="must end in one of"):
        found.to(tmp_path / "t.png")
