"""Style of figures, and their files: legible, colour-blind safe, the same bytes each time."""

import hashlib
import io
import json
from collections.abc import Sequence
from glob import escape
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nslab.system.filenames import checked_filename
from nslab.system.files import remove_strays, replacing_all
from nslab.system.locks import locked
from nslab.system.paths import figures_dir
from nslab.system.provenance import commit, source_digest, versions

PALETTE = "colorblind"
DPI = 100  # of the screen that sizes are meant for: 8.4 inches fill a page of 840 pixels


@runtime_checkable
class DrawnRun(Protocol):
    """What a figure remembers of a run."""

    @property
    def id(self) -> str: ...
    @property
    def env(self) -> dict[str, Any]: ...


def apply() -> None:
    """Set the house style: of figures, whose font ships with matplotlib and so is the same
    everywhere, and that tables show their notes whole.

    It begins at matplotlib's own defaults: a person's matplotlibrc changes nothing.
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
            "axes.titlesize": 11,
            "axes.labelsize": 10,
            "xtick.labelsize": 9,
            "ytick.labelsize": 9,
            "legend.fontsize": 9,
            "legend.title_fontsize": 9,
            "legend.frameon": False,
            "svg.hashsalt": "nslab",
            "svg.fonttype": "path",
        }
    )


def save(
    figure: Figure,
    name: str,
    preset: str,
    *,
    runs: Sequence[DrawnRun] = (),
    parameters: dict[str, Any] | None = None,
) -> Path:
    """Write ``figures/<preset>/<name>`` as PNG, SVG and a JSON of where it comes from.

    The same inputs give the same bytes. PNG and SVG carry parameters and run ids; what changes
    with every commit (commit, versions, devices) is in the JSON only, with the SHA-256 of the other
    two: `nslab.system.files.misfits` names those that are not of the same figure. Returns the PNG's
    path. Raises ``ValueError`` for names that are none of a file.
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
