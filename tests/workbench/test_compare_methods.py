"""Methods compared on a person's own data and network, in one call."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nslab
from nslab.analysis.statistics import in_words, paired
from nslab.configs.serialization import decode
from nslab.explore.results.panel import finished_runs
from nslab.networks import NETWORKS
from nslab.objectives import OBJECTIVES
from nslab.objectives.weighted import PlainLoss
from nslab.plots.findings import comparison_finding
from nslab.runs.results import every_run
from nslab.types import Labels, Logits, PerSample
from nslab.workbench.compare_methods import MethodComparison, compare_methods
from nslab.workbench.own_objects import network_name
from nslab.workbench.sentences import difference

GEN = torch.Generator().manual_seed(0)
X, Y = torch.randn(96, 1, 6, 6, generator=GEN), torch.arange(96) % 2
X[Y == 1] += 0.7
DATA = {"train": (X[:64], Y[:64]), "test": (X[64:], Y[64:])}
SHORT = {"epochs": 2, "batch_size": 16, "lr": 0.05, "show": False}


class Net(nn.Sequential):
    """A network of one's own."""

    def __init__(self, classes: int) -> None:
        super().__init__(nn.Flatten(), nn.LazyLinear(classes))
        self(torch.zeros(1, 1, 6, 6))


@dataclass(frozen=True)
class Power(PlainLoss):
    """A loss of one's own, in no registry."""

    power: float = 2.0

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Cross-entropy to a power."""
        return F.cross_entropy(logits, y, reduction="none") ** self.power


def brier(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that is a plain function."""
    return ((logits.softmax(1) - F.one_hot(y, logits.shape[1])) ** 2).sum(1)


def test_own_network_data_and_losses() -> None:
    """Table and figure say what the runs did; a second call computes nothing."""
    methods = {"CE": "ce", "NS": nslab.NS(rho=-1.0), "squared": Power(), "Brier": brier}
    found = compare_methods(Net, **DATA, methods=methods, seeds=3, **SHORT)
    assert list(found.table["method"]) == list(methods)
    assert found.table["n"].tolist() == [3] * 4
    assert [r.origin for r in found.results] == ["computed"] * 12
    wide = found.runs.pivot(index="seed", columns="method", values="value")
    assert list(wide.index) == [2024, 2025, 2026]
    for line in found.table.to_dict("records"):
        values = wide[line["method"]]
        assert line["accuracy"] == pytest.approx(values.mean())
        assert line["sd"] == pytest.approx(values.std())
        if line["method"] != "CE":
            expected = paired(values, wide["CE"])
            assert line["minus CE"] == pytest.approx(expected.mean)
            assert (line["low"], line["high"]) == pytest.approx((expected.low, expected.high),
                                                                nan_ok=True)  # fmt: skip
    again = compare_methods(Net, **DATA, methods=methods, seeds=3, **SHORT)
    assert [r.origin for r in again.results] == ["stored"] * 12
    assert again.table.equals(found.table)
    figure = found.figure()
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(methods)
    assert "4 of" not in figure.get_suptitle()
    assert found.verdict.count(";") == 2
    assert "NS is" in found._repr_html_()
    losses = [decode(r.config).objective for r in found.results[:4]]
    x, y = torch.randn(5, 2), torch.tensor([0, 1, 1, 0, 1])
    assert torch.equal(losses[3].loss(x, y), brier(x, y))
    assert losses[2] == Power()
    assert len(finished_runs(every_run()).query("dataset.str.startswith('mine')")) == 12


def test_edited_code_is_computed_anew() -> None:
    """A network or loss of the same name with other code is another run."""

    def make(width: int, power: float) -> tuple[Any, Any]:
        class Same(nn.Sequential):
            def __init__(self) -> None:
                super().__init__(nn.Flatten(), nn.Linear(36, width), nn.Linear(width, 2))

        @dataclass(frozen=True)
        class Loss(PlainLoss):
            def loss(self, logits: Logits, y: Labels) -> PerSample:
                return F.cross_entropy(logits, y, reduction="none") * power

        return Same, Loss()

    def ids(width: int, power: float) -> list[str]:
        network, loss = make(width, power)
        done = compare_methods(network, **DATA, methods={"mine": loss}, seeds=1, **SHORT)
        return [result.id for result in done.results]

    first = ids(3, 1.0)
    assert ids(3, 1.0) == first
    assert ids(4, 1.0) != first
    assert ids(3, 2.0) != first


FACTOR = 1.0


def scaled(losses: torch.Tensor) -> torch.Tensor:
    """What a loss of one's own uses."""
    return FACTOR * losses


@dataclass(frozen=True)
class Using(PlainLoss):
    """A loss that uses other code."""

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Scaled cross-entropy."""
        return scaled(F.cross_entropy(logits, y, reduction="none"))


def test_what_a_loss_uses_is_looked_at_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant or helper changed since the class was first used is another run."""

    def losses() -> list[float]:
        found = compare_methods("mlp", **DATA, methods={"mine": Using()}, seeds=1, **SHORT)
        return [found.results[0].metrics["train_loss"]]

    first = losses()
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "FACTOR", 0.0)
        assert losses() == [0.0]
    assert losses() == first != [0.0]


def test_named_data_and_networks(tmp_path: Any) -> None:
    """What nslab knows by name; one seed has no interval, one method no comparison."""
    found = compare_methods("mlp", "digits", methods=["ce"], seeds=[7], epochs=1, show=False)
    assert list(found.runs["seed"]) == [7]
    assert found.verdict == "ce alone"
    assert list(found.table.columns) == ["method", "accuracy", "sd", "n"]
    found.figure()


@pytest.mark.usefixtures("as_users_call")
def test_losses_that_are_no_loss_per_sample() -> None:
    """What is wrong and what to do, not a traceback."""
    for loss in (F.cross_entropy, lambda logits, y: logits):
        with pytest.raises(ValueError, match=r"gives losses of shape .* one for each is needed"):
            compare_methods("mlp", **DATA, methods={"odd": loss}, seeds=1, **SHORT)


def test_methods_without_names() -> None:
    """Go by their key, their class, or the function's name."""
    found = compare_methods("mlp", **DATA, methods=["ce", Power(3.0), brier], seeds=1, **SHORT)
    assert list(found.runs["method"]) == ["ce", "Power(power=3.0)", "brier"]
    losses = [partial(F.cross_entropy, reduction="none"), nn.CrossEntropyLoss(reduction="none"),
              lambda logits, y: brier(logits, y)]  # fmt: skip
    found = compare_methods(lambda classes: Net(classes), **DATA, methods=losses, seeds=1, **SHORT)
    assert list(found.runs["method"]) == ["cross_entropy", "CrossEntropyLoss", "lambda"]
    assert found.title == "lambda on mine, 1 seed"
    assert decode(found.results[2].config).columns()["method"].startswith("lambda #")
    assert network_name(partial(partial(Net), 2)).startswith("module:Net#")


def test_verdicts_follow_from_intervals() -> None:
    """Above, below, or neither; of many methods their numbers."""
    lines = [
        {"method": m, "seed": s, "value": v + s / 10 * (k + 1), "learnt": True, "run": ""}
        for k, (m, v) in enumerate({"a": 50, "b": 60, "c": 40, "d": 50}.items())
        for s in (1, 2, 3)
    ]
    some = MethodComparison([], pd.DataFrame(lines), "a")
    assert "b is above a: +10.20 points" in some.verdict
    assert "c is below a" in some.verdict
    more = pd.DataFrame([*lines, *({**x, "method": "e"} for x in lines if x["method"] == "b")])
    counts = MethodComparison([], more, "a").verdict
    assert counts.startswith("2 of 4 are above a; 1 of 4 is below a")


@pytest.mark.parametrize("seeds", [(1, 2), (1, 2, 3)])
def test_differences_that_are_all_alike(seeds: tuple[int, ...]) -> None:
    """Show nothing: no star, no verdict, no interval of no width; not in the figure, either."""
    lines = [
        {"method": m, "seed": s, "value": value, "learnt": True, "run": ""}
        for s in seeds
        for m, value in (("ce", 80.1 + s / 10), ("ns", 80.1 + s / 10 + 3))
    ]
    some = MethodComparison([], pd.DataFrame(lines), "ce")
    assert some.verdict == (
        "ns cannot be distinguished from ce: +3.00 points with every seed, so their spread is "
        "unknown"
    )
    assert list(some.readable["minus ce (95 % interval)"]) == ["", "+3.00"]
    assert some.notes == [
        "ns: the difference is the same with every seed, so its spread is unknown, and there is "
        "no interval: give more seeds."
    ]
    alike = "all differences alike, so no interval"
    found = comparison_finding(some.runs, "ns", "ce", planned=len(seeds))
    assert found == f"ns ahead of CE in {len(seeds)} of {len(seeds)} seeds: +3.00 points; {alike}"
    assert alike in difference(some.differences.iloc[0])
    assert in_words(some.differences.iloc[0]) == f"+3.00 points ({alike}, n = {len(seeds)})"


def test_names_with_signs_of_latex_and_formulas(tmp_path: Path) -> None:
    """Stand in every file as they are."""
    names = ["a {x} <y>", "5 $", "$\\frac$ ${b}"]
    lines = [
        {"method": m, "seed": s, "value": 50.0 + k + s * (k + 1) / 10, "learnt": True, "run": ""}
        for k, m in enumerate(names)
        for s in (1, 2, 3)
    ]
    some = MethodComparison([], pd.DataFrame(lines), names[0], title="nets of 3 $ on {data}")
    tex = some.to(tmp_path / "t.tex").read_text()
    assert r"a \{x\} \textless{}y\textgreater{}" in tex
    assert r"minus a \{x\} \textless{}y\textgreater{} (95 \% interval)" in tex
    assert some.to(tmp_path / "t.html").stat().st_size > 10_000  # its figure was drawn
    assert r"5 \$" in [t.get_text() for t in some.figure().axes[0].get_yticklabels()]


@pytest.fixture(autouse=True)
def _tidy() -> Any:
    """What a test makes known is forgotten."""
    before = [(registry, set(registry)) for registry in (NETWORKS, OBJECTIVES)]
    yield
    for registry, keys in before:
        for key in set(registry) - keys:
            del registry[key]
