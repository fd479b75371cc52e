"""Commands on notebooks: ``nslab render | lab | new notebook``."""

import shlex
from pathlib import Path
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
        typer.Argument(help="Names, patterns or paths; default: all of nslab's notebooks."),
    ] = None,
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    dry_run: DryRun = False,
    missing: Annotated[
        bool, typer.Option("--missing", help="Only those without an up-to-date executed copy.")
    ] = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Execute notebooks headless, each in its own process.

    Figures go to figures/<preset>, or to figures/variants if you set other parameters.
    """
    from nslab.workbench import notebooks
    from nslab.workbench.render import render as execute

    with explained():
        given = parsed(parameter)
        planned = notebooks.plan(patterns or ["*"], preset, given)
        for one in planned:
            if lacking := [name for name in given if name not in one.parameters]:
                typer.echo(f"{one.name} has no parameter {', '.join(lacking)}: it is ignored")
        if where.processes_per_run > 1:
            raise ValueError("a notebook runs in one process: leave --processes out")
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
        bool, typer.Option("--voila", help="Serve the explorer as a web page instead.")
    ] = False,
    plugin: Plugins = None,
) -> None:
    """Open JupyterLab on the notebooks, on this machine alone and behind a token."""
    from nslab.workbench.lab import serve

    with explained():
        status = serve(ip, port, browser=browser, expose=expose, allow_root=allow_root, voila=voila)
    raise typer.Exit(status)


new = typer.Typer(no_args_is_help=True, epilog="Example: nslab new notebook my_question")
app.add_typer(new, name="new")


@new.callback()
def new_thing() -> None:
    """Create a notebook of your own."""


@new.command("notebook", epilog="Example: nslab new notebook my_question --experiment ns/table5")
def new_notebook(
    name: Annotated[str, typer.Argument(help="Its name, without folders.")],
    experiment: Annotated[
        str, typer.Option(help="The experiment it runs: see `nslab list`.")
    ] = "ns/first",
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="Where to write it.")] = Path("."),
    plugin: Plugins = None,
) -> None:
    """Start a notebook in the form of nslab's own; it can be rendered as it is.

    It has an opening, parameters, runs beside the paper's numbers, a figure, a sentence computed
    from the results, and room for your findings.
    """
    from nslab.system.paths import notebooks_dir
    from nslab.workbench.names import check_experiment

    with explained():
        check_experiment(experiment)  # first, because the next import loads torch
        from nslab.workbench.new_notebook import new_notebook as write

        file = write(name, to, experiment)
    if file.resolve().parent == notebooks_dir().resolve():
        shown = file.stem
    else:  # a bare name would be one of ours
        shown = str(file) if len(file.parts) > 1 else f"./{file}"
    typer.echo(f"wrote {file}")
    typer.echo(f"  execute it:  nslab render {shlex.quote(shown)}")
    typer.echo("  edit it:     jupyter lab, or any editor of notebooks")
    typer.echo(
        "  then say in its first cell which question it answers, and in its last what it found"
    )
