"""The command for networks that are trained: ``nslab predict``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import DeviceOption, Plugins, app, explained, use_device


@app.command(epilog="Example: nslab predict 1a2b3c4d5e6f folder:photographs --to photographs.csv")
def predict(
    run: Annotated[
        str, typer.Argument(help="A finished run's id, or a best.safetensors of nslab evolve.")
    ],
    data: Annotated[str, typer.Argument(help="folder:PATH; of texts csv:PATH, or text:WORDS.")],
    to: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("predictions.csv"),
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV that is there.")] = False,
    device: DeviceOption = None,
    plugin: Plugins = None,
) -> None:
    """Write what a trained network takes images or texts for: the five likeliest classes, as CSV.

    Images and texts are prepared as in the run's own evaluation.
    """
    with explained():
        kind, _, where = data.partition(":")
        if kind in ("folder", "csv") and "#" not in where and not Path(where).expanduser().exists():
            raise ValueError(f"there is no {where} to predict")
        if to.exists() and not force:
            raise ValueError(f"{to} is there already: --force replaces it, --to names another file")
        from nslab.workbench.prediction import (
            predictions,
            summary,
            trained_network,
            write_predictions,
        )

        use_device(device)
        trained = trained_network(run)
        table = predictions(trained, data)
        write_predictions(table, to)
    typer.echo(f"wrote {to}: {summary(table, trained.dataset.classes)}")
