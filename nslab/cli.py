"""The command line: ``nslab run | evolve | render | compare | list | data | lab``.

Heavy imports wait until a command needs them, so that help and rendering start at once.
"""

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nslab.slurm import options as cluster

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(
    help="Workbench for evolution-inspired training of deep networks.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)

Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter; repeatable."),
]
PresetOption = Annotated[str, typer.Option(help="smoke (seconds), cpu (hours) or paper (GPU).")]
Jobs = Annotated[int, typer.Option(min=1, help="Processes at once.")]

Every = Annotated[bool, typer.Option("--all", help="Also the paper's rows without a run.")]


def show(table: "pd.DataFrame", every: bool) -> None:
    """Print a comparison, without the paper's rows that have no run unless ``every``."""
    from nslab.ledger import readable, shortened

    short = table if every else shortened(table)
    typer.echo(readable(short).to_string(index=False))
    if left := len(table) - len(short):
        typer.echo(f"{left} more rows of the paper have no run of ours (--all shows them)")


def fail(error: Exception) -> typer.Exit:
    """Print an error a user can act on, without a traceback."""
    typer.secho(f"error: {error}", fg="red", err=True)
    return typer.Exit(2)


def parsed(parameters: list[str] | None) -> dict[str, str]:
    """``name=value`` texts as a dict."""
    pairs = [text.partition("=") for text in parameters or []]
    if wrong := ["".join(pair) for pair in pairs if not pair[1] or not pair[0]]:
        raise fail(ValueError(f"parameters are written NAME=VALUE, not {', '.join(wrong)}"))
    return {name: value for name, _, value in pairs}


@app.command(
    epilog="On a cluster: nslab run ns/table5 --preset cpu --engine slurm --partition gpu --gpus 1 "
    "--time 4:00:00 --array-parallelism 8 --sbatch constraint=a100. Started again, it waits for "
    "the jobs that are there, and submits what is missing."
)
def run(
    name: Annotated[str, typer.Argument(help="An experiment: see `nslab list`.")],
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    jobs: Jobs = 1,
    force: Annotated[bool, typer.Option(help="Compute finished runs again.")] = False,
    dry_run: Annotated[bool, typer.Option(help="Only say what would run.")] = False,
    freeze: Annotated[
        str | None, typer.Option(help="Also write the results to data/results/<FREEZE>.csv.")
    ] = None,
    every: Every = False,
    engine: cluster.EngineOption = "local",
    partition: cluster.Partition = "",
    gpus: cluster.Gpus = 0,
    processes: cluster.Processes = 1,
    cpus: cluster.Cpus = 1,
    memory: cluster.Memory = "",
    time: cluster.Time = "1:00:00",
    array_parallelism: cluster.AtOnce = 256,
    requeues: cluster.Requeues = 10,
    account: cluster.Account = "",
    qos: cluster.Qos = "",
    sbatch: cluster.More = None,
) -> None:
    """Compute an experiment's runs (finished ones are looked up) and compare with the paper."""
    from nslab import frozen, store
    from nslab.datasets import load
    from nslab.experiments import experiment
    from nslab.ledger import compare as compared

    try:
        wished = cluster.Slurm(
            partition,
            gpus,
            processes,
            cpus,
            memory,
            time,
            account,
            qos,
            requeues,
            tuple(sbatch or ()),
        )
        elsewhere = cluster.engine(engine, wished)
        configs = experiment(name).plan(preset, **parsed(parameter))
        for config in configs if dry_run else []:
            state = "finished" if store.find(config) else "to do"
            typer.echo(f"{config.id}  {state:8}  seed {config.seed}  {config.about}")
        if dry_run:
            return
        for dataset in {config.dataset for config in configs}:
            load(dataset)
        import torch

        devices = [str(i) for i in range(torch.cuda.device_count())]
        results = store.run_all(
            configs,
            jobs=array_parallelism if elsewhere else jobs,
            devices=devices,
            engine=elsewhere,
            processes=processes,
            force=force,
        )
    except (ValueError, OSError, store.RunsFailed) as error:
        raise fail(error) from None
    if freeze:
        for file in frozen.freeze(freeze, results):
            typer.echo(f"wrote {file}")
    show(compared(name, results), every)


@app.command()
def evolve(
    model: Annotated[str, typer.Option(help="torchvision/NAME, timm/NAME or one of `nslab list`.")],
    data: Annotated[str, typer.Option(help="A folder of images, one per class, or a data set.")],
    parents: Annotated[
        list[str] | None, typer.Option(metavar="FILE...", help="Checkpoints to evolve.")
    ] = None,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILE...", help="... with or without --parents.")
    ] = None,
    out: Annotated[
        str, typer.Option(help="Folder for the best network; resumed from.")
    ] = "evolved",
    evolver: Annotated[str, typer.Option(help="How to evolve.")] = "sa-shade-tri-ensin",
    batches: Annotated[int, typer.Option(help="Batches, one after the other.")] = 20,
    generations: Annotated[int, typer.Option(help="Generations on each batch.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images of a batch.")] = 2048,
    microbatch: Annotated[
        int | None, typer.Option(help="Images in one pass; default: all.")
    ] = None,
    held_out: Annotated[float, typer.Option(help="Share that only chooses what to write.")] = 0.1,
    augment: Annotated[
        str, typer.Option(help="none, crop, crop_flip; auto: folders crop_flip, data sets none.")
    ] = "auto",
    size: Annotated[int | None, typer.Option(help="Side of a folder's images, else 224.")] = None,
    policy: Annotated[
        str, typer.Option(help="BatchNorm: inherit (it learns) or parent.")
    ] = "inherit",
    dtype: Annotated[str, typer.Option(help="Of the population: float32, bfloat16.")] = "float32",
    autocast: Annotated[str, typer.Option(help="Mixed precision: no, bf16, fp16.")] = "no",
    seed: Annotated[int, typer.Option(help="Of batches and evolution.")] = 0,
    exempt_head: Annotated[
        bool, typer.Option("--exempt-head/--evolve-head", help="Leave the last layer as it is.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="Default: cuda if there, else cpu.")] = None,
    workers: Annotated[int, typer.Option(help="Threads that decode images.")] = 4,
) -> None:
    """Evolve checkpoints of any classifier; the same command goes on where it was stopped."""
    from nslab.own import Task, evolve_files

    try:
        task = Task(
            model=model,
            parents=(*(parents or []), *(files or [])),
            data=data,
            evolver=evolver,
            batches=batches,
            generations=generations,
            batch_size=batch_size,
            microbatch=microbatch,
            held_out=held_out,
            augment=augment,  # type: ignore[arg-type]  # words are checked there
            size=size,
            policy=policy,  # type: ignore[arg-type]
            dtype=dtype,  # type: ignore[arg-type]
            autocast=autocast,  # type: ignore[arg-type]
            seed=seed,
            exempt_head=exempt_head,
        )
        evolve_files(task, out, device=device, workers=workers)
    except (ValueError, OSError) as error:
        raise fail(error) from None


@app.command()
def compare(
    name: Annotated[str, typer.Argument(help="An experiment: see `nslab list`.")],
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    every: Every = False,
) -> None:
    """Paper beside ours, for the runs that are finished; nothing is computed."""
    from nslab import store
    from nslab.experiments import experiment
    from nslab.ledger import compare as compared

    try:
        configs = experiment(name).plan(preset, **parsed(parameter))
    except ValueError as error:
        raise fail(error) from None
    found = store.finished(configs)
    typer.echo(f"{len(found)} of {len(configs)} runs of preset {preset} are finished")
    show(compared(name, found), every)


@app.command()
def render(
    patterns: Annotated[
        list[str] | None, typer.Argument(help="Notebooks by name or pattern; default: all.")
    ] = None,
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    jobs: Jobs = 2,
    engine: cluster.EngineOption = "local",
    partition: cluster.Partition = "",
    gpus: cluster.Gpus = 0,
    cpus: cluster.Cpus = 1,
    memory: cluster.Memory = "",
    time: cluster.Time = "1:00:00",
    array_parallelism: cluster.AtOnce = 256,
    requeues: cluster.Requeues = 10,
    account: cluster.Account = "",
    qos: cluster.Qos = "",
    sbatch: cluster.More = None,
) -> None:
    """Execute notebooks headless, each in its own process; figures go to figures/<preset>."""
    from nslab import notebooks
    from nslab.engine import run_local

    try:
        wished = cluster.Slurm(
            partition, gpus, 1, cpus, memory, time, account, qos, requeues, tuple(sbatch or ())
        )
        elsewhere = cluster.engine(engine, wished)
        planned = notebooks.plan(patterns or ["*"], preset, parsed(parameter))
        at_once = array_parallelism if elsewhere else jobs
        ended = notebooks.render(planned, at_once, typer.echo, elsewhere or run_local)
    except (ValueError, OSError) as error:
        raise fail(error) from None
    failed = [end for end in ended if end.status]
    typer.echo(f"{len(ended) - len(failed)} of {len(ended)} notebooks rendered")
    if failed:
        raise typer.Exit(1)


@app.command("list")
def list_() -> None:
    """Experiments, data sets, networks, objectives, evolvers and notebooks by name."""
    from nslab.datasets import DATASETS
    from nslab.evolve import EVOLVERS
    from nslab.experiments import EXPERIMENTS, PRESETS
    from nslab.networks import NETWORKS
    from nslab.notebooks import sources
    from nslab.objectives import OBJECTIVES

    typer.echo("experiments")
    for name, experiment in EXPERIMENTS.items():
        typer.echo(f"  {name:12} {experiment.title}")
    for what, names in (
        ("presets", PRESETS),
        ("data sets", DATASETS),
        ("networks", NETWORKS),
        ("objectives", OBJECTIVES),
        ("evolvers", EVOLVERS),
        ("notebooks", [file.stem for file in sources()]),
    ):
        typer.echo(f"{what}\n  {', '.join(names)}")


@app.command()
def data(
    names: Annotated[list[str] | None, typer.Argument(help="Data sets; default: digits.")] = None,
) -> None:
    """Fetch data sets into NSLAB_DATA (default data/cache) and check them."""
    from nslab.datasets import load
    from nslab.paths import cache_dir

    for name in names or ["digits"]:
        try:
            loaded = load(name)
        except (ValueError, OSError) as error:
            raise fail(error) from None
        layout = loaded.dataset.layout
        typer.echo(
            f"{name}: {layout.train} training and {layout.test} test images of "
            f"{'x'.join(map(str, layout.shape))}, {layout.num_classes} classes, "
            f"checked, in {cache_dir() / f'{name}.npz'}"
        )


@app.command()
def lab() -> None:
    """Open JupyterLab on the notebooks."""
    from nslab.paths import notebooks_dir

    command = [sys.executable, "-m", "jupyterlab", str(notebooks_dir())]
    raise typer.Exit(subprocess.call(command, env=os.environ.copy()))


if __name__ == "__main__":
    app()
