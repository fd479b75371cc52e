"""Figure of the claims: a forest plot of all effects with their intervals and verdicts."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from nslab.analysis.claims.kinds import CONTROL, counted
from nslab.configs.labels import GREEN, GREY, RED, SKY, text_of
from nslab.plots.marks import arrow_handle, interval, legend_below, page
from nslab.plots.style import TEXT
from nslab.plots.titles import heading, wrapped

COLOURS = {"supported": GREEN, "contradicted": RED, "undecided": GREY, "waiting": SKY}
WIDEST = 12.0  # percentage points; effects and intervals beyond are cut, with an arrow
WORDS = 7.6  # width of a claim's text in inches


def claims_forest(table: pd.DataFrame, title: str = "") -> Figure:
    """A forest plot of `nslab.analysis.claims.table.claim_table`, a panel per unit of the effects.

    Circles are differences to what the paper compares with, diamonds to a control of ours; bars are
    95 % intervals, missing for a single seed; a cross is the paper's own difference. Above 0, ours
    is larger, whatever the claim; the colour shows the verdict on the claim.
    """
    drawn = table[table["effect"].notna()]
    units = list(dict.fromkeys(drawn["unit"]))
    sizes = [int((drawn["unit"] == unit).sum()) for unit in units]
    height = 1.6 + 0.62 * sum(sizes) + 0.6 * len(units)
    figure = page(height)
    panels = figure.subplots(
        max(len(units), 1), 1, squeeze=False, height_ratios=[s + 1 for s in sizes] or None
    )[:, 0]
    for axes, unit in zip(panels, units, strict=False):
        _panel(axes, drawn[drawn["unit"] == unit], unit)
    handles = [
        Line2D([], [], marker="o", color=colour, label=verdict)
        for verdict, colour in COLOURS.items()
        if (drawn["verdict"] == verdict).any()
    ]
    look: dict = {"linestyle": "", "color": "black"}
    handles += [
        Line2D([], [], marker="D", label="against a control of ours", **look),
        Line2D([], [], marker="x", label="the paper's own", **look),
    ]
    if (drawn["unit"].str.startswith("points") & _ends(drawn).gt(WIDEST)).any():
        handles.append(arrow_handle("further out"))
    legend_below(figure, handles)
    heading(figure, title or claims_title(table))
    return figure


def claims_title(table: pd.DataFrame) -> str:
    """The title: how many comparisons of each kind have which verdict, and how many of them are at
    the paper's own size."""
    drawn = table[table["effect"].notna()]
    whole = int((drawn["preset"] == "paper").sum())
    said = counted(drawn, list(COLOURS)).replace("; ", ";\n")
    return f"{len(drawn)} comparisons:\n{said};\n{whole} at the paper's own size"


def _ends(lines: pd.DataFrame) -> pd.Series:
    """For each line, the largest distance from 0 of anything that is drawn."""
    return lines[["low", "high", "effect", "printed"]].abs().max(axis=1)


def _panel(axes: Axes, lines: pd.DataFrame, unit: str) -> None:
    reach = 1.1 * float(_ends(lines).max()) or 1.0
    reach = min(reach, WIDEST) if unit.startswith("points") else reach
    for place, line in enumerate(lines.to_dict("records")):
        colour = COLOURS[line["verdict"]]
        control = line["kind"] == CONTROL
        interval(axes, place, line["low"], line["high"], colour, (-reach, reach))
        axes.plot([line["effect"]], [place], "D" if control else "o", color=colour)
        axes.plot([line["printed"]], [place], "x", color="black")
        for end, marker in ((-reach, "<"), (reach, ">")):
            if abs(line["effect"]) > reach and line["effect"] * end > 0:
                axes.plot([end * 0.99], [place], marker, color=colour, markersize=7)
        rival = text_of(line["against"])
        # the claim's own words name a control already
        against = f"against {rival}, " if rival and not control else ""
        said = f"; {against}{line['preset']}, n = {line['n']}"
        written = wrapped(line["claim"] + said, WORDS).split("\n")
        if len(written) > 2:
            written = [written[0], wrapped(f"… {said.lstrip('; ')}", WORDS)]
        words = axes.text(0.005, place - 0.16, "\n".join(written), va="bottom")
        words.set(transform=axes.get_yaxis_transform(), fontsize=TEXT, in_layout=False)
        words.set(bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5})
    axes.axvline(0, color=GREY, linewidth=1, zorder=0)
    axes.set(xlim=(-reach, reach), ylim=(len(lines) - 0.5, -0.8), yticks=[])
    correlation = unit.endswith("correlation")
    axes.set_xlabel(f"{unit if correlation else f'ours − theirs ({unit})'}, 95 % interval")
