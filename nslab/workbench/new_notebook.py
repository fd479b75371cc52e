"""A template notebook in the form of nslab's own: opening, parameters, runs, a figure, what it
shows, what was found."""

import json
from pathlib import Path
from typing import Any

from nslab.analysis.measures import frozen_errors, measure_of
from nslab.experiments import Experiment, experiment
from nslab.system.filenames import checked_filename
from nslab.system.files import write_text
from nslab.system.validation import hints
from nslab.workbench.unrun import STORED_KERNEL

OPENING = """\
# {title}

This notebook runs the experiment `{experiment}`: {about}. *Say here, in two or three sentences, \
which question it answers and for whom; then what it finds on real data.*

**Preset `smoke` supports no claim**: its runs are tiny.

**How long:** `smoke` seconds to minutes on one CPU core; `cpu` up to hours; `paper` is for a GPU. \
`nslab run {experiment} --preset cpu --dry-run` says how long the runs of a preset take."""

PARAMETERS = """\
preset: str = "smoke"  # smoke: seconds, small data | cpu: hours, real data | paper: GPU
n_seeds: int = 2  # runs per method, from seed 2024 on"""
EPOCHS = "\nepochs: int = 0  # length of each run; 0: the preset's own"

SET_UP = """\
import nslab
from nslab.analysis.paper_tables import run_table
from nslab.plots import comparison as plots
from nslab.workbench import sentences

nb = nslab.Notebook(preset, {given})
plan = nb.plan("{experiment}")"""

RUNS = """\
## Runs{and_paper}

Finished runs are looked up, and only the others are computed. *ours* is the mean ± standard \
deviation over `n` seeds."""

RUN = """\
results = nb.run(plan)
assert len(results) == len(plan)
nb.compare("{experiment}", results);"""

SEE = """\
## What one sees"""

FIGURE = """\
values = run_table("{experiment}", results)
keys = values.columns.drop(["seed", "value", "learnt", "paper"])
told_apart_by = [key for key in keys if values[key].nunique() > 1] or list(keys[:1])
values["method"] = values[told_apart_by].astype(str).agg(", ".join, axis=1)
seen = sentences.ranking(values{what})
figure = plots.methods(values, "{experiment}, preset " + preset)
{label}nb.show(figure, "{name}", runs=results, alt=f"{measure} of each method. {{seen}}")
nb.say(seen, nb.caveat)"""

FOUND = """\
## What was found

*Say here what the runs show, with the number of seeds and the interval, and what they leave open.*

## Where to go next

*Link the notebooks that a reader should open next.*"""


def new_notebook(name: str, folder: Path, of: str = "ns/first") -> Path:
    """Write ``folder/name.ipynb``, a notebook on the experiment ``of`` that can be rendered.

    Returns its path. Raises ``ValueError`` for a name that no file can have, for an unknown
    experiment, and for one without runs of its own; ``FileExistsError`` if the notebook exists
    already; ``FileNotFoundError`` if the folder does not.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     new_notebook("my_question", Path(folder)).name
    'my_question.ipynb'
    """
    stem = checked_filename(name.removesuffix(".ipynb"), "notebook")
    found, file = experiment(of), folder / f"{stem}.ipynb"
    if getattr(measure_of(found.measure), "func", None) is frozen_errors:
        raise ValueError(
            f"{of} shows numbers that take hours to measure, from a frozen table: a notebook on it "
            "would have no runs of its own; choose another experiment (nslab list)"
        )
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}: make it, or name another by --to")
    if file.exists():
        raise FileExistsError(f"{file} exists already: choose another name, or remove it")
    book = {"cells": _cells(stem, of, found), "metadata": STORED_KERNEL} | {"nbformat": 4}
    text = json.dumps(book | {"nbformat_minor": 5}, indent=1, ensure_ascii=False, sort_keys=True)
    write_text(file, text + "\n")
    return file


def _cells(stem: str, of: str, found: Experiment) -> list[dict[str, Any]]:
    has_epochs = "epochs" in hints(found.configs)
    measure = found.measure.replace("_", " ")
    words = {
        "title": stem.replace("_", " ").capitalize(),
        "experiment": of,
        "about": found.title,
        "name": stem,
        "given": "n_seeds=n_seeds" + ", epochs=epochs" * has_epochs,
        "and_paper": " and paper" * bool(found.table),
        "measure": measure.capitalize(),
        "what": "" if measure == "test accuracy" else f', what="{measure}"',
        "label": "" if measure == "test accuracy" else f'figure.axes[0].set_xlabel("{measure}")\n',
    }
    texts = [
        ("markdown", OPENING),
        ("code", PARAMETERS + EPOCHS * has_epochs),
        ("code", SET_UP),
        ("markdown", RUNS),
        ("code", RUN),
        ("markdown", SEE),
        ("code", FIGURE),
        ("markdown", FOUND),
    ]
    cells = enumerate(texts)
    return [_cell(f"cell-{i:02d}", kind, text.format(**words)) for i, (kind, text) in cells]


def _cell(name: str, kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "id": name, "metadata": {}}
    if kind == "code":
        cell |= {"outputs": [], "execution_count": None}
        if text.startswith("preset:"):
            cell["metadata"] = {"tags": ["parameters"]}
    return cell | {"source": text.splitlines(keepends=True)}
