"""Real predictions beside synthetic ones: every number by hand or by another way."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import energy_distance as in_one_dimension

from nslab.analysis.predictions import distances, prediction_table, softmax_outputs, spread_epochs
from nslab.analysis.predictions.distances import Synthetic, divergences, drawn, synthetic_sample
from nslab.analysis.predictions.features import ODDS, SHARES, cells, statistics, steepness, views
from nslab.analysis.predictions.losses import behaviour, gradients, pairs_of
from nslab.analysis.predictions.outputs import epochs_of
from nslab.analysis.predictions.table import pooled_predictions
from nslab.configs import EvolveConfig, LossSearchConfig, TrainConfig
from nslab.configs.serialization import encode
from nslab.datasets import load
from nslab.experiments.edl import EDL_LOSSES
from nslab.lossnet import Regimes, Shipped
from nslab.lossnet.synthetic_predictions import Predictions, at_label
from nslab.networks import build_network
from nslab.plots import predictions as plots
from nslab.runs.store import Result
from nslab.training.checkpoint import load_weights, save_weights, weights_file
from nslab.training.loop import fit


def rows(*lines: list[float], y: int = 0) -> Predictions:
    """Predictions written out, all with the label y."""
    p = torch.tensor(lines, dtype=torch.float64)
    return Predictions(p, torch.full((len(p),), y))


SURE, TORN, LOST = [0.98, 0.015, 0.005], [0.5, 0.5, 0.0], [1e-20, 1 - 2e-20, 1e-20]


def trained(folder: Path, name: str, network: str = "mlp") -> Result:
    """A finished training of two epochs, both kept."""
    config = TrainConfig(
        network=network, objective=EDL_LOSSES[name], epochs=2, keep_last=2, augment="crop", lr=0.02
    )
    done = fit(config, folder / config.id, show=False)
    return Result(config.id, encode(config), done.metrics, [], {}, folder=folder / config.id)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[Result]:
    """Trained with cross-entropy, and with an evolved loss."""
    folder = tmp_path_factory.mktemp("runs")
    return [trained(folder, name) for name in ("ce", "edl_order")]


@pytest.fixture(scope="module")
def table(results: list[Result]) -> pd.DataFrame:
    """Two runs, all epochs."""
    return prediction_table(results, 150, redraws=2, modes=("eval", "train"))


def test_views_by_hand() -> None:
    """Three classes; nothing depends on which class is the label."""
    p = [0.7, 0.2, 0.1]
    seen = views(rows(p, TORN))
    by_hand = {
        "p_y": (0.7, 0.5),
        "surprise": (-math.log10(0.7), math.log10(2)),
        "odds": (math.log10(7 / 3), 0),
        "rival": (0.2, 0.5),
        "rival_share": (2 / 3, 1),
        "effective_classes": (1 / 0.54, 2),
        "entropy": (-np.dot(p, np.log(p)) / math.log(3), math.log(2, 3)),
    }
    assert seen.keys() == by_hand.keys()
    for name, expected in by_hand.items():
        np.testing.assert_allclose(seen[name], expected, rtol=1e-12, atol=1e-15, err_msg=name)
        turned = views(rows([0.1, 0.7, 0.2], [0.0, 0.5, 0.5], y=1))[name]
        np.testing.assert_allclose(turned, expected, rtol=1e-12, atol=1e-15)
    surest = views(rows([1.0, 1e-30, 0.0]))
    assert surest["odds"][0] == pytest.approx(30)  # 1 - p_y keeps digits that p_y cannot hold
    ramp = rows(*[[q, 1 - q] for q in np.linspace(0, 1, 101)])
    found = statistics(ramp)
    assert found["accuracy"] == pytest.approx(100 * 51 / 101)  # 50 of p_y > 1/2, and the tie
    assert found["p_y_mean"] == pytest.approx(0.5)
    quantiles = [found[f"p_y_q{q}"] for q in (5, 25, 50, 75, 95)]
    assert quantiles == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95])


def test_cells_by_hand() -> None:
    """Where a prediction falls; shares of number and of weight."""
    both = rows([0.7, 0.2, 0.1], TORN, TORN, TORN)
    grid = cells(both).reshape(len(ODDS) - 1, len(SHARES) - 1)
    places = [(np.searchsorted(ODDS, math.log10(7 / 3)) - 1, 5), (len(ODDS) // 2, 7)]
    assert [grid[place] for place in places] == [0.25, 0.75]
    weighed = cells(both, np.array([6.0, 1.0, 1.0, 0.0])).reshape(grid.shape)
    assert [weighed[place] for place in places] == [0.75, 0.25]
    assert cells(rows(LOST, SURE)).sum() == pytest.approx(1)


def test_divergences_by_hand() -> None:
    """The same: 0; nothing in common: 1 bit; half in common: H(3/4, 1/4) - 1/2."""
    torn, mixed = rows(*[TORN] * 40), rows(*[TORN] * 20, *[SURE] * 20)
    same, far, half = (divergences(a, torn) for a in (torn, rows(*[SURE] * 40), mixed))
    for name in ("js", "w_p", "w_log", "energy"):
        assert same[name] == pytest.approx(0, abs=1e-7)
    assert far["js"] == pytest.approx(1)
    assert far["w_p"] == pytest.approx(0.48)
    assert far["w_log"] == pytest.approx(math.log10(1.96))
    assert far["energy"] == pytest.approx(math.sqrt(2 * math.dist(SURE, TORN)), rel=1e-3)
    assert far["told_apart"] == 100
    entropy = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25))
    assert half["js"] == pytest.approx(entropy - 0.5)
    a, b = np.random.default_rng(0).random((2, 50, 1))
    ours = distances.energy_distance(a, b**2)
    assert ours == pytest.approx(in_one_dimension(a[:, 0], b[:, 0] ** 2))


def test_two_synthetic_draws_are_alike() -> None:
    """Chance alone lies between them; the mixture is found again, and each regime."""
    regimes = Regimes()
    made = synthetic_sample(regimes, 2000, 10)
    again, which = drawn(regimes, 2000, 10, 0, 1)
    assert not torch.equal(again.p, made.drawn.p)
    found = divergences(again, made.drawn)
    assert found["js"] < 0.03
    assert found["w_p"] < 0.03
    assert 45 < found["told_apart"] < 55
    covered = distances.coverage(again, made)
    assert covered["covered"] > 0.96
    assert covered["fainter"] < 0.005
    assert covered["surer"] < 0.005
    open_ends = made.mixture.reshape(len(ODDS) - 1, -1)[[0, -1]]
    assert open_ends.max() < distances.RARE / 2  # or what lies far outside would count as covered
    like = distances.mixture_shares(again, made)
    assert sum(like.values()) > 0.9
    for i, (name, weight) in enumerate(regimes.weights.items()):
        assert like[f"like_{name}"] == pytest.approx(weight, abs=0.05)
        alone = distances.mixture_shares(
            Predictions(again.p[which == i], again.y[which == i]), made
        )
        assert alone[f"like_{name}"] > 0.85
    lacking = synthetic_sample(Regimes(boundary=0), 10, 10).regimes
    assert list(lacking) == ["anywhere", "right", "wrong", "even"]


def test_coverage_and_composition_as_constructed() -> None:
    """Two regimes with nothing in common, and predictions partly of neither."""
    torn, sure = rows(TORN), rows(SURE)
    made = Synthetic(
        drawn=torn,
        regimes={"boundary": cells(torn), "right": cells(sure)},
        mixture=0.9995 * cells(torn) + 0.0005 * cells(sure),  # sure ones are too rare to count
        p_threshold=0.1,
        odds_threshold=1.0,
    )
    sample = rows(*[TORN] * 5, *[SURE] * 3, *[LOST] * 2)
    found = distances.coverage(sample, made)
    assert found["covered"] == pytest.approx(0.5)
    assert found["fainter"] == pytest.approx(0.2)
    assert found["surer"] == pytest.approx(0.3)
    steep = [math.hypot(1 - p[0], p[1], p[2]) for p in (TORN, SURE, LOST)]
    weighed = 5 * steep[0] / np.dot([5, 3, 2], steep)
    assert found["covered_gradient"] == pytest.approx(weighed)
    like = distances.mixture_shares(sample, made)
    assert sum(like.values()) == pytest.approx(0.8)  # any mixture: lost ones are of neither
    assert like["like_boundary"] == pytest.approx(0.5)


def test_pairs_and_ranking_by_loops() -> None:
    """The loss of each pair's members one by one."""
    sample = drawn(Regimes(), 400, 5, 3, "test")[0]
    independent, dominance = pairs_of(sample, 0.01, seed=7)
    gap = at_label(*independent[2:]) - at_label(*independent[:2])
    assert bool((gap >= 0.01).all())
    assert 300 < len(gap) < 400
    everything = {(*p.tolist(), int(y)) for p, y in zip(*sample, strict=True)}
    used = zip(torch.cat(independent[::2]), torch.cat(independent[1::2]), strict=True)
    assert {(*p.tolist(), int(y)) for p, y in used} <= everything
    moved = at_label(dominance.better, dominance.better_y)
    assert torch.equal(dominance.worse, sample.p)
    assert bool((moved > at_label(*sample)).all())
    found = behaviour(sample, 0.01, seed=7)
    assert found["untied"] == len(gap) / 400
    for name in ("order", "log"):
        net = Shipped(name).net()
        for kind, pairs in (("independent", independent), ("dominance", dominance)):
            worse, better = (net(p.log(), y) for p, y in (pairs[:2], pairs[2:]))
            right = sum(float(a) > float(b) for a, b in zip(worse, better, strict=True))
            assert found[f"{name}_{kind}"] == pytest.approx(right / len(worse))
        assert found[f"{name}_rises"] < 0.01
    assert found["order_independent"] < 1
    same = behaviour(rows(*[TORN] * 12), 0.01)
    assert same["untied"] == 0
    assert math.isnan(same["order_independent"])


def test_gradients_by_difference_and_where_they_vanish() -> None:
    """Slopes beside those of autograd and of small steps; a lost prediction has none by p alone."""
    sample = drawn(Regimes(), 6, 4, 3, "test")[0]
    z = sample.p.log().clamp(min=-40)
    leaf = z.clone().requires_grad_()
    F.cross_entropy(leaf, sample.y, reduction="sum").backward()
    torch.testing.assert_close(steepness(sample), leaf.grad.norm(dim=1))
    net = Shipped("log").net().matched(4)
    step = 1e-5 * torch.eye(4, dtype=torch.float64)
    slopes = [(net(z + d, sample.y) - net(z - d, sample.y)) / 2e-5 for d in step]
    expected = torch.stack(slopes, 1).norm(dim=1)
    torch.testing.assert_close(gradients(net, sample), expected, rtol=1e-4, atol=1e-6)
    found = behaviour(rows(LOST, LOST, SURE, TORN, [0.2, 0.5, 0.3]))
    assert found["order_vanished"] == pytest.approx(0.4)
    assert found["order_vanished_wrong"] == pytest.approx(2 / 3)
    assert math.isnan(behaviour(rows(SURE, SURE))["order_vanished_wrong"])


def test_outputs_image_by_image(results: list[Result]) -> None:
    """The network of each epoch on the first images as they are."""
    data, result = load("digits"), results[0]
    found = softmax_outputs(result, 9, (2, 0, 1))
    assert list(found) == [0, 1, 2]
    for epoch, sample in found.items():
        model = build_network("mlp", (1, 32, 32), 10, 2024)
        if epoch:
            load_weights(model, result.folder, epoch)
        assert torch.equal(sample.y, torch.tensor(data.arrays.train_y[:9]))
        for image, p in zip(data.arrays.train_x[:9], sample.p, strict=True):
            pixels = (image / 255 - data.dataset.mean) / data.dataset.std
            x = torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=torch.float32)
            expected = model.eval()(x)[0].double().softmax(-1)
            torch.testing.assert_close(p, expected, rtol=1e-4, atol=0)
    assert not torch.allclose(found[0].p, found[2].p)
    assert len(softmax_outputs(result, 5000, [1])[1].y) == 1294
    assert spread_epochs(30) == [0, 1, 2, 4, 8, 15, 30]
    assert spread_epochs(3) == [0, 1, 2, 3]
    assert spread_epochs(1) == [0, 1]


def test_as_in_training(tmp_path: Path) -> None:
    """Augmented, normalised by the batch; asked again, the same."""
    config = TrainConfig(network="resnet8", epochs=1, keep_last=1, augment="crop")
    save_weights(build_network("resnet8", (1, 32, 32), 10, 5), tmp_path, 1)
    result = Result(config.id, encode(config), {"epochs": 1}, [], {}, folder=tmp_path)
    plain, trains = (softmax_outputs(result, 60, [1], mode)[1] for mode in ("eval", "train"))
    assert sorted(plain.y.tolist()) == sorted(trains.y.tolist())
    assert statistics(plain)["p_y_mean"] != pytest.approx(statistics(trains)["p_y_mean"], rel=1e-3)
    assert torch.equal(softmax_outputs(result, 60, [1], "train")[1].p, trains.p)


def test_runs_without_weights_are_refused(results: list[Result], tmp_path: Path) -> None:
    """Frozen, not all epochs kept, epochs that there were not, what is no training."""
    result = results[0]
    with pytest.raises(FileNotFoundError, match=r"is frozen.*nslab.run\(config, weights=True\)"):
        softmax_outputs(dataclasses.replace(result, folder=None), 10)
    config = TrainConfig(network="mlp", epochs=3, keep_last=1)
    short = Result(config.id, encode(config), {"epochs": 3}, [], {}, folder=tmp_path)
    weights_file(tmp_path, 3).touch()
    with pytest.raises(FileNotFoundError, match=r"epoch 1 .* its last 1 of 3 epochs.*=3"):
        prediction_table([result, short])
    assert epochs_of(short, [3, 0]) == [0, 3]
    with pytest.raises(ValueError, match="has epochs 0 to 2, not 3"):
        softmax_outputs(result, 10, [1, 3])
    for other in (LossSearchConfig(), EvolveConfig(TrainConfig(), "last_epochs", 6)):
        with pytest.raises(ValueError, match="is not a training"):
            epochs_of(Result(other.id, encode(other), {}, [], {}, folder=tmp_path))
    hundred = dataclasses.replace(config, dataset="cifar100")
    more = dataclasses.replace(short, id=hundred.id, config=encode(hundred))
    with pytest.raises(ValueError, match=r"same number of classes, and theirs are \[10, 100\]"):
        prediction_table([result, more], epochs=[0])
    with pytest.raises(ValueError, match="at least 10 images"):
        prediction_table([result], 9)


@pytest.mark.slow
def test_table(table: pd.DataFrame, results: list[Result]) -> None:
    """A line for all there is; the synthetic ones are as far apart as chance makes them."""
    counts = table["kind"].value_counts().to_dict()
    assert counts == {"real": 12, "pooled": 4, "regime": 5, "redraw": 2}
    real, again = table[table["kind"] == "real"], table[table["kind"] == "redraw"]
    assert list(real["method"].unique()) == ["ce", "edl_order"]
    assert set(real["run"]) == {r.id for r in results}
    assert (table["images"] == 150).all()
    plain = real[(real["mode"] == "eval") & (real["method"] == "ce")]
    sample = softmax_outputs(results[0], 150)[1]
    line = plain[plain["epoch"] == 1].iloc[0]
    for name, value in statistics(sample).items():
        assert line[name] == pytest.approx(value)
    first = plain[plain["epoch"] == 0].iloc[0]
    assert first["like_even"] > 0.5
    assert again["js"].max() < real["js"].min()
    regimes = table[table["kind"] == "regime"].set_index("regime")
    assert regimes.loc["wrong", "accuracy"] == 0
    assert regimes.loc["even", "like_even"] > 0.8
    one, two = rows(SURE, SURE), rows(LOST, LOST)
    some = pooled_predictions([one, two], 4, seed=0)
    assert sorted(some.p[:, 0].tolist()) == [1e-20, 1e-20, 0.98, 0.98]
    assert len(pooled_predictions([one, two], 3, 0).y) == 3


def test_figures(table: pd.DataFrame) -> None:
    """What is drawn are the table's numbers."""
    plain = table[table["mode"] != "train"]
    real = plain[(plain["kind"] == "real") & (plain["method"] == "edl_order")]
    *panels, regimes = plots.distributions(plain, "title").get_axes()
    np.testing.assert_allclose(panels[1].lines[0].get_ydata(), real["odds_q50"])
    names = [text.get_text() for text in regimes.get_xticklabels()]
    assert names[:3] == ["all", "anywhere", "sure, right"]
    axes = plots.distances(plain, "title").get_axes()
    assert len(axes) == len(plots.DISTANCES)
    for panel, name in zip(axes, plots.DISTANCES, strict=True):
        factor = 100 if name in plots.IN_PERCENT else 1
        np.testing.assert_allclose(panel.lines[-1].get_ydata(), factor * real[name])
        assert panel.get_xlabel()
        assert panel.get_ylabel()
    panel = plots.composition(plain, "title").get_axes()[1]
    heights = np.array([[bar.get_height() for bar in bars] for bars in panel.containers])
    columns = [f"like_{name}" for name in plots.REGIMES]
    np.testing.assert_allclose(heights[:, :-1].T, 100 * real[columns])
    assert [t.get_text() for t in panel.get_xticklabels()] == ["0", "1", "2", "all"]
    drawn_losses = plots.loss_behaviour(plain, "title").get_axes()
    np.testing.assert_allclose(drawn_losses[3].lines[2].get_ydata(), real["ce_gradient"])
    np.testing.assert_allclose(drawn_losses[5].lines[2].get_ydata(), 100 * real["order_vanished"])
