"""The tooltip of each control: a sentence that appears when the mouse rests on it."""

_DATA = "The images that the network is trained on. Another choice starts anew."
_NETWORK = "The classifier. Another choice starts anew."
_GRID = "Rows × columns of a composite: how many images compete with each other."
_SIGMA = "The weight that every image has whatever its score."
_RHO = (
    "How strongly the score counts. Above 0 winners weigh more, below 0 losers do; at 0 all weigh "
    "the same."
)

TOOLTIPS = {
    "competition-dataset": _DATA,
    "competition-network": _NETWORK,
    "competition-grid": _GRID,
    "competition-epoch": "After how many epochs of training the network looks at the composite.",
    "competition-sigma": _SIGMA,
    "competition-rho": _RHO,
    "competition-group": "Which group of images is shown.",
    "training-dataset": _DATA,
    "training-network": _NETWORK,
    "training-objective": "A loss, or NS, which weighs samples. Another choice starts anew.",
    "training-grid": f"{_GRID} For NS alone.",
    "training-lr": "Length of the optimiser's steps. Another choice starts anew.",
    "training-batch": "Images in a mini-batch. Another choice starts anew.",
    "training-sigma": f"{_SIGMA} Acts from the next mini-batch on.",
    "training-rho": f"{_RHO} Acts from the next mini-batch on.",
    "training-pace": "At most so many mini-batches a second, so that you can follow.",
    "evolution-dataset": _DATA,
    "evolution-network": _NETWORK,
    "evolution-evolver": "The evolutionary algorithm. Another choice starts anew.",
    "evolution-members": "Networks in the population. Another number starts anew.",
    "evolution-generation": "Which generation is shown; the last one follows the evolution.",
    "evolution-pace": "At most so many generations a second, so that you can follow.",
    "losses-gamma": "Focal loss: how strongly samples that are already right are played down.",
    "losses-q": "GCE: near 0 it is cross-entropy, at 1 it is the mean absolute error.",
    "losses-classes": "Number of classes; the label's rivals share what p leaves evenly.",
    "losses-source": "An evolved loss that comes with nslab, or one that is evolved now.",
    "losses-other": "One more loss to compare with, at its default settings.",
    "losses-shown": "The loss that is drawn on the triangle of three classes.",
    "results-experiment": "A table or figure of the papers whose finished runs are shown.",
    "results-dataset": "Show the runs on this data set only.",
    "results-network": "Show the runs of this network only.",
    "results-method": "Show the runs of this method only.",
    "results-epoch": "The epoch at which the runs are compared; shorter ones count at their last.",
}
