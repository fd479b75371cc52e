"""The floor plan: imports run downwards, rooms of one floor never meet, nothing goes in circles."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FLOORS = """
types rng system
datasets networks evolve execution papers
neuroevolution lossnet
objectives
configs
training
adapt experiments
runs
analysis
plots
workbench
explore cli
__main__
"""
FLOOR = {name: number for number, names in enumerate(FLOORS.split("\n")) for name in names.split()}
FILES = {
    ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file
    for file in (ROOT / "nslab").rglob("*.py")
}


def imported(file: Path) -> set[str]:
    """The modules of nslab that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        assert not (isinstance(node, ast.ImportFrom) and node.level), f"{file}: relative import"
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (
                inner & set(FILES) if inner <= set(FILES) else {node.module, *inner} & set(FILES)
            )
    return {name for name in found if name.startswith("nslab.")}


def test_imports_run_downwards() -> None:
    """Every room has a floor and imports from lower floors only."""
    for module, file in FILES.items():
        room = file.relative_to(ROOT / "nslab").parts[0].removesuffix(".py")
        for other in {name.split(".")[1] for name in imported(file)} - {room}:
            if room != "__init__":
                assert FLOOR[other] < FLOOR[room], f"{module} must not import {other}"


def test_no_circles() -> None:
    """Not inside a package either; raises `CycleError`, which names the circle."""
    TopologicalSorter({name: imported(file) - {name} for name, file in FILES.items()}).prepare()


def test_the_ground_holds_packages_only() -> None:
    """Beside the words and the streams of random numbers."""
    modules = {file.name for file in (ROOT / "nslab").glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "types.py", "rng.py"}


def test_no_name_is_a_module_and_something_else() -> None:
    """``nslab.x.y`` is never a module here and a function there."""
    for package, file in FILES.items():
        if file.name != "__init__.py":
            continue
        modules = {n.rpartition(".")[2] for n in FILES if n.rpartition(".")[0] == package}
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                assert node.name not in modules, f"{package}.{node.name}"
            elif isinstance(node, ast.ImportFrom) and node.module != package:
                names = {alias.asname or alias.name for alias in node.names}
                assert not names & modules, f"{package}: {names & modules}"


def test_tests_mirror_the_packages() -> None:
    """Each folder of tests is that of a package, or one of the few that cut across."""
    across = {
        "contract",
        "rounds",
        "helpers",
        "project",
        "recipes",
        "browser",
        "slurm",
        "__pycache__",
    }
    folders = {file.name for file in (ROOT / "tests").iterdir() if file.is_dir()}
    assert folders - across <= {name for name in FLOOR if (ROOT / "nslab" / name).is_dir()}
