"""The project itself: lists agree, tags are complete, nothing leaks."""

import ast
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from nslab.papers.equations import equations_of, main, places
from nslab.workbench.notebooks import parameters_of, sources
from nslab.workbench.unrun import stored, unrun

ROOT = Path(__file__).parents[2]
REQUIRED = [
    "jupyterlab",
    "ipywidgets",
    "torch",
    "torchvision",
    "matplotlib",
    "seaborn",
    "papermill",
    "nbval",
]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

FILES = [f for f in sorted((ROOT / "nslab").rglob("*.py")) if f != ROOT / "nslab/__init__.py"]


def names(requirements: list[str]) -> set[str]:
    """Package names without bounds."""
    return {re.split(r"[\[<>=!~ ;]", line)[0].lower() for line in requirements}


def test_dependencies_stand_once_and_with_bounds() -> None:
    """The required packages are there, every one lower-bounded; conda installs this very list."""
    lists = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    assert all(">=" in line for lines in lists for line in lines)
    assert set(REQUIRED) <= names(PROJECT["dependencies"])
    text = (ROOT / "environment.yml").read_text()
    conda = yaml.safe_load(text)
    pip = next(d["pip"] for d in conda["dependencies"] if isinstance(d, dict))
    assert pip == ["-e .[dev]"]
    assert conda["name"] == PROJECT["name"]
    assert f"python{PROJECT['requires-python']}" in conda["dependencies"]
    comment = next(line for line in text.splitlines() if "jupyterlab" in line)
    assert comment.strip("# ").split(", ") == REQUIRED


def test_imports_are_declared() -> None:
    """Whatever nslab imports from outside is in the list of dependencies; what is an extra is
    imported where it is used, so that all else works without it."""
    needed = names(PROJECT["dependencies"]) | {
        "ipython",
        "nbformat",
        "jupyterlab",
        "jupyter_client",
    }
    extras = PROJECT["optional-dependencies"]
    optional = set().union(*(names(extras[name]) for name in set(extras) - {"dev"}))
    alias = {"sklearn": "scikit-learn", "IPython": "ipython", "yaml": "pyyaml"}
    alias |= {"mlflow": "mlflow-skinny", "PIL": "pillow"}
    for file in FILES:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        first = {id(node) for node in tree.body}
        for node in ast.walk(tree):
            declared = needed if id(node) in first else needed | optional
            modules = []
            if isinstance(node, ast.Import):
                modules = [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom):
                modules = [node.module or ""]
            for module in modules:
                top = module.split(".")[0]
                known = top in sys.stdlib_module_names or top == "nslab"
                assert known or alias.get(top, top).lower() in declared, f"{file.name}: {top}"


def test_whatever_the_package_reads_is_installed_with_it(tracked: list[str]) -> None:
    """Tables of the papers, the evolved losses, the suite: package data."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    patterns = data["package-data"]["nslab"]
    for name in tracked:
        file = Path(name)
        if file.parts[0] == "nslab" and file.suffix != ".py":
            inner = file.relative_to("nslab")
            assert any(inner.match(p) for p in patterns), f"{name} is in no wheel"


READMES = ["README.md", "CONTRIBUTING.md"]
READMES += [f"{d}/README.md" for d in ("notebooks", "benchmarks", "data/results")]
READMES += sorted(f.relative_to(ROOT).as_posix() for f in (ROOT / "docs").rglob("*.md"))


def test_readme_commands_exist() -> None:
    """Each `make x` of a README is a target; the two that matter stand in the first of them, which
    says what a newcomer asks in two screens."""
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    every = "\n".join((ROOT / name).read_text() for name in READMES)
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    named = set(re.findall(r"`make ([a-z-]+)`", every))
    assert set(re.findall(r"^make ([a-z-]+)", readme, re.MULTILINE)) == {"figures", "test"}
    assert {"figures", "test", "lab"} <= named <= targets
    assert readme[: readme.index("## Install")].count("\n") < 50
    gallery = readme[readme.index("<!-- gallery") : readme.index("<!-- end of gallery")]
    assert len(readme.splitlines()) - len(gallery.splitlines()) < 150
    commands = set(re.findall(r"(?:`|^)nslab ([a-z]+)", every, re.MULTILINE))
    assert {"run", "render", "suite", "ledger", "evolve"} <= commands
    for command in sorted(commands):
        done = subprocess.run(
            [sys.executable, "-m", "nslab.cli", command, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, f"nslab {command}"


@pytest.mark.parametrize("name", READMES)
def test_readme_pictures_and_links_exist(name: str) -> None:
    """Every relative link leads somewhere."""
    file = ROOT / name
    text = file.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!http)([^)#]+)\)|(?:href|src)=\"(?!http)([^\"#]+)\"", text)
    links = [markdown or html for markdown, html in links]
    assert name != "README.md" or any(link.endswith("/explorer.webp") for link in links)
    for link in links:
        assert (file.parent / link).exists(), link


def test_runs_write_where_git_does_not_look(tracked: list[str]) -> None:
    """All of figures/ is ignored but the pictures that READMEs and docs show."""
    written = "figures/smoke/a.png figures/smoke/tables/a.csv figures/browser/a.png data/runs/a/b"
    written += (
        " figures/variants/a/smoke/notebooks/a.ipynb data/logs/a notebooks/.virtual_documents/a"
    )
    asked = ["git", "-C", str(ROOT), "check-ignore", *written.split()]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert done.stdout.split() == written.split()
    kept = {name for name in tracked if name.startswith("figures/")}
    pages = [*(ROOT / name for name in READMES), *(ROOT / "docs").rglob("*.md")]
    shown = "".join(page.read_text(encoding="utf-8") for page in pages)
    assert kept == set(re.findall(r"figures/readme/[\w/]+\.\w+", shown))


def test_readme_three_lines_are_those_of_the_method() -> None:
    """The lines shown are in the docstring of the method too, and a test runs them."""
    lines = [
        "ns = NS(grid=(2, 2), sigma=0.7, rho=+1)",
        "w = ns.weights(model, x, y)",
        'loss = (w * F.cross_entropy(model(x), y, reduction="none")).mean()',
    ]
    for file in ("README.md", "nslab/objectives/ns.py"):
        text = (ROOT / file).read_text()
        assert all(line in text for line in lines), file


@pytest.mark.parametrize("paper", ["NS", "DE"])
def test_equations_are_tagged_where_they_are_computed(paper: str) -> None:
    """The tags in the code are exactly the computed rows of the paper's list."""
    listed = {
        (row["kind"], row["number"]) for row in equations_of(paper) if row["computed"] == "yes"
    }
    tagged = {(p.kind, p.number) for p in places() if p.paper == paper}
    assert tagged == listed
    for row in equations_of(paper):
        assert row["computed"] == "yes" or row["note"], row
    for place in places():
        line = (ROOT / place.where).read_text().splitlines()[place.line - 1]
        assert f"[{place.paper} {place.kind}. {place.number}]" in line


def test_equation_index_prints_file_and_line(capsys: pytest.CaptureFixture[str]) -> None:
    """`python -m nslab.papers NS 7`."""
    assert main(["NS", "7"]) == 0
    out = capsys.readouterr().out
    assert re.fullmatch(r"nslab/objectives/competition\.py:\d+\tNS Eq\. 7\n", out)
    assert main(["ns"]) == 0
    assert main(["NS", "77"]) == 1
    assert main(["XX"]) == 2
    assert main([]) == 2


STORED = stored()


@pytest.mark.parametrize("file", sources(), ids=lambda f: f.stem)
def test_notebooks_are_sources(file: Path) -> None:
    """Stored without outputs, one typed cell of parameters with a preset; no function or class but
    where a person's own are what it is about."""
    # of one that was run and saved, git stores what the filter makes of it
    text = STORED.get(f"notebooks/{file.name}") or file.read_text(encoding="utf-8")
    assert unrun(text) == text
    code = [c for c in json.loads(text)["cells"] if c["cell_type"] == "code"]
    assert parameters_of(file)["preset"] == (str, "smoke")
    own = file.stem == "bring_your_own"
    assert own == any(re.search(r"^\s*(def|class) ", "".join(c["source"]), re.M) for c in code)
    assert any("assert " in "".join(c["source"]) for c in code)


@pytest.fixture
def tracked() -> list[str]:
    """The files that belong to the project, as git knows them."""
    if not shutil.which("git"):
        pytest.skip("without git nothing says which files are the project's")
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nothing says which files are the project's")
    return listed.stdout.strip("\0").split("\0")


def test_project_speaks_of_itself_alone(tracked: list[str]) -> None:
    """No machine paths, no hosts of package registries."""
    bad = re.compile("/(?:work|root|home)/|pypi" + r"\.org|pythonhosted|conda\.anaconda")
    for name in tracked:
        file = ROOT / name
        if file.is_file() and file.suffix not in (".png", ".svg", ".webp"):
            hit = bad.search(file.read_text(encoding="utf-8", errors="replace"))
            assert hit is None or name == "tests/project/test_project.py", f"{name}: {hit}"


def test_top_level_is_as_promised(tracked: list[str]) -> None:
    """The folders and files a newcomer sees."""
    top = {name.split("/")[0] for name in tracked if not name.startswith(".")}
    promised = "notebooks nslab data figures tests benchmarks environment.yml README.md"
    promised += " pyproject.toml setup.py Makefile LICENSE CITATION.cff CHANGELOG.md"
    promised += " CONTRIBUTING.md SECURITY.md docs"
    assert top == set(promised.split())


def test_the_first_notebook_leads_to_all_others() -> None:
    """To each of them by a link, the explorer and the ledger too."""
    first = (ROOT / "notebooks/00_start_here.ipynb").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\((\w+)\.ipynb\)", first))
    assert linked == {file.stem for file in sources()} - {"00_start_here"}


@pytest.mark.parametrize("file", sources(), ids=lambda f: f.stem)
def test_notebooks_say_how_long_they_take(file: Path) -> None:
    """First of all, for each preset that makes a difference."""
    opening = "".join(json.loads(file.read_text(encoding="utf-8"))["cells"][0]["source"])
    assert opening.startswith("# ")
    said = opening.partition("**How long:**")[2].partition("\n\n")[0]
    assert "at any preset" in said or all(f"`{name}`" in said for name in ("smoke", "cpu", "paper"))
