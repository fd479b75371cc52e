"""Measures by name: the numbers of runs that an experiment's table shows.

A measure takes finished runs and returns a table with a line per number: ``run`` (id), ``value``,
and three optional columns: ``part``, how much of what the paper averages there is, such as ``"2 of
15 corruptions"``; ``differs``, how it differs otherwise from the paper's; ``note``, remarks. All
other columns are keys of the row that the number belongs to.
"""

from collections.abc import Callable, Sequence
from functools import partial

import pandas as pd

from nslab.analysis.robustness import corruption_numbers
from nslab.configs.serialization import decode
from nslab.datasets.corruption.sets import CorruptedSet
from nslab.experiments.ns.adaptation import OFFICE, TASKS, adaptation_row
from nslab.runs import frozen
from nslab.runs.portability import known_config
from nslab.runs.results import Result

Measure = Callable[[Sequence[Result]], pd.DataFrame]
DOMAINS = ("source_domain", "target_domain")
NO_KEYS = ("run", "value", "part", "differs", "note")  # columns that are not keys of a row
FROZEN_ERRORS = "de_robustness_cpu"


def final_number(name: str, results: Sequence[Result]) -> pd.DataFrame:
    """A number of the runs' final results. Raises ``ValueError`` for a run without it."""
    for result in results:
        if name not in result.metrics:
            raise ValueError(
                f"run {result.id} has no number {name!r}: choose one of its own, "
                f"{', '.join(result.metrics)}, or a measure, {', '.join(MEASURES)}"
            )
    lines = [(result.id, result.metrics[name]) for result in results]
    return pd.DataFrame(lines, columns=["run", "value"])


def frozen_errors(kind: CorruptedSet, results: Sequence[Result]) -> pd.DataFrame:
    """Errors on a set of corrupted images, and mCE, from a stored table, since measuring them takes
    hours; runs that the table lacks are left out."""
    errors = frozen.table(FROZEN_ERRORS)
    numbers = corruption_numbers(errors[errors["set"] == kind])
    return numbers[numbers["run"].isin([result.id for result in results])]


def on_imagenet(number: str, results: Sequence[Result]) -> pd.DataFrame:
    """A number of the runs' final results; ``differs`` and ``note`` mark runs that are not on
    ImageNet."""
    there, table = [imagenet(result) for result in results], final_number(number, results)
    said = {"differs": "other data", "note": "not the paper's data"}
    return table.assign(**{key: ["" if a else text for a in there] for key, text in said.items()})


def top1_and_top5(results: Sequence[Result], *, of_inits: bool = False) -> pd.DataFrame:
    """Two lines per run: top-1 and top-5 test accuracy, told apart by ``metric``. With ``of_inits``
    the initial population is a key, and the pretrained network, which the paper prints for both
    populations, has lines for both. Runs of older versions may lack top-5 accuracy."""
    lines = []
    for metric, number in (("top1", "test_accuracy"), ("top5", "test_top5")):
        there = [r for r in results if metric == "top1" or number in r.metrics]
        for result, line in zip(there, on_imagenet(number, there).to_dict("records"), strict=True):
            word = str(result.config.get("init", ""))
            words = ("init_rs", "init_hp") if word == "pretrained" else (word,)
            for init in words if of_inits else ("",):
                about = {"initialization": init} if of_inits else {}
                lines.append(line | about | {"metric": metric})
    return pd.DataFrame(lines, columns=None if lines else ["run", "value", "metric"])


def adaptation_accuracy(results: Sequence[Result]) -> pd.DataFrame:
    """Test accuracy of adaptations; those on Office-Home appear a second time, in the average over
    its tasks."""
    rows = [adaptation_row(decode(result.config)) for result in results]
    lines, (a, b) = [], DOMAINS
    for row, line in zip(
        rows, final_number("test_accuracy", results).to_dict("records"), strict=True
    ):
        pair, office = {key: row[key] for key in DOMAINS}, row["target_domain"] in OFFICE
        said = dict.fromkeys(("differs", "note"), "" if office else "other domains")
        lines.append(line | pair | said | {"part": ""})
        if office and row["source_domain"]:
            same = [r for r in rows if r["method"] == row["method"]]
            there, all_of = len({(r[a], r[b]) for r in same}), len(TASKS["paper"])
            part = "" if there == all_of else f"{there} of {all_of} tasks"
            lines.append(line | dict.fromkeys(DOMAINS, "average") | said | {"part": part})
    return pd.DataFrame(lines, columns=None if lines else ["run", "value"])


def imagenet(result: Result) -> bool:
    """Whether a run is on ImageNet."""
    config = known_config(result.config)
    return config is not None and config.dataset == "imagenet"


MEASURES: dict[str, Measure] = {
    "test_accuracy": partial(final_number, "test_accuracy"),
    "ranking_accuracy": partial(final_number, "ranking_accuracy"),
    "adaptation_accuracy": adaptation_accuracy,
    "imagenet_top1": partial(on_imagenet, "test_accuracy"),
    "top1_and_top5": top1_and_top5,
    "top1_and_top5_of_inits": partial(top1_and_top5, of_inits=True),
    "mnist_c_errors": partial(frozen_errors, "mnist_c"),
    "cifar10_c_errors": partial(frozen_errors, "cifar10_c"),
}


def measure_of(name: str) -> Measure:
    """The measure of that name; if there is none, the number of that name in final results."""
    return MEASURES.get(name) or partial(final_number, name)
