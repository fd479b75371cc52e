"""Figure of a sweep: accuracy of every setting of every method on validation samples."""

import pandas as pd
from matplotlib.figure import Figure

from nslab.configs.labels import short_repr, text_of
from nslab.plots.style import method_colours
from nslab.plots.titles import heading

NUMBERS = ("method", "validation", "validation_loss", "test", "sd", "n", "chosen")
MARKERS = "osD^vPX*"


def validation_grid(table: pd.DataFrame, title: str) -> Figure:
    """Mean accuracy on validation samples of each method at each setting, with a bar for the sd
    over seeds and a ring around the chosen setting.

    ``table``: columns ``method``, ``validation``, ``sd``, ``chosen``, and one for each field that
    was swept. Settings come in order of appearance; one that failed has no point.
    """
    fields = [name for name in table.columns if name not in NUMBERS]
    values = table[fields].map(lambda v: f"{v:g}" if isinstance(v, float) else short_repr(v))
    said = [
        "\n".join(f"{name} {value}" if len(fields) > 1 else value for name, value in line.items())
        for line in values.to_dict("records")
    ]
    order = list(dict.fromkeys(said))
    methods = list(dict.fromkeys(table["method"]))
    colours = method_colours(methods)
    figure = Figure(figsize=(7.5, 3.6))
    axes = figure.subplots()
    for number, method in enumerate(methods):
        mine = table["method"] == method
        shift = 0.12 * (number - (len(methods) - 1) / 2) / max(1, len(methods) / 4)
        x = [order.index(words) + shift for words, own in zip(said, mine, strict=True) if own]
        colour = colours[method]
        lines = table[mine]
        axes.errorbar(
            x,
            lines["validation"],
            lines["sd"].fillna(0),
            color=colour,
            marker=MARKERS[number % len(MARKERS)],
            label=text_of(method),
            capsize=3,
        )
        chosen = [(a, b) for a, b, c in zip(x, lines["validation"], lines["chosen"], strict=True)
                  if c]  # fmt: skip
        for a, b in chosen:
            axes.plot([a], [b], "o", markersize=15, markerfacecolor="none", color=colour)
    axes.set_xticks(range(len(order)), order)
    axes.set(xlabel=", ".join(fields), ylabel="validation accuracy (%)")
    heading(figure, title)
    axes.legend(title="ringed: chosen")
    return figure
