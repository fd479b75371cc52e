"""A new loss takes one file and one line: the contract then binds it without a further test."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOY = '''"""A toy: the chance of being wrong."""

from dataclasses import dataclass

from nslab.objectives.checks import check_fields
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


def contract(folder: Path, toys: dict[str, str], tests: str) -> dict[str, dict[str, str]]:
    """Add toys to a copy of the library, a file and a line each, and run the contract there.

    Returns, by toy and test, how it came out; a test of many cases fails if one does.
    """
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "nslab", folder / "nslab", ignore=skip)
    (folder / "tests").mkdir()
    for name in ("conftest.py", "shapes.py", "test_contract_objectives.py"):
        shutil.copy(ROOT / "tests" / name, folder / "tests")
    shutil.copy(ROOT / "pyproject.toml", folder)
    table = folder / "nslab" / "objectives" / "__init__.py"
    opening = "OBJECTIVES: dict[str, type[ObjectiveConfig]] = {\n"
    before, after = table.read_text().split(opening)
    for key, source in toys.items():
        (table.parent / f"{key}.py").write_text(source.replace("Toy", key))
        before += f"from nslab.objectives.{key} import {key}\n"
        after = f'    "{key}": {key},\n{after}'
    table.write_text(before + opening + after)

    command = [sys.executable, "-m", "pytest", "tests/test_contract_objectives.py", "-k", tests]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "COV_"))}
    run = subprocess.run(
        [*command, "-v", "-p", "no:cacheprovider", "-n", "0", "--tb=short"],
        cwd=folder,
        env={**env, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode in (0, 1), run.stdout + run.stderr
    results: dict[str, dict[str, str]] = {key: {} for key in toys}
    for test, case, word in re.findall(r"::(\w+)\[(\S+)\] (PASSED|FAILED|ERROR)", run.stdout):
        (key,) = set(case.split("-")) & set(toys)
        results[key].setdefault(test, word)
        if word != "PASSED":
            results[key][test] = word
    return results


def test_one_file_and_one_line(tmp_path: Path) -> None:
    """Each test of the contract runs for the toy and passes."""
    (results,) = contract(tmp_path, {"toy": TOY}, "toy").values()
    assert len(results) > 5
    assert {test for test, word in results.items() if word != "PASSED"} == set()
    assert {test for _, test in BROKEN.values()} <= set(results)


def test_the_contract_catches_broken_losses(tmp_path: Path) -> None:
    """NaN, one number for a whole batch, a wrong sign."""
    assert RESULT in TOY
    toys = {key: TOY.replace(RESULT, result) for key, (result, _) in BROKEN.items()}
    tests = " or ".join(sorted({test for _, test in BROKEN.values()}))
    results = contract(tmp_path, toys, f"toy and ({tests})")
    for key, (_, test) in BROKEN.items():
        assert results[key][test] == "FAILED", (key, results[key])
