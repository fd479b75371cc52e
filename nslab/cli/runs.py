"""Commands that look at runs: ``nslab runs | show | diff | plot``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import Plugins, ToFile, app, check_to, explained
from nslab.system.plurals import counted
from nslab.workbench.run_filter import RunFilter, check_id

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or its first digits.")]


@app.command(
    epilog="Example: nslab runs --dataset cifar10 --method ns_lf --since 7d\n\n"
    "To a page that sorts and filters: nslab runs --limit 0 --to runs.html"
)
def runs(
    dataset: Annotated[str, typer.Option(help="A name, a part of it, or a pattern.")] = "",
    network: Annotated[str, typer.Option(help="A name, a part of it, or a pattern.")] = "",
    method: Annotated[str, typer.Option(help="A name, a family (ns), or a pattern.")] = "",
    seed: Annotated[int | None, typer.Option(help="The run's seed.")] = None,
    since: Annotated[
        str,
        typer.Option(help="Only those finished since 2026-11-30 (UTC), or in the last 3d or 12h."),
    ] = "",
    until: Annotated[str, typer.Option(help="Only those finished by then; in the same form.")] = "",
    state: Annotated[
        str, typer.Option(help="frozen, finished, stale, running or unfinished.")
    ] = "",
    paper: Annotated[str, typer.Option(help="Runs of ns, de or edl, at any preset.")] = "",
    experiment: Annotated[str, typer.Option(help="Runs of an experiment, at any preset.")] = "",
    limit: Annotated[int, typer.Option(min=0, help="Lines to show; 0: all.")] = 20,
    to: ToFile = None,
    plugin: Plugins = None,
) -> None:
    """List stored and frozen runs, the newest first; nothing is computed.

    The file of --to has all of them, whatever the limit.
    """
    with explained():
        check_to(to)
        wanted = RunFilter(dataset, network, method, seed, since, until, state, paper, experiment)
        from nslab.analysis.exports import export
        from nslab.workbench.run_list import readable_runs, run_list

        table = run_list(wanted)
        shown = table.head(limit) if limit else table
        if len(shown):
            typer.echo(readable_runs(shown).to_string(index=False))
        left = len(table) - len(shown)
        more = f", {left} more (--limit 0 shows them)" if left else ""
        typer.echo(f"{counted(len(shown), 'run')}{more}" if len(table) else "no runs")
        if to:
            file = export(table, to, shown=readable_runs(table), title=counted(len(table), "run"))
            typer.echo(f"wrote {file}")


@app.command(epilog="Example: nslab show 1a2b3c4d")
def show(run: Run, plugin: Plugins = None) -> None:
    """Show a finished run: config, metrics, provenance, files, and whether it is stale."""
    with explained():
        check_id(run)
        from nslab.workbench.run_details import described_run
        from nslab.workbench.run_list import run_named

        typer.echo(described_run(run_named(run)))


@app.command(epilog="Example: nslab diff 1a2b3c4d 5e6f7a8b")
def diff(a: Run, b: Run, plugin: Plugins = None) -> None:
    """Compare two finished runs: the fields that differ, their metrics and provenance."""
    with explained():
        for run in (a, b):
            check_id(run)
        from nslab.workbench.run_details import compared_runs
        from nslab.workbench.run_list import run_named

        typer.echo(compared_runs(run_named(a), run_named(b)))


@app.command(epilog="Example: nslab plot 1a2b3c4d 5e6f7a8b --to curves.png")
def plot(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids, or first digits.")],
    to: Annotated[
        Path | None, typer.Option(help="The .png; default: figures/runs/<ids>.png.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Plot the histories of finished runs in one figure, and print its path."""
    with explained():
        if to is not None and to.suffix != ".png":
            raise ValueError(f"{to} must end in .png")
        for run in runs:
            check_id(run)
        from nslab.system.paths import figures_dir
        from nslab.workbench.run_list import run_named
        from nslab.workbench.run_plot import curves_of

        found = [run_named(run) for run in dict.fromkeys(runs)]
        for result in found:
            if not result.history:
                typer.echo(f"{result.id} is left out: it has no stored history")
        figure = curves_of(found)
        ids = "-".join(run.id for run in found[:4]) + (f"-and-{len(found) - 4}" * (len(found) > 4))
        file = to or figures_dir() / "runs" / f"{ids}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=120)
        typer.echo(file)
