"""SHOT: a trained classifier is adapted to unlabelled images of another domain, without its data.

Source: Liang et al. 2020, "Do We Really Need to Access the Source Data? Source Hypothesis Transfer
for Unsupervised Domain Adaptation", and tim-learn/SHOT. The classifier is frozen. The features are
trained so that its predictions are confident for each image, varied over all images, and agree
with pseudo-labels, which are found from centroids of the features. In your own training loop::

    pseudo = pseudo_labels(features, probabilities)  # of all images, at the start of an epoch
    loss = 0.3 * F.cross_entropy(logits, pseudo[index]) + information_maximisation(logits)
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from nslab.networks.logits import check_logits
from nslab.objectives.weighted import counted, full_precision, restore_state, state_of
from nslab.types import Batch, Logits, Objective, Scored

LOG_OFFSET = 1e-5  # added inside every logarithm
COUNT_OFFSET = 1e-8  # keeps centroids of classes without images from being 0 / 0


def pseudo_labels(
    features: Float[Tensor, "n d"], probabilities: Float[Tensor, "n k"], threshold: int = 0
) -> Int[Tensor, " n"]:
    """The class whose centroid is nearest to each image's features, by their angle.

    Centroids are means of the features: in a first round weighted by the probabilities of the
    class, in a second one over the images that the first round gave this label. Before that, a
    coordinate of 1 is appended to the features, and they are scaled to unit length. Only classes
    that are the likeliest of more than ``threshold`` images are used as labels.

    NOTE: there are two versions of the reference. In the older one, followed here, the classes
    that may be used are found once; in the newer one they are counted again among the labels of
    the first round, which is another rule for a threshold above 0. A class that no image is
    nearest to in the first round has no centroid in the second and is not used, as in the newer
    one; the older one divides 0 by 0 there.

    Raises ``ValueError`` for shapes that do not fit, values that are not finite, and if no class is
    the likeliest of more than ``threshold`` images.

    >>> features = torch.tensor([[1.0, 0.1], [0.9, 0.0], [0.1, 1.0], [0.7, 0.3]])
    >>> sure, wrong = [0.9, 0.1], [0.4, 0.6]
    >>> pseudo_labels(features, torch.tensor([sure, sure, sure[::-1], wrong]))
    tensor([0, 0, 1, 0])
    """
    if len(features) != len(probabilities) or not len(features):
        raise ValueError(
            f"there are features of {len(features)} images and probabilities of "
            f"{len(probabilities)}: give both of the same images, one at least"
        )
    f, p = full_precision(features), full_precision(probabilities)
    if not bool(torch.isfinite(f).all() and torch.isfinite(p).all()):
        raise ValueError("features or probabilities are not finite: the network has diverged")
    f = torch.cat([f, torch.ones_like(f[:, :1])], 1)
    f = F.normalize(f / f.abs().amax(1, keepdim=True), dim=1, eps=0.0)  # huge ones overflow a norm
    classes = p.shape[1]
    usable = torch.bincount(p.argmax(1), minlength=classes) > threshold
    if not bool(usable.any()):
        raise ValueError(
            f"no class is the likeliest of more than {threshold} images: lower threshold"
        )
    labels = _nearest(f, p.to(f.dtype), usable)  # [SHOT Eq. 4, 5]
    hard = F.one_hot(labels, classes).to(f.dtype)
    return _nearest(f, hard, usable & (hard.sum(0) > 0))  # [SHOT Eq. 6]


def _nearest(
    f: Float[Tensor, "n d"], share: Float[Tensor, "n k"], usable: Tensor
) -> Int[Tensor, " n"]:
    """The class with the nearest centroid by cosine similarity, among those that are ``usable``;
    ``share`` weights the images in each class's centroid."""
    centroids = share.T @ f / (COUNT_OFFSET + share.sum(0))[:, None]
    cosine = f @ F.normalize(centroids, dim=1).T
    return cosine.masked_fill(~usable, -torch.inf).argmax(1)


def information_maximisation(logits: Logits) -> Float[Tensor, ""]:
    """Mean entropy of the predictions minus the entropy of their mean, in nats.

    Low if each prediction is confident and all together are spread over the classes. Logarithms
    are of x + 1e-5, as in the reference. Raises ``ValueError`` unless ``logits`` are a matrix.

    >>> information_maximisation(torch.tensor([[9.0, 0.0], [0.0, 9.0]]))  # sure, different
    tensor(-0.6919)
    >>> information_maximisation(torch.tensor([[9.0, 0.0], [9.0, 0.0]]))  # sure, alike
    tensor(0.)
    """
    check_logits(logits)
    p = full_precision(logits).softmax(1)
    return _entropy(p).mean() - _entropy(p.mean(0, keepdim=True)).squeeze(0)  # [SHOT Eq. 3]


def _entropy(p: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    return -(p * (p + LOG_OFFSET).log()).sum(1)


@dataclass(frozen=True)
class Shot:
    """SHOT's objective: ``pseudo_weight`` times another objective's losses, whose labels are the
    pseudo-labels, plus ``im_weight`` times `information_maximisation` of the batch [SHOT Eq. 7].

    Weights of the other objective, such as NS's, multiply only its own losses.
    """

    inner: Objective
    pseudo_weight: float = 0.3
    im_weight: float = 1.0

    @property
    def min_batch(self) -> int:
        """The smallest batch that the other objective can score."""
        return self.inner.min_batch

    def __call__(self, model: nn.Module, batch: Batch) -> Scored:
        scored = self.inner(model, batch)
        penalty = self.im_weight * information_maximisation(scored.logits)
        if scored.penalty is not None:
            penalty = penalty + scored.penalty
        return dataclasses.replace(scored, loss=self.pseudo_weight * scored.loss, penalty=penalty)

    def counted(self) -> dict[str, Tensor]:
        """What the other objective has counted."""
        return counted(self.inner)

    def state_dict(self) -> dict[str, Any]:
        """The state of the other objective."""
        return state_of(self.inner)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue with that state."""
        restore_state(self.inner, state)
