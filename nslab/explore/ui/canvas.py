"""A matplotlib figure in an image widget, with fast redrawing of the parts that change."""

import html
import io

import ipywidgets as widgets
import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import imsave

DPI = 100


class Canvas:
    """One figure that is drawn once; then only moving artists are redrawn over a stored background.

    That takes about a seventh of the time of a full drawing. Artists that move must stay within
    their axes' limits; to change those, call `redraw`, which draws everything again. The widget
    keeps its height. A canvas must be used from one thread only.
    """

    def __init__(self, name: str, width: int, height: int, about: str) -> None:
        """Width and height are in pixels; ``about`` describes the figure for screen readers."""
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        self.figure.set_layout_engine("none")  # nothing shifts when labels change
        self.agg = FigureCanvasAgg(self.figure)
        self.moving: list[Artist] = []
        blank = png(np.full((height, width, 4), 255, np.uint8))  # an empty value shows as broken
        # image widgets have no alternative text: put it beside the image, out of sight
        hidden = f'<span style="position:absolute;left:-9999px">{html.escape(about)}</span>'
        words = widgets.HTML(hidden, layout=widgets.Layout(height="0", margin="0"))
        self.image = widgets.Image(format="png", value=blank)
        self.image.layout = widgets.Layout(
            width=f"{width}px",
            height=f"{height}px",
            max_width="100%",
            object_fit="contain",
            object_position="left top",
        )
        self.image.add_class(f"nsl-{name}-figure")
        self.widget = widgets.VBox([self.image, words])

    def clear(self) -> None:
        """Remove all contents, to lay out the figure again."""
        self.figure.clear()
        self.moving.clear()

    def follow(self, *artists: Artist) -> None:
        """Register artists that move, in the order in which they are to be drawn."""
        for artist in artists:
            artist.set_animated(True)
        self.moving.extend(artists)

    def redraw(self) -> None:
        """Draw everything that does not move and store it as the background. The picture is shown
        only by `show`, so that it does not flash up without its contents."""
        self.agg.draw()
        self._background = self.agg.copy_from_bbox(self.figure.bbox)

    def show(self) -> None:
        """Draw the moving artists over the background, and send the picture to the browser."""
        self.agg.restore_region(self._background)
        for artist in self.moving:
            if artist.axes is not None and artist.get_visible():
                artist.axes.draw_artist(artist)
        self.image.value = png(np.asarray(self.agg.buffer_rgba()))


def png(pixels: np.ndarray) -> bytes:
    """RGBA pixels (h, w, 4) as a PNG that is fast to write, with little compression."""
    out = io.BytesIO()
    imsave(out, pixels, format="png", pil_kwargs={"compress_level": 1})
    return out.getvalue()
