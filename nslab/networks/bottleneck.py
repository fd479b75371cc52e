"""Bottleneck and weight-normalised classifier in place of a network's head, as in SHOT.

Source: Liang et al. 2020, "Do We Really Need to Access the Source Data?", and tim-learn/SHOT.
"""

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from nslab.networks.heads import last_linear
from nslab.networks.logits import logits_of
from nslab.types import Logits, StateDict

PREFIX = "bottleneck/"  # of the names of such networks
WIDTH = 256


class Bottlenecked(nn.Module):
    """Logits ``classifier(bottleneck(features(x)))``: the features are another network without its
    last linear layer, the bottleneck is linear with BatchNorm, and the classifier is
    weight-normalised: each row has a direction and a length (Salimans and Kingma 2016).

    They start as in the reference: the bottleneck's weights are Xavier normal, its biases 0.
    NOTE: the reference does the same to the classifier, but after weight normalisation has taken
    over its weight, so the classifier stays as torch draws it; we do likewise.

    Raises ``ValueError`` for a network without a linear layer.

    >>> import torch
    >>> net = Bottlenecked(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Linear(32, 10)), 10)
    >>> net(torch.zeros(2, 1, 8, 8)).shape, net.bottleneck[0].in_features
    (torch.Size([2, 10]), 32)
    """

    head_parts = ("bottleneck", "classifier")  # all but the backbone, see `heads.head_parts`

    def __init__(self, network: nn.Module, num_classes: int, width: int = WIDTH) -> None:
        super().__init__()
        self.replaced = last_linear(network)
        head = network.get_submodule(self.replaced)
        assert isinstance(head, nn.Linear)
        if not self.replaced:
            raise ValueError(
                "a single linear layer has no features before it: use a deeper network"
            )
        network.set_submodule(self.replaced, nn.Identity())
        self.features = network
        linear, norm = nn.Linear(head.in_features, width), nn.BatchNorm1d(width)
        nn.init.xavier_normal_(linear.weight)
        self.bottleneck = nn.Sequential(linear, norm)
        classifier = nn.Linear(width, num_classes)
        for bias in (linear.bias, classifier.bias):
            nn.init.zeros_(bias)
        self.classifier = weight_norm(classifier)

    def forward(self, x: Tensor) -> Logits:
        return self.classifier(self.bottleneck(logits_of(self.features(x))))

    def feature_state(self, state: StateDict) -> StateDict:
        """``state``, that of the original network, without the head that was replaced."""
        return {k: t for k, t in state.items() if not k.startswith(f"{self.replaced}.")}


def backbone_of(name: str) -> str:
    """The name without the prefix ``bottleneck/``: that of the network that gives the features.

    >>> backbone_of("bottleneck/resnet50"), backbone_of("resnet50")
    ('resnet50', 'resnet50')
    """
    return name.removeprefix(PREFIX)
