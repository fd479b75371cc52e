"""The command that checks a device: ``nslab check``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import Plugins, app, explained


@app.command(
    epilog="Example: nslab check --device cuda\n\n"
    "Of one part: nslab check --part losses --no-ratios"
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
        Path | None, typer.Option(help="Folder of the report; default: figures/check.")
    ] = None,
    plugin: Plugins = None,
) -> None:
    """Compare what nslab computes on a device with float64 references, then time it.

    Writes DEVICE.json and a page DEVICE.html. Ends with status 1 if a reference disagrees. It takes
    no data and one to two minutes.
    """
    from nslab.system.paths import figures_dir
    from nslab.workbench.device_check import check as checked
    from nslab.workbench.device_check.page import write_report

    with explained():
        report = checked(device, part or (), ratios=ratios)
        files = write_report(report, to or figures_dir() / "check")
    typer.echo(report.table())
    for file in files:
        typer.echo(f"wrote {file}")
    typer.echo(report.sentence())
    raise typer.Exit(0 if report.passed else 1)
