"""Figures: each function turns tables into a matplotlib figure, which notebooks show as a picture.

The same inputs give the same figure. Unless a docstring says otherwise, ``table`` is one that a
function in `nslab.analysis` makes, and ``title`` is the figure's title.
"""

from nslab.plots.pictures import show_pictures

show_pictures()
