"""Commands on notebooks: ``nslab render | lab``."""

from typing import Annotated

import typer

from nslab.cli.dry_run import print_dry_run
from nslab.cli.execution import ExecutionOptions, takes_where
from nslab.cli.options import DryRun, Parameters, Plugins, PresetOption, app, explained, parsed


@app.command(epilog="Example: nslab render ns_long_tail --preset smoke -p n_seeds=1 --jobs 2")
@takes_where(jobs=2)
def render(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="By name, pattern or path; default: all of ours."),
    ] = None,
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    dry_run: DryRun = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only those whose executed copies are not current.")
    ] = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Execute notebooks headless, each in its own process.

    Figures go to figures/<preset>, those of other parameters to figures/variants.
    """
    from nslab.workbench import notebooks
    from nslab.workbench.render import render as execute

    with explained():
        wished = parsed(parameter)
        planned = notebooks.plan(patterns or ["*"], preset, wished)
        for one in planned:
            if lacking := [name for name in wished if name not in one.parameters]:
                typer.echo(
                    f"{one.name} goes without {', '.join(lacking)}: it has no such parameter"
                )
        if where.processes_per_run > 1:
            raise ValueError("a notebook has one process: --processes is for runs")
        if missing:
            every, planned = planned, [one for one in planned if not one.rendered()]
            typer.echo(f"{len(every) - len(planned)} of {len(every)} notebooks are current")
            if not planned:
                return
        if dry_run:
            print_dry_run([], planned, where.jobs, force=True)
            return
        max_parallel, devices = where.places()
        ended = execute(
            planned, max_parallel, typer.echo, devices=devices, retries=1, engine=where.engine
        )
    failed = [end for end in ended if end.status]
    typer.echo(f"{len(ended) - len(failed)} of {len(ended)} notebooks rendered")
    if failed:
        raise typer.Exit(1)


@app.command(epilog="Example: nslab lab --port 8889 --no-browser")
def lab(
    ip: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The first port to try.")] = 8888,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow an --ip that other machines reach.")
    ] = False,
    allow_root: Annotated[
        bool, typer.Option("--allow-root", help="Run as root, as in containers.")
    ] = False,
    voila: Annotated[
        bool, typer.Option("--voila", help="The explorer alone, as a page, instead.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Open JupyterLab on the notebooks, on this machine alone and behind a token."""
    from nslab.workbench.lab import serve

    with explained():
        status = serve(ip, port, browser=browser, expose=expose, allow_root=allow_root, voila=voila)
    raise typer.Exit(status)
