"""Commands on the store itself: ``nslab doctor | gc``."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nslab.cli.options import Plugins, app, explained

if TYPE_CHECKING:
    from nslab.runs.housekeeping import Finding

SHOWN = 20  # lines under each heading, without --all


@app.command(epilog="Example: nslab doctor")
def doctor(
    every: Annotated[
        bool, typer.Option("--all", help="Show every line, not only the first 20 of each kind.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Check the store: results, weights, checkpoints, data, frozen results. Changes nothing.

    Exits with status 1 if something is wrong.
    """
    with explained():
        found = _examined()
    wrong = [finding for finding in found if finding.wrong]
    known = [finding for finding in found if not finding.wrong and not finding.need]
    spare = [finding for finding in found if finding.need == "nothing"]
    _show("wrong", wrong, every)
    _show("worth knowing", known, every)
    if spare:
        typer.echo(f"{len(spare)} things that nothing needs, {_size(spare)}: nslab gc removes them")
    if not wrong:
        typer.echo("nothing is wrong")
    raise typer.Exit(1 if wrong else 0)


@app.command(epilog="Example: nslab gc --dry-run")
def gc(
    superseded: Annotated[
        bool, typer.Option("--superseded", help="Also results of earlier code or data.")
    ] = False,
    weights: Annotated[
        bool, typer.Option("--weights", help="Also the weights of finished runs.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would go.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    plugin: Plugins = None,
) -> None:
    """Remove what nothing needs from the store: files set aside as broken, partly written files,
    runs that never reached a checkpoint, arrays that no run uses. Shows sizes and asks first."""
    from nslab.runs.housekeeping import remove

    more = {"superseded": superseded, "weights": weights}
    wanted = {"nothing", *(need for need, asked in more.items() if asked)}
    with explained():
        found = [finding for finding in _examined() if finding.need in wanted]
        _show("to go", found, every=True)
        if not found:
            typer.echo("nothing to remove")
        elif dry_run:
            typer.echo(f"{_size(found)} would go")
        elif yes or typer.confirm(f"remove these {len(found)}, {_size(found)}?"):
            sizes = {finding: finding.size for finding in found}
            gone = remove(found)
            typer.echo(f"removed {len(gone)}, {_bytes(sum(sizes[f] for f in gone))}")
            if left := len(found) - len(gone):
                typer.echo(f"{left} are in use and were left alone")


def _examined() -> "list[Finding]":
    from nslab.runs.housekeeping import examine
    from nslab.system.progress import Progress

    def with_progress(runs: Any) -> Iterable[Any]:
        with Progress(len(runs), "runs", unit="run", show=len(runs) > 200) as bar:
            for run in runs:
                yield run
                bar.advance(run.name)

    return examine(with_progress)


def _show(title: str, findings: "list[Finding]", every: bool) -> None:
    """Print findings under a title, the first ``SHOWN`` of them unless ``every``."""
    if findings:
        typer.echo(f"{title}:")
    for number, finding in enumerate(findings):
        if number == SHOWN and not every:
            typer.echo(f"  and {len(findings) - SHOWN} more (--all shows them)")
            break
        size = f"{_bytes(finding.size):>9}  " if finding.need else ""
        typer.echo(f"  {size}{finding.path}: {finding.what}")


def _size(findings: "list[Finding]") -> str:
    return _bytes(sum(finding.size for finding in findings))


def _bytes(count: float) -> str:
    """A number of bytes in the largest fitting unit."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
