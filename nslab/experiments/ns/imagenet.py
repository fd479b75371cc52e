"""ImageNet-1K and ImageNet-Hard: Tables I and X.

Preset ``paper`` has the recipes of section IV-A2. Where the paper is silent, it follows
bearpaw/pytorch-classification, whose setup the paper uses: weight decay 1e-4 for ResNet-18,
random-resized crops of 224 pixels with flips, and no other augmentation. Preset ``cpu`` is much
smaller: a ResNet-18 on 10,000 images of 64 pixels.

NOTE: the text gives a single sigma for ImageNet, 2.0, so NS-LF has it too.
"""

import dataclasses
from typing import Any, Literal, get_args

from nslab.configs.evaluation import EvaluateConfig
from nslab.configs.labels import columns
from nslab.configs.schedules import Cosine, Step
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS, CrossEntropy
from nslab.objectives.ns import SETTINGS

# Cross-entropy, and four settings of NS: who is strengthened, and how many samples form a group.
ImageNetMethod = Literal["ce", "ns_lf_2", "ns_ws_2", "ns_lf_4", "ns_ws_4"]
GRIDS = {"2": (1, 2), "4": (2, 2)}
SIGMA = SETTINGS["imagenet"].objective.sigma

TRANSFORMER: dict[str, Any] = {
    "batch_size": 1024,
    "optimizer": "adamw",
    "lr": 1e-3,
    "weight_decay": 0.05,
    "schedule": Cosine(),
    "warmup_epochs": 5.0,
}
PLAIN = TrainConfig(
    "imagenet",
    "resnet18",
    epochs=90,
    batch_size=256,
    lr=0.1,
    weight_decay=1e-4,
    schedule=Step((31, 61), (0.1, 0.1)),
    augment="crop_flip",
)
RECIPES: dict[str, dict[str, TrainConfig]] = {
    "smoke": {
        "resnet8": TrainConfig(
            "digits_folder",
            "resnet8",
            epochs=3,
            batch_size=32,
            optimizer="adam",
            lr=0.01,
            weight_decay=0.0,
            schedule=Cosine(),
            warmup_epochs=1.0,
            image_size=16,
        )
    },
    "cpu": {
        "resnet18": dataclasses.replace(
            PLAIN,
            epochs=8,
            batch_size=128,
            schedule=Cosine(),
            warmup_epochs=1.0,
            train_size=10_000,
            image_size=64,
        )
    },
    "paper": {
        "resnet18": PLAIN,
        "swin_t": dataclasses.replace(PLAIN, network="swin_t", **TRANSFORMER),
        "vmamba_t": dataclasses.replace(PLAIN, network="vmamba_t", **TRANSFORMER),
    },
}
HARD = {"smoke": "digits_hard", "cpu": "imagenet_hard", "paper": "imagenet_hard"}
MEASURED_ON = {"smoke": SEEDS_OF_MANY["smoke"][:1]} | {
    preset: SEEDS_OF_MANY[preset] for preset in ("cpu", "paper")
}


def table1(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[ImageNetMethod, ...] = get_args(ImageNetMethod),
    networks: tuple[str, ...] | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    image_size: int | None = None,
) -> list[TrainConfig]:
    """Table I: three kinds of network by cross-entropy and by four settings of NS.

    With ``accelerate launch`` several GPUs share a batch; on fewer, ``accumulate`` cuts it into
    parts. A network that the paper does not have is trained like its ResNet-18.
    """
    recipes = RECIPES[preset]
    given: dict[str, Any] = {"epochs": epochs, "image_size": image_size, "dataset": dataset}
    changes = {name: value for name, value in given.items() if value is not None}
    if dataset:
        changes["train_size"] = 0
    made = []
    for network in networks or recipes:
        base = recipes.get(network, next(iter(recipes.values())))
        base = shortened(base, network=network, **changes)
        made += [
            dataclasses.replace(base, objective=objective_of(method), seed=seed)
            for seed in seeds or MEASURED_ON[preset]
            for method in methods
        ]
    return made


def shortened(base: TrainConfig, **changes: Any) -> TrainConfig:
    """A recipe with some values changed; warm-up is dropped if it would last the whole training."""
    epochs = changes.get("epochs", base.epochs)
    warmup = base.warmup_epochs if base.warmup_epochs < epochs else 0.0
    return dataclasses.replace(base, **{"warmup_epochs": warmup} | changes)


def objective_of(method: ImageNetMethod) -> NS | CrossEntropy:
    """The objective of a column of Table I."""
    if method == "ce":
        return CrossEntropy()
    _, strategy, group = method.split("_")
    return NS(grid=GRIDS[group], sigma=SIGMA, rho=1.0 if strategy == "ws" else -1.0)


def table10(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[ImageNetMethod, ...] = ("ce", "ns_ws_4"),
    networks: tuple[str, ...] | None = None,
    epochs: int | None = None,
) -> list[EvaluateConfig]:
    """Table X: the networks of Table I on the hard images.

    A prediction is right if the most probable class is among the image's right labels. NOTE: the
    paper says neither this nor which version of the data set it used; the data set's authors count
    this way.
    """
    chosen = networks or tuple(RECIPES[preset])[:1]
    trained = table1(preset, seeds, methods, chosen, epochs=epochs)
    return [EvaluateConfig(config, HARD[preset]) for config in trained]


def imagenet_row(config: TrainConfig) -> TableRow:
    """Row of Table I: data set, network, method, grid."""
    row = columns(config)
    ns = config.objective
    grid = f"{ns.grid[0]}x{ns.grid[1]}" if isinstance(ns, NS) else ""
    return {key: row[key] for key in ("dataset", "network", "method")} | {"grid": grid}


def arm_of(config: TrainConfig) -> str:
    """The column of Table I, as figures name it: ``ce``, ``ns_ws_2x2``."""
    row = imagenet_row(config)
    return f"{row['method']}_{row['grid']}" if row["grid"] else str(row["method"])


def hard_row(config: EvaluateConfig) -> TableRow:
    """Row of Table X: data set, network, method."""
    row = columns(config)
    return {key: row[key] for key in ("dataset", "network", "method")}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/table1": Experiment(
        "Networks on ImageNet",
        table1,
        imagenet_row,
        "table1",
        baseline={"method": "ce", "grid": ""},
    ),
    "ns/table10": Experiment(
        "Hard images", table10, hard_row, "table10", baseline={"method": "ce"}
    ),
}
