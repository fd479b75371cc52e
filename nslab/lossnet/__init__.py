"""Losses that are networks, evolved on synthetic predictions before any data is seen (EDL)."""

from nslab.lossnet.files import load_loss, save_loss
from nslab.lossnet.net import LossForm, LossNet
from nslab.lossnet.search import Pretrained, pretrain
from nslab.lossnet.shipped import Shipped
from nslab.lossnet.synthetic_predictions import MORE_CLASSES, Regimes
from nslab.system.renamed import refuse_old_names

__all__ = [
    "MORE_CLASSES",
    "LossForm",
    "LossNet",
    "Pretrained",
    "Regimes",
    "Shipped",
    "load_loss",
    "pretrain",
    "save_loss",
]

__getattr__ = refuse_old_names(__name__)
