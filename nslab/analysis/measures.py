"""Measures: what the table of an experiment shows of its runs, by name.

A measure takes finished runs and gives a table: ``run`` (id) and ``value``, a line per number; any
further columns are keys of the row that the number belongs to. ``part`` may say what the number
lacks of the paper's, such as ``"2 of 15 corruptions"``, ``differs`` in what it is unlike the
paper's, ``note`` what else there is to say.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from nslab.analysis.robustness import corruption_numbers
from nslab.datasets.corruption.sets import CorruptedSet
from nslab.runs import frozen
from nslab.runs.portability import known_config
from nslab.runs.results import Result

Measure = Callable[[Sequence[Result]], pd.DataFrame]
NO_KEYS = ("run", "value", "part", "differs", "note")
FROZEN_ERRORS = "de_robustness_cpu"


def final_number(name: str, results: Sequence[Result]) -> pd.DataFrame:
    """A number that runs end with. Raises ``ValueError`` for a run without it."""
    for result in results:
        if name not in result.metrics:
            raise ValueError(
                f"run {result.id} has no number {name!r}, but {', '.join(result.metrics)}; there "
                f"are the measures {', '.join(MEASURES)}"
            )
    lines = [(result.id, result.metrics[name]) for result in results]
    return pd.DataFrame(lines, columns=["run", "value"])


def frozen_errors(kind: CorruptedSet, results: Sequence[Result]) -> pd.DataFrame:
    """Errors on a set of corrupted images, and mCE, of those runs that the frozen table has; they
    take hours to measure."""
    errors = frozen.table(FROZEN_ERRORS)
    numbers = corruption_numbers(errors[errors["set"] == kind])
    return numbers[numbers["run"].isin([result.id for result in results])]


def on_imagenet(number: str, results: Sequence[Result]) -> pd.DataFrame:
    """A final number; ``differs`` of runs on other data than ImageNet."""
    table = final_number(number, results)
    return table.assign(differs=["" if imagenet(r) else "other data" for r in results])


def top1_and_top5(results: Sequence[Result], *, of_inits: bool = False) -> pd.DataFrame:
    """Two lines a run: test accuracy by the likeliest class and by the five likeliest, told apart
    by ``metric``. With ``of_inits`` the pretrained network, which the paper prints beside either
    initial population, has the lines of both."""
    lines = []
    for metric, number in (("top1", "test_accuracy"), ("top5", "test_top5")):
        for result, line in zip(
            results, on_imagenet(number, results).to_dict("records"), strict=True
        ):
            word = str(result.config.get("init", ""))
            words = ("init_rs", "init_hp") if word == "pretrained" else (word,)
            for init in words if of_inits else ("",):
                about = {"initialization": init} if of_inits else {}
                lines.append(line | about | {"metric": metric})
    return pd.DataFrame(lines, columns=None if lines else ["run", "value", "metric"])


def imagenet(result: Result) -> bool:
    """Whether a run is on ImageNet's images."""
    config = known_config(result.config)
    return config is not None and config.dataset == "imagenet"


MEASURES: dict[str, Measure] = {
    "test_accuracy": partial(final_number, "test_accuracy"),
    "ranking_accuracy": partial(final_number, "ranking_accuracy"),
    "imagenet_top1": partial(on_imagenet, "test_accuracy"),
    "top1_and_top5": top1_and_top5,
    "top1_and_top5_of_inits": partial(top1_and_top5, of_inits=True),
    "mnist_c_errors": partial(frozen_errors, "mnist_c"),
    "cifar10_c_errors": partial(frozen_errors, "cifar10_c"),
}


def measure_of(name: str) -> Measure:
    """The measure of that name; if there is none, the final number that runs have by it."""
    return MEASURES.get(name) or partial(final_number, name)
