"""The command that lists stored figures: ``nslab figures``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import PresetOption, app, explained
from nslab.system.plurals import counted


@app.command(epilog="Example: nslab figures --preset smoke --sheet sheet.html")
def figures(
    preset: PresetOption = "smoke",
    sheet: Annotated[
        Path | None,
        typer.Option(help="Also put all of them on one .html or .png, at the width of a page."),
    ] = None,
) -> None:
    """List the figures stored for a preset, with their runs and what in them is hard to read."""
    from nslab.plots.contact_sheet import kept_figures, write_sheet

    with explained():
        kept = kept_figures(preset)
        if sheet is not None:
            write_sheet(kept, sheet, f"Figures of preset {preset}")
    for one in kept:
        typer.echo(one.caption + "".join(f"\n  {fault}" for fault in one.faults))
    odd = sum(bool(one.faults) for one in kept)
    typer.echo(f"{counted(len(kept), 'figure')}, {odd or 'none'} of them hard to read")
    if sheet is not None:
        typer.echo(str(sheet))
