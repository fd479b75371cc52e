"""Commands about evidence: ``nslab claims | queue``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.dry_run import print_dry_run
from nslab.cli.execution import ExecutionOptions, takes_where
from nslab.cli.options import (
    DryRun,
    LogOption,
    Plugins,
    ToFile,
    app,
    check_to,
    explained,
    unfinished_exit,
)
from nslab.workbench.names import check_logs

CLAIMS_NOTE = (
    "Verdicts follow from p values that are adjusted by Holm's method over a paper's comparisons "
    "of a preset; intervals are not adjusted. Runs of preset smoke support no claim."
)


@app.command(epilog="Example: nslab claims --paper ns --to claims.md")
def claims(
    paper: Annotated[
        list[str] | None, typer.Option(help="ns, de or edl; repeatable; default: all three.")
    ] = None,
    to: ToFile = None,
    every: Annotated[bool, typer.Option("--all", help="Also show claims without runs.")] = False,
    plugin: Plugins = None,
) -> None:
    """Show the papers' claims, each with the verdict that finished runs allow; runs nothing."""
    from nslab.papers.claims import PAPERS
    from nslab.system.validation import unknown

    with explained():
        check_to(to)
        for name in paper or ():
            if name not in PAPERS:
                raise unknown("paper", name, PAPERS)
        from nslab.analysis.claims.table import claim_table, readable_claims, verdict_counts
        from nslab.analysis.exports import export

        table = claim_table(paper or PAPERS)
        shown = table if every else table[table["n"] > 0]
        typer.echo(readable_claims(shown).to_string(index=False))
        typer.echo()
        typer.echo(verdict_counts(table).to_string(index=False))
        if left := len(table) - len(shown):
            typer.echo(f"{left} more have no runs (--all shows them)")
        if to:
            words = readable_claims(table, words=True).assign(note=table["note"])
            title = "The papers' claims, as finished runs decide them"
            file = export(table, to, shown=words, title=title, notes=[CLAIMS_NOTE])
            typer.echo(f"wrote {file}")


@app.command(epilog="Example: nslab queue --dry-run")
@takes_where()
def queue(
    file: Annotated[
        Path | None,
        typer.Argument(help="YAML file of runs in order; default: those that decide most claims."),
    ] = None,
    log: LogOption = None,
    dry_run: DryRun = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Compute runs in the order of a file, and freeze each one when it finishes.

    Started again, it continues where it stopped. The file is read again after each run, so you may
    add or move entries meanwhile.
    """
    with explained():
        check_logs(log)
        from nslab.workbench.queue import DEFAULT_QUEUE, read_queue, run_queue

        chosen = file or DEFAULT_QUEUE
        found = read_queue(chosen)
        if dry_run:
            print_dry_run([queued.config for queued in found], [], where.jobs)
            return
        jobs, devices = where.places()
        end = run_queue(
            chosen,
            jobs=jobs,
            devices=devices,
            engine=where.engine,
            processes_per_run=where.processes_per_run,
            log=log or (),
            echo=typer.echo,
        )
    before = len(found) - len(end.done) - len(end.failed)
    told = f", {before} were done before" if before > 0 and not end.later else ""
    typer.echo(f"{len(end.done)} runs done, {len(end.failed) or 'none'} failed{told}")
    if end.later:
        raise unfinished_exit("the queue is not finished")
    if end.failed:
        raise typer.Exit(1)
