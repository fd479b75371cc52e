"""How figures look, and how they are kept: legible, colour-blind safe, the same bytes each time."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import matplotlib as mpl
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from nslab.files import replacing, write_text
from nslab.names import plain
from nslab.paths import figures_dir
from nslab.provenance import commit, source_digest, versions

PALETTE = "colorblind"
# One name and one colour a method wherever it appears.
METHODS = {
    "ce": "CE",
    "ns_ws": "NS-WS",
    "ns_lf": "NS-LF",
    "ce_lr": "CE, learning rate × mean weight",
    "ce_constant": "CE × mean weight",
    "focal": "focal",
    "gce": "GCE",
    "label_smoothing": "label smoothing",
    "nlnl": "NLNL",
    "sce": "SCE",
    "apl": "APL",
    "low": "LOW",
    "poly1": "Poly-1",
    "anl": "ANL",
    "aul": "AUL",
    "ce_eps_mae": "CEε + MAE",
    "ogc": "CE + OGC",
    "cbs": "CBS (classes balanced)",
    "srs": "SRS (square root)",
    "pbs": "PBS (progressive)",
    "adam": "Adam",
    "pretrained": "pretrained",
    "population_mean": "parents, mean",
    "population_best": "parents, best",
    "wa": "weight average",
    "ensemble": "ensemble (vote)",
    "vote": "vote of the parents",
    "soups": "greedy soup",
    "smd": "SMD",
    "de": "DE",
    "sade": "SADE",
    "sa_shade": "SADE + SHADE",
    "sa_shade_tri": "+ trigonometric",
    "sa_shade_ensin": "+ Sin-F",
    "sa_shade_tri_ensin": "SA-SHADE-tri-ensin",
    "sa_shade_tri_ensin_cauchy": "SA-SHADE-tri-ensin, Cauchy",
    "mae": "MAE",
    "edl_log": "EDL (log p, log margin)",
    "edl_order": "EDL (p, order)",
    "edl_pairs": "EDL, label against each class",
    "edl_flat": "flat network",
    "edl_random": "EDL, not evolved",
    "ns_edl": "NS-LF on EDL",
    "pso": "PSO",
    "pso_constriction": "PSO, constriction",
}
_PALETTE = sns.color_palette(PALETTE)
OTHER = _PALETTE[9]  # of the many methods compared with
COLOURS = dict.fromkeys(METHODS, OTHER) | {
    "ce": _PALETTE[7],
    "ns_ws": _PALETTE[2],
    "ns_lf": _PALETTE[4],
    "ce_lr": _PALETTE[1],
    "ce_constant": _PALETTE[5],
    "adam": _PALETTE[0],
    "pretrained": _PALETTE[7],
    "population_mean": _PALETTE[7],
    "population_best": _PALETTE[7],
    "wa": _PALETTE[1],
    "de": _PALETTE[3],
    "sa_shade_tri_ensin": _PALETTE[2],
    "sa_shade_tri_ensin_cauchy": _PALETTE[2],
    "pso": _PALETTE[4],
    "mae": _PALETTE[1],
    "gce": _PALETTE[4],
    "edl_log": _PALETTE[2],
    "edl_order": _PALETTE[0],
    "edl_flat": _PALETTE[3],
}


@runtime_checkable
class Run(Protocol):
    """What a figure remembers of a run."""

    @property
    def id(self) -> str: ...
    @property
    def env(self) -> dict[str, Any]: ...


def apply() -> None:
    """Set the house style: of figures, whose font ships with matplotlib and so is the same
    everywhere, and that tables show their notes whole."""
    pd.set_option("display.max_colwidth", 200)
    sns.set_theme(style="ticks", palette=PALETTE, font="DejaVu Sans")
    mpl.rcParams.update(
        {
            "figure.dpi": 100,
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
    runs: Sequence[Run] = (),
    parameters: dict[str, Any] | None = None,
) -> Path:
    """Write ``figures/<preset>/<name>`` as PNG, SVG and a JSON of where it comes from.

    The same inputs give the same bytes. PNG and SVG carry parameters and run ids; what changes
    with every commit (commit, versions, devices) is in the JSON only. Returns the PNG's path.
    Raises ``ValueError`` for names that are none of a file.
    """
    folder = figures_dir() / plain(preset, "preset")
    inside = {"figure": plain(name, "figure"), "preset": preset, "parameters": parameters or {}}
    inside |= {"runs": sorted({run.id for run in runs})}
    text = json.dumps(inside, sort_keys=True)
    for suffix, metadata in (
        ("png", {"Software": None, "nslab": text}),
        ("svg", {"Date": None, "Creator": None, "Description": text}),
    ):
        with replacing(folder / f"{name}.{suffix}") as temporary:
            figure.savefig(temporary, format=suffix, metadata=metadata)
    head, dirty = commit()
    keep = ("commit", "dirty", "source", "device", "threads", "versions")
    made = {run.id: {key: run.env.get(key) for key in keep} for run in runs}
    origin = {"commit": head, "dirty": dirty, "source": source_digest(), "versions": versions()}
    write_text(folder / f"{name}.json", json.dumps(inside | origin | {"made": made}, indent=1))
    return folder / f"{name}.png"
