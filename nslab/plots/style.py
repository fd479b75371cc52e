"""Style of figures, and their files: legible, colour-blind safe, reproducible to the byte."""

import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from glob import escape
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nslab.configs.labels import BASELINE_COLOUR, LABELS, OTHER_COLOUR
from nslab.plots.legibility import DPI, PAGE, faults
from nslab.system.filenames import checked_filename
from nslab.system.files import remove_strays, replacing_all
from nslab.system.locks import locked
from nslab.system.paths import figures_dir
from nslab.system.provenance import commit, source_digest, versions

__all__ = [
    "DPI",
    "FAINT",
    "FURTHER",
    "GREY",
    "PAGE",
    "PALETTE",
    "TEXT",
    "TITLE",
    "DrawnRun",
    "apply",
    "method_colour",
    "method_colours",
    "save",
]
PALETTE = "colorblind"
TEXT, TITLE = 9.0, 10.0  # size in points (12.5 and 14 pixels of the page) of text and titles
GREY, FAINT = "0.4", "0.7"  # for reference lines, and for runs that have not learnt
# For methods that `nslab.configs.labels` does not know: Paul Tol's muted colours, which are safe
# for the colour-blind. No known method has any of them.
FURTHER = ("#332288", "#117733", "#882255", "#44AA99", "#CC6677", "#999933", "#AA4499", "#DDCC77")
_BY_TEXT = {label.text: label.colour for label in LABELS.values() if label.text and label.colour}


@runtime_checkable
class DrawnRun(Protocol):
    """The parts of a run that a figure's provenance needs: id and environment."""

    @property
    def id(self) -> str: ...
    @property
    def env(self) -> dict[str, Any]: ...


def apply() -> None:
    """Set the style of all figures, and make pandas show long notes in full.

    The font comes with matplotlib and so is the same everywhere. All settings start from
    matplotlib's defaults, so a user's matplotlibrc has no effect.
    """
    mpl.rcdefaults()
    pd.set_option("display.max_colwidth", 200)
    sns.set_theme(style="ticks", palette=PALETTE, font="DejaVu Sans")
    mpl.rcParams.update(
        {
            "figure.dpi": DPI,
            "savefig.dpi": 150,
            "savefig.facecolor": "white",
            "figure.constrained_layout.use": True,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "font.size": TEXT,
            "figure.titlesize": TITLE,
            "figure.titleweight": "bold",
            "axes.titlesize": TEXT,
            "axes.labelsize": TEXT,
            "xtick.labelsize": TEXT,
            "ytick.labelsize": TEXT,
            "legend.fontsize": TEXT,
            "legend.title_fontsize": TEXT,
            "legend.frameon": False,
            "lines.linewidth": 1.5,
            "svg.hashsalt": "nslab",
            "svg.fonttype": "path",
        }
    )


def method_colour(key: str) -> str:
    """The colour of a method (or evolver, loss, network), the same in every figure: the one that
    `nslab.configs.labels` has for its key or name, else one of `FURTHER` that follows from its key.

    >>> method_colour("ns_lf") == method_colour("NS-LF")
    True
    >>> method_colour("my loss") == method_colour("my loss") in FURTHER
    True
    """
    known = LABELS[key].colour if key in LABELS else _BY_TEXT.get(key, "")
    return known or FURTHER[hashlib.sha256(key.encode()).digest()[0] % len(FURTHER)]


def method_colours(keys: Iterable[str]) -> dict[str, str]:
    """Colours of the methods in one figure: those of `method_colour`, but all different as long as
    there are free colours. Only baselines, and the many methods that the papers compare with, share
    a colour.

    >>> len(set(method_colours(f"method {k}" for k in range(8)).values()))
    8
    >>> colours = method_colours(["ns_ws", "edl_log"])
    >>> colours["ns_ws"] == method_colour("ns_ws"), len(set(colours.values()))
    (True, 2)
    """
    colours: dict[str, str] = {}
    order = {key: place for place, key in enumerate(LABELS)}
    for key in sorted(set(keys), key=lambda key: (order.get(key, len(order)), key)):
        colour = method_colour(key)
        free = [other for other in FURTHER if other not in colours.values()]
        if colour not in (OTHER_COLOUR, BASELINE_COLOUR) and colour in colours.values() and free:
            colour = free[0]
        colours[key] = colour
    return colours


def save(
    figure: Figure,
    name: str,
    preset: str,
    *,
    runs: Sequence[DrawnRun] = (),
    parameters: dict[str, Any] | None = None,
) -> Path:
    """Write ``figures/<preset>/<name>`` as PNG and SVG, and its provenance as JSON.

    The same inputs give the same bytes. PNG and SVG carry parameters and run ids. What changes with
    every commit (commit, versions, devices) is in the JSON only, together with what is hard to read
    in the figure, and the SHA-256 of the other two files, by which `nslab.system.files.misfits`
    finds files of different figures. Returns the PNG's path. Raises ``ValueError`` for names that
    are not valid file names.
    """
    folder = figures_dir() / checked_filename(preset, "preset")
    inside = {
        "figure": checked_filename(name, "figure"),
        "preset": preset,
        "parameters": parameters or {},
    }
    inside |= {"runs": sorted({run.id for run in runs})}
    text = json.dumps(inside, sort_keys=True)
    head, dirty = commit()
    keep = ("commit", "dirty", "source", "device", "threads", "versions")
    made = {run.id: {key: run.env.get(key) for key in keep} for run in runs}
    origin: dict[str, Any] = {
        "commit": head,
        "dirty": dirty,
        "source": source_digest(),
        "versions": versions(),
    }
    drawn: dict[str, bytes] = {}
    for suffix, metadata in (
        ("png", {"Software": None, "nslab": text}),
        ("svg", {"Date": None, "Creator": None, "Description": text}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=suffix, metadata=metadata)
        drawn[f"{name}.{suffix}"] = buffer.getvalue()
    origin["faults"] = faults(figure)
    digests = {file: hashlib.sha256(whole).hexdigest() for file, whole in drawn.items()}
    origin |= {"made": made, "sha256": digests}
    drawn[f"{name}.json"] = json.dumps(inside | origin, indent=1).encode()
    with locked(folder / ".lock", f"another process is writing a figure into {folder}"):
        for file in drawn:
            remove_strays(folder, escape(file))
        with replacing_all(*(folder / file for file in drawn)) as temporaries:
            for temporary, whole in zip(temporaries, drawn.values(), strict=True):
                temporary.write_bytes(whole)
    return folder / f"{name}.png"
