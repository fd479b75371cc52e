"""Losses that are networks, evolved on synthetic predictions before any data is seen (EDL)."""

from nslab.lossnet.evolution import Pretrained, pretrain
from nslab.lossnet.net import LossForm, LossNet
from nslab.lossnet.saved import load, save
from nslab.lossnet.shipped import Shipped
from nslab.lossnet.synthetic import MORE_CLASSES, Regimes

__all__ = [
    "MORE_CLASSES",
    "LossForm",
    "LossNet",
    "Pretrained",
    "Regimes",
    "Shipped",
    "load",
    "pretrain",
    "save",
]
