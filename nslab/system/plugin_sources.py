"""Sources of a plug-in: its files and their digest."""

import ast
import hashlib
import importlib.util
import os
import sys
from collections.abc import Mapping
from pathlib import Path


def location(name: str) -> Path:
    """The file or package folder of a top-level module; ``ValueError`` if there is none."""
    top = name.partition(".")[0]
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if not spec or not spec.origin or not spec.origin.endswith(".py"):
        raise ValueError(f"there is no module {top!r} here: a plug-in is a file such as {top}.py")
    file = Path(spec.origin)
    return file.parent if spec.submodule_search_locations else file


def sources_of(path: Path) -> dict[Path, bytes]:
    """The sources of a plug-in, by their paths: all files of a package; or a file and, recursively,
    the files beside it that it imports."""
    if path.is_dir():
        return {file: file.read_bytes() for file in sorted(path.rglob("*.py"))}
    found, waiting = dict[Path, bytes](), [path]
    while waiting:
        file = waiting.pop()
        if file in found:
            continue
        found[file] = file.read_bytes()
        for name in _imports(found[file]) - sys.stdlib_module_names:
            if (package := path.parent / name / "__init__.py").is_file():
                found |= sources_of(package.parent)
            elif (beside := path.parent / f"{name}.py").is_file():
                waiting.append(beside)
    return found


def _imports(source: bytes) -> set[str]:
    """The top-level modules that a source imports; none if it is no Python."""
    try:
        nodes = [*ast.walk(ast.parse(source))]
    except (SyntaxError, ValueError):  # running it will report that
        return set()
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    return {name.partition(".")[0] for name in names if name}


def digest_of(sources: Mapping[Path, bytes]) -> str:
    """SHA-256 of one file, or of several with their names."""
    if len(sources) == 1:
        return hashlib.sha256(next(iter(sources.values()))).hexdigest()
    digest = hashlib.sha256()
    root = Path(os.path.commonpath(sources))
    for file in sorted(sources):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + sources[file] + b"\0")
    return digest.hexdigest()
