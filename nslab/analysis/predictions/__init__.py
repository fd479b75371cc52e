"""EDL's synthetic predictions compared with the predictions of networks in training."""

from nslab.analysis.predictions.outputs import OutputMode, softmax_outputs, spread_epochs
from nslab.analysis.predictions.table import prediction_table

__all__ = ["OutputMode", "prediction_table", "softmax_outputs", "spread_epochs"]
