"""Figure of the panel of losses: curves, gradients, and one loss over the three-class simplex."""

from collections.abc import Mapping

from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.gridspec import GridSpec
from matplotlib.lines import Line2D
from torch import Tensor

from nslab.configs.labels import ORANGE, text_of
from nslab.explore.ui.canvas import Canvas
from nslab.plots.style import method_colour

WIDTH, HEIGHT = 840, 400
HIGHEST = 2.5  # upper end of the triangle's colour scale
# Methods have the same colours as in all figures; "other" may be any of many losses.
STYLES: dict[str, dict] = {
    "CE": {"color": method_colour("ce"), "linestyle": "-", "linewidth": 1.5},
    "focal": {"color": method_colour("focal"), "linestyle": "--", "linewidth": 2},
    "GCE": {"color": method_colour("gce"), "linestyle": "-.", "linewidth": 2},
    "other": {"color": ORANGE, "linestyle": ":", "linewidth": 2.5},
    "evolved": {"color": method_colour("edl_log"), "linestyle": "-", "linewidth": 3},
}


class LossesFigure:
    """The figure of the panel."""

    def __init__(self) -> None:
        self.canvas = Canvas(
            "losses",
            WIDTH,
            HEIGHT,
            "Losses over the probability of the label, their gradients as multiples of "
            "cross-entropy's, and one loss over all predictions of three classes",
        )

    def build(self) -> None:
        """Lay out the figure."""
        figure = self.canvas.figure
        grid = GridSpec(1, 2, figure, 0.06, 0.24, 0.61, 0.91, wspace=0.32)
        values, gradients = (figure.add_subplot(grid[i]) for i in range(2))
        self.values = self._curves(values, 5.0, "loss (nats)", "loss")
        what = r"$|\partial\ell/\partial z_y|$ : cross-entropy's"
        self.gradients = self._curves(gradients, 3.0, what, "gradient at the label")
        self._triangle(figure.add_axes((0.635, 0.17, 0.26, 0.74)))
        entries = [Line2D([], [], label=name, **style) for name, style in STYLES.items()]
        form: dict = {"ncols": 5, "loc": "lower left", "bbox_to_anchor": (0.05, 0.0)}
        self.legend = figure.legend(handles=entries, **form)
        self.named = self.legend.get_texts()[list(STYLES).index("other")]
        self.other = "other"
        self.canvas.redraw()

    def _curves(self, axes: Axes, top: float, label: str, title: str) -> dict[str, Line2D]:
        lines = {name: axes.plot([], [], **style)[0] for name, style in STYLES.items()}
        axes.axhline(0, color="0.8", linewidth=0.8, zorder=0)
        axes.set(xlim=(0, 1), ylim=(-0.04 * top, top), xlabel="$p_y$, probability of the label")
        axes.set(ylabel=label, title=title)
        self.canvas.follow(*lines.values())
        return lines

    def _triangle(self, axes: Axes) -> None:
        height = 3**0.5 / 2
        self.heat = axes.imshow(
            [[0.0]],
            cmap="cividis",
            vmin=0,
            vmax=HIGHEST,
            origin="lower",
            extent=(0, 1, 0, height),
            interpolation="bilinear",
        )
        axes.plot([0, 1, 0.5, 0], [0, 0, height, 0], color="0.3", linewidth=1)
        for x, y, text, place in (
            (0.5, height, "$p_y = 1$", "bottom"),
            (0, -0.03, "$p_1 = 1$", "top"),
            (1, -0.03, "$p_2 = 1$", "top"),
        ):
            axes.text(x, y, text, ha="center", va=place, fontsize=9)
        axes.set(xlim=(-0.05, 1.05), ylim=(-0.02, height + 0.02), xticks=[], yticks=[])
        for spine in axes.spines.values():
            spine.set_visible(False)
        beside = self.canvas.figure.add_axes((0.905, 0.24, 0.014, 0.6))
        bar = self.canvas.figure.colorbar(self.heat, cax=beside, extend="both")
        bar.set_label("loss : loss of even predictions")
        self.shown = axes.text(0.5, height + 0.13, "", ha="center", va="bottom")
        self.canvas.follow(self.heat, self.shown)

    def draw(
        self,
        curves: Mapping[str, Float[Tensor, "3 p"]],
        names: Mapping[str, str],
        shown: str,
        heat: Float[Tensor, "h w"],
    ) -> None:
        """Show the given curves (rows p_y, loss, gradient), and ``heat``, the loss ``shown`` over
        the triangle; ``names`` has the name of the loss "other"."""
        for name in STYLES:
            found = curves.get(name)
            for lines, row in ((self.values, 1), (self.gradients, 2)):
                lines[name].set_visible(found is not None)
                if found is not None:
                    lines[name].set_data(found[0].numpy(), found[row].numpy())
        self.heat.set_data(heat.numpy())
        self.shown.set_text(f"three classes: {names.get(shown, shown)}")
        if names["other"] != self.other:
            self.other = names["other"]
            self.named.set_text(text_of(self.other))
            self.canvas.redraw()
        self.canvas.show()
