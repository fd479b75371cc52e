"""Configs: frozen values that define a run completely, their JSON, and the hash that names the run.

A config is a value of a class in ``RUN_KINDS``: a training, an evolution, the search for a loss,
the adaptation of a network to another domain, or its evaluation on other data.
"""

from nslab.configs.adapt import AdaptConfig
from nslab.configs.evaluation import EvaluateConfig
from nslab.configs.evolve import EvolveConfig
from nslab.configs.loss_search import LossSearchConfig
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import RUN_KINDS, decode, encode, identity
from nslab.configs.train import Parent, TrainConfig

for kind in (TrainConfig, EvolveConfig, LossSearchConfig, AdaptConfig, EvaluateConfig):
    RUN_KINDS.register(kind)

__all__ = [
    "RUN_KINDS",
    "AdaptConfig",
    "EvaluateConfig",
    "EvolveConfig",
    "LossSearchConfig",
    "Parent",
    "RunConfig",
    "TrainConfig",
    "decode",
    "encode",
    "identity",
]
