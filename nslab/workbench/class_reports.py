"""Reports of classes for `nslab compare`: accuracy of each, and what is confused."""

import re
from collections.abc import Sequence

import matplotlib as mpl
import pandas as pd

from nslab.analysis.confusion import confusion
from nslab.analysis.run_tables import class_table, run_columns
from nslab.plots.confusion import LEGIBLE, confusion_matrix
from nslab.plots.style import apply, save
from nslab.runs.results import Result

SHOWN = 30  # classes of a table, unless all are asked for


def by_line(results: Sequence[Result]) -> dict[tuple[str, ...], list[Result]]:
    """Runs that differ in their seed alone, by what tells them apart: data set, network, method."""
    found: dict[tuple[str, ...], list[Result]] = {}
    for result in results:
        about = {k: str(v) for k, v in run_columns(result).items() if k != "seed"}
        found.setdefault(tuple(about.values()), []).append(result)
    return found


def worst_classes(results: Sequence[Result], every: bool = False) -> list[str]:
    """A table for each data set and network, as text: test accuracy of each class by each method
    in percent, means over seeds; of more than 30 classes those that are recognised worst."""
    known = [result for result in results if "per_class_accuracy" in result.metrics]
    if not known:
        return ["no run has numbers of classes"]
    said = []
    table = class_table(known)
    keys = [key for key in ("dataset", "network") if key in table]
    for values, part in table.groupby(keys, sort=False):
        wide = part.pivot_table("accuracy", "class", "method", sort=False, dropna=False)
        seeds = part.groupby("method")["seed"].nunique().max()
        title = f"\n{', '.join(map(str, values))}: accuracy of each class (%), up to {seeds} seeds"
        if len(wide) > SHOWN and not every:
            title += f"; the worst {SHOWN} of {len(wide)} (--all shows them)"
            wide = wide.loc[wide.mean(axis=1).sort_values(kind="stable").index[:SHOWN]]
        said.append(f"{title}\n{as_text(wide.reset_index())}")
    return said


def confusions(results: Sequence[Result], experiment: str, preset: str) -> list[str]:
    """Writes a confusion matrix for each line of runs whose weights are here, and says where, with
    the classes that are confused most."""
    said = []
    for line, runs in by_line(results).items():
        name = ", ".join(line)
        try:
            found = confusion(runs)
        except (FileNotFoundError, ValueError) as error:
            said.append(f"\n{name}: {error}")
            continue
        with mpl.rc_context():
            apply()
            figure = confusion_matrix(found, name)
            file = f"confusion_{plain(experiment)}_{plain('_'.join(line))}"
            path = save(figure, file, preset, runs=runs)
        pairs = found.pairs(10 if len(found.classes) <= LEGIBLE else 20)
        said.append(f"\n{name}: {path}\n{as_text(pairs)}")
    return said or ["no run is finished"]


def as_text(table: pd.DataFrame) -> str:
    """A table for a terminal."""
    return table.to_string(index=False, float_format="{:.1f}".format, na_rep="-")


def plain(name: str) -> str:
    """A name as a part of a file's."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")[:80]
