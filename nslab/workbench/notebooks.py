"""Parameterised notebooks: what they take, checked before any starts, and what was made of them."""

import ast
import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
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
from nslab.system.plugins import digests
from nslab.system.provenance import source_digest
from nslab.system.validation import check_parameters, unknown
from nslab.workbench.unrun import unrun

VARIANTS = "variants"  # figures of notebooks with other parameters than their defaults
LOOK_UP_ALL = ("explorer", "ledger")  # show whatever has been run: executed after all others
TYPES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, list)}


@dataclass(frozen=True)
class Planned:
    """A notebook, the parameters it will be executed with, the folder of its figures and, in there,
    that of its preset."""

    source: Path
    parameters: dict[str, Any]
    figures: Path
    preset: str

    @property
    def output(self) -> Path:
        """The executed copy."""
        return self.figures / self.preset / "notebooks" / self.source.name

    @property
    def elsewhere(self) -> bool:
        """Whether it is somebody's own, in another folder than ours."""
        return _elsewhere(self.source)

    @property
    def name(self) -> str:
        """What tells it apart in a batch."""
        variant = self.figures.parent.name == VARIANTS
        stem = self.figures.name if variant else self.source.stem
        return f"{self.preset}/{stem}"

    @property
    def looks_up_all(self) -> bool:
        """Whether it shows the runs of other notebooks."""
        return self.source.stem in LOOK_UP_ALL

    @property
    def status(self) -> Path:
        """Where the execution says how it ended."""
        return self.output.with_suffix(".status.json")

    @property
    def lock(self) -> Path:
        """What the process that executes it holds."""
        return self.output.with_suffix(".lock")

    @property
    def task(self) -> dict[str, Any]:
        """What is executed, and a hash of all that its outcome depends on."""
        digest = hashlib.sha256(source_digest().encode())
        digest.update(unrun(self.source.read_text(encoding="utf-8")).encode())
        for folder in dict.fromkeys((papers_dir(), shipped_results_dir(), frozen_dir())):
            for file in sorted(folder.rglob("*.csv")):
                digest.update(file.read_bytes())
        if plugins := digests():
            digest.update(json.dumps(plugins).encode())
        task = {"source": str(self.source), "output": str(self.output)}
        if self.elsewhere:  # it finds what lies beside it, as in JupyterLab
            task["cwd"] = str(self.source.parent)
            for file in sorted(self.source.parent.glob("*.py")):
                digest.update(file.read_bytes())
        if self.looks_up_all and runs_dir().is_dir():
            digest.update(" ".join(sorted(path.name for path in runs_dir().iterdir())).encode())
        return task | {"parameters": self.parameters, "made_of": digest.hexdigest()[:12]}

    def last(self) -> dict[str, Any]:
        """What the last execution that ended well said, see `completed`."""
        return completed(self.status)

    def seconds(self) -> float:
        """What it will take, roughly: what it took last, or what it says of preset ``smoke``."""
        return float(self.last().get("seconds", smoke_seconds(self.source)))

    def rendered(self) -> bool:
        """Whether that was this very task, and its executed copy is there."""
        return self.output.exists() and self.task.items() <= self.last().items()


def completed(status: Path) -> dict[str, Any]:
    """The task and seconds of an execution that ended well; empty if none did."""
    try:
        found = json.loads(status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("status") == "done" else {}


def smoke_seconds(source: Path) -> float:
    """What a notebook says in its metadata (``nslab``) that it takes at preset ``smoke``."""
    book = json.loads(source.read_text(encoding="utf-8"))
    return float(book.get("metadata", {}).get("nslab", {}).get("smoke_seconds", 0.0))


def sources(folder: Path | None = None) -> list[Path]:
    """The notebooks, in their order."""
    return sorted((folder or notebooks_dir()).glob("*.ipynb"))


def parameters_of(source: Path, own: bool = False) -> dict[str, tuple[Any, Any]]:
    """Type and default of each parameter, from the one cell tagged ``parameters``.

    Raises ``ValueError`` unless that cell holds annotated literals only: everything derived from
    a parameter must come in a later cell, or an injected value would not reach it. With ``own``, a
    notebook of somebody's own, it may be missing, and the types too.
    """
    try:
        cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{source} is no notebook that can be read: {error!r}") from None
    if own and not tagged:
        return {}
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
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Constant() as value) if own:
                kind = ast.Name(type(value.value).__name__)
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List() as value) if own:
                kind = ast.Name("list")
            case ast.Expr(value=ast.Constant()) if own:  # a docstring
                continue
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


def plan(patterns: Sequence[str], preset: str, parameters: Mapping[str, Any]) -> list[Planned]:
    """The notebooks that match, with parameters checked against each before any starts.

    A pattern with another folder than ours, such as ``mine/*.ipynb``, names somebody's own; these
    need no parameters, and no ``preset`` among them. Parameters other than a notebook's defaults
    give its figures and executed copy a folder of their own, so that no variant overwrites another,
    or the plain rendering; so does the name of a notebook of another folder. Where a pattern such
    as ``ns_*`` matches several, those without some parameter go without it. Raises ``ValueError``
    for a pattern that matches nothing, a parameter that none of a pattern's notebooks has, or not
    one that is named in full, and a value of a wrong type.
    """
    chosen: dict[Path, tuple[dict[str, Any], dict[str, Any]]] = {}  # what is given, the defaults
    for pattern in patterns:
        known = {file: parameters_of(file, _elsewhere(file)) for file in _matching(pattern)}
        shared = {name for found in known.values() for name in found}
        for file, found in known.items():
            own = {k: v for k, v in parameters.items() if k in found or k not in shared}
            if own and not found:
                raise ValueError(
                    f"{file.name} has no cell tagged 'parameters', so it has no {', '.join(own)}: "
                    "tag the cell that sets them, or leave them away"
                )
            given = ({"preset": preset} if "preset" in found else {}) | own
            types = {name: hint for name, (hint, _) in found.items()}
            defaults = {name: default for name, (_, default) in found.items()}
            chosen.setdefault(file, (check_parameters(given, types, file.name), defaults))
    planned: dict[Path, Planned] = {}  # by their outputs
    for file, (given, defaults) in chosen.items():
        folder = checked_filename(str(given.get("preset", preset)), "preset")
        own = {k: v for k, v in given.items() if k != "preset" and v != defaults[k]}
        one = Planned(file, given, _variant(file.stem, own) if own else figures_dir(), folder)
        if one.output in planned or _taken(one):
            variant = _variant(file.stem, own | {"in": str(file.parent)})
            one = Planned(file, given, variant, folder)
        planned[one.output] = one
    return list(planned.values())


def _matching(pattern: str) -> list[Path]:
    """The notebooks that a pattern names, ours or somebody's own; ``ValueError`` for none."""
    path, every = Path(pattern).expanduser(), sources()
    stem, bare = path.name.removesuffix(".ipynb"), path.name == pattern
    ours = every if bare or not _elsewhere(path) else []
    found = [file for file in ours if fnmatch(file.stem, stem)]
    if not found:
        exact = path.parent / f"{stem}.ipynb"
        with suppress(OSError):  # a name that no file can have
            beside = [] if bare else sorted(path.parent.glob(exact.name))
            found = [file.resolve() for file in ([exact] if exact.is_file() else beside)]
    if not found:
        names = [file.stem for file in every]
        raise unknown("notebook", pattern, names, ", and files by path")
    return found


def _elsewhere(file: Path) -> bool:
    return file.parent.resolve() != notebooks_dir().resolve()


def _variant(stem: str, apart: Mapping[str, Any]) -> Path:
    """The folder of figures of what is ``apart`` from the plain rendering."""
    digest = hashlib.sha256(json.dumps(apart, sort_keys=True).encode()).hexdigest()[:8]
    return figures_dir() / VARIANTS / f"{stem}-{digest}"


def _taken(one: Planned) -> bool:
    """Whether the output of somebody's own notebook is one's of ours, or another's."""
    if not one.elsewhere:
        return False
    if (notebooks_dir() / one.source.name).exists():
        return True
    return another(one.output, one.source) is not None


def another(output: Path, source: Path) -> Path | None:
    """The other notebook that an output is of, if it is of one that is still there."""
    try:
        task = json.loads(output.with_suffix(".task.json").read_text(encoding="utf-8"))
        other = Path(task["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return other if other != source and other.exists() else None
