"""Pretrained ResNets, Tables 1 to 3 and S7 to S9: evolution against averages and ensembles."""

import dataclasses
from collections.abc import Iterator
from typing import Literal

from nslab.configs.evolve import EvolveConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import dataset_of, is_folder
from nslab.experiments.de.presets import (
    DATA,
    EvolutionMethod,
    evolved,
    networks_of,
    pretrained,
)
from nslab.experiments.de.pretrained_rows import (
    TABLE_BASELINES,
    depth_row,
    ingredient_row,
    initialised_row,
    initialization_row,
)
from nslab.experiments.definition import Experiment
from nslab.experiments.presets import SEEDS, Preset
from nslab.neuroevolution.options import Genes

TABLE_1_METHODS: tuple[EvolutionMethod, ...] = (
    "pretrained",
    "smd",
    "wa",
    "ensemble",
    "fge",
    "sa_shade_tri_ensin",
)
TABLE_2_METHODS: tuple[EvolutionMethod, ...] = (
    "pretrained",
    "population_mean",
    "population_best",
    "wa",
    "ensemble",
    "soups",
    "de",
    "sa_shade_tri_ensin",
)
TABLE_3_METHODS: tuple[EvolutionMethod, ...] = (
    "de",
    "sade",
    "sa_shade",
    "sa_shade_tri",
    "sa_shade_ensin",
    "sa_shade_tri_ensin",
)
Tricks = Literal["init_rs", "init_hp", "init_hp_top_k"]
METHOD: EvolutionMethod = "sa_shade_tri_ensin"


def table1(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[EvolutionMethod, ...] = TABLE_1_METHODS,
    networks: tuple[str, ...] | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    batches: int | None = None,
    generations: int | None = None,
    start: str | None = None,
    dtype: Genes | None = None,
) -> list[EvolveConfig]:
    """Table 1: networks of several depths, parents from epochs of continued training.

    The paper's Ensemble is fast geometric ensembling (``fge``), whose parents come from a cyclic
    learning rate. ``ensemble`` is a vote of the parents that all other methods have; its row is
    called ``vote``. A population of ``dtype="bfloat16"`` takes half the memory. Preset ``smoke``
    reads image files, as preset ``paper`` does.
    """
    sizes = {"batches": batches, "generations": generations, "dtype": dtype}
    dataset = dataset or ("digits_folder" if preset == "smoke" else None)
    return unique_runs(
        [
            evolved(preset, base, "last_epochs", method, **sizes)
            for seed in seeds or SEEDS[preset]
            for network in networks or networks_of(preset, dataset, depths=True)
            for base in (pretrained(preset, network, seed, dataset, epochs, start),)
            for method in methods
        ]
    )


def pretrained_table2(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[EvolutionMethod, ...] = TABLE_2_METHODS,
    inits: tuple[Tricks, ...] = ("init_rs", "init_hp"),
    networks: tuple[str, ...] | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    start: str | None = None,
    dtype: Genes | None = None,
) -> list[EvolveConfig]:
    """Table 2: every method on two initial populations, Init-RS and Init-HP."""
    runs = [
        evolved(preset, base, init, method, dtype=dtype)
        for seed in seeds or SEEDS[preset]
        for network in networks or networks_of(preset, dataset)
        for base in (pretrained(preset, network, seed, dataset, epochs, start),)
        for init in inits
        for method in methods
    ]
    return unique_runs(runs)


def table3(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[EvolutionMethod, ...] = TABLE_3_METHODS,
    networks: tuple[str, ...] | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
    start: str | None = None,
    dtype: Genes | None = None,
) -> list[EvolveConfig]:
    """Table 3: the ingredients added one by one, on last epochs; then the full method on Init-RS
    and Init-HP."""
    made = []
    for seed in seeds or SEEDS[preset]:
        for network in networks or networks_of(preset, dataset):
            base = pretrained(preset, network, seed, dataset, epochs, start)
            made += [
                evolved(preset, base, "last_epochs", method, dtype=dtype) for method in methods
            ]
            if "sa_shade_tri_ensin" in methods:
                made += [
                    evolved(preset, base, "init_rs", METHOD, dtype=dtype),
                    evolved(preset, base, "init_hp", METHOD, dtype=dtype),
                ]
    return made


def bases(
    preset: Preset, seeds: tuple[int, ...] | None, dataset: str | None
) -> Iterator[TrainConfig]:
    """The trainings that the supplement's tables start from: one network, one training per seed."""
    (network,) = networks_of(preset, dataset)
    return (pretrained(preset, network, seed, dataset) for seed in seeds or SEEDS[preset])


def table_s7(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    sizes: tuple[int, ...] | None = None,
    dataset: str | None = None,
    dtype: Genes | None = None,
) -> list[EvolveConfig]:
    """Table S7: the number of members.

    NOTE: a larger population of last epochs comes from a longer training.
    """
    chosen = sizes or ((6, 8, 10) if preset == "smoke" else (6, 10, 20, 40))
    return [
        evolved(preset, base, "last_epochs", METHOD, size=size, dtype=dtype)
        for base in bases(preset, seeds, dataset)
        for size in chosen
    ]


def table_s8(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    batch_sizes: tuple[int, ...] | None = None,
    dataset: str | None = None,
) -> list[EvolveConfig]:
    """Table S8: the number of samples that fitness is computed on.

    NOTE: for data sets in memory, the paper's larger batches, 64,000 to 980,000 of ImageNet's
    images, become about the same shares of the training set, at most all of it. A batch is then
    evaluated in one piece, not in parts of the training's batch size: that is the mismatch of
    BatchNorm statistics which the paper mentions (S4.4.4). Image files are evaluated in parts of
    that size; a batch that does not fit in memory is decoded again in each generation. Batches
    larger than a folder become one row with all of its images.
    """
    every = {
        "digits_16": (64, 128, 256, 512),
        "cpu": (256, 512, 1024, 2250),  # more would take 15 GB
        "cifar10": (256, 512, 1024, 2250, 11250, 45000),
        "imagenet": (256, 512, 1024, 64_000, 320_000, 980_000),
    }
    made = []
    for base in bases(preset, seeds, dataset):
        name = DATA[preset] if preset == "smoke" else "cpu" if preset == "cpu" else base.dataset
        chosen = batch_sizes or every.get(name, every["imagenet"])
        if is_folder(base.dataset):
            there = dataset_of(base.dataset).layout.train - base.hold_out
            chosen = tuple(dict.fromkeys(min(size, there) for size in chosen))
        for size in chosen:
            run = evolved(preset, base, "last_epochs", METHOD, batch_size=size)
            made.append(
                run if is_folder(base.dataset) else dataclasses.replace(run, microbatch=None)
            )
    return made


def table_s9(
    preset: Preset = "smoke", seeds: tuple[int, ...] | None = None, dataset: str | None = None
) -> list[EvolveConfig]:
    """Table S9: parents from continued training against a noisy population of the same spread."""
    made = []
    for base in bases(preset, seeds, dataset):
        made.append(evolved(preset, base, "pretrained", "pretrained"))
        made.append(evolved(preset, base, "noise", METHOD))
        made.append(evolved(preset, base, "last_epochs", METHOD))
    return unique_runs(made)


def unique_runs(runs: list[EvolveConfig]) -> list[EvolveConfig]:
    """Each run once; of the pretrained network, which is the same for all seeds, only the first."""
    seen: dict[EvolveConfig, EvolveConfig] = {}
    for run in runs:
        seen.setdefault(run.with_seed(0) if run.init == "pretrained" else run, run)
    return list(seen.values())


PRINTED = {"pretrained": "pytorch"}
EXPERIMENTS: dict[str, Experiment] = {
    name: Experiment(
        title,
        configs,
        row,
        name.removeprefix("de/"),
        measure=measure,
        baseline=TABLE_BASELINES.get(name, {}),
        printed_as=printed,
    )
    for name, title, configs, row, measure, printed in (
        (
            "de/table1",
            "Pretrained networks of several depths",
            table1,
            depth_row,
            "top1_and_top5",
            PRINTED | {"fge": "ensemble"},
        ),
        (
            "de/table2",
            "Initial populations and methods",
            pretrained_table2,
            initialised_row,
            "top1_and_top5_of_inits",
            PRINTED,
        ),
        ("de/table3", "Ingredients of the evolver", table3, ingredient_row, "imagenet_top1", {}),
        (
            "de/tableS7",
            "Size of the population",
            table_s7,
            lambda c: {"population_size": c.size},
            "imagenet_top1",
            {},
        ),
        (
            "de/tableS8",
            "Samples of a batch",
            table_s8,
            lambda c: {"batch_size": c.batch_size},
            "imagenet_top1",
            {},
        ),
        (
            "de/tableS9",
            "Noise instead of training",
            table_s9,
            initialization_row,
            "imagenet_top1",
            {},
        ),
    )
}
