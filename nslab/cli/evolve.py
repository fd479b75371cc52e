"""The command for networks of one's own: ``nslab evolve``."""

from typing import Annotated

import typer

from nslab.cli.options import app, explained


@app.command(
    epilog="Example: nslab evolve --model torchvision/resnet18 --parents a.safetensors "
    "b.safetensors c.safetensors d.safetensors e.safetensors f.safetensors --data images"
)
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
    precision: Annotated[
        str, typer.Option("--precision", "--autocast", help="Mixed: no, bf16, fp16.")
    ] = "no",
    seed: Annotated[int, typer.Option(help="Of batches and evolution.")] = 0,
    exempt_head: Annotated[
        bool, typer.Option("--exempt-head/--evolve-head", help="Leave the last layer as it is.")
    ] = True,
    device: Annotated[str | None, typer.Option(help="Default: cuda if there, else cpu.")] = None,
    workers: Annotated[int, typer.Option(help="Threads that decode images.")] = 4,
) -> None:
    """Evolve checkpoints of any classifier; the same command goes on where it was stopped."""
    from nslab.runs.evolve_files import Task, evolve_files

    with explained():
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
            precision=precision,  # type: ignore[arg-type]
            seed=seed,
            exempt_head=exempt_head,
        )
        evolve_files(task, out, device=device, workers=workers)
