"""Options that commands share, how they report errors, and devices."""

import os
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from nslab.execution.stopping import Stopped
from nslab.system.presets import PRESETS
from nslab.system.time_limits import EXIT_UNFINISHED

if TYPE_CHECKING:
    import pandas as pd

NAMED_SUITES = ("first-light",)  # those of `nslab.workbench.suite`, which takes seconds to import
app = typer.Typer(
    epilog="Example: nslab run ns/first --preset smoke",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)


def tell_version(asked: bool) -> None:
    """Print the versions that a bug report should name."""
    if asked:
        import nslab
        from nslab.system.provenance import environment

        env = environment()
        versions = ", ".join(f"{name} {number}" for name, number in env["versions"].items())
        typer.echo(f"nslab {nslab.__version__} ({env['source']}), {versions}, {env['device']}")
        raise typer.Exit


def load_plugins(files: list[str] | None) -> list[str] | None:
    """Load plug-ins before the rest of the command line is parsed."""
    from nslab.system.plugins import use

    with explained():
        for file in files or ():
            use(file)
    return files


Plugins = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        callback=load_plugins,
        is_eager=True,
        help="Python file (or module) that registers your own classes; repeatable.",
    ),
]


@app.callback()
def root(
    plugin: Plugins = None,
    version: Annotated[
        bool, typer.Option("--version", callback=tell_version, is_eager=True, help="Show versions.")
    ] = False,
) -> None:
    """Workbench for evolution-inspired training of deep networks."""


def known(preset: str) -> str:
    """The name of a preset; ``BadParameter`` if there is none of that name."""
    if preset not in PRESETS:
        raise _not_known("preset", preset, PRESETS)
    return preset


def known_suite(name: str) -> str:
    """The name of a suite, a preset or one of ``NAMED_SUITES``; ``BadParameter`` otherwise."""
    if name not in (*PRESETS, *NAMED_SUITES):
        raise _not_known("suite", name, (*PRESETS, *NAMED_SUITES))
    return name


def _not_known(what: str, name: str, known_names: Iterable[str]) -> typer.BadParameter:
    from nslab.system.validation import unknown  # slow to import

    return typer.BadParameter(str(unknown(what, name, known_names)))


Parameters = Annotated[
    list[str] | None,
    typer.Option("-p", "--parameter", metavar="NAME=VALUE", help="Set a parameter; repeatable."),
]
PresetOption = Annotated[
    str, typer.Option(callback=known, help="smoke (seconds), cpu (hours) or paper (GPU).")
]
Jobs = Annotated[
    int,
    typer.Option(min=0, help="Processes at once; 0: one, or for first-light as many as fit."),
]
PerDevice = Annotated[int, typer.Option(min=1, help="Processes that share a CUDA device.")]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device",
        help="cpu, cuda (all CUDA devices) or cuda:1; default: cuda if available, else cpu.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would run.")]
LogOption = Annotated[
    list[str] | None,
    typer.Option("--log", help="Also log to tensorboard, mlflow or wandb; repeatable."),
]
Every = Annotated[bool, typer.Option("--all", help="Also show the paper's rows without a run.")]

ToFile = Annotated[
    Path | None, typer.Option("--to", help="Also write it to a .md, .csv, .html or .tex file.")
]


def check_to(file: Path | None) -> None:
    """Raise ``ValueError``, before any work, for a file that no table can be written to."""
    if file is not None:
        from nslab.analysis.exports import check_file

        check_file(file)


def show_table(table: "pd.DataFrame", every: bool) -> None:
    """Print a comparison; rows of the paper that have no run are shown only if ``every``."""
    from nslab.analysis.paper_tables import readable, shortened

    short = table if every else shortened(table)
    typer.echo(readable(short).to_string(index=False))
    if left := len(table) - len(short):
        typer.echo(f"{left} more rows of the paper have no run of ours (--all shows them)")


def fail(error: Exception) -> typer.Exit:
    """Print an error that a user can act on, without a traceback; the exit with status 2."""
    typer.secho(f"error: {error}", fg="red", err=True)
    return typer.Exit(2)


@contextmanager
def explained() -> Iterator[None]:
    """End without a traceback where it would add nothing: with status 2 after an error that says
    what to do, and as usual with 130 after Ctrl-C, 143 after SIGTERM and 129 after SIGHUP."""
    try:
        yield
    except (ValueError, OSError) as error:
        raise fail(error) from None
    except KeyboardInterrupt as error:
        with suppress(OSError):  # the terminal may be gone
            typer.secho(
                "stopped: finished work is kept; the same command goes on from here",
                err=True,
            )
        number = error.number if isinstance(error, Stopped) else signal.SIGINT
        raise typer.Exit(128 + number) from None


def unfinished_exit(unfinished: str) -> typer.Exit:
    """Print that time ran out and what is unfinished; the exit with the status 75 that scripts
    test for."""
    typer.secho(f"out of time: {unfinished}; the same command goes on from here", err=True)
    return typer.Exit(EXIT_UNFINISHED)


def parsed(parameters: list[str] | None) -> dict[str, str]:
    """Texts ``NAME=VALUE`` as a dict."""
    pairs = [text.partition("=") for text in parameters or []]
    if wrong := ["".join(pair) for pair in pairs if not pair[1] or not pair[0]]:
        raise fail(ValueError(f"parameters are written NAME=VALUE, not {', '.join(wrong)}"))
    return {name: value for name, _, value in pairs}


def use_device(name: str | None) -> None:
    """Choose the device for this process and those that it starts; ``ValueError``, before any work,
    for one that this machine lacks. None: leave the default."""
    if name is not None:
        from nslab.system.distributed import choose_device

        choose_device(name)


def cuda_devices() -> list[str]:
    """The CUDA devices that this process may use; none where it computes on the CPU."""
    from nslab.system.distributed import process_group

    if process_group().device.type == "cpu":
        return []
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    count = torch.cuda.device_count()
    return given.split(",")[:count] if given else [str(i) for i in range(count)]


def shared_devices(per_device: int) -> tuple[int, list[str]]:
    """How many processes to run at once, and the CUDA devices to spread them over: ``per_device``
    each if that is more than one, else as many as `room_on` estimates. One on a CPU."""
    from nslab.execution.sharing import room_on

    devices = cuda_devices()
    if not devices:
        return 1, []
    each = per_device if per_device > 1 else room_on(len(devices))
    typer.echo(f"{each} processes on each of {len(devices)} devices (--per-device changes it)")
    return each * len(devices), devices


def devices_of(jobs: int, per_device: int) -> tuple[int, list[str]]:
    """How many of ``jobs`` processes to run at once, and the CUDA devices to spread them over, at
    most ``per_device`` on each. No devices on a CPU."""
    devices = cuda_devices()
    if not devices:
        return jobs, []
    room = len(devices) * per_device
    if room < jobs:
        typer.echo(f"{room} processes at once, not {jobs}: {len(devices)} devices x {per_device}")
    return min(jobs, room), devices
