"""Reports of classes for `nslab compare`: accuracy of each, and what is confused."""

import re
from collections import Counter
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd

from nslab.analysis.confusion import confusion
from nslab.analysis.run_tables import class_table
from nslab.configs import RunConfig
from nslab.configs.labels import columns, short_repr
from nslab.configs.serialization import decode
from nslab.plots.confusion import LEGIBLE, confusion_matrix
from nslab.plots.style import apply, save
from nslab.runs.results import Result

PLACE = ("dataset", "network")  # there is one table of classes for each pair of these
SHOWN = 30  # most classes in a table, unless all are asked for


def by_line(results: Sequence[Result]) -> dict[tuple[str, ...], list[Result]]:
    """Groups of runs that differ only in their seed, by data set, network and method; if these do
    not identify a group, also by its objective or else its id."""
    groups: dict[RunConfig, list[Result]] = {}
    for result in results:
        groups.setdefault(decode(result.config).with_seed(0), []).append(result)
    names = {config: _name(config) for config in groups}
    for more in (lambda c: short_repr(getattr(c, "objective", c)), lambda c: c.id):
        several = Counter(names.values())
        names = {c: (*n, more(c)) if several[n] > 1 else n for c, n in names.items()}
    return {names[config]: runs for config, runs in groups.items()}


def _name(config: RunConfig) -> tuple[str, ...]:
    return tuple(str(value) for key, value in columns(config).items() if key != "seed")


def worst_classes(results: Sequence[Result], every: bool = False) -> list[str]:
    """A table for each data set and network, as text: test accuracy of each class by each method in
    percent, means over seeds. Of more than `SHOWN` classes only the least accurate are listed,
    unless ``every``."""
    known = [result for result in results if "per_class_accuracy" in result.metrics]
    if not known:
        return ["no run has accuracies of its classes"]
    lines = []
    tables = []
    for name, runs in by_line(known).items():
        own = class_table(runs)
        own["method"] = ", ".join(str(part) for part in name[len(set(own) & {*PLACE}) :])
        tables.append(own)
    table = pd.concat(tables)
    keys = [key for key in PLACE if key in table]
    for values, part in table.groupby(keys, sort=False):
        wide = part.pivot_table("accuracy", "class", "method", sort=False, dropna=False)
        seeds = part.groupby("method")["seed"].nunique().max()
        title = f"\n{', '.join(map(str, values))}: accuracy of each class (%), up to {seeds} seeds"
        if len(wide) > SHOWN and not every:
            title += f"; the worst {SHOWN} of {len(wide)} (--all shows them)"
            wide = wide.loc[wide.mean(axis=1).sort_values(kind="stable").index[:SHOWN]]
        lines.append(f"{title}\n{as_text(wide.reset_index())}")
    return lines


def confusions(results: Sequence[Result], experiment: str, preset: str) -> list[str]:
    """Plot a confusion matrix for each group of runs whose weights are here; returns, for each, the
    path of the figure and the classes that are confused most, as text."""
    lines = []
    for line, runs in by_line(results).items():
        name = ", ".join(line)
        try:
            found = confusion(runs)
        except (FileNotFoundError, ValueError) as error:
            lines.append(f"\n{name}: {error}")
            continue
        with mpl.rc_context():
            apply()
            figure = confusion_matrix(found, name)
            file = f"confusion_{plain(experiment)}_{plain('_'.join(line))}"
            path = save(figure, file, preset, runs=runs)
        pairs = found.pairs(10 if len(found.classes) <= LEGIBLE else 20)
        lines.append(f"\n{name}: {path}\n{as_text(pairs)}")
    return lines or ["no run is finished"]


def as_text(table: pd.DataFrame) -> str:
    """A table for a terminal."""
    return table.to_string(index=False, float_format="{:.1f}".format, na_rep="-")


def plain(name: str) -> str:
    """A name with only characters that suit a file name, at most 80."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")[:80]
