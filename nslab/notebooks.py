"""Execute parameterised notebooks headless, each in a process of its own, and say how they ended.

papermill calls a notebook completed when its kernel died, so success is judged here: the child
process writes ``<name>.status.json`` last, and only that together with exit status 0 counts.
"""

import ast
import json
import os
import sys
import tempfile
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from nslab.engine import Ended, Job, run_local
from nslab.files import write_text
from nslab.parameters import check_parameters
from nslab.paths import figures_dir, notebooks_dir

TYPES = {kind.__name__: kind for kind in (int, float, str, bool, list)}


@dataclass(frozen=True)
class Planned:
    """A notebook and the parameters it will be executed with."""

    source: Path
    parameters: dict[str, Any]
    output: Path

    @property
    def status(self) -> Path:
        """Where the execution says how it ended."""
        return self.output.with_suffix(".status.json")

    @property
    def done(self) -> bool:
        """Whether it was executed to its end, with these parameters and not with others before."""
        if not self.status.exists():
            return False
        said = json.loads(self.status.read_text(encoding="utf-8"))
        return bool(said["parameters"] == self.parameters)


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
    for node in ast.parse("".join(tagged[0]["source"])).body:
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
            hint = eval(ast.unparse(kind), {"__builtins__": {}}, TYPES)
            if hint not in TYPES.values() and typing.get_origin(hint) is not list:
                raise TypeError(f"not {ast.unparse(kind)}")
            found[name] = hint, ast.literal_eval(value)
        except (NameError, ValueError, TypeError) as error:
            raise ValueError(
                f"{source.name}, parameters: `{ast.unparse(node)}`: types are "
                f"{', '.join(TYPES)}, values literals ({error})"
            ) from None
    return found


def plan(patterns: Sequence[str], preset: str, parameters: Mapping[str, Any]) -> list[Planned]:
    """The notebooks that match, with parameters checked against each before any starts.

    Raises ``ValueError`` for a pattern that matches nothing, a parameter that one of the notebooks
    does not have, and a value of a wrong type.
    """
    every = sources()
    chosen: list[Path] = []
    for pattern in patterns:
        stem = Path(pattern).name.removesuffix(".ipynb")
        matching = [file for file in every if fnmatch(file.stem, stem)]
        if not matching:
            names = ", ".join(file.stem for file in every)
            raise ValueError(f"no notebook matches {pattern!r}; there are {names}")
        chosen += [file for file in matching if file not in chosen]
    planned = []
    for file in chosen:
        allowed = {name: hint for name, (hint, _) in parameters_of(file).items()}
        given = check_parameters({"preset": preset, **parameters}, allowed, file.name)
        output = figures_dir() / str(given["preset"]) / "notebooks" / file.name
        planned.append(Planned(file, given, output))
    return planned


def render(
    planned: Sequence[Planned],
    at_once: int = 2,
    echo: Callable[[str], object] = print,
    engine: Callable[..., list[Ended]] = run_local,
) -> list[Ended]:
    """Execute notebooks, ``at_once`` at a time; one that fails does not stop the others.

    Executed copies are kept whatever happens. A notebook that did not end well has an exit status
    other than 0, even if its process had 0.
    """
    env = {"NSLAB_HEADLESS": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    jobs = []
    for p in planned:
        p.status.unlink(missing_ok=True)
        task = {"source": str(p.source), "output": str(p.output), "parameters": p.parameters}
        write_text(p.output.with_suffix(".task.json"), json.dumps(task))
        command = [sys.executable, "-m", "nslab.notebooks", str(p.output)]
        jobs.append(Job(p.source.stem, command, p.output.with_suffix(".log"), env))
    by_name = {p.source.stem: p for p in planned}

    def judged(end: Ended) -> Ended:
        done = by_name[end.job.name].done
        return end if end.status or done else Ended(end.job, 1, end.seconds)

    def tell(end: Ended) -> None:
        end, output = judged(end), by_name[end.job.name].output
        if end.status == 0:
            echo(f"{end.job.name}: done in {end.seconds:.0f} s -> {output}")
        else:
            echo(f"{end.job.name}: FAILED (exit status {end.status}) after {end.seconds:.0f} s")
            echo(f"  partly executed copy: {output}\n  log: {end.job.log}")
            echo("  " + end.tail().replace("\n", "\n  "))

    echo(f"rendering {len(jobs)} notebooks, {min(at_once, len(jobs))} at a time")
    ended = engine(jobs, at_once, on_start=lambda j: echo(f"{j.name}: started"), on_end=tell)
    return [judged(end) for end in ended]


def execute(output: Path) -> None:
    """Child process: execute one task with papermill, then write its status."""
    import nbformat
    import papermill

    task = json.loads(output.with_suffix(".task.json").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as quiet:
        profile = Path(quiet) / "profile_default"
        profile.mkdir()
        # each kernel otherwise warns that it speaks TCP without encryption, on loopback
        write_text(profile / "ipython_kernel_config.py", "c.IPKernelApp.log_level = 40\n")
        os.environ["IPYTHONDIR"] = quiet
        papermill.execute_notebook(
            task["source"],
            str(output),
            parameters=task["parameters"],
            kernel_name="python3",
            progress_bar=False,
            autosave_cell_every=10,
        )
    cells = nbformat.read(output, as_version=4).cells
    silent = [
        i
        for i, cell in enumerate(cells)
        if cell.cell_type == "code" and cell.source.strip() and cell.execution_count is None
    ]
    if silent:
        raise RuntimeError(f"the kernel died: cells {silent} were never executed")
    write_text(output.with_suffix(".status.json"), json.dumps({"status": "done"} | task, indent=1))


if __name__ == "__main__":
    os.environ.setdefault("NSLAB_HEADLESS", "1")
    execute(Path(sys.argv[1]))
