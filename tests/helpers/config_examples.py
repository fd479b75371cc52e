"""Configs of every kind, for tests that write, hash and read them."""

import hashlib
from dataclasses import dataclass, field
from typing import Any

from nslab.configs.adapt import AdaptConfig
from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.evaluation import EvaluateConfig
from nslab.configs.evolve import EvolveConfig
from nslab.configs.loss_search import LossSearchConfig
from nslab.configs.schedules import SCHEDULES, Cosine, Polynomial, Step
from nslab.configs.train import TrainConfig
from nslab.evolve import EVOLVERS, PSO, AdaptiveDE
from nslab.evolve.chaotic_evolution import ChaoticEvolution
from nslab.evolve.es import ES
from nslab.lossnet import LossForm, Regimes, Shipped
from nslab.neuroevolution.baselines import BASELINES, WeightAverage
from nslab.objectives import NS, OBJECTIVES, CrossEntropy, Joined
from nslab.system.validation import omitted_means
from nslab.types import DataInfo, Labels, Logits, LossConfig, PerSample, TokenInfo

STEP = Step((81, 122), (0.1, 0.1))
# Arguments for classes whose fields have no defaults.
ARGUMENTS: dict[str, tuple] = {
    "step": (STEP.milestones, STEP.factors),
    "evolve": (TrainConfig(epochs=20),),
    "checkpoint_files": (("a.pt",), ("1" * 64,)),
    "evaluate": (TrainConfig(),),
    "adapt": (TrainConfig(),),
    "tokens": (64, 500),
    "joined_texts": (TokenInfo(64, 500, 0, 1, 2), "literal"),
}

# Another valid value for every field; a field added later must be added here.
TRAIN_CHANGES: dict[str, Any] = {
    "dataset": "folder:/data/pets#0123456789ab",
    "image_size": 64,
    "network": "resnet20",
    "objective": NS(),
    "epochs": 11,
    "batch_size": 64,
    "optimizer": "adamw",
    "lr": 0.1000001,
    "momentum": 0.8,
    "nesterov": True,
    "weight_decay": 1e-4,
    "schedule": Cosine(),
    "warmup_epochs": 1.0,
    "augment": "crop",
    "precision": "bf16",
    "channels_last": False,
    "compile": True,
    "clip_norm": 1.0,
    "seed": 2025,
    "imbalance": 100.0,
    "noise": "symmetric",
    "noise_rate": 0.4,
    "sampler": "pbs",
    "lr_scale": 1.5,
    "start": "0123456789ab@3",
    "keep_last": 2,
    "hold_out": 100,
    "train_size": 500,
    "patience": 3,
    "ancestor": TrainConfig(network="lenet5"),
    "eval_every": 5,
    "backbone_lr": 0.1,
    "frozen": ("backbone",),
    "epoch_parts": 2,
    "accumulate": 2,
    "decoding": "reduced",
}

# Fields of runs on texts, which runs on images must not set.
TEXT_CHANGES: dict[str, Any] = {"text_length": 65, "vocabulary": 5000, "min_count": 1}


@dataclass(frozen=True)
class OtherLoss:
    """A loss of another class than cross-entropy; never evaluated."""

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Required of a loss."""
        raise NotImplementedError

    def build(self, info: DataInfo) -> Any:
        """Needed to be an objective."""
        raise NotImplementedError


EVOLVE_CHANGES: dict[str, Any] = {
    "base": TrainConfig(epochs=20, network="lenet5"),
    "init": "init_hp",
    "size": 11,
    "method": WeightAverage(),
    "batches": 3,
    "generations": 4,
    "batch_size": 100,
    "policy": "recalibrate",
    "exempt_head": False,
    "dtype": "bfloat16",
    "precision": "bf16",
    "microbatch": 10,
    "test_each_batch": True,
}

EVALUATE_CHANGES: dict[str, Any] = {
    "trained": EvolveConfig(TrainConfig(epochs=20)),
    "dataset": "folder:/data/pets#0123456789ab",
}

ADAPT_CHANGES: dict[str, Any] = {
    "source": EvolveConfig(TrainConfig(epochs=20)),
    "dataset": "folder:/data/pets#0123456789ab",
    "objective": NS(),
    "epochs": 0,
    "batch_size": 32,
    "optimizer": "adamw",
    "lr": 0.0100001,
    "momentum": 0.8,
    "nesterov": False,
    "weight_decay": 1e-4,
    "schedule": Cosine(),
    "backbone_lr": 0.2,
    "augment": "crop",
    "sampler": "pbs",
    "train_size": 500,
    "precision": "bf16",
    "channels_last": False,
    "clip_norm": 1.0,
    "accumulate": 2,
    "decoding": "reduced",
    "pseudo_weight": 0.0,
    "im_weight": 0.0,
    "threshold": 5,
    "eval_every": 5,
}

PRETRAIN_CHANGES: dict[str, Any] = {
    "form": LossForm("pairs", hidden=8, log_feature=True),
    "search": ChaoticEvolution(cr=0.3),
    "regimes": Regimes(even=0.2, classes=(3, 30)),
    "margin": "log",
    "generations": 0,
    "pairs": 64,
    "refresh": 5,
    "members": 20,
    "held_out": 100,
    "rays": 10,
    "seed": 1,
}


NS_CHANGES: dict[str, Any] = {
    "grid": (1, 2),
    "sigma": 0.8,
    "rho": -1.0,
    "grouping": "shuffled",
    "mode": "train",
    "antialias": True,
    "min_weight": 0.0,
    "fold_batchnorm": True,
    "score_dtype": "bfloat16",
    "base": OtherLoss(),
    "compose": Joined(TokenInfo(64, 500)),
}


@dataclass(frozen=True)
class Early:
    """A config of an earlier version."""

    a: int = 1

    def build(self, info: DataInfo) -> Any:
        """Needed to be an objective."""
        raise NotImplementedError


@dataclass(frozen=True)
class Late(Early):
    """The same with fields that were added later."""

    b: float | None = field(default=None, metadata=omitted_means(None))
    c: int = field(default=3, metadata=omitted_means(3))


@dataclass(frozen=True)
class LateFactory(Early):
    """The same with a field that was added later and has a default factory."""

    base: LossConfig = field(default_factory=CrossEntropy, metadata=omitted_means(CrossEntropy()))


def examples() -> list[Any]:
    """A value of every class in the registries, and some with every field changed."""
    evolution = {"evolve": EvolveConfig, "de": AdaptiveDE, "pso": PSO, "es": ES}
    evolution |= {"chaotic_evolution": ChaoticEvolution}
    losses = {
        "pretrain": LossSearchConfig,
        "form": LossForm,
        "regimes": Regimes,
        "shipped": Shipped,
        "evaluate": EvaluateConfig,
        "adapt": AdaptConfig,
    }
    registered = {**OBJECTIVES, **SCHEDULES, **evolution, **BASELINES, **losses}
    made = [cls(*ARGUMENTS.get(key, ())) for key, cls in registered.items()]
    changed = {**TRAIN_CHANGES, "objective": NS(), "schedule": STEP, "start": ""}
    ns = NS((3, 1), 2.5, -1.0, "shuffled", "eval", True, 0.0, True, "float16")
    made += [EvolveConfig(**EVOLVE_CHANGES), AdaptConfig(**{**ADAPT_CHANGES, "im_weight": 2.0})]
    made += [LossSearchConfig(**PRETRAIN_CHANGES)]
    made += EVOLVERS.values()
    made.append(NS(compose=Joined(*ARGUMENTS["joined_texts"])))
    files = CheckpointFiles(("/here/a.pt", "/here/b.pt"), ("1" * 64, "2" * 64))
    made.append(EvolveConfig(TrainConfig(), files, 2, PSO()))
    texts = TrainConfig("imdb", "textcnn", **TEXT_CHANGES)
    return [*made, TrainConfig(), TrainConfig(**changed), texts, ns, Cosine(0.1), Polynomial(2.0)]


def by_hand(text: str) -> str:
    """The id that a config with this JSON must have."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]
