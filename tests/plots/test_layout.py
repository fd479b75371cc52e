"""Where legends, ticks and panels stand."""

import io

import pandas as pd
import pytest
import torch

from nslab.plots import de_ingredients, de_runs, edl, robustness, style
from nslab.plots.legibility import faults
from nslab.plots.wording import in_words, network_words


@pytest.mark.parametrize("mce", [1447.4, 1460.0, 1475.0, 640.0])
def test_no_label_of_a_tick_sticks_out(mce: float) -> None:
    """However near the end of an axis a round number is."""
    style.apply()
    about = {"corruption": "average", "sd": 0.0, "n": 2, "part": "", "paper": 9.0}
    rows = {("lenet1", "adam"): 100.0, ("resnet8", "sa_shade_tri_ensin"): mce}
    table = pd.DataFrame(
        {"network": network, "method": method, "metric": metric, "ours": value / part, **about}
        for (network, method), value in rows.items()
        for metric, part in (("error", 30), ("mce", 1))
    )
    figure = robustness.mce(table, "Table S6")
    for kind in ("png", "svg"):  # as a figure is saved, at two resolutions
        figure.savefig(io.BytesIO(), format=kind)
    assert faults(figure) == []


def test_the_legend_of_genes_leaves_the_peaks_free() -> None:
    """It stands below its panel, and tick labels do not touch."""
    style.apply()
    apart = {"near": 1e-3 * torch.randn(500), "far": 1e-2 * torch.randn(500)}
    figure = de_ingredients.genes(apart, {"rand/1": 0.02 * torch.randn(500)}, "digits")
    assert faults(figure) == []
    for axes in figure.axes:
        assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0


def test_four_panels_stand_two_by_two() -> None:
    """Three and one would leave half of the figure blank."""
    table = pd.DataFrame({"F": [0.1, 0.5, 0.9, 1.0], "Cr": 0.5, "seed": 1, "step": 1, "best": 0.1})
    simplex = torch.eye(3).tolist()
    losses = pd.DataFrame(simplex, columns=["p1", "p2", "p3"]).assign(loss=[0.0, 2.0, 3.0])
    surfaces = edl.surfaces(dict.fromkeys(("ce", "mae", "gce", "edl_log"), losses), "title")
    for figure in (de_runs.factor_curves(table, "F", "Cr", "digits"), surfaces):
        grids = [axes.get_subplotspec() for axes in figure.axes]
        shapes = {spec.get_gridspec().get_geometry() for spec in grids if spec}
        assert (2, 2) in shapes


def test_networks_of_the_papers_tables_have_names() -> None:
    """Beside AlexNet and TextCNN."""
    keys = ("vgg19", "bert_base", "vit_b16", "transformers/bert-base-uncased")
    assert [network_words(key) for key in keys] == ["VGG-19", "BERT-base", "ViT-B/16", "BERT-base"]
    assert in_words("cifar10, vgg19") == "CIFAR-10, VGG-19"
