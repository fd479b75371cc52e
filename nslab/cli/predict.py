"""The command that applies a trained network: ``nslab predict``."""

from pathlib import Path
from typing import Annotated

import typer

from nslab.cli.options import DeviceOption, Plugins, app, explained, use_device


@app.command(epilog="Example: nslab predict 1a2b3c4d5e6f folder:photographs --to photographs.csv")
def predict(
    run: Annotated[
        str, typer.Argument(help="A finished run's id, or a best.safetensors of nslab evolve.")
    ],
    data: Annotated[
        str, typer.Argument(help="Images: folder:PATH. Texts: csv:PATH or text:WORDS.")
    ],
    to: Annotated[Path, typer.Option(help="The CSV to write.")] = Path("predictions.csv"),
    force: Annotated[bool, typer.Option("--force", help="Replace the CSV that is there.")] = False,
    device: DeviceOption = None,
    plugin: Plugins = None,
) -> None:
    """Classify images or texts with a trained network: the five likeliest classes of each, as CSV.

    Images and texts are preprocessed as in the run's own evaluation.
    """
    with explained():
        kind, _, where = data.partition(":")
        if kind in ("folder", "csv") and "#" not in where and not Path(where).expanduser().exists():
            raise ValueError(f"{where} does not exist: there is nothing to predict")
        if to.exists() and not force:
            raise ValueError(f"{to} exists already: --force replaces it, --to names another file")
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
