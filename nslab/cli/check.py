"""The command that checks a device: ``nslab check``."""

import os
from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import Plugins, app, explained


@app.command(
    epilog="Example: nslab check --device cuda\n\n"
    "One part only: nslab check --part losses --no-ratios"
)
def check(
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:1.")] = "cpu",
    part: Annotated[
        list[str] | None, typer.Option(help="Only this part of the comparisons; repeatable.")
    ] = None,
    ratios: Annotated[
        bool, typer.Option("--ratios/--no-ratios", help="Measure times and memory too.")
    ] = True,
    to: Annotated[
        Path | None, typer.Option(help="Folder for the report; default: figures/check.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Compare what nslab computes on a device with float64 references, then time it.

    Writes DEVICE.json and a page DEVICE.html. Exits with status 1 if a reference disagrees. It
    needs no data and takes one to two minutes.
    """
    from nslab.system.paths import figures_dir
    from nslab.workbench.device_check import check as checked
    from nslab.workbench.device_check.page import write_report

    folder = to or figures_dir() / "check"
    with explained():
        folder.mkdir(parents=True, exist_ok=True)  # fails now, not after the minutes of checking
        if not os.access(folder, os.W_OK):
            raise ValueError(f"{folder} cannot be written to: give another folder with --to")
        report = checked(device, part or (), ratios=ratios)
    typer.echo(report.table())
    with explained():
        files = write_report(report, folder)
    for file in files:
        typer.echo(f"wrote {file}")
    typer.echo(report.sentence())
    raise typer.Exit(0 if report.passed else 1)
