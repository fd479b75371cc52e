"""An addition takes one file and one line: in a copy of the project a loss, a network, a data set,
a mutation, an evolver and an experiment with its notebook are added, and the suites of each kind
run over them without a further test."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COPIED = ("nslab", "tests/helpers", "tests/contract", "tests/evolve", "tests/conftest.py")
COPIED += ("tests/objectives", "pyproject.toml", "data/results")

LOSS = '''"""A toy: the chance of being wrong."""

from dataclasses import dataclass

from nslab.system.validation import check_fields
from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.weighted import PlainLoss
from nslab.types import Labels, Logits, PerSample


@dataclass(frozen=True)
class Toy(PlainLoss):
    """``scale`` times 1 - p_y."""

    scale: float = 2.0

    def __post_init__(self) -> None:
        check_fields(self, positive=("scale",))

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        p = log_probabilities(logits, y).exp()
        return self.scale * (1 - of_label(p, y))
'''
RESULT = "self.scale * (1 - of_label(p, y))"
BROKEN = {  # what a toy returns instead, and the test that notices
    "toy_nan": ("0 * p.sum(1) / 0", "test_hard_logits"),
    "toy_scalar": (f"({RESULT}).mean()", "test_scores_a_batch"),
    "toy_sign": (f"-{RESULT}", "test_learns"),
}
NETWORK = '''"""A toy: two linear layers."""

import math

from torch import nn

from nslab.types import ImageShape


def toy(shape: ImageShape, num_classes: int) -> nn.Module:
    """A bottleneck of eight."""
    layers = nn.Linear(math.prod(shape), 8), nn.Tanh(), nn.Linear(8, num_classes)
    return nn.Sequential(nn.Flatten(), *layers)
'''
DATA = '''"""A toy: bright or dark."""

from pathlib import Path

import numpy as np

from nslab.datasets.arrays import Arrays


def fetch_toy(folder: Path, name: str) -> Arrays:
    """Grey images."""
    y = np.arange(90) % 3
    x = np.random.default_rng(0).integers(0, 60, (90, 8, 8, 1), dtype=np.uint8)
    x += (90 * y[:, None, None, None]).astype(np.uint8)
    return Arrays(x[:60], y[:60], x[60:], y[60:])
'''
EVOLVER = '''"""A toy: members move halfway to the best."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from nslab.evolve.operators import survives
from nslab.evolve.population import Population
from nslab.evolve.protocol import checked_fitness
from nslab.system.validation import check_fields


@dataclass(frozen=True, eq=False)
class ToyState:
    """Between two generations."""

    population: Population
    fitness: Float[Tensor, " np"]


@dataclass(frozen=True, eq=False)
class ToyTrials:
    """One for each member."""

    targets: Tensor
    changed: Tensor


@dataclass(frozen=True)
class Toy:
    """``share`` of the way, and a little beside."""

    share: float = 0.5
    min_population = 2

    def __post_init__(self) -> None:
        check_fields(self, positive=("share",), at_most={"share": 1})

    def init(self, population: Population, fitness: Float[Tensor, " np"]) -> ToyState:
        return ToyState(population, checked_fitness(fitness, population.size))

    def ask(self, state: ToyState, gen: torch.Generator) -> ToyTrials:
        x = state.population.x()
        fitness = state.fitness.nan_to_num(torch.inf)
        noise = torch.randn(x.shape, generator=gen).to(x)
        best = x[int(fitness.argmin())]
        moved = x + self.share * (best - x) + 0.01 * x.std(0).nan_to_num() * noise
        state.population.rows[state.population.spare.to(x.device)] = moved.to(x)
        return ToyTrials(torch.arange(len(x)), torch.ones(len(x), dtype=torch.bool))

    def tell(
        self, state: ToyState, trials: ToyTrials, fitness: Float[Tensor, " np"]
    ) -> ToyState:
        trial = checked_fitness(fitness, len(trials.targets))
        won = survives(state.fitness, trial)
        population = state.population.accept(won)
        return replace(state, population=population, fitness=torch.where(won, trial, state.fitness))
'''
EXPERIMENT = '''"""A toy: the other toys together."""

from nslab.configs import EvolveConfig, TrainConfig
from nslab.evolve.operators import MUTATIONS
from nslab.evolve.toy import Toy as ToyEvolver
from nslab.experiments.definition import Experiment
from nslab.objectives.toy import toy

assert "toy/1" in MUTATIONS


def plan(
    preset: str, seeds: tuple[int, ...] = (1,), epochs: int = 3
) -> list[TrainConfig | EvolveConfig]:
    """A training, and what evolution makes of its last epochs."""
    longer = epochs + ("smoke", "cpu", "paper").index(preset)
    found: list[TrainConfig | EvolveConfig] = []
    for seed in seeds:
        base = TrainConfig("toy", "toy", toy(), epochs=longer, batch_size=20, seed=seed)
        evolved = EvolveConfig(base, size=3, method=ToyEvolver(), batches=1, generations=2)
        found += [base, evolved]
    return found


def row(config: TrainConfig | EvolveConfig) -> dict[str, str]:
    """Before or after."""
    return {"method": config.kind}


EXPERIMENTS = {"toy/table": Experiment("Toys", plan, row)}
'''
CELLS = (
    ("markdown", "# Toys\n\n**How long:** seconds at any preset"),
    ("code", 'preset: str = "smoke"\nepochs: int = 30'),
    ("code", "import nslab\n\nassert epochs == 4"),
    ("code", 'configs = nslab.experiment("toy/table").plan(preset, epochs=epochs)'),
    ("code", "results = nslab.run_all(configs, show=False)"),
    ("code", 'table = nslab.compare("toy/table", results)\nassert set(table["n"]) == {1}'),
)
MUTATION = """    "toy/1": Mutation(3, rand_1),
"""
LINES = {  # file, the opening of its table, the import, the entry
    "loss": ("objectives/__init__.py", "OBJECTIVES |= {\n"),
    "network": ("networks/__init__.py", "NETWORKS |= {\n"),
    "data": ("datasets/catalogue.py", "DATASETS |= {\n"),
    "mutation": ("evolve/operators.py", "MUTATIONS: dict[str, Mutation] = {\n"),
    "evolver": ("evolve/__init__.py", "EVOLVER_CLASSES |= {\n"),
    "experiment": ("experiments/__init__.py", "EXPERIMENTS |= {\n"),
}


def copied(folder: Path) -> None:
    """The part of the project that the suites need."""
    skip = shutil.ignore_patterns("__pycache__")
    for name in COPIED:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target, ignore=skip)
        else:
            shutil.copy(ROOT / name, target)
    (folder / "notebooks").mkdir()


def add(folder: Path, kind: str, entry: str, module: str = "", source: str = "") -> None:
    """A line in a table of the copy, and perhaps a file beside it with the import it needs."""
    name, opening = LINES[kind]
    file = folder / "nslab" / name
    before, after = file.read_text().split(opening)
    if source:
        (file.parent / f"{module.partition(' ')[0]}.py").write_text(source)
        package = ".".join(("nslab", *file.relative_to(folder / "nslab").parts[:-1]))
        before += f"from {package}.{module}\n\n"
    file.write_text(before + opening + entry + after)


def run(folder: Path, *words: str) -> dict[str, dict[str, str]]:
    """Run tests of the copy; by test and case how each came out."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_", "NSLAB_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words, "-v", "-p", "no:cacheprovider", "-n", "0"],
        cwd=folder,
        env={
            **env,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NSLAB_QUICK": "1",
        },
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[str, dict[str, str]] = {"": {"": done.stdout}}
    for test, case, word in re.findall(r"::(.+?)(\[.+\])? (PASSED|FAILED|ERROR)", done.stdout):
        found.setdefault(test, {})[case.strip("[]")] = word
    return found


@pytest.fixture(scope="module")
def enlarged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with six additions."""
    folder = tmp_path_factory.mktemp("enlarged")
    copied(folder)
    add(folder, "loss", '    "toy": toy,\n', "toy import toy", LOSS.replace("Toy", "toy"))
    add(folder, "network", '    "toy": toy,\n', "toy import toy", NETWORK)
    layout = 'Layout(60, 30, (8, 8, 1), 3), (0.4,), (0.3,), tuple("abc"), fetch_toy'
    add(folder, "data", f'    "toy": Dataset({layout}),\n', "toy import fetch_toy", DATA)
    add(folder, "mutation", MUTATION)
    add(folder, "evolver", '    "toy_walk": Toy,\n', "toy import Toy", EVOLVER)
    line = "    **toy.EXPERIMENTS,\n"
    add(folder, "experiment", line, "toy import EXPERIMENTS as TOYS", EXPERIMENT)
    file = folder / "nslab/experiments/__init__.py"
    file.write_text(file.read_text().replace(line, "    **TOYS,\n"))
    cells = [
        {"cell_type": kind, "id": f"toy-{i}", "metadata": {}, "source": source}
        | ({"outputs": [], "execution_count": None} if kind == "code" else {})
        for i, (kind, source) in enumerate(CELLS)
    ]
    cells[1]["metadata"] = {"tags": ["parameters"]}
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "nslab": {"test": {"epochs": 4}}}
    book = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (folder / "notebooks/toy.ipynb").write_text(json.dumps(book))
    return folder


@pytest.mark.slow
@pytest.mark.process
def test_the_suites_of_each_kind_run_over_the_additions(enlarged: Path) -> None:
    """All of them pass for the toys."""
    found = run(enlarged, "tests/contract", "tests/evolve/test_operators.py", "-k", "toy")
    said = found.pop("")[""]
    of_toys = {
        test: words
        for test, cases in found.items()
        for case, words in cases.items()
        if "toy" in case
    }
    bad = {test for test, word in of_toys.items() if word != "PASSED"}
    assert bad == {"test_as_written"}, said[-5000:]
    assert "write the formula of 'toy/1', as its paper has it, into WRITTEN" in said
    for suite, least in (("objectives", 6), ("networks", 3), ("datasets", 1), ("evolvers", 3)):
        here = set(re.findall(rf"contract/test_{suite}\.py::(\w+)\[.*toy", said))
        assert len(here) >= least, (suite, here)
    assert "test_every_experiment_can_be_planned[toy/table] PASSED" in said


@pytest.mark.slow
@pytest.mark.process
def test_the_notebook_runs_with_its_own_small_parameters(enlarged: Path) -> None:
    """Those in its metadata; it trains, evolves and compares."""
    found = run(enlarged, "tests/conftest.py", "notebooks/toy.ipynb")
    said = found.pop("")[""]
    words = [word for cases in found.values() for word in cases.values()]
    assert words == ["PASSED"] * 5, said[-5000:]


@pytest.mark.slow
@pytest.mark.process
def test_a_loss_without_a_reference_is_named(enlarged: Path) -> None:
    """With what to write."""
    found = run(enlarged, "tests/objectives/test_losses.py", "-k", "every_loss_has_a_reference")
    assert "write toy's loss a second time, from its source, into REFERENCES" in found[""][""]


@pytest.mark.slow
@pytest.mark.process
def test_the_contract_catches_broken_losses(tmp_path: Path) -> None:
    """NaN, one number for a whole batch, a wrong sign."""
    assert RESULT in LOSS
    copied(tmp_path)
    for key, (result, _) in BROKEN.items():
        source = LOSS.replace(RESULT, result).replace("Toy", key)
        add(tmp_path, "loss", f'    "{key}": {key},\n', f"{key} import {key}", source)
    tests = " or ".join(sorted({test for _, test in BROKEN.values()}))
    found = run(tmp_path, "tests/contract/test_objectives.py", "-k", f"toy and ({tests})")
    for key, (_, test) in BROKEN.items():
        words = {word for case, word in found[test].items() if key in case}
        assert "FAILED" in words, (key, found[test])
