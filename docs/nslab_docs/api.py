"""API reference: a page for each module of the packages that users meet, from its docstrings."""

import ast
import importlib
import inspect
import pkgutil
from collections.abc import Sequence
from types import ModuleType

import nslab
from nslab_docs.staging import Stage

PACKAGES = (
    "objectives",
    "lossnet",
    "evolve",
    "neuroevolution",
    "adapt",
    "configs",
    "training",
    "datasets",
    "networks",
    "experiments",
    "runs",
    "analysis",
    "plots",
    "papers",
    "workbench",
)
MODULES = ("types", "rng", "system.plugins")
APART = "nslab.workbench.device_check."  # its parts are for its own use, but for the first
SHOWN = f"{APART}run"
# The public names, by what one does with them; what is in none of these stands under "More".
TASKS = {
    "Methods": ("NS", "EDL", "CrossEntropy", "Weighted", "Joined", "OBJECTIVES", "EVOLVERS"),
    "Your own work": (
        "compare_methods",
        "evaluate",
        "evolve_checkpoints",
        "add_arrays",
        "use",
        "check",
    ),
    "Runs": (
        "TrainConfig",
        "EvolveConfig",
        "AdaptConfig",
        "EvaluateConfig",
        "LossSearchConfig",
        "run",
        "run_all",
        "finished",
        "Result",
        "freeze",
        "fit",
    ),
    "Tables of the papers": ("EXPERIMENTS", "experiment", "compare", "readable"),
    "Data and networks": ("DATASETS", "load", "NETWORKS", "build_network"),
    "Protocols": ("Objective", "Batch", "Scored", "DataInfo"),
}


def public_names() -> str:
    """Tables of what ``nslab`` exports, each name with its sentence and a link."""
    grouped = {name for names in TASKS.values() for name in names}
    tasks = TASKS | {"More": tuple(n for n in nslab.__all__ if n not in grouped)}
    parts = []
    for task, names in tasks.items():
        shown = [name for name in names if name in nslab.__all__]
        if shown:
            rows = "\n".join(f"| {linked(name)} | {sentence_of(name)} |" for name in shown)
            parts.append(f"### {task}\n\n| `nslab.` | |\n|---|---|\n{rows}\n")
    return "\n".join(parts)


def linked(name: str) -> str:
    """A link to where a public name is documented."""
    value = getattr(nslab, name)
    if isinstance(value, dict):
        return f"{{py:mod}}`{name} <{nslab._HOME_OF[name]}>`"
    return f"{{py:obj}}`{name} <{home_of(value)}>`"


def home_of(value: object) -> str:
    """The full name of a class or function, where it is defined."""
    return f"{value.__module__}.{value.__qualname__}"  # type: ignore[attr-defined]


def sentence_of(name: str) -> str:
    """The first sentence of a docstring; of a registry, what it has."""
    value = getattr(nslab, name)
    if isinstance(value, dict):
        keys = list(value)
        shown = ", ".join(f"`{key}`" for key in keys[:4])
        return f"by name: {shown}{', ...' if len(keys) > 4 else ''} ({len(keys)})"
    return first_sentence(inspect.getdoc(value) or "")


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, as Markdown.

    >>> first_sentence("Weights of a batch (see `ns_scores`). More.")
    'Weights of a batch (see `ns_scores`).'
    """
    paragraph = " ".join(text.partition("\n\n")[0].split())
    end = paragraph.find(". ")
    sentence = paragraph if end < 0 else paragraph[: end + 1]
    return sentence.replace("``", "`").replace("|", "\\|").rstrip(":")


def modules_of(package: ModuleType) -> list[str]:
    """The public modules of a package, those of its packages too."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    names = [one.name for one in found if not one.name.rpartition(".")[2].startswith("_")]
    return [name for name in names if name == SHOWN or not name.startswith(APART)]


def stage_api(stage: Stage, packages: Sequence[str] = PACKAGES) -> str:
    """The pages of some packages; what the index lists of them."""
    rows, pages = [], []
    for name in packages:
        package = importlib.import_module(f"nslab.{name}")
        modules = modules_of(package)
        stage.write(f"reference/api/nslab.{name}.rst", package_page(package, modules))
        for module in modules:
            stage.write(f"reference/api/{module}.rst", module_page(module))
        rows.append(f"| {{py:mod}}`nslab.{name}` | {first_sentence(package.__doc__ or '')} |")
        pages.append(f"api/nslab.{name}")
    for name in MODULES:
        stage.write(f"reference/api/nslab.{name}.rst", module_page(f"nslab.{name}"))
        about = first_sentence(importlib.import_module(f"nslab.{name}").__doc__ or "")
        rows.append(f"| {{py:mod}}`nslab.{name}` | {about} |")
        pages.append(f"api/nslab.{name}")
    table = "\n".join(["| package | |", "|---|---|", *rows])
    order = "\n".join(pages)
    return f"{table}\n\n```{{toctree}}\n:hidden:\n\n{order}\n```\n"


def heading(text: str) -> str:
    """The title of a page."""
    return f"{text}\n{'=' * len(text)}\n"


def automodule(name: str) -> str:
    """What autodoc is asked for: what a module defines itself, in its order."""
    lines = [f".. automodule:: {name}", "   :members:", "   :ignore-module-all:"]
    return "\n".join([*lines, ""])


def module_page(name: str) -> str:
    """The page of a module."""
    return f"{heading(name)}\n{automodule(name)}"


def package_page(package: ModuleType, modules: list[str]) -> str:
    """The page of a package: its own docstring, and its modules with their titles."""
    name = package.__name__
    lines = [heading(name), automodule(name)]
    if modules:
        lines += [".. list-table::", "   :widths: 35 65", ""]
        for module in modules:
            lines += [f"   * - :py:mod:`~{module}`", f"     - {title_of(module)}"]
        lines += ["", ".. toctree::", "   :hidden:", "", *(f"   {module}" for module in modules)]
    return "\n".join([*lines, ""])


def title_of(module: str) -> str:
    """The first paragraph of a module's docstring, without importing it twice."""
    file = inspect.getsourcefile(importlib.import_module(module)) or ""
    with open(file, encoding="utf-8") as source:
        text = ast.get_docstring(ast.parse(source.read())) or ""
    return " ".join(text.partition("\n\n")[0].split()).rstrip(":")
