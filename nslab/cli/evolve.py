"""The command that evolves your own checkpoints: ``nslab evolve``."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.dry_run import print_dry_run
from nslab.cli.execution import ExecutionOptions, takes_where
from nslab.cli.options import DryRun, app, explained, fail, unfinished_exit
from nslab.workbench.names import check_dataset, check_evolver, check_network


@app.command(
    epilog="Example: nslab evolve --model torchvision/resnet18 --parents a.safetensors "
    "b.safetensors c.safetensors d.safetensors e.safetensors f.safetensors --data images"
)
@takes_where()
def evolve(
    model: Annotated[str, typer.Option(help="torchvision/NAME, timm/NAME or one of `nslab list`.")],
    data: Annotated[
        str, typer.Option(help="A folder with one subfolder of images per class, or a data set.")
    ],
    parents: Annotated[
        list[str] | None, typer.Option(metavar="FILE...", help="Checkpoints to evolve.")
    ] = None,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE...", help="Checkpoints, instead of or besides --parents."),
    ] = None,
    out: Annotated[str, typer.Option(help="Folder for the best network.")] = "evolved",
    evolver: Annotated[
        str, typer.Option(help="An evolver of `nslab list`.")
    ] = "sa-shade-tri-ensin",
    batches: Annotated[int, typer.Option(help="Fitness batches, one after the other.")] = 20,
    generations: Annotated[int, typer.Option(help="Generations on each batch.")] = 10,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 2048,
    microbatch: Annotated[
        int | None, typer.Option(help="Images per forward pass; default: the whole batch.")
    ] = None,
    held_out: Annotated[
        float, typer.Option(help="Share of training images held out to choose the network.")
    ] = 0.1,
    augment: Annotated[
        str,
        typer.Option(help="none, crop or crop_flip; auto: crop_flip for folders, else none."),
    ] = "auto",
    size: Annotated[
        int | None, typer.Option(help="Side of a folder's images in pixels; default: 224.")
    ] = None,
    policy: Annotated[
        str,
        typer.Option(
            help="BatchNorm statistics: inherit (updated by each batch), recalibrate or parent."
        ),
    ] = "inherit",
    dtype: Annotated[
        str, typer.Option(help="Type of the population's weights: float32 or bfloat16.")
    ] = "float32",
    precision: Annotated[
        str, typer.Option("--precision", "--autocast", help="Mixed precision: no, bf16 or fp16.")
    ] = "no",
    seed: Annotated[int, typer.Option(help="Seed of batches and evolution.")] = 0,
    exempt_head: Annotated[
        bool,
        typer.Option("--exempt-head/--evolve-head", help="Keep each parent's last linear layer."),
    ] = True,
    workers: Annotated[
        int, typer.Option(min=0, help="Threads that decode images; 0: one per core.")
    ] = 0,
    dry_run: DryRun = False,
    *,
    where: ExecutionOptions,
) -> None:
    """Evolve checkpoints of any classifier, and write the best network to OUT.

    It is a run like any other: stored, and resumed if interrupted.
    """
    with explained():
        check_network(model)
        check_dataset(data)
        check_evolver(evolver)
    from nslab.runs import evolve_checkpoints as own
    from nslab.runs import store
    from nslab.runs.best_network import check_folder

    with explained():
        if workers:
            os.environ["NSLAB_WORKERS"] = str(workers)
        config = own.checkpoint_config(
            model,
            (*(parents or []), *(files or [])),
            data,
            evolver=evolver,
            held_out=held_out,
            augment=augment,  # type: ignore[arg-type]  # checked there
            image_size=size,
            seed=seed,
            batches=batches,
            generations=generations,
            batch_size=batch_size,
            microbatch=microbatch,
            policy=policy,
            dtype=dtype,
            precision=precision,
            exempt_head=exempt_head,
        )
        if dry_run:
            check_folder(config, Path(out))
            print_dry_run([config, own.plain_average(config)], [], 1)
            return
        jobs, devices = where.places()
        runner = partial(
            store.run_all,
            jobs=jobs,
            devices=devices,
            engine=where.engine,
            processes_per_run=where.processes_per_run,
            weights=True,
        )
        try:
            own.evolve_and_write(config, out, runner)
        except store.RunsFailed as error:
            if error.later:
                raise unfinished_exit("the evolution is not finished") from None
            raise fail(error) from None
