"""One network, one data set, several methods, the same seeds: a table and a figure."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import index
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from nslab.analysis.confusion import Confusion, confusion
from nslab.analysis.run_tables import class_table
from nslab.analysis.statistics import differences
from nslab.configs import TrainConfig
from nslab.configs.labels import short_repr
from nslab.datasets import resolved
from nslab.datasets.own_arrays import add_arrays
from nslab.plots.comparison import paired_comparison
from nslab.plots.confusion import confusion_matrix
from nslab.plots.style import apply
from nslab.runs.results import Result
from nslab.runs.store import run_all
from nslab.system.validation import check_count, check_parameters, hints, unknown
from nslab.workbench.own_objects import network_name, objective_of

FIRST_SEED = 2024
MOST_SAID = 3  # methods that a verdict speaks of one by one
VERDICTS = ("above", "below", "not told apart from")
TAKEN = ("dataset", "network", "objective", "seed")  # fields that have parameters of their own


def name_of(method: Any) -> str:
    """What a method is called that was given without a name: its key, its class with what is not
    the default, or the name of a function."""
    if isinstance(method, str):
        return method
    return str(getattr(method, "__name__", "") or short_repr(method))


def verdict_on(line: Mapping[str, Any]) -> str:
    """What a paired difference with its 95 % interval shows."""
    above, below, neither = VERDICTS
    if line["n"] < 2:
        return neither
    return above if line["low"] > 0 else below if line["high"] < 0 else neither


@dataclass(frozen=True)
class MethodComparison:
    """Finished runs of several methods.

    Attributes:
        results: of every run, seed by seed.
        runs: a line per run: ``method``, ``seed``, ``value`` (test accuracy in percent), ``learnt``
            (whether that is above chance), ``run`` (its id).
        baseline: the method that the others are compared with.
    """

    results: list[Result] = field(repr=False)
    runs: pd.DataFrame = field(repr=False)
    baseline: str

    @property
    def differences(self) -> pd.DataFrame:
        """A line per other method: its runs minus the baseline's of the same seed, with the 95 %
        interval and the p of a paired t test, see `nslab.analysis.statistics.Paired`."""
        return differences(self.runs, self.baseline, [])

    @property
    def table(self) -> pd.DataFrame:
        """A line per method: mean accuracy, sd over seeds, n, and the difference to the baseline
        with its 95 % interval ``low`` to ``high`` and p; blank for the baseline and for one
        seed."""
        by_method = self.runs.groupby("method", sort=False)["value"]
        table = pd.DataFrame({"accuracy": by_method.mean(), "sd": by_method.std()})
        table["n"] = by_method.count()
        others = self.differences
        if len(others):
            found = others.set_index("method")[["mean", "low", "high", "p"]]
            table = table.join(found.rename(columns={"mean": f"minus {self.baseline}"}))
        return table.reset_index()

    @property
    def verdict(self) -> str:
        """What the runs show, in a sentence: computed from the intervals."""
        said, table = [], self.differences.to_dict("records")
        lines = [{str(name): value for name, value in line.items()} for line in table]
        for line in lines:
            shown = f"{line['mean']:+.2f} points"
            if line["n"] > 1:
                shown += f" ({line['low']:+.2f} to {line['high']:+.2f})"
            said.append(f"{line['method']} is {verdict_on(line)} {self.baseline}: {shown}")
        if len(lines) > MOST_SAID:
            words = [verdict_on(line) for line in lines]
            said = [f"{words.count(w)} of {len(words)} are {w} {self.baseline}" for w in VERDICTS
                    if w in words]  # fmt: skip
        return "; ".join(said) or f"{self.baseline} alone"

    def figure(self) -> Figure:
        """Accuracy of every run, and each method's difference to the baseline with its interval."""
        with mpl.rc_context():
            apply()
            return paired_comparison(self.runs, self.differences, self.baseline, self.verdict)

    @property
    def per_class(self) -> pd.DataFrame:
        """Test accuracy of each class (rows) by each method (columns), in percent: means over
        seeds."""
        table = class_table(self.results)
        table["method"] = np.repeat(list(self.runs["method"]), len(table) // len(self.runs))
        return table.pivot_table("accuracy", "class", "method", sort=False, dropna=False)

    def confusion(self, method: str) -> Confusion:
        """What the networks of a method take test images for, from the weights that they kept;
        ``ValueError`` for a method that there is not."""
        chosen = self.runs["method"] == method
        if not chosen.any():
            raise unknown("method", method, self.runs["method"].unique())
        return confusion([r for r, own in zip(self.results, chosen, strict=True) if own])

    def confusion_figure(self, method: str) -> Figure:
        """The same as a matrix; of more than 30 classes the pairs that are most often confused."""
        with mpl.rc_context():
            apply()
            return confusion_matrix(self.confusion(method), method)

    def _repr_html_(self) -> str:
        small = {"p": "{:.2g}".format}
        table = self.table.to_html(
            index=False,
            border=0,
            na_rep="",
            float_format="{:.2f}".format,
            formatters=small,
        )
        return f"<p>{html.escape(self.verdict)}</p>{table}"


def compare_methods(
    model: Any,
    train: Any,
    test: Any = None,
    methods: Mapping[str, Any] | Sequence[Any] = ("ce", "ns"),
    *,
    seeds: int | Sequence[int] = 3,
    name: str = "mine",
    classes: Sequence[str] = (),
    jobs: int = 1,
    show: bool = True,
    **settings: Any,
) -> MethodComparison:
    """Train a network by several methods on the same data with the same seeds.

    Args:
        model: a class of ``nn.Module``, a function that makes one (of nothing, of the number of
            classes, or of the images' shape and the number of classes), or the name of a network.
        train, test: pairs ``(images, labels)`` of arrays or tensors, or torch data sets, see
            `add_arrays`; or ``train`` alone: the name of a data set, ``"folder:PATH"``, or
            ``"csv:PATH"`` for texts.
        methods: by their names in the table, the first being the baseline: keys of
            ``OBJECTIVES``, values of such classes (``nslab.NS(rho=-1)``), one's own, or functions
            of logits and labels that give the loss of each sample.
        seeds: how many (from 2024 on), or which.
        name, classes: what tables call the data, and its classes.
        jobs: runs at once, each in a process of its own.
        settings: fields of `TrainConfig`, such as ``epochs=5, batch_size=64, lr=0.05``.

    Every run is kept and looked up the next time, by the content of data and code: an edited
    network is trained anew. Raises ``ValueError`` before any work for what cannot be.

    >>> import torch
    >>> x, y = torch.rand(64, 1, 8, 8), torch.arange(64) % 2
    >>> found = compare_methods("mlp", (x, y), (x, y), seeds=2, epochs=1, batch_size=16, show=False)
    >>> found.table[["method", "n"]].to_dict("list")
    {'method': ['ce', 'ns'], 'n': [2, 2]}
    """
    allowed = {key: hint for key, hint in hints(TrainConfig).items() if key not in TAKEN}
    settings = check_parameters(settings, allowed, "compare_methods")
    if isinstance(methods, str) or not isinstance(methods, Mapping | Sequence):
        shown = repr(methods) if isinstance(methods, str) else name_of(methods)
        raise ValueError(
            f"methods is one method, {shown}: give a list, such as ['ce', {shown}], or a dict of "
            "names and methods"
        )
    named = methods if isinstance(methods, Mapping) else {name_of(m): m for m in methods}
    if len(named) < len(methods):
        raise ValueError("two methods go by one name: give them as {name: method, ...}")
    if not named:
        raise ValueError("no methods: give their names, or values by name")
    objectives = {key: objective_of(value) for key, value in named.items()}
    check_count("compare_methods", {"methods": len(named),
                "seeds": seeds if isinstance(seeds, int) else len(seeds)})  # fmt: skip
    if isinstance(seeds, int):
        seeds = range(FIRST_SEED, FIRST_SEED + seeds)
    chosen = [index(seed) for seed in seeds]
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"seeds must be a number above 0, or different seeds, not {seeds!r}")
    if isinstance(train, str):
        if test is not None:
            raise ValueError(f"data set {train!r} has its own test images: leave test out")
        data = resolved(train)
    elif test is None:
        raise ValueError("test is missing: what is trained on cannot tell how good a network is")
    else:
        data = add_arrays(train, test, name, classes)
    network = network_name(model)
    configs = {
        (method, seed): TrainConfig(
            dataset=data, network=network, objective=objective, seed=seed, **settings
        )
        for seed in chosen
        for method, objective in objectives.items()
    }
    results = run_all(list(configs.values()), jobs=jobs, show=show)
    lines = [
        {
            "method": method,
            "seed": seed,
            "value": result.metrics["test_accuracy"],
            "learnt": result.learnt,
            "run": result.id,
        }
        for (method, seed), result in zip(configs, results, strict=True)
    ]
    return MethodComparison(results, pd.DataFrame(lines), next(iter(objectives)))
