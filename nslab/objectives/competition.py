"""Competition in composites: from a batch and a model to scores, and from scores to weights.

Source: "Evolution-Inspired Sample Competition for Deep Neural Network Optimization" (2026). Read
top to bottom, the functions follow the paper's section III; composites are made in
`nslab.objectives.composites` (images) and `nslab.objectives.joined_texts`. `nslab.NS` in
`nslab.objectives.ns` holds the hyper-parameters.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

from nslab.networks.logits import check_classes, check_labels, check_logits, logits_of
from nslab.networks.modes import scoring, unwrap_ddp
from nslab.objectives.checks import check_images, checked_grid
from nslab.objectives.composites import (
    Compose,
    Grid,
    call_model,
    composite,
    sample_tensor,
    select_rows,
)
from nslab.objectives.criterion import SoftLabels, check_soft, is_soft
from nslab.objectives.weighted import full_precision
from nslab.rng import sample_bits
from nslab.types import Batch, Labels, PerSample

Inputs = Num[Tensor, "b ..."] | Mapping[str, Any]  # a mapping: for transformers, see `Joined`
Forward = Callable[[Any], Any]


def group_scores(
    logits: Float[Tensor, "g k"], y: Int[Tensor, " b"] | Float[Tensor, "b k"]
) -> PerSample:
    """Scores of the samples from the logits of their composites, ``m = b / g`` consecutive samples
    per composite.

    The score of sample i is s_i = m q_i / sum_j q_j with q_i = p[y_i]. It is computed as m times
    the softmax of log q over the group, which stays accurate where every q underflows. A group
    whose probabilities are all exactly 0 is a tie: every score is 1. So is a group whose composite
    has a NaN among its logits, which says nothing about the samples; other groups are not affected.

    For soft labels q_i = sum_k y_ik p_k, the expected probability of a class drawn from the label.
    NOTE: this extension is ours and has not been evaluated. The paper has one label per sample,
    for which it gives the same scores.

    >>> logits = torch.tensor([[0.6, 0.3, 0.1]]).log()  # of one composite
    >>> group_scores(logits, torch.tensor([0, 1]))  # two samples, of classes 0 and 1
    tensor([1.3333, 0.6667])
    """
    m = len(y) // len(logits)
    log_p = full_precision(logits).log_softmax(-1)  # [NS Eq. 5]
    if is_soft(y):
        log_y = full_precision(y).log().view(len(logits), m, -1)
        log_q = (log_p[:, None] + log_y).logsumexp(-1)
    else:
        log_q = log_p.gather(1, y.long().view(-1, m))  # [NS Eq. 6]
    lowest = torch.finfo(log_q.dtype).min
    log_q = log_q.nan_to_num(nan=lowest, neginf=lowest)
    return (m * log_q.softmax(-1)).flatten()  # [NS Eq. 7]


@torch.inference_mode(False)  # tensors made in that mode cannot take part in a backward pass
@torch.no_grad()
def ns_scores(
    model: nn.Module,
    x: Inputs,
    y: Labels | SoftLabels,
    grid: Grid,
    *,
    mode: Literal["eval", "train"] = "eval",
    antialias: bool = False,
    order: Int[Tensor, " b"] | None = None,
    forward: Forward | None = None,
    compose: Compose | None = None,
) -> PerSample:
    """Natural-selection scores of a batch, without gradients, [NS Alg. 1].

    Consecutive samples form groups of m = R*C (``order``: consecutive after this permutation);
    the scores of a group lie in [0, m] and sum to m. The last ``b % m`` samples compete with
    nobody and score 1, the mean of any group. In a batch smaller than a group all samples do, and
    the model is not called.

    ``mode="eval"`` runs the composites with dropout off and BatchNorm's running statistics;
    ``"train"`` as in training, with every buffer restored afterwards. Either way the model is left
    as it was. It may return its logits as a tensor or inside an object, see `logits_of`.
    ``forward``, a function from composites to such an output, is called in place of ``model``, in
    the same mode.

    ``compose``, a function from samples and grid to composites such as `Joined`, is for samples
    that are not images. Composites in a mapping are passed as transformers expects,
    ``model(**composites)``.

    NOTE: the paper says neither which mode nor what happens to a remainder; these are our choices.

    Raises ``ValueError`` for an impossible grid, inputs that are not images, labels that are not
    classes of the model, and a model that does not return one row of logits per composite.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> scores = ns_scores(model, torch.rand(9, 1, 8, 8), torch.arange(9), grid=(2, 2))
    >>> [round(float(group.sum()), 3) for group in scores.split(4)]  # the ninth is left over
    [4.0, 4.0, 1.0]
    """
    rows, cols = checked_grid(grid)
    if compose is None:
        check_images(x)
        compose = partial(composite, antialias=antialias)
    samples = sample_tensor(x, y)
    m, b = rows * cols, len(samples)
    soft = is_soft(y)
    check = check_soft if soft else check_labels
    check(y, b)
    competing = b - b % m
    if not competing:
        dtype = torch.promote_types(samples.dtype, torch.float32)
        return torch.ones(b, dtype=dtype, device=samples.device)
    competitors = slice(competing) if order is None else order[:competing]
    composites = compose(select_rows(x, competitors), grid)
    with scoring(unwrap_ddp(model), mode) as net:
        output = forward(composites) if forward else call_model(net, composites)  # [NS Eq. 4]
    logits = logits_of(output)
    check_logits(logits, competing // m)
    if soft:
        check_soft(y, b, logits.shape[1])
    check_classes(logits, y)
    scores = group_scores(logits, y[competitors])
    if order is None and competing == b:
        return scores
    full = torch.ones(b, dtype=scores.dtype, device=scores.device)
    full[competitors] = scores
    return full


def ns_weights(
    scores: PerSample, sigma: float, rho: float, min_weight: float | None = None
) -> PerSample:
    """Loss weights w = sigma + rho * s.

    rho > 0 strengthens winners (NS-WS), rho < 0 focuses on losers (NS-LF). Their mean is
    sigma + rho, so NS also changes the step size. NOTE: the paper calls sigma a lower bound, yet
    with rho = -1 a weight is negative where s > sigma. The paper does not clamp; ``min_weight``
    does.

    >>> ns_weights(torch.tensor([0.5, 3.5]), sigma=2.5, rho=-1.0)
    tensor([ 2., -1.])
    """
    weights = sigma + rho * scores  # [NS Eq. 8]
    return weights if min_weight is None else weights.clamp(min=min_weight)


def shuffled_order(batch: Batch, stream: str = "grouping") -> Int[Tensor, " b"]:
    """A permutation of a batch that depends only on its samples, the epoch and the run's seed, by
    the random stream called ``stream``.

    >>> batch = Batch(torch.zeros(4, 1, 8, 8), torch.zeros(4).long(), torch.arange(4), seed=7)
    >>> torch.equal(shuffled_order(batch), shuffled_order(batch))
    True
    """
    return torch.argsort(sample_bits(batch.index, batch.epoch, batch.seed, stream), stable=True)
