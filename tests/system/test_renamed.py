"""Who imports a name of version 0.1.0 is told where it is now."""

import importlib
import importlib.util

import pytest

import nslab
from nslab.runs.store import run_all
from nslab.system.renamed import CHANGED, MODULES, NAMES


@pytest.mark.parametrize("old", sorted(MODULES))
def test_an_old_module_names_the_new_one(old: str) -> None:
    """Or its package does, which is imported first; the new one has what it calls differently."""
    parts = old.split(".")
    asked = [".".join(parts[:i]) for i in range(2, len(parts) + 1)]
    first = next(name for name in asked if name in MODULES)
    with pytest.raises(ImportError, match=f"^{first} is now {MODULES[first]}( |$)"):
        importlib.import_module(old)
    new = importlib.import_module(MODULES[old])
    for before, now in CHANGED.get(old, {}).items():
        home, _, name = now.rpartition(".")
        assert hasattr(importlib.import_module(home) if home else new, name), f"{before} is {now}"


@pytest.mark.parametrize("old", sorted(NAMES))
def test_an_old_name_of_a_package_names_the_new_one(old: str) -> None:
    """As ``from package import name`` and as an attribute."""
    package, _, name = old.rpartition(".")
    for way in (f"from {package} import {name}", f"import {package}; {old}"):
        with pytest.raises(ImportError, match=f"^{old} is now {NAMES[old]}$"):
            exec(way)
    home, _, now = NAMES[old].rpartition(".")
    assert hasattr(importlib.import_module(home), now)


def test_other_names_fail_as_ever() -> None:
    """With the words that Python has for it."""
    with pytest.raises(ModuleNotFoundError, match=r"No module named 'nslab\.nothing'"):
        importlib.import_module("nslab.nothing")
    assert importlib.util.find_spec("nslab.nothing") is None
    for module in (nslab, nslab.experiments, nslab.evolve):
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            module.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("old", "new"),
    [("apart", "subprocess"), ("together", "processes_per_run"), ("board", "monitor")],
)
def test_keywords_of_run_all(old: str, new: str) -> None:
    """Old ones are answered with the new; the others are as ever."""
    with pytest.raises(TypeError, match=f"run_all: {old} is now {new}"):
        run_all([], **{old: None})
    with pytest.raises(TypeError, match="unexpected keyword"):
        run_all([], bored=None)  # type: ignore[call-arg]
    assert run_all([], show=False) == []
