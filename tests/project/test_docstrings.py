"""Docstrings carry examples that run, on everything a person would look up."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest

import nslab
from nslab.evolve import EVOLVER_CLASSES
from nslab.objectives import OBJECTIVES

ROOT = Path(__file__).parents[2]
EXAMPLE = re.compile(r"^\s*>>> ", re.M)
WITH_EXAMPLES = [
    file.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__")
    for file in sorted((ROOT / "nslab").rglob("*.py"))
    if EXAMPLE.search(file.read_text(encoding="utf-8"))
]
METHODS = {cls.__name__: cls for cls in (*OBJECTIVES.values(), *EVOLVER_CLASSES.values())}
# A dict of values is explained where it is made.
REGISTRIES = {
    name: home for home, names in nslab._HOMES.items() for name in names if name.isupper()
}


@pytest.mark.parametrize("module", WITH_EXAMPLES)
def test_examples_run(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example of a module gives what it says, and leaves nothing behind."""
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert result.attempted > 0
    assert result.failed == 0, "see what doctest printed"
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "data"])  # the home of the test


@pytest.mark.parametrize("name", nslab.__all__)
def test_public_names_have_an_example(name: str) -> None:
    """Functions and classes their own; registries where they are made."""
    value = getattr(nslab, name)
    owner = importlib.import_module(REGISTRIES[name]) if isinstance(value, dict) else value
    assert EXAMPLE.search(owner.__doc__ or ""), f"nslab.{name} has no example: >>> ..."


@pytest.mark.parametrize("name", METHODS)
def test_methods_have_an_example_and_a_source(name: str) -> None:
    """Every objective and class of evolver; the module says whose method it is."""
    cls = METHODS[name]
    assert EXAMPLE.search(cls.__doc__ or ""), f"{name} has no example: >>> ..."
    said = f"{inspect.getmodule(cls).__doc__} {cls.__doc__}"
    assert "Source" in said, f"{cls.__module__} names no source"


@pytest.mark.parametrize("file", sorted((ROOT / "nslab").rglob("*.py")), ids=lambda f: f.stem)
def test_titles_name_the_thing(file: Path) -> None:
    """Not by a question that the module answers."""
    title = file.read_text(encoding="utf-8").splitlines()[0]
    assert title.startswith('"""')
    assert not re.match(r'"""(What|Which|Where|How|Are|Is|Why|Who)\b', title), title
