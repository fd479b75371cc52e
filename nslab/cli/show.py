"""Commands that look things up: ``nslab compare | ledger | list | plugins | data``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nslab.cli.options import (
    DeviceOption,
    Every,
    Parameters,
    Plugins,
    PresetOption,
    ToFile,
    app,
    check_to,
    explained,
    parsed,
    show_table,
    use_device,
)
from nslab.system.validation import unknown
from nslab.workbench.names import check_dataset, check_experiment
from nslab.workbench.names import names as known_names

if TYPE_CHECKING:
    import pandas as pd


@app.command(epilog="Example: nslab compare ns/table7 --preset smoke")
def compare(
    name: Annotated[str, typer.Argument(help="An experiment: see `nslab list`.")],
    preset: PresetOption = "smoke",
    parameter: Parameters = None,
    every: Every = False,
    to: ToFile = None,
    classes: Annotated[
        bool, typer.Option("--classes", help="Also show the accuracy of each class.")
    ] = False,
    confusion: Annotated[
        bool,
        typer.Option("--confusion", help="Also plot confusion matrices, from stored weights."),
    ] = False,
    device: DeviceOption = None,
    plugin: Plugins = None,
) -> None:
    """Show the paper's numbers beside those of finished runs; nothing is trained."""
    with explained():
        check_to(to)
        check_experiment(name, parsed(parameter))
        use_device(device)
        from nslab.analysis.exports import export
        from nslab.analysis.paper_tables import compare as compared
        from nslab.analysis.paper_tables import readable, shortened
        from nslab.analysis.statistics import MARK_NOTE
        from nslab.experiments import experiment
        from nslab.runs import store

        configs = experiment(name).plan(preset, **parsed(parameter))
        found = store.finished(configs)
        typer.echo(f"{len(found)} of {len(configs)} runs of preset {preset} are finished")
        table = compared(name, found)
        show_table(table, every)
        if to:
            shown = readable(table if every else shortened(table), marks=True)
            title = f"{name}, preset {preset}: {experiment(name).title}"
            notes = [MARK_NOTE] if shown.astype(str).apply(_starred).any() else []
            notes += ["Runs of preset smoke support no claim."] if preset == "smoke" else []
            typer.echo(f"wrote {export(table, to, shown=shown, title=title, notes=notes)}")
        if classes or confusion:
            from nslab.workbench.class_reports import confusions, worst_classes

            if classes:
                typer.echo("\n".join(worst_classes(found, every)))
            if confusion:
                typer.echo("\n".join(confusions(found, name, preset)))


@app.command(epilog="Example: nslab ledger --paper ns --to ledger.md")
def ledger(
    paper: Annotated[
        list[str] | None, typer.Option(help="ns or de; repeatable; default: both.")
    ] = None,
    to: ToFile = None,
    plugin: Plugins = None,
) -> None:
    """Show every number that the papers print beside ours; nothing is computed."""
    papers = ("ns", "de")
    with explained():
        check_to(to)
        check_papers(paper, papers)
        from nslab.analysis import ledger

        table = ledger.build_ledger(paper or papers)
        typer.echo(ledger.counts(table).to_string(index=False))
        if to:
            shown, title = ledger.readable_ledger(table), "Every printed number beside ours"
            notes = [ledger.LEDGER_NOTE] if shown.apply(_starred).any() else []
            file = ledger.export(table, to, shown=shown, title=title, notes=notes)
            typer.echo(f"wrote {file}")


def check_papers(given: list[str] | None, known: tuple[str, ...]) -> None:
    """``ValueError`` for a paper without a ledger."""
    for name in given or ():
        if name == "edl":
            raise ValueError(
                "there is no ledger for edl: nslab has the EDL paper's claims, but none of its "
                "printed numbers; see nslab claims --paper edl"
            )
        if name not in known:
            raise unknown("paper with numbers", name, known)


def _starred(column: "pd.Series") -> bool:
    """Whether a cell of the column ends in the mark ``*``, which a note explains."""
    return bool(column.astype(str).str.endswith("*").any())


@app.command("list", epilog="Example: nslab list")
def list_(plugin: Plugins = None) -> None:
    """List experiments, data sets, networks, objectives, evolvers and notebooks by name. What a
    plug-in registered has the plug-in's name beside it."""
    from nslab.system.presets import PRESETS
    from nslab.workbench.notebooks import sources

    index = known_names()

    def marked(what: str) -> dict[str, str]:
        return {k: f"{k} [{plugin}]" if plugin else k for k, plugin in index[what].items()}

    typer.echo("experiments")
    for name, shown in marked("experiments").items():
        typer.echo(f"  {shown:12} {index['plans'][name]['title']}")
    typer.echo(f"presets\n  {', '.join(PRESETS)}")
    for what in ("data sets", "networks", "objectives", "evolvers", "classes of evolvers"):
        typer.echo(f"{what}\n  {', '.join(marked(what).values())}")
    typer.echo(f"notebooks\n  {', '.join(file.stem for file in sources())}")


@app.command(epilog="Example: nslab plugins")
def plugins(plugin: Plugins = None) -> None:
    """List the loaded plug-ins: path, digest, and what each has registered."""
    from nslab.system.plugins import DIGITS, LOADED

    for name, found in LOADED.items():
        how = "installed" if found.installed else "asked for"
        typer.echo(f"{name}  {found.digest[:DIGITS]}  {how}, {found.path}")
        for what, keys in found.registered().items():
            typer.echo(f"  {what}: {', '.join(keys)}")
    if not LOADED:
        typer.echo("none: --plugin FILE, nslab.use(FILE) or an installed package brings one")


@app.command(
    epilog="Example: nslab data cifar10 cifar100\n\n"
    "To carry long-tailed CIFAR-10: nslab data cifar10 --sheet away/cifar10.sheet"
)
def data(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets, folder:PATH, csv:PATH; default: digits.")
    ] = None,
    sheet: Annotated[
        Path | None,
        typer.Option(help="Write part of one data set to a small file NAME.sheet, see above."),
    ] = None,
    imbalance: Annotated[
        float, typer.Option(help="Imbalance factor whose training images the sheet keeps.")
    ] = 100.0,
    plugin: Plugins = None,
) -> None:
    """Fetch data sets into NSLAB_DATA (default data/cache) and check them; report on folders of
    images and on texts.

    A sheet is a small file with the test set and the images of a long-tailed training set of factor
    IMBALANCE or larger, without loss. Copied to NSLAB_DATA on another machine, NAME.sheet stands in
    for the data set, and runs on it are the same runs. CIFAR-10 takes 37 MB (50 MB for factor 10)
    and some minutes.
    """
    with explained():
        for name in names or ():
            check_dataset(name)
    from nslab.datasets import DATASETS, is_folder, is_text, load, sheet_file
    from nslab.system.paths import cache_dir

    if sheet is not None:
        write_sheet_of(names or ["digits"], sheet, imbalance)
        return
    for name in names or ["digits"]:
        with explained():
            if is_folder(name):
                from nslab.datasets.folder_report import report

                typer.echo("\n".join(report(name)))
                continue
            if is_text(name):
                from nslab.datasets.text_report import report as of_texts

                typer.echo("\n".join(of_texts(name)))
                continue
            loaded = load(name)
        layout, own = loaded.dataset.layout, loaded.name not in DATASETS
        typer.echo(
            f"{name}: {layout.train} training and {layout.test} test images of "
            f"{'x'.join(map(str, layout.shape))}, {layout.num_classes} classes, "
            + (
                f"{loaded.present.sum()} of the former in {sheet_file(name)}"
                if loaded.present is not None
                else loaded.name
                if own
                else f"checked, in {cache_dir() / f'{name}.npz'}"
            )
        )


def write_sheet_of(names: list[str], file: Path, imbalance: float) -> None:
    """Write the sheet of one data set, and print what it contains."""
    from nslab.datasets import DATASETS, array_sets, load
    from nslab.datasets.sheets import SUFFIX, write_sheet
    from nslab.system.validation import unknown

    with explained():
        if len(names) != 1:
            raise ValueError(f"a sheet holds one data set: name one of {', '.join(names)}")
        if names[0] not in array_sets():
            raise unknown("data set of arrays", names[0], array_sets())
        if file.name != f"{names[0]}{SUFFIX}":
            raise ValueError(
                f"nslab looks for a sheet named {names[0]}{SUFFIX}: write that, not {file.name}"
            )
        found = load(names[0])
        if found.present is not None:
            raise ValueError(
                f"only a sheet of {names[0]} is here: write another one on a machine that has the "
                "whole data set"
            )
        classes = DATASETS[names[0]].layout.num_classes
        sheet = write_sheet(file, found.arrays, classes, imbalance)
    typer.echo(
        f"wrote {file}: {sheet.present.sum()} of {len(sheet.present)} training images and "
        f"{len(sheet.arrays.test_y)} test images, {file.stat().st_size / 1e6:.1f} MB"
    )
