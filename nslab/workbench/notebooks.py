"""Parameterised notebooks: their parameters, checked before any starts, and their executed
copies."""

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
LOOK_UP_ALL = ("explorer", "ledger")  # show all finished runs, so they are executed last
TYPES: dict[str, Any] = {kind.__name__: kind for kind in (int, float, str, bool, list)}


@dataclass(frozen=True)
class Planned:
    """A notebook that is to be executed.

    Attributes:
        source: its file.
        parameters: those it will be executed with.
        figures: the folder of its figures.
        preset: the name of the folder in there for its preset.
    """

    source: Path
    parameters: dict[str, Any]
    figures: Path
    preset: str

    @property
    def output(self) -> Path:
        """The executed copy."""
        return self.figures / self.preset / "notebooks" / self.source.name

    @property
    def is_users_own(self) -> bool:
        """Whether it is a user's own, in another folder than nslab's notebooks."""
        return _is_users_own(self.source)

    @property
    def name(self) -> str:
        """A name that identifies it in a batch: the preset, and its own name or its variant's."""
        variant = self.figures.parent.name == VARIANTS
        stem = self.figures.name if variant else self.source.stem
        return f"{self.preset}/{stem}"

    @property
    def looks_up_all(self) -> bool:
        """Whether it shows the runs of other notebooks."""
        return self.source.stem in LOOK_UP_ALL

    @property
    def status(self) -> Path:
        """The file in which an execution records how it ended."""
        return self.output.with_suffix(".status.json")

    @property
    def lock(self) -> Path:
        """The lock that the process which executes it holds."""
        return self.output.with_suffix(".lock")

    @property
    def task(self) -> dict[str, Any]:
        """What is executed (source, output, parameters), and under ``made_of`` a hash of all that
        the outcome depends on."""
        digest = hashlib.sha256(source_digest().encode())
        digest.update(unrun(self.source.read_text(encoding="utf-8")).encode())
        for folder in dict.fromkeys((papers_dir(), shipped_results_dir(), frozen_dir())):
            for file in sorted(folder.rglob("*.csv")):
                digest.update(file.read_bytes())
        if plugins := digests():
            digest.update(json.dumps(plugins).encode())
        task = {"source": str(self.source), "output": str(self.output)}
        if self.is_users_own:  # it can import files beside it, as in JupyterLab
            task["cwd"] = str(self.source.parent)
            for file in sorted(self.source.parent.glob("*.py")):
                digest.update(file.read_bytes())
        if self.looks_up_all and runs_dir().is_dir():
            digest.update(" ".join(sorted(path.name for path in runs_dir().iterdir())).encode())
        return task | {"parameters": self.parameters, "made_of": digest.hexdigest()[:12]}

    def last(self) -> dict[str, Any]:
        """The record of the last execution, see `completed`."""
        return completed(self.status)

    def seconds(self) -> float:
        """Roughly how long it will take: as long as last time, or as its metadata say for preset
        ``smoke``."""
        return float(self.last().get("seconds", smoke_seconds(self.source)))

    def rendered(self) -> bool:
        """Whether the last execution was of this very task, and its executed copy exists."""
        return self.output.exists() and self.task.items() <= self.last().items()


def completed(status: Path) -> dict[str, Any]:
    """The task and seconds of the last execution, if it succeeded; otherwise empty."""
    try:
        found = json.loads(status.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("status") == "done" else {}


def smoke_seconds(source: Path) -> float:
    """Seconds that a notebook takes at preset ``smoke``, by its metadata (``nslab``); else 0."""
    book = json.loads(source.read_text(encoding="utf-8"))
    return float(book.get("metadata", {}).get("nslab", {}).get("smoke_seconds", 0.0))


def sources(folder: Path | None = None) -> list[Path]:
    """The notebooks in a folder, by default nslab's own, in the order of their names."""
    return sorted((folder or notebooks_dir()).glob("*.ipynb"))


def parameters_of(source: Path, own: bool = False) -> dict[str, tuple[Any, Any]]:
    """Type and default of each parameter, from the one cell tagged ``parameters``.

    Raises ``ValueError`` unless that cell holds annotated literals only: everything derived from
    a parameter must come in a later cell, or an injected value would not reach it. In a notebook of
    a user's ``own``, the cell may be missing, and so may the types.
    """
    try:
        cells = json.loads(source.read_text(encoding="utf-8"))["cells"]
        tagged = [c for c in cells if "parameters" in c["metadata"].get("tags", [])]
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(f"{source} cannot be read as a notebook: {error!r}") from None
    if own and not tagged:
        return {}
    if len(tagged) != 1:
        raise ValueError(
            f"{source.name} has {len(tagged)} cells tagged 'parameters': tag exactly one"
        )
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

    A pattern with a folder other than nslab's, such as ``mine/*.ipynb``, names a user's own; these
    need no parameters, and no ``preset`` among them. With other parameters than its defaults, a
    notebook's figures and executed copy get a folder of their own, so that no variant overwrites
    another or the plain rendering; so do those of a user's notebook whose name is taken. If a
    pattern such as ``ns_*`` matches several notebooks, a parameter is ignored by those that lack
    it. Raises ``ValueError`` for a pattern that matches nothing, a parameter that none of a
    pattern's notebooks has, and a value of a wrong type.
    """
    chosen: dict[Path, tuple[dict[str, Any], dict[str, Any]]] = {}  # what is given, the defaults
    for pattern in patterns:
        known = {file: parameters_of(file, _is_users_own(file)) for file in _matching(pattern)}
        shared = {name for found in known.values() for name in found}
        for file, found in known.items():
            own = {k: v for k, v in parameters.items() if k in found or k not in shared}
            if own and not found:
                raise ValueError(
                    f"{file.name} has no cell tagged 'parameters', so it has no {', '.join(own)}: "
                    "tag the cell that sets them, or leave them out"
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
    """The notebooks that a pattern names, nslab's or a user's own; ``ValueError`` for none."""
    path, every = Path(pattern).expanduser(), sources()
    stem, bare = path.name.removesuffix(".ipynb"), path.name == pattern
    ours = every if bare or not _is_users_own(path) else []
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


def _is_users_own(file: Path) -> bool:
    return file.parent.resolve() != notebooks_dir().resolve()


def _variant(stem: str, changes: Mapping[str, Any]) -> Path:
    """The folder of the figures of a variant, by its ``changes`` from the plain rendering."""
    digest = hashlib.sha256(json.dumps(changes, sort_keys=True).encode()).hexdigest()[:8]
    return figures_dir() / VARIANTS / f"{stem}-{digest}"


def _taken(one: Planned) -> bool:
    """Whether the output of a user's own notebook belongs to one of nslab's, or to another."""
    if not one.is_users_own:
        return False
    if (notebooks_dir() / one.source.name).exists():
        return True
    return another(one.output, one.source) is not None


def another(output: Path, source: Path) -> Path | None:
    """Another notebook than ``source`` that wrote an output, if it still exists; else None."""
    try:
        task = json.loads(output.with_suffix(".task.json").read_text(encoding="utf-8"))
        other = Path(task["source"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return other if other != source and other.exists() else None
