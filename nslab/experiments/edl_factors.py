"""Factors of the evolved losses: the two in which the package's losses differ, varied separately.

``order`` sees p alone and is evolved only to order pairs; ``log`` also sees log p and is evolved to
have margins equal to differences of -log p_y, as cross-entropy has. Here feature and margin vary
separately, all else the same. Each cell has several evolutions with several trainings each, since
trainings with one evolved loss say nothing about what another evolution would give.
"""

from typing import Any, Literal

from nslab.configs.loss_search import LossSearchConfig
from nslab.configs.train import TrainConfig
from nslab.evolve.es import ES
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.edl import EDL_TRAINING
from nslab.experiments.presets import Preset
from nslab.lossnet import LossForm, Regimes
from nslab.objectives import EDL, CrossEntropy
from nslab.types import ObjectiveConfig

Feature = Literal["p", "log p"]
FactorMargin = Literal["order", "log"]

# Generations, evolutions per cell, trainings with each evolved loss.
FACTOR_SIZES: dict[str, tuple[int, int, int]] = {
    "smoke": (20, 2, 2),
    "cpu": (100, 4, 5),
    "paper": (200, 4, 5),
}


def feature_by_margin(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    features: tuple[Feature, ...] = ("p", "log p"),
    margins: tuple[FactorMargin, ...] = ("order", "log"),
    evolutions: int | None = None,
    generations: int | None = None,
    classes: tuple[int, ...] = Regimes.classes,
) -> list[TrainConfig]:
    """Each feature with each margin, and cross-entropy; on digits, at preset ``paper`` on CIFAR-10.

    ``seeds`` are those of training; each kind of loss is evolved ``evolutions`` times. ``classes``
    are the numbers of classes of the synthetic predictions, the same in every cell (in which the
    two losses of the package differ too).
    """
    usual, several, trainings = FACTOR_SIZES[preset]
    number = generations or usual
    start = TrainConfig(**EDL_TRAINING["paper" if preset == "paper" else "smoke"])
    losses = [
        LossSearchConfig(
            LossForm(log_feature=feature == "log p"),
            ES(generations=number),
            Regimes(classes=classes),
            margin,
            generations=number,
            seed=2024 + evolution,
        )
        for feature in features
        for margin in margins
        for evolution in range(evolutions or several)
    ]
    objectives: list[ObjectiveConfig] = [*map(EDL, losses), CrossEntropy()]
    return with_seeds(start, objectives, seeds or tuple(range(2024, 2024 + trainings)))


def feature_margin_row(config: TrainConfig) -> TableRow:
    """Row: feature, margin, the most classes the loss was evolved on, and the seed of its
    evolution."""
    if not isinstance(config.objective, EDL):
        return {"feature": "CE", "margin": "CE", "classes": 0, "evolution": 0}
    source: Any = config.objective.source
    return {
        "feature": "log p" if source.form.log_feature else "p",
        "margin": source.margin,
        "classes": max(source.regimes.classes),
        "evolution": source.seed,
    }


EXPERIMENTS: dict[str, Experiment] = {
    "edl/factors": Experiment(
        "EDL: log feature by log margin", feature_by_margin, feature_margin_row
    ),
}
