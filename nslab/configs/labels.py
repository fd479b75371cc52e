"""Labels: what every method, evolver, loss and network is called, its colour, and a run's name.

``LABELS`` is open: add an entry for a method of your own, or it is shown by its key.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

# The ten colours of seaborn's palette "colorblind".
BLUE, ORANGE, GREEN, RED, PURPLE = "#0173b2", "#de8f05", "#029e73", "#d55e00", "#cc78bc"
BROWN, PINK, GREY, YELLOW, SKY = "#ca9161", "#fbafe4", "#949494", "#ece133", "#56b4e9"
OTHER_COLOUR = SKY  # colour of the many methods that a paper's own are compared with
BASELINE_COLOUR = "#404040"  # colour of baselines; lighter greys mark runs that learnt nothing


@dataclass(frozen=True)
class Label:
    """How something is shown.

    Attributes:
        text: its name for people; blank: its key.
        colour: its colour in every figure; blank: a figure chooses.
        paper_name: what the papers' tables call it; blank: its key.
    """

    text: str = ""
    colour: str = ""
    paper_name: str = ""


# By registry key or by the method's name in the papers' tables. Keys that are also the name of a
# method with another label have their kind before a colon.
LABELS: dict[str, Label] = {
    "ce": Label("CE", BASELINE_COLOUR),
    "ns_ws": Label("NS-WS", GREEN),
    "ns_lf": Label("NS-LF", PURPLE),
    "ns_ws_1x2": Label("NS-WS, pairs", SKY),
    "ns_ws_2x2": Label("NS-WS, fours", GREEN),
    "ns_lf_1x2": Label("NS-LF, pairs", PINK),
    "ns_lf_2x2": Label("NS-LF, fours", PURPLE),
    "ce_lr": Label("CE, learning rate × mean weight", ORANGE),
    "ce_constant": Label("CE × mean weight", BROWN),
    "source_only": Label("source only", PINK),
    "target_labels": Label("target labels (bound)", SKY),
    "focal": Label("focal", OTHER_COLOUR),
    "gce": Label("GCE", RED),
    "label_smoothing": Label("label smoothing", OTHER_COLOUR),
    "nlnl": Label("NLNL", OTHER_COLOUR),
    "sce": Label("SCE", OTHER_COLOUR),
    "apl": Label("APL", OTHER_COLOUR),
    "low": Label("LOW", OTHER_COLOUR),
    "poly1": Label("Poly-1", OTHER_COLOUR),
    "anl": Label("ANL", OTHER_COLOUR),
    "aul": Label("AUL", OTHER_COLOUR),
    "ce_eps_mae": Label("CEε + MAE", OTHER_COLOUR),
    "ogc": Label("CE + OGC", OTHER_COLOUR),
    "cbs": Label("CBS (classes balanced)", OTHER_COLOUR),
    "srs": Label("SRS (square root)", OTHER_COLOUR),
    "pbs": Label("PBS (progressive)", OTHER_COLOUR),
    "adam": Label("Adam", BLUE),
    "pretrained": Label("pretrained", BASELINE_COLOUR),
    "population_mean": Label("parents, mean", BASELINE_COLOUR),
    "population_best": Label("parents, best", BASELINE_COLOUR),
    "wa": Label("weight average", ORANGE),
    "ensemble": Label("ensemble (vote)", OTHER_COLOUR),
    "fge": Label("fast geometric ensemble", OTHER_COLOUR, "ensemble"),
    "vote": Label("vote of the parents", OTHER_COLOUR),
    "soups": Label("greedy soup", OTHER_COLOUR),
    "smd": Label("SMD", OTHER_COLOUR),
    "de": Label("DE", RED),
    "sade": Label("SADE", OTHER_COLOUR),
    "sa_shade": Label("SADE + SHADE", OTHER_COLOUR),
    "sa_shade_tri": Label("+ trigonometric", OTHER_COLOUR),
    "sa_shade_ensin": Label("+ Sin-F", OTHER_COLOUR),
    "sa_shade_tri_ensin": Label("SA-SHADE-tri-ensin", GREEN),
    "sa_shade_tri_ensin_cauchy": Label("SA-SHADE-tri-ensin, Cauchy", GREEN),
    "mae": Label("MAE", ORANGE),
    "edl_log": Label("EDL (log p, log margin)", GREEN),
    "edl_order": Label("EDL (p, order)", BLUE),
    "edl_pairs": Label("EDL, label against each class", OTHER_COLOUR),
    "edl_flat": Label("flat network", BROWN),
    "edl_random": Label("EDL, not evolved", OTHER_COLOUR),
    "ns_edl": Label("NS-LF on EDL", OTHER_COLOUR),
    "pso": Label("PSO", PURPLE),
    "pso_constriction": Label("constricted PSO", OTHER_COLOUR),
    # data sets
    "mnist": Label("MNIST"),
    "fashion_mnist": Label("Fashion-MNIST"),
    "cifar10": Label("CIFAR-10"),
    "cifar100": Label("CIFAR-100"),
    # networks
    "lenet1": Label("LeNet-1"),
    "lenet5": Label("LeNet-5"),
    "mlp": Label("perceptron"),
    "rnn": Label("LSTM"),
    "resnet8": Label("ResNet-8"),
    "resnet20": Label("ResNet-20"),
    "resnet20_public": Label("ResNet-20"),
    "resnet32_public": Label("ResNet-32"),
    "resnet56_public": Label("ResNet-56"),
    # names that differ from the papers'
    "alexnet_cifar": Label(paper_name="alexnet"),
    "vgg19_bn_cifar": Label(paper_name="vgg19"),
    "resnet110b": Label(paper_name="resnet110"),
    "vit_b_16": Label(paper_name="vit_b16"),
    "mobilenet_v2_cifar": Label(paper_name="mobilenet"),
    "textcnn_64": Label("TextCNN, 64-d embeddings"),
    "bert-base-uncased": Label("BERT-base", paper_name="bert_base"),
    # mutations of DE
    "rand/1": Label("S$_1$", BLUE, "S1"),
    "current-to-best/1": Label("S$_2$", ORANGE, "S2"),
    "rand/2": Label("S$_3$", GREEN, "S3"),
    "current-to-rand/1": Label("S$_4$", RED, "S4"),
    "trigonometric": Label("S$_{Trigo}$", PURPLE, "S_Trigo"),
    # evolvers that search for a loss
    "search:gaussian": Label("Gaussian", BASELINE_COLOUR),
    "search:chaotic": Label("chaotic (logistic map)", RED),
    "search:arcsine": Label("arcsine, independent", BLUE),
    "search:orbit": Label("one chaotic orbit", ORANGE),
    "search:chaotic_evolution": Label("chaotic evolution (Pei)", GREEN),
    "search:de": Label("SA-SHADE-tri-ensin", PURPLE),
    # regimes of synthetic predictions
    "regime:anywhere": Label(colour=BLUE),
    "regime:right": Label("sure, right", ORANGE),
    "regime:wrong": Label("sure, wrong", GREEN),
    "regime:boundary": Label(colour=RED),
    "regime:even": Label(colour=PURPLE),
    # stages of a step with NS
    "stage:stitch_and_scale": Label("stitching and scaling", ORANGE),
    "stage:inference": Label("model inference", SKY),
    "stage:scores_and_weights": Label("scores and weights", GREEN),
}


def text_of(key: str) -> str:
    """The name for people of what a key stands for.

    >>> text_of("ns_ws"), text_of("search:orbit"), text_of("my_loss")
    ('NS-WS', 'one chaotic orbit', 'my_loss')
    """
    return LABELS.get(key, Label()).text or key.rpartition(":")[2]


def colour_of(key: str, otherwise: Any = OTHER_COLOUR) -> Any:
    """The colour of what a key stands for, ``otherwise`` where it has none of its own."""
    return LABELS.get(key, Label()).colour or otherwise


def paper_name_of(key: str) -> str:
    """What the papers' tables call what a key stands for.

    >>> paper_name_of("resnet110b"), paper_name_of("resnet20")
    ('resnet110', 'resnet20')
    """
    return LABELS.get(key, Label()).paper_name or key


def label(config: Any) -> str:
    """A run in a few words: its config's own ``label()``, or `short_repr` if it has none."""
    own = getattr(config, "label", None)
    return own() if callable(own) else short_repr(config)


def short_repr(value: Any) -> str:
    """A dataclass as it would be written, without fields that have their default; any other value
    as ``str``."""
    if not dataclasses.is_dataclass(value):
        return str(value)
    given = []
    for f in dataclasses.fields(value):
        item, default = getattr(value, f.name), f.default
        if f.default_factory is not dataclasses.MISSING:
            default = f.default_factory()
        if item != default:
            given.append(f"{f.name}={short_repr(item)}")
    return f"{type(value).__name__}({', '.join(given)})"


def columns(config: Any) -> dict[str, str | int | float]:
    """The columns that identify a run in tables: its config's own ``columns()``, or ``method`` (its
    label) and ``seed`` if it has none."""
    own = getattr(config, "columns", None)
    return own() if callable(own) else {"method": label(config), "seed": config.seed}
