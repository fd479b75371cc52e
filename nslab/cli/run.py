"""Commands that compute: ``nslab run | suite``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.dry_run import print_dry_run, print_smallest_effect
from nslab.cli.execution import ExecutionOptions, takes_where
from nslab.cli.options import (
    DryRun,
    Every,
    LogOption,
    Parameters,
    PresetOption,
    app,
    explained,
    fail,
    known_suite,
    parsed,
    show_table,
    unfinished_exit,
)
from nslab.workbench.names import check_experiment, check_logs


@app.command(
    epilog="Example: nslab run ns/first --preset cpu -p methods=ce,ns_ws --dry-run\n\n"
    "On a cluster: nslab run ns/table5 --preset cpu --engine slurm --partition gpu --gpus 1 "
    "--time 4:00:00 --array-parallelism 8 --sbatch constraint=a100\n\n"
    "Started again, it waits for the jobs that are queued already, and submits what is missing."
)
@takes_where()
def run(
    name: Annotated[str, typer.Argument(help="An experiment: see `nslab list`.")],
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    force: Annotated[bool, typer.Option(help="Compute finished runs again.")] = False,
    dry_run: DryRun = False,
    freeze: Annotated[
        str | None, typer.Option(help="Also write the results to data/results/<FREEZE>.csv.")
    ] = None,
    log: LogOption = None,
    every: Every = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Compute an experiment's runs (finished ones are looked up) and compare with the paper."""
    with explained():
        check_logs(log)
        check_experiment(name, parsed(parameter))
        from nslab.analysis.paper_tables import compare as compared
        from nslab.datasets import load
        from nslab.experiments import experiment
        from nslab.runs import frozen, store

        if freeze is not None:
            frozen.check_name(freeze)
        configs = experiment(name).plan(preset, **parsed(parameter))
        if parameter and not configs:
            raise ValueError(f"{name}: with {', '.join(parameter)} there is nothing to run")
        if dry_run:
            print_dry_run(configs, [], where.jobs, force)
            print_smallest_effect(name, configs)
            return
        for dataset in {config.dataset for config in configs} - {""}:
            load(dataset)  # fetched once, before any process needs it
        jobs, devices = where.places()
        try:
            results = store.run_all(
                configs,
                jobs=jobs,
                devices=devices,
                engine=where.engine,
                processes_per_run=where.processes_per_run,
                force=force,
                retries=1,
                log=log or (),
            )
        except store.RunsFailed as error:
            if error.later:
                raise unfinished_exit(f"{len(error.failed)} runs are not finished") from None
            raise fail(error) from None
        for file in frozen.freeze(freeze, results) if freeze is not None else ():
            typer.echo(f"wrote {file}")
        show_table(compared(name, results), every)


@app.command(
    epilog="Example: nslab suite smoke --jobs 2 --dry-run\n\n"
    "On one large GPU, repeated while it exits with 75: nslab suite first-light --minutes 8\n\n"
    "On a cluster: nslab suite paper --engine slurm --partition gpu --gpus 1 --time 12:00:00"
)
@takes_where(jobs=0)
def suite(
    preset: Annotated[
        str,
        typer.Argument(
            callback=known_suite,
            help="smoke, cpu or paper; or first-light: a few of a paper's results at full length, "
            "several runs per GPU.",
        ),
    ],
    file: Annotated[
        Path | None, typer.Option(help="YAML file of what to run; default: everything.")
    ] = None,
    log: LogOption = None,
    dry_run: DryRun = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Run whole papers: tables, then notebooks. What is finished is not computed again.

    Each run and notebook has a process of its own. Tables go to figures/<preset>/tables.
    """
    with explained():
        check_logs(log)
        from nslab.execution.local import OUT_OF_TIME
        from nslab.workbench.suite import DEFAULT, SUITES, read_suite, run_suite

        named = SUITES.get(preset)
        if named and file:
            raise ValueError(f"suite {preset} has a file of its own: with --file, give a preset")
        of = "paper" if named else preset
        found = read_suite(named or file or DEFAULT, of)  # type: ignore[arg-type]  # checked
        if dry_run:
            print_dry_run(list(found.configs.values()), found.notebooks, where.jobs or 1)
            return
        jobs, devices = where.places(share=named is not None)
        failed = run_suite(
            found,
            jobs=jobs,
            devices=devices,
            engine=where.engine,
            processes_per_run=where.processes_per_run,
            log=log or (),
            echo=typer.echo,
        )
    count = len(found.configs) + len(found.notebooks)
    later = sum(why == OUT_OF_TIME for why in failed.values())
    typer.echo(f"{count} runs and notebooks, {len(failed) - later or 'none'} failed")
    if later:
        raise unfinished_exit(f"{later} are not finished")
    if failed:
        raise typer.Exit(1)
