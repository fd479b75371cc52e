"""Are the synthetic predictions that EDL teaches its losses with like those met in training?"""

from nslab.predictions.outputs import Mode, softmax_outputs, spread
from nslab.predictions.table import prediction_table

__all__ = ["Mode", "prediction_table", "softmax_outputs", "spread"]
