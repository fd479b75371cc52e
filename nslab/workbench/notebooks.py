"""Parameterised notebooks: what they take, checked before any starts, and what was made of them."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nslab.system.filenames import checked_filename
from nslab.system.paths import (
    figures_dir,
    frozen_dir,
    notebooks_dir,
    papers_dir,
    runs_dir,
    shipped_results_dir,
)
from nslab.system.provenance import source_digest
from nslab.system.validation import check_parameters
from nslab.workbench.unrun import unrun

VARIANTS = "variants"  # figures of notebooks with other parameters than their defaults
LOOK_UP_ALL = ("explorer", "ledger")  # show whatever has been run: executed after all others
TYPES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, list)}


@dataclass(frozen=True)
class Planned:
    """A notebook, the parameters it will be executed with, and the folder of its figures."""

    source: Path
    parameters: dict[str, Any]
    figures: Path

    @property
    def output(self) -> Path:
        """The executed copy."""
        return self.figures / str(self.parameters["preset"]) / "notebooks" / self.source.name

    @property
    def name(self) -> str:
        """What tells it apart in a batch."""
        variant = self.figures.parent.name == VARIANTS
        stem = self.figures.name if variant else self.source.stem
        return f"{self.parameters['preset']}/{stem}"

    @property
    def looks_up_all(self) -> bool:
        """Whether it shows the runs of other notebooks."""
        return self.source.stem in LOOK_UP_ALL

    @property
    def status(self) -> Path:
        """Where the execution says how it ended."""
        return self.output.with_suffix(".status.json")

    @property
    def task(self) -> dict[str, Any]:
        """What is executed, and a hash of all that its outcome depends on."""
        digest = hashlib.sha256(source_digest().encode())
        digest.update(unrun(self.source.read_text(encoding="utf-8")).encode())
        for folder in dict.fromkeys((papers_dir(), shipped_results_dir(), frozen_dir())):
            for file in sorted(folder.rglob("*.csv")):
                digest.update(file.read_bytes())
        if self.looks_up_all and runs_dir().is_dir():
            digest.update(" ".join(sorted(path.name for path in runs_dir().iterdir())).encode())
        task = {"source": str(self.source), "output": str(self.output)}
        return task | {"parameters": self.parameters, "made_of": digest.hexdigest()[:12]}

    def last(self) -> dict[str, Any]:
        """What the last execution that ended well said: its task and seconds; empty if none did."""
        try:
            found = json.loads(self.status.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def rendered(self) -> bool:
        """Whether that was this very task, and its executed copy is there."""
        last = self.last()
        return self.output.exists() and all(last.get(k) == v for k, v in self.task.items())


def sources(folder: Path | None = None) -> list[Path]:
    """The notebooks, in their order."""
    return sorted((folder or notebooks_dir()).glob("*.ipynb"))


def parameters_of(source: Path) -> dict[str, tuple[Any, Any]]:
    """Type and default of each parameter, from the one cell tagged ``parameters``.

    Raises ``ValueError`` unless that cell holds annotated literals only: everything derived from
    a parameter must come in a later cell, or an injected value would not reach it.
    """
    cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
    tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    if len(tagged) != 1:
        raise ValueError(f"{source.name} has {len(tagged)} cells tagged 'parameters', not one")
    found: dict[str, tuple[Any, Any]] = {}
    try:
        body = ast.parse("".join(tagged[0]["source"])).body
    except SyntaxError as error:
        raise ValueError(f"{source.name}, parameters: {error}") from None
    for node in body:
        match node:
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=kind, value=ast.expr() as value
            ):
                pass
            case _:
                raise ValueError(
                    f"{source.name}, parameters: `{ast.unparse(node)}` is not `name: type = value`"
                )
        try:
            found[name] = type_of(kind), ast.literal_eval(value)
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"{source.name}, parameters: `{ast.unparse(node)}`: types are "
                f"{', '.join(TYPES)}, values literals ({error})"
            ) from None
    return found


def type_of(annotation: ast.expr) -> Any:
    """The type that an annotation names: one of ``TYPES``, or a list of one; nothing is evaluated.

    Raises ``ValueError`` for any other.
    """
    match annotation:
        case ast.Name(id=name) if name in TYPES:
            return TYPES[name]
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[type_of(inner)]  # type: ignore[misc]
    raise ValueError(f"not {ast.unparse(annotation)}")


def _types(file: Path) -> dict[str, Any]:
    return {name: hint for name, (hint, _) in parameters_of(file).items()}


def plan(patterns: Sequence[str], preset: str, parameters: Mapping[str, Any]) -> list[Planned]:
    """The notebooks that match, with parameters checked against each before any starts.

    Parameters other than a notebook's defaults give its figures and executed copy a folder of
    their own, so that no variant overwrites another, or the plain rendering. Where a pattern such
    as ``ns_*`` matches several, those without some parameter go without it. Raises ``ValueError``
    for a pattern that matches nothing or names another folder, a parameter that none of a
    pattern's notebooks has, or not one that is named in full, and a value of a wrong type.
    """
    every = sources()
    chosen: dict[Path, dict[str, Any]] = {}
    for pattern in patterns:
        folder = Path(pattern).parent
        if folder != Path() and folder.resolve() != notebooks_dir().resolve():
            raise ValueError(f"{pattern!r} is elsewhere: notebooks are those of {notebooks_dir()}")
        stem = Path(pattern).name.removesuffix(".ipynb")
        matching = [file for file in every if fnmatch(file.stem, stem)]
        if not matching:
            names = ", ".join(file.stem for file in every)
            raise ValueError(f"no notebook matches {pattern!r}; there are {names}")
        types = {file: _types(file) for file in matching}
        shared = {name for known in types.values() for name in known}
        for file, known in types.items():
            own = {k: v for k, v in parameters.items() if k in known or k not in shared}
            chosen.setdefault(file, check_parameters({"preset": preset, **own}, known, file.name))
    planned = []
    for file, given in chosen.items():
        checked_filename(given["preset"], "preset")
        figures = figures_dir()
        defaults = {name: default for name, (_, default) in parameters_of(file).items()}
        own = {k: v for k, v in given.items() if k != "preset" and v != defaults[k]}
        if own:
            digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest()[:8]
            figures = figures / VARIANTS / f"{file.stem}-{digest}"
        planned.append(Planned(file, given, figures))
    return planned
