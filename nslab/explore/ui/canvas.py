"""A matplotlib figure that lives in an image widget and is redrawn in place, fast."""

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
    """One figure, drawn once; then only its moving artists are drawn anew over what stays.

    That takes about a seventh of a whole drawing. Artists that move must keep to the limits of
    their axes, or `settle` draws everything again. The widget keeps its height whatever happens.
    All of it belongs to one thread.
    """

    def __init__(self, name: str, width: int, height: int, about: str) -> None:
        """Width and height in pixels; ``about`` says in words what is to be seen."""
        self.figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        self.figure.set_layout_engine("none")  # nothing shifts when labels change
        self.agg = FigureCanvasAgg(self.figure)
        self.moving: list[Artist] = []
        blank = png(np.full((height, width, 4), 255, np.uint8))  # an empty value shows as broken
        # the widget of an image takes no alternative text: it stands beside it, not to be seen
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
        """Begin a figure of another structure."""
        self.figure.clear()
        self.moving.clear()

    def follow(self, *artists: Artist) -> None:
        """Artists that move, in the order in which they are drawn."""
        for artist in artists:
            artist.set_animated(True)
        self.moving.extend(artists)

    def settle(self) -> None:
        """Draw all that does not move and keep it as the ground; `show` hands out the picture, lest
        one without its contents flash up."""
        self.agg.draw()
        self._ground = self.agg.copy_from_bbox(self.figure.bbox)

    def show(self) -> None:
        """Draw what moves over the ground, and hand the picture to the browser."""
        self.agg.restore_region(self._ground)
        for artist in self.moving:
            if artist.axes is not None and artist.get_visible():
                artist.axes.draw_artist(artist)
        self.image.value = png(np.asarray(self.agg.buffer_rgba()))


def png(pixels: np.ndarray) -> bytes:
    """RGBA pixels as a PNG that is quick to write: hardly compressed."""
    out = io.BytesIO()
    imsave(out, pixels, format="png", pil_kwargs={"compress_level": 1})
    return out.getvalue()
