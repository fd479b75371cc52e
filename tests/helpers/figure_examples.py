"""A figure of every kind, from made-up tables that are hard to lay out: long names, many rows,
values close together. The numbers mean nothing; nothing is trained."""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from nslab.analysis import de_ingredients as found
from nslab.analysis import de_landscapes as planes
from nslab.analysis import edl, statistics
from nslab.analysis.claims.kinds import KINDS
from nslab.analysis.confusion import Confusion
from nslab.analysis.de import SYMBOLS
from nslab.analysis.overhead import STAGES
from nslab.analysis.run_tables import GroupScores
from nslab.analysis.texts import JoinedTexts
from nslab.datasets import DATASETS
from nslab.datasets.corruption.sets import CORRUPTIONS
from nslab.evolve import EVOLVERS, AdaptiveDE
from nslab.lossnet import Regimes
from nslab.objectives import CrossEntropy, Focal
from nslab.plots import (
    adaptation,
    claims,
    comparison,
    confusion,
    curves,
    de_ingredients,
    de_landscapes,
    de_runs,
    images,
    ns,
    overhead,
    predictions,
    robustness,
    sweep,
    texts,
)
from nslab.plots import edl as losses
from nslab.types import Batch

LONG = (
    "A title about a comparison of many methods on a data set, as notebooks write it: digits_16, "
)
LONG += "lenet5, preset smoke, n = 3 seeds each, and so long that it has to be broken"
METHODS = (
    "ce",
    "ce_lr",
    "ns_ws",
    "ns_lf",
    "label_smoothing",
    "ogc",
    "my own loss with a long name",
)
NUMBERS = np.random.default_rng(0)
FULL = EVOLVERS["sa-shade-tri-ensin"]


def crossed(**axes: Sequence[Any]) -> pd.DataFrame:
    """A line for every combination of values."""
    return pd.DataFrame(list(itertools.product(*axes.values())), columns=list(axes))


def near(table: pd.DataFrame, *columns: str, about: float = 90.0, sd: float = 1.0) -> pd.DataFrame:
    """The table with further columns of normal random numbers."""
    return table.assign(**{c: NUMBERS.normal(about, sd, len(table)) for c in columns})


def runs(dataset: str = "cifar10") -> pd.DataFrame:
    """Three seeds of every method; one of them has not learnt."""
    table = near(crossed(method=METHODS, seed=(1, 2, 3)), "value")
    table["learnt"] = table["method"] != "ogc"
    return table.assign(dataset=dataset, network="resnet110b", imbalance=100.0)


def compared() -> dict[str, Figure]:
    """Figures that compare methods and settings."""
    table = runs()
    far = statistics.differences(table, "ce", ["dataset", "network", "imbalance"])
    few = statistics.differences(table[table["seed"] < 3], "ce", [])
    swept = near(crossed(setting=[f"{a} x {b}" for a in (1, 2, 3) for b in (1, 2)], seed=(1, 2)))
    swept = near(swept, "value", "paper").assign(learnt=True)
    grid = near(crossed(row=METHODS, column=("1x2", "2x2", "2x3", "3x3"), seed=(1,)), "value")
    labels = {"row": "loss", "column": "grid", "value": "test accuracy (%)"}
    kinds = crossed(method=METHODS[:4], labels=("clean", "mislabelled"), seed=(1, 2), epoch=(1, 2))
    points = near(crossed(**{"class": DATASETS["cifar10"].classes}), "size", "accuracy", "score")
    line = statistics.regression(points["size"], points["score"])
    parts = [(f"{LONG[:60]} {x}", points, x, "score", line) for x in ("size", "accuracy", "size")]
    names = tuple(f"a class with quite a long name {k}" for k in range(100))
    confused = NUMBERS.integers(0, 9, (100, 100))
    settings = crossed(method=METHODS[:4], lr=(0.001, 0.01, 0.1), optimizer=("sgd", "adam"))
    settings = near(settings, "validation").assign(sd=1.0, chosen=settings["lr"] == 0.1)
    epochs = [near(crossed(epoch=range(40)), "test_accuracy", "train_loss") for _ in range(14)]
    return {
        "run_curves": curves.run_curves(
            epochs, [f"{LONG[:50]} {number}" for number in range(14)], "epoch", LONG
        ),
        "validation_grid": sweep.validation_grid(settings, LONG),
        "methods": comparison.methods(table, LONG, dict.fromkeys(METHODS, 91.0)),
        "methods_alone": comparison.methods(table[table["seed"] < 3], LONG, planned=9),
        "forest": comparison.forest(far, LONG),
        "forest_few": comparison.forest(few, LONG),
        "paired_comparison": comparison.paired_comparison(table, few, "ce", LONG),
        "ablation": comparison.ablation(swept, "setting", "grid, rows x columns", LONG),
        "heat": comparison.heat(grid, "row", "column", "value", labels, LONG),
        "kinds": comparison.kinds(near(kinds, "train_accuracy", "score"), LONG),
        "correlations": comparison.correlations(parts, LONG),
        "confusion_matrix": confusion.confusion_matrix(
            Confusion(DATASETS["cifar10"].classes, confused[:10, :10]), LONG
        ),
        "confusion_thirty": confusion.confusion_matrix(
            Confusion(names[:30], confused[:30, :30]), LONG
        ),
        "confused_pairs": confusion.confused_pairs(Confusion(names, confused), LONG),
        "claims_forest": claims.claims_forest(_claims()),
    }


def _claims() -> pd.DataFrame:
    lines = near(crossed(kind=tuple(KINDS), unit=("points", "points of AUC")), "effect", about=0)
    lines = lines.assign(low=lines["effect"] - 20, high=lines["effect"] + 1, printed=1.5)
    words = {"claim": LONG, "against": "ce_constant", "preset": "cpu", "verdict": "undecided"}
    return lines.assign(n=3, **words)


def of_ns() -> dict[str, Figure]:
    """Figures of Natural Selection, adaptation, texts and overhead."""
    images_of = torch.rand(6, 1, 8, 8)
    q = torch.tensor([0.9, 0.0001, 0.5, 0.2, 0.3, 0.01])
    wide = torch.rand(1, 16, 24)
    labels = torch.arange(6)
    group = GroupScores(images_of, labels, wide, images_of[0], q, 6 * q / q.sum(), (2, 3))
    classes = DATASETS["cifar10"].classes
    history = crossed(method=METHODS[:5], seed=(1, 2), epoch=range(1, 21))
    columns = ("train_loss", "test_accuracy", "weight_sd")
    by_class = near(crossed(method=METHODS, seed=(1, 2, 3), **{"class": classes}), "accuracy")
    scores = near(crossed(**{"class": classes, "k": range(30)}), "score", about=1.5, sd=0.3)
    scores["class"] = pd.Categorical(scores["class"], classes, ordered=True)
    domains = near(crossed(task=("digits to MNIST", "MNIST to digits"), method=METHODS), "value")
    adapting = crossed(method=("ns_ws_1x2", "ns_lf_2x2", "source_only"), seed=(1, 2), epoch=(1, 2))
    adapting = near(adapting, "pseudo_accuracy")
    adapting = near(adapting, "auc_weight", "auc_probability", about=0.8, sd=0.01)
    maps = near(crossed(epoch=range(1, 16), **{"class": classes}), "pseudo", "score")
    owners = {f"a way to join {k}": [0] * 9 + [1] * 12 + [2] * 4 for k in range(4)}
    joined = JoinedTexts(("World", "Sports", "Sci/Tech"), ("a", "b", "c"), {}, owners)
    steps = crossed(
        source=("paper", "ours"),
        dataset=("cifar10", "digits_16"),
        network=("resnet110b",),
        device=("NVIDIA H200, a long name of a device with memory",),
        part=(*STAGES, "time"),
    )
    steps = near(steps, "percent", about=30.0)
    steps = steps.assign(method="ns_ws", q1=steps["percent"] - 2, q3=steps["percent"] + 2)
    batch = Batch(torch.rand(16, 3, 8, 8), torch.arange(16) % 10, torch.arange(16))
    return {
        "images": ns.images(torch.rand(16, 1, 8, 8), [*classes, *classes[:6]]),
        "competition": ns.competition(group, classes),
        "weight_curves": ns.weight_curves(torch.rand(100), 1.5, 0.5, LONG),
        "training_curves": ns.training_curves(near(history, *columns), LONG),
        "class_accuracy": ns.class_accuracy(by_class, LONG),
        "score_distribution": ns.score_distribution(scores, 4, LONG),
        "tasks": adaptation.tasks(domains, LONG),
        "pseudo_label_curves": adaptation.pseudo_label_curves(adapting, LONG),
        "class_maps": adaptation.class_maps(maps, LONG),
        "class_maps_few": adaptation.class_maps(maps[maps["epoch"] < 5], LONG),
        "joined_rows": texts.joined_rows(joined, LONG),
        "step_by_stage": overhead.step_by_stage(steps, LONG),
        "batch_images": images.batch_images(batch, DATASETS["cifar10"], LONG),
    }


def of_evolution() -> dict[str, Figure]:
    """Figures of differential evolution: runs, strategies, ingredients."""
    assert isinstance(FULL, AdaptiveDE)
    values = ("held_out_loss", "held_out_accuracy")
    adam = crossed(network=("mlp", "lenet1", "lenet5", "rnn", "resnet8"), seed=(1, 2), x=range(12))
    later = crossed(network=adam["network"].unique(), seed=(1, 2), batch=range(5))
    table = [near(adam, *values).assign(phase="adam", method="adam")]
    for method in ("sa_shade_tri_ensin", "de", "wa"):
        table.append(near(later, *values).assign(phase="evolution", method=method))
    outcome = crossed(dataset=("digits",), network=("lenet5", "mobilenet_v2_cifar"), seed=(1, 2))
    outcome = pd.concat([outcome.assign(method=m) for m in ("adam", "de", "wa")])
    batches = near(crossed(method=METHODS, seed=(1, 2), batch=range(6)), *values, "diversity")
    factors = crossed(F=(0.1, 0.5, 0.9, 1.0), Cr=(0.05, 0.5, 0.9), seed=(1, 2), step=range(30))
    size = crossed(size=(6, 12, 24, 48), seed=(1, 2))
    names = tuple(SYMBOLS.values())
    strategies = near(crossed(strategy=names, step=range(40)), "F", "Cr", "probability", about=0.3)
    success = near(crossed(strategy=names, until=(10, 20, 30, 40)), "rate").assign(asked=1234)
    x = planes.initial_population(18, 0)
    made = planes.sketches("two_valleys", x, 4, FULL.strategies, 0.6, 0.5, 0)
    course = planes.evolve_on(FULL, "ripples", x, 10, 0)
    successes = [([0.1, 0.2], [1.0, 3.0]), ([0.15], [1.0])]
    changes = {name: torch.randn(300) for name in FULL.strategies}
    born = crossed(strategy=FULL.strategies, kind=("mutant", "trial"), k=range(12))
    children = found.Children(near(born, "loss", about=0.1, sd=0.01), torch.rand(7) / 9, 3, changes)
    steps = np.arange(1, 31)
    history = pd.DataFrame({"step": steps, "mean": 2 / steps, "best": 1 / steps, "wins": 7})
    rates = [dict.fromkeys(FULL.strategies, 0.3)]
    return {
        "lineage": de_runs.lineage(pd.concat(table), "network", LONG, values),
        "lineage_two": de_runs.lineage(
            pd.concat(table).query("network in ['mlp', 'rnn']"), "network", LONG
        ),
        "gains": de_runs.gains(near(outcome, "value"), "adam", ["de", "wa"], LONG),
        "over_batches": de_runs.over_batches(batches, "held_out_accuracy", "method", LONG),
        "factor_curves": de_runs.factor_curves(near(factors, "best"), "F", "Cr", LONG),
        "by_setting": de_runs.by_setting(
            near(size, "value", "start_test_accuracy"), "size", LONG[:150]
        ),
        "memories": de_runs.memories(strategies, LONG),
        "strategy_shares": de_runs.strategy_shares(strategies, success, LONG),
        "mutations": de_landscapes.mutations(planes.plane("two_valleys", 41), x, 4, made, LONG),
        "course": de_landscapes.course(planes.plane("ripples", 41), course, [0, 2, 5, 10], LONG),
        "sources_of_f": de_ingredients.sources_of_f(
            found.sinusoids((0.5, 0.25, 0.1, 0.8), FULL),
            found.drawn_factors(FULL, 500, 0),
            FULL.f_range,
            5.0,
        ),
        "archive": de_ingredients.archive(
            successes[0], {"mean": 0.15, "Lehmer": 0.18}, found.archived(successes, 5, 0.1)
        ),
        "rivalry": de_ingredients.rivalry(found.rivalry_table(rates, 8, 20, 5, 0), 5),
        "children": de_ingredients.children(children, LONG),
        "genes": de_ingredients.genes({"parents, some apart": torch.randn(300)}, changes, LONG),
        "offspring": de_ingredients.offspring(history.assign(batch=steps // 10), 7, LONG),
    }


def of_losses() -> dict[str, Figure]:
    """Figures of evolved losses, real predictions, and robustness."""
    known = {"ce": CrossEntropy().loss, "focal": Focal().loss, "edl_log": CrossEntropy().loss}
    known |= {"edl_order": Focal().loss}
    rates = crossed(method=tuple(known), lr=(0.001, 0.01, 0.1, 1.0), seed=(1, 2))
    cells = crossed(margin=("order", "log"), feature=("p", "log p", "CE"), evolution=(1, 2, 3))
    searches = crossed(pairs=(100, 1000), seed=(1, 2), generation=range(30))
    several = [searches.assign(search=s) for s in ("gaussian", "chaotic", "arcsine", "orbit", "de")]
    tried = near(crossed(generations=(1, 10, 100), k=range(5)), "objective", "accuracy")
    line = statistics.regression(tried["objective"], tried["accuracy"])
    parts = [(f"{LONG[:50]} {k}", tried, line) for k in range(3)]
    errors = crossed(
        network=("lenet1", "mobilenet_v2_cifar"),
        method=("adam", "sa_shade_tri_ensin"),
        corruption=("clean", *CORRUPTIONS["cifar10_c"], "average"),
        metric=("error", "mce"),
    )
    errors = near(errors, "ours", "paper", about=30.0).assign(sd=1.0, n=3, part="")
    three, ten = (edl.synthetic_table(Regimes(), 300, k) for k in (3, 10))
    return {
        "loss_curves": losses.loss_curves(edl.curve_table(known), LONG),
        "surfaces": losses.surfaces({k: edl.surface(v, 20) for k, v in known.items()}, LONG),
        "synthetic_regimes": losses.synthetic_regimes(three, ten),
        "convergence": losses.convergence(
            near(pd.concat(several), "objective", "unranked", about=0.1, sd=0.01), LONG
        ),
        "ranking_and_accuracy": losses.ranking_and_accuracy(parts, "objective", "the objective"),
        "accuracy_by_rate": losses.accuracy_by_rate(near(rates, "value"), LONG),
        "accuracy_by_factor": losses.accuracy_by_factor(near(cells, "value").assign(n=5), LONG),
        "errors": robustness.errors(errors.assign(dataset="cifar10_c"), LONG),
        "mce": robustness.mce(errors.assign(dataset="cifar10_c"), LONG),
    } | _of_predictions()


def _of_predictions() -> dict[str, Figure]:
    regimes = tuple(Regimes().weights)
    shares = [f"like_{name}" for name in regimes]
    more = [f"{loss}_{what}" for loss in ("log", "order") for what in predictions_of]
    real = crossed(method=("ce", "edl_order"), epoch=(0, 1, 2, 5, 10, 20), seed=(1, 2))
    kinds = [
        real.assign(kind="real"),
        real[real["epoch"] == 20].assign(kind="pooled"),
        pd.DataFrame({"regime": regimes}).assign(kind="regime"),
        pd.DataFrame({"kind": ["redraw", "redraw"]}),
    ]
    table = pd.concat(kinds, ignore_index=True).assign(images=100)
    table = near(table, *shares, about=0.18, sd=0.01)
    table = near(table, *predictions.DISTANCES, *more, "ce_gradient", about=0.4, sd=0.02)
    for k, level in enumerate((5, 25, 50, 75, 95)):
        table = near(table, f"odds_q{level}", about=4.0 * (k - 2), sd=0.3)
    drawn: dict[str, Callable[[pd.DataFrame, str], Figure]] = {
        "distributions": predictions.distributions,
        "distances": predictions.distances,
        "composition": predictions.composition,
        "loss_behaviour": predictions.loss_behaviour,
    }
    return {name: draw(table, LONG) for name, draw in drawn.items()}


predictions_of = ("independent", "gradient", "vanished", "vanished_wrong")
