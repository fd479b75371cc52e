"""Evolutionary Dynamic Loss: its pretraining, and training with it beside other losses.

The paper's numbers were unavailable, so none are shown beside ours. Presets: ``smoke`` takes
seconds on digits; ``cpu`` takes an hour or two (10,000 images of CIFAR-10, a ResNet-20); ``paper``
is CIFAR-10 with ResNets, according to the abstract, and five seeds, according to its review. NOTE:
the paper's training recipe is unknown; ours is that of He et al. 2016 with a cosine schedule.
"""

import dataclasses
from typing import Any, Literal

from nslab.configs.loss_search import LossSearchConfig
from nslab.configs.schedules import Cosine
from nslab.configs.serialization import encode
from nslab.configs.train import TrainConfig
from nslab.evolve import EVOLVERS
from nslab.evolve.chaotic_evolution import ChaoticEvolution
from nslab.evolve.es import ES
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.presets import SEEDS_OF_SHORT, Preset
from nslab.lossnet import MORE_CLASSES, LossForm, Regimes, Shipped
from nslab.objectives import EDL, GCE, NS, CrossEntropy
from nslab.types import ObjectiveConfig

LossVariant = Literal["order", "log", "pairs", "flat"]
SearchName = Literal["gaussian", "chaotic", "arcsine", "orbit", "chaotic_evolution", "de"]
LossName = Literal[
    "ce", "mae", "gce", "edl_order", "edl_log", "edl_pairs", "edl_flat", "edl_random", "ns_edl"
]

# Generations, numbers of pairs per generation, and number of seeds.
PRETRAINING: dict[str, tuple[int, tuple[int, ...], int]] = {
    "smoke": (20, (64,), 10),
    "cpu": (100, (64, 512), 10),
    "paper": (200, (64, 512), 50),
}
EDL_TRAINING: dict[str, dict[str, Any]] = {
    "smoke": {
        "dataset": "digits",
        "network": "mlp",
        "epochs": 30,
        "batch_size": 64,
        "lr": 0.02,
        "schedule": Cosine(),
        "warmup_epochs": 1,
    },
    "cpu": {
        "dataset": "cifar10",
        "network": "resnet20",
        "epochs": 8,
        "train_size": 10000,
        "schedule": Cosine(),
        "warmup_epochs": 1,
        "augment": "crop_flip",
        "precision": "bf16",  # 1.7 times as fast as float32 on processors with bf16 instructions
    },
    "paper": {
        "dataset": "cifar10",
        "network": "resnet20",
        "epochs": 200,
        "weight_decay": 1e-4,
        "schedule": Cosine(),
        "augment": "crop_flip",
    },
}


def recipe(variant: LossVariant, classes: int = 10) -> LossSearchConfig:
    """How a loss network is evolved.

    ``"order"`` and ``"log"`` are the recipes of the losses that come with the package, see
    `Shipped`. ``"pairs"`` and ``"flat"`` are two other forms of the network, evolved as
    ``"order"``; ``classes`` is the number of classes of ``"flat"``, which is made for one number.
    """
    if variant == "log":
        return LossSearchConfig(
            LossForm(log_feature=True),
            ES(generations=200),
            Regimes(classes=MORE_CLASSES),
            "log",
            generations=200,
        )
    if variant == "flat":
        return LossSearchConfig(
            LossForm("flat", classes=classes), regimes=Regimes(classes=(classes,))
        )
    return LossSearchConfig(LossForm("pairs" if variant == "pairs" else "equivariant"))


# Generalised cross-entropy (GCE) is MAE at q = 1 and tends to CE as q -> 0.
EDL_LOSSES: dict[LossName, ObjectiveConfig] = {
    "ce": CrossEntropy(),
    "mae": GCE(q=1.0),
    "gce": GCE(q=0.7),
    "edl_order": EDL(Shipped("order")),
    "edl_log": EDL(Shipped("log")),
    "edl_pairs": EDL(recipe("pairs")),
    "edl_flat": EDL(recipe("flat")),
    "edl_random": EDL(dataclasses.replace(recipe("order"), generations=0)),
    "ns_edl": NS(grid=(1, 2), sigma=2.5, rho=-1.0, base=EDL(Shipped("log"))),
}
LOSSES_SHOWN: dict[str, tuple[LossName, ...]] = {
    "smoke": tuple(EDL_LOSSES),
    "cpu": ("ce", "edl_order", "edl_log"),
    "paper": ("ce", "mae", "gce", "edl_order", "edl_log", "ns_edl"),
}


def classification(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    losses: tuple[LossName, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """A network trained with each loss, all else the same; the weights of every epoch are kept.

    All losses have the same learning rate; `learning_rates` varies it.
    """
    given = EDL_TRAINING[preset] | ({"epochs": epochs} if epochs else {})
    objectives = [EDL_LOSSES[name] for name in losses or LOSSES_SHOWN[preset]]
    usual = ("resnet20", "resnet56") if preset == "paper" else (given["network"],)
    return [
        config
        for network in networks or usual
        for config in with_seeds(
            TrainConfig(**given | {"network": network, "keep_last": given["epochs"]}),
            objectives,
            seeds or SEEDS_OF_SHORT[preset],
        )
    ]


def learning_rates(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    losses: tuple[LossName, ...] = ("ce", "mae", "gce", "edl_order", "edl_log"),
    lrs: tuple[float, ...] = (0.005, 0.02, 0.05, 0.1),
) -> list[TrainConfig]:
    """How sensitive each loss is to the learning rate: a small perceptron on digits."""
    some = seeds or SEEDS_OF_SHORT["smoke"][: 2 if preset == "smoke" else None]
    return [
        dataclasses.replace(config, lr=lr, keep_last=0)
        for lr in lrs
        for config in classification("smoke", some, losses)
    ]


def pretraining(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    searches: tuple[SearchName, ...] = ("gaussian", "chaotic", "arcsine", "orbit"),
    pairs: tuple[int, ...] | None = None,
    generations: int | None = None,
    variant: LossVariant = "order",
) -> list[LossSearchConfig]:
    """The same loss network evolved with chaotic, Gaussian and other noise, on many pairs per
    generation and on few, with which fitness is noisier."""
    usual, few_and_many, evolutions = PRETRAINING[preset]
    number = generations or usual
    start = dataclasses.replace(recipe(variant), generations=number)
    return [
        dataclasses.replace(start, search=searched(search, number), pairs=n, seed=seed)
        for n in pairs or few_and_many
        for seed in seeds or range(2024, 2024 + evolutions)
        for search in searches
    ]


def searched(search: SearchName, generations: int) -> Any:
    """The search: chaotic evolution, DE, or an evolution strategy with one of four noises."""
    if search == "chaotic_evolution":
        return ChaoticEvolution()
    if search == "de":
        return EVOLVERS["sa-shade-tri-ensin"]
    return ES(generations=generations, noise=search)


def ranking_transfer(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    variants: tuple[LossVariant, ...] = ("order", "log"),
    generations: tuple[int, ...] | None = None,
    evolutions: int | None = None,
) -> list[TrainConfig]:
    """Does a loss that ranks synthetic predictions better also train a better network? One training
    with each of many losses, from hardly evolved to fully evolved.

    ``seeds`` are those of training; each kind of loss is evolved ``evolutions`` times.
    """
    numbers = generations or ((1, 3, 10, 30) if preset == "smoke" else (1, 2, 5, 10, 20, 50, 100))
    start = TrainConfig(**EDL_TRAINING["smoke" if preset != "paper" else preset])
    losses = [
        dataclasses.replace(
            recipe(variant), search=ES(generations=g), generations=g, seed=2024 + evolution
        )
        for variant in variants
        for g in numbers
        for evolution in range(evolutions or (1 if preset == "smoke" else 3))
    ]
    some = seeds or SEEDS_OF_SHORT["cpu"][: 1 if preset == "smoke" else None]
    return with_seeds(start, [EDL(loss) for loss in losses], some)


def loss_name(objective: ObjectiveConfig) -> str:
    """The name of a loss in `EDL_LOSSES`; for any other, its class in lower case, such as
    ``edl``."""
    names = [name for name, loss in EDL_LOSSES.items() if loss == objective]
    return names[0] if names else type(objective).__name__.lower()


def search_of(config: LossSearchConfig) -> str:
    """The name of a search: its noise, or its class."""
    return str(getattr(config.search, "noise", encode(config.search)["@"]))


def loss_row(config: TrainConfig) -> TableRow:
    """Row of a classification: data set, network, loss."""
    return {
        "dataset": config.dataset,
        "network": config.network,
        "method": loss_name(config.objective),
    }


def rates_row(config: TrainConfig) -> TableRow:
    """Row of `learning_rates`: learning rate, loss."""
    return {"lr": config.lr, "method": loss_name(config.objective)}


def pretraining_row(config: LossSearchConfig) -> TableRow:
    """Row of `pretraining`: pairs per generation, search."""
    return {"pairs": config.pairs, "search": search_of(config)}


def transfer_row(config: TrainConfig) -> TableRow:
    """Row of `ranking_transfer`: variant, generations, and the id of the run that evolved the
    loss."""
    source: Any = config.objective.source  # type: ignore[attr-defined]
    variant = "log" if source.form.log_feature else "order"
    return {"variant": variant, "generations": source.generations, "loss": source.id}


EXPERIMENTS: dict[str, Experiment] = {
    "edl/classification": Experiment(
        "CE, MAE, GCE and evolved losses",
        classification,
        loss_row,
        baseline={"method": "ce"},
    ),
    "edl/rates": Experiment(
        "Losses by learning rate", learning_rates, rates_row, baseline={"method": "ce"}
    ),
    "edl/pretraining": Experiment(
        "Evolving a loss: chaotic, Gaussian, arcsine noise",
        pretraining,
        pretraining_row,
        measure="ranking_accuracy",
        baseline={"search": "gaussian"},
    ),
    "edl/transfer": Experiment("Does ranking predict accuracy?", ranking_transfer, transfer_row),
}
