"""Plug-ins: your own Python files and packages, loaded and digested; each registers itself.

A file ``mine.py`` is loaded as the module ``mine``, so that classes, tracebacks and ``import mine``
work as usual. Its folder is appended to ``sys.path``, so it may import files beside it, now or
later, and hides nothing that is installed. What is loaded is also listed in ``NSLAB_PLUGINS``, so
processes started from here load the same.
"""

import importlib
import importlib.util
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from nslab.system.plugin_sources import digest_of, location, sources_of
from nslab.system.registry import EVERY, forget, restore, snapshot

VARIABLE = "NSLAB_PLUGINS"
GROUP = "nslab"  # of entry points
DIGITS = 12
SITES = ("site-packages", "dist-packages")


@dataclass(frozen=True)
class Plugin:
    """A plug-in that is loaded.

    Attributes:
        name: the name of its module or package.
        path: its file, or the folder of its package.
        digest: SHA-256 of its sources, see `sources_of`.
        modules: the names of its modules, including those of files beside it that it imports.
        installed: whether it is the entry point of an installed package.
    """

    name: str
    path: Path
    digest: str
    modules: frozenset[str]
    installed: bool = False

    def owns(self, module: str) -> bool:
        """Whether a module is part of it."""
        return module.partition(".")[0] in self.modules

    def registered(self) -> dict[str, list[str]]:
        """The keys that it has registered, by the name of their registry."""
        found = {
            what: [key for key in registry if self.owns(registry.origins[key].module)]
            for what, registry in EVERY.items()
        }
        return {what: keys for what, keys in found.items() if keys}


LOADED: dict[str, Plugin] = {}
_LOADING: set[str] = set()


def use(plugin: str | os.PathLike[str]) -> ModuleType:
    """Load a plug-in, here and in the processes started from here, and return its module.

    ``plugin`` is a Python file, the folder of a package, or the name of a module that can be
    imported. It is loaded once, and again when its sources have changed; what it had registered is
    then replaced. Raises ``ValueError`` for a plug-in that does not exist, has a name that is
    taken, or fails (naming the line); what was loaded before then stays.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "my_losses.py")
    ...     _ = file.write_text("answer = 42")
    ...     print(use(file).answer, list(digests()))
    42 ['my_losses']
    """
    text = os.fspath(plugin)
    path = Path(text).expanduser().absolute()
    if path.is_dir() and ((path / "__init__.py").is_file() or path.name != text):
        return _load(path, path.name)
    if path.suffix == ".py":
        return _load(path, path.stem)
    if path.name == text:  # a module's name
        return _load(location(text), text)
    return _load(path.parent / path.name.partition(".")[0], path.name)  # FOLDER/package.module


def digests() -> dict[str, str]:
    """The digest of each plug-in that is loaded."""
    return {name: plugin.digest[:DIGITS] for name, plugin in sorted(LOADED.items())}


def owner(module: str) -> str:
    """The name of the plug-in that a module is part of; empty if there is none."""
    return next((plugin.name for plugin in LOADED.values() if plugin.owns(module)), "")


def load_all() -> None:
    """Load what ``NSLAB_PLUGINS`` names, and what installed packages bring by entry points.

    Raises ``ValueError`` as `use` does; an installed package that fails is a warning.
    """
    for item in _asked():
        try:
            use(item)
        except ValueError as error:
            advice = f"{VARIABLE} in the environment asks for it: unset or correct it"
            raise ValueError(f"{error} ({advice})") from None
    if not _some_entry_points():
        return
    from importlib import metadata  # takes longer than all else here

    for point in metadata.entry_points(group=GROUP):
        top = point.module.partition(".")[0]
        try:
            importlib.import_module(point.module)
            if top not in LOADED:
                path = location(top)
                digest = digest_of(sources_of(path))
                LOADED[top] = Plugin(top, path, digest, frozenset({top}), installed=True)
        except (Exception, SystemExit) as error:
            package = point.dist.name if point.dist else top
            warnings.warn(
                f"the plug-in {point.value} of the installed package {package} cannot be loaded: "
                f"{_said(error)}. nslab goes on without it: repair or uninstall {package}",
                stacklevel=2,
            )


def load_all_or_end() -> None:
    """`load_all` at the import of nslab. In one of nslab's own commands, an error is printed in one
    line and ends the process, because the command line cannot report it yet."""
    try:
        load_all()
    except ValueError as error:
        ours = any(word.startswith("nslab.") for word in sys.orig_argv[1:])
        if not ours and Path(sys.argv[0] if sys.argv else "").stem != "nslab":
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def _some_entry_points() -> bool:
    """Whether an installed package may have entry points for nslab; faster than ``importlib``."""
    for folder in sys.path:
        try:
            with os.scandir(folder or ".") as entries:
                found = [e.path for e in entries if e.name.endswith((".dist-info", ".egg-info"))]
        except OSError:
            continue
        for name in found:
            try:
                with open(os.path.join(name, "entry_points.txt"), "rb") as file:
                    if f"[{GROUP}]".encode() in file.read():
                        return True
            except OSError:
                continue
    return False


def _load(path: Path, name: str) -> ModuleType:
    """Load the file or package at ``path``, or ``name`` of it, unless it is loaded as it is now."""
    top = name.partition(".")[0]
    if top in _LOADING:  # it calls `use` on itself
        return sys.modules[top]
    file = path / "__init__.py" if path.is_dir() else path
    if not file.is_file():
        raise ValueError(
            f"the plug-in {path} does not exist: give a Python file, or a module's name"
        )
    _check_name(top, path)
    sources = sources_of(path)
    beside = {s.relative_to(path.parent).parts[0].removesuffix(".py") for s in sources}
    made = Plugin(top, path, digest_of(sources), frozenset(beside))
    with _loading(made) as fresh:
        module = _run(file, top, sources[file]) if fresh and path == file else None
        if not module or name != top:
            module = importlib.import_module(name)
        if Path(str(sys.modules[top].__file__)).resolve() != file.resolve():
            raise ImportError(f"{sys.modules[top].__file__} is found first: rename one of them")
    item = str(path if name == top else path.parent / name)
    if item not in _asked():
        os.environ[VARIABLE] = os.pathsep.join([*_asked(), item])
    return module


@contextmanager
def _loading(made: Plugin) -> Iterator[bool]:
    """Prepare to load a plug-in, and give whether it must be loaded. If loading fails, modules and
    registries are restored."""
    known, folder = LOADED.get(made.name), str(made.path.parent)
    if folder not in sys.path:
        sys.path.append(folder)
    fresh = not (known and known.digest == made.digest and made.name in sys.modules)
    entries, wrote = snapshot(), sys.dont_write_bytecode
    there = modules_of(known or made)
    # modules beside it may be shared with other plug-ins: reload them only if its sources changed
    before = {m: there[m] for m in there if known or m.partition(".")[0] == made.name}
    if fresh:
        forget(lambda module: module in before or made.owns(module))
        for module in before:
            del sys.modules[module]
        importlib.invalidate_caches()
        sys.dont_write_bytecode = True  # bytecode would hide an edit within the same second
    _LOADING.add(made.name)
    try:
        for beside in made.modules - {made.name}:
            if (found := location(beside)).parent != made.path.parent:
                raise ImportError(f"it imports {beside}, and {found} is found first: rename one")
        yield fresh
        LOADED[made.name] = made
    except BaseException as error:
        for module in modules_of(made).keys() - (there if fresh else sys.modules).keys():
            del sys.modules[module]
        sys.modules.update(before)
        restore(entries)
        if isinstance(error, Exception | SystemExit):
            said = _said(error, made.path.parent)
            raise ValueError(f"the plug-in {made.path} fails: {said}") from error
        raise
    finally:
        _LOADING.discard(made.name)
        sys.dont_write_bytecode = wrote


def modules_of(plugin: Plugin) -> dict[str, ModuleType]:
    """The modules of a plug-in that are imported."""
    folder = plugin.path.parent

    def of(name: str, module: ModuleType) -> bool:
        return plugin.owns(name) and folder in Path(str(getattr(module, "__file__", ""))).parents

    return {name: module for name, module in [*sys.modules.items()] if of(name, module)}


def _run(file: Path, name: str, source: bytes) -> ModuleType:
    """Run a file as a module, from the very bytes that were digested."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    exec(compile(source, str(file), "exec", dont_inherit=True), module.__dict__)
    return module


def _check_name(name: str, path: Path) -> None:
    """``ValueError`` for a name that no module can have, or that another module has."""
    known, there = LOADED.get(name), sys.modules.get(name)
    place = Path(str(getattr(there, "__file__", None) or name)).resolve()
    problem = ""
    if not name.isidentifier():
        problem = "is not a module name"
    elif name in sys.stdlib_module_names or name == "nslab":
        problem = "is the name of a module that comes with Python or nslab"
    elif known and known.path != path:
        problem = f"is loaded already, from {known.path}"
    elif there and place not in (path.resolve(), path.resolve() / "__init__.py"):
        problem = f"is imported already, from {place}"
    elif not any(site in path.parts for site in SITES):
        sites = [folder for folder in sys.path if Path(folder).name in SITES]
        if importlib.machinery.PathFinder.find_spec(name, sites):
            problem = "is the name of an installed module"
    if problem:
        raise ValueError(f"the plug-in {path}: {name!r} {problem}; call it something else")


def _asked() -> list[str]:
    return [*filter(None, os.environ.get(VARIABLE, "").split(os.pathsep))]


def _said(error: Exception | SystemExit, folder: Path | None = None) -> str:
    """An error in one line, with the last line of its traceback that lies in ``folder``."""
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}: {error.msg}"
    frames = traceback.extract_tb(error.__traceback__)
    lines = [f for f in frames if folder and folder in Path(f.filename).parents]
    where = f"{lines[-1].filename}, line {lines[-1].lineno}: " if lines else ""
    if isinstance(error, SystemExit):
        return (
            f"{where}it ends Python (SystemExit: {error.code}): put a script's code under "
            'if __name__ == "__main__"'
        )
    return f"{where}{type(error).__name__}: {error}"
