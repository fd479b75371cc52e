"""Text classification: Table XI (TextCNN and BERT-base on IMDB and AG News), and sigma on texts.

The paper names data sets, networks and NS-LF, and no more. NOTE: so we take its most common
setting, sigma 2.5 and groups of 4, and shorten each text to a quarter before four are joined
("tiled"). TextCNN is Kim's (2014), trained by Adam at 1e-3 in batches of 50. BERT is trained as
Devlin et al. (2019) advise: AdamW at 2e-5 with linear decay and warm-up, 3 epochs, batches of 32.
Both read 256 tokens of IMDB and 128 of AG News. Preset ``cpu`` has word vectors of 64 dimensions
(Kim's have 300), shorter texts and few epochs, and all training texts that are here; an encoder of
transformers, named by ``networks``, is trained there for one epoch, at 5e-5 and with gradients
clipped to a norm of 1.
"""

import dataclasses
from typing import Any, Literal

from nslab.configs.labels import columns, paper_name_of
from nslab.configs.schedules import Polynomial
from nslab.configs.train import TrainConfig
from nslab.experiments.definition import Experiment, TableRow, with_seeds
from nslab.experiments.ns.presets import trained_by
from nslab.experiments.presets import SEEDS, Preset
from nslab.objectives import NS
from nslab.system.content_names import parse_content_name
from nslab.system.encoder_files import is_encoder

TextMethod = Literal["ce", "ns_lf", "ce_constant"]
NS_LF = NS(grid=(2, 2), sigma=2.5, rho=-1.0, compose="tiled")
SIGMAS = (1.5, 2.0, 2.5, 3.0)
BERT = "transformers/bert-base-uncased"

KIM = TrainConfig(
    "ag_news",
    "textcnn",
    epochs=10,
    batch_size=50,
    optimizer="adam",
    lr=1e-3,
    weight_decay=0.0,
    text_length=128,
)
DEVLIN = TrainConfig(
    "ag_news",
    BERT,
    epochs=3,
    batch_size=32,
    optimizer="adamw",
    lr=2e-5,
    weight_decay=0.01,
    schedule=Polynomial(1.0),
    warmup_epochs=0.3,
    text_length=128,
    start="transformers:pretrained",
)
ENCODER: dict[str, TrainConfig] = {
    "cpu": dataclasses.replace(
        DEVLIN, epochs=1, lr=5e-5, warmup_epochs=0.1, text_length=64, clip_norm=1.0
    ),
    "paper": DEVLIN,
}
TEXTCNN: dict[str, TrainConfig] = {
    "smoke": dataclasses.replace(
        KIM,
        dataset="docstrings",
        network="textcnn_64",
        epochs=4,
        batch_size=64,
        lr=3e-3,
        train_size=1000,
        text_length=24,
        vocabulary=3000,
    ),
    "cpu": dataclasses.replace(KIM, network="textcnn_64", epochs=4, batch_size=64, text_length=64),
    "paper": KIM,
}
# Settings that differ on IMDB, whose texts are longer.
IMDB: dict[str, dict[str, Any]] = {
    "cpu": {"text_length": 200, "epochs": 3},
    "paper": {"text_length": 256},
}
SETS = {"smoke": ("docstrings",), "cpu": ("imdb", "ag_news"), "paper": ("imdb", "ag_news")}
NETWORKS = {"smoke": ("textcnn_64",), "cpu": ("textcnn_64",), "paper": ("textcnn", BERT)}


def text_base(preset: Preset, dataset: str, network: str) -> TrainConfig:
    """The recipe of a preset for a network on a data set."""
    base = ENCODER.get(preset, DEVLIN) if is_encoder(network) else TEXTCNN[preset]
    changes = IMDB.get(preset, {}) if dataset == "imdb" else {}
    return dataclasses.replace(base, dataset=dataset, network=network, **changes)


def table11(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    methods: tuple[TextMethod, ...] = ("ce", "ns_lf", "ce_constant"),
    datasets: tuple[str, ...] | None = None,
    networks: tuple[str, ...] | None = None,
    epochs: int | None = None,
    compose: Literal["tiled", "literal"] = "tiled",
) -> list[TrainConfig]:
    """Table XI: texts classified with and without NS-LF, and ``ce_constant``, a control for the
    larger steps that its mean weight gives."""
    made = []
    ns = dataclasses.replace(NS_LF, compose=compose)
    for dataset in datasets or SETS[preset]:
        for network in networks or NETWORKS[preset]:
            config = text_base(preset, dataset, network)
            config = dataclasses.replace(config, epochs=config.epochs if epochs is None else epochs)
            made += [
                trained_by(dataclasses.replace(config, seed=seed), method, ns)
                for seed in seeds or SEEDS[preset]
                for method in methods
            ]
    return made


def sigmas(
    preset: Preset = "smoke",
    seeds: tuple[int, ...] | None = None,
    dataset: str | None = None,
    epochs: int | None = None,
) -> list[TrainConfig]:
    """NS-LF on texts with several values of sigma, which the paper does not give."""
    name = dataset or SETS[preset][-1]
    config = text_base(preset, name, NETWORKS[preset][0])
    config = dataclasses.replace(config, epochs=config.epochs if epochs is None else epochs)
    objectives = [dataclasses.replace(NS_LF, sigma=sigma) for sigma in SIGMAS]
    return with_seeds(config, list(objectives), seeds or SEEDS[preset])


def text_row(config: TrainConfig) -> TableRow:
    """Row of Table XI: data set, network, method."""
    row = columns(config)
    _, where, _ = parse_content_name(config.network) or ("", config.network, "")
    network = paper_name_of(where.rpartition("/")[2])
    return {"dataset": row["dataset"], "network": network, "method": row["method"]}


def sigma_row(config: TrainConfig) -> TableRow:
    """Row of `sigmas`: sigma."""
    assert isinstance(config.objective, NS)
    return {"sigma": config.objective.sigma}


EXPERIMENTS: dict[str, Experiment] = {
    "ns/table11": Experiment(
        "Text classification",
        table11,
        text_row,
        "table11",
        baseline={"method": "ce"},
        printed_as={"textcnn_64": "textcnn"},
    ),
    "ns/text_sigma": Experiment("Sigma on texts", sigmas, sigma_row, baseline={"sigma": 2.5}),
}
