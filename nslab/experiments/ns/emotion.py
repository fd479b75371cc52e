"""Visual emotion recognition: Table III, fine-tuning of networks pretrained on ImageNet.

Section IV-A2 gives networks, epochs, optimizer, batch size, learning rate and NS-LF's settings.
NOTE: the paper does not give the power of the polynomial decay (here 0.9), the weight decay (5e-4),
the augmentation (random-resized crops and flips), which of torchvision's weights (the first ones,
``IMAGENET1K_V1``) or how the sets are split (80 to 20 in each class, by a fixed seed, where a
folder has no split of its own). All layers have one learning rate, and the head is new.
"""

import dataclasses
from typing import Any, Literal

from nslab.configs.labels import columns, paper_name_of
from nslab.configs.schedules import Cosine, Polynomial
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow
from nslab.experiments.presets import SEEDS_OF_MANY, Preset
from nslab.objectives import NS
from nslab.objectives.ns import SETTINGS

WEIGHTS = "torchvision:IMAGENET1K_V1"
EMOTION_SETS = ("twitter1", "twitter2", "flickr", "instagram", "fi", "emoset")
EMOTION_NETWORKS = ("alexnet", "vgg16", "resnet50", "densenet121", "vit_b_16", "swin_t")

# Preset smoke: a small network trained on half of the digits learns all of them with a new head.
HALF = TrainConfig(
    "digits_half",
    "resnet8",
    epochs=6,
    batch_size=64,
    schedule=Cosine(),
    warmup_epochs=1.0,
    image_size=16,
)
SETS = {"smoke": ("digits_folder",), "cpu": ("twitter1",), "paper": EMOTION_SETS}
NETWORKS = {"smoke": ("resnet8",), "cpu": ("alexnet",), "paper": EMOTION_NETWORKS}


def base_of(preset: Preset) -> TrainConfig:
    """The training of a preset, of which the runs are variants. Not a constant, because the lookup
    of its weights imports torchvision, which takes a second."""
    if preset == "smoke":
        return dataclasses.replace(
            HALF,
            dataset="digits_folder",
            ancestor=HALF,
            epochs=3,
            lr=0.02,
            warmup_epochs=0.0,
            schedule=Polynomial(0.9),
        )
    fine_tuning = TrainConfig(
        "twitter1",
        "resnet50",
        epochs=10,
        batch_size=64,
        lr=1e-3,
        weight_decay=5e-4,
        schedule=Polynomial(0.9),
        augment="crop_flip",
        start=WEIGHTS,
    )
    if preset == "cpu":
        return dataclasses.replace(fine_tuning, network="alexnet", epochs=3)
    return fine_tuning


def ns_lf_setting(dataset: str) -> NS:
    """The paper's NS-LF for an emotion data set; any other takes EmoSet's."""
    return SETTINGS[dataset if dataset in EMOTION_SETS else "emoset"].objective


def table3(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[Literal["ce", "ns_lf"], ...] = ("ce", "ns_lf"),
    datasets: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    epochs: int | None = None,
    start: str | None = None,
) -> list[TrainConfig]:
    """Table III: pretrained networks fine-tuned on emotion sets, with and without NS-LF."""
    base = base_of(preset)
    base = dataclasses.replace(base, epochs=base.epochs if epochs is None else epochs)
    made = []
    for dataset in datasets or SETS[preset]:
        for network in networks or NETWORKS[preset]:
            weights: dict[str, Any] = {}
            if start is not None:
                weights = {"start": start, "ancestor": None}
            elif base.ancestor:
                weights = {"ancestor": dataclasses.replace(base.ancestor, network=network)}
            config = dataclasses.replace(base, dataset=dataset, network=network, **weights)
            objectives = {"ce": config.objective, "ns_lf": ns_lf_setting(dataset)}
            made += [
                dataclasses.replace(config, objective=objectives[method], seed=seed)
                for seed in seeds or SEEDS_OF_MANY[preset]
                for method in methods
            ]
    return made


def emotion_row(config: TrainConfig) -> TableRow:
    """Row of Table III: data set, network, method."""
    row = columns(config)
    network = paper_name_of(config.network)
    return {"dataset": row["dataset"], "network": network, "method": row["method"]}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/table3": Experiment(
        "Emotion recognition", table3, emotion_row, "table3", baseline={"method": "ce"}
    ),
}
