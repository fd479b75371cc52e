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
from nslab.networks.modes import local, scoring
from nslab.objectives.checks import check_images, checked_grid
from nslab.objectives.composites import Compose, Grid, called, composite, rows_of, samples_of
from nslab.objectives.criterion import SoftLabels, check_soft, is_soft
from nslab.objectives.weighted import full_precision
from nslab.rng import sample_bits
from nslab.types import Batch, Labels, PerSample

Inputs = Num[Tensor, "b ..."] | Mapping[str, Any]  # of transformers: see `Joined`
Forward = Callable[[Any], Any]


def group_scores(
    logits: Float[Tensor, "g k"], y: Int[Tensor, " b"] | Float[Tensor, "b k"]
) -> PerSample:
    """Scores of ``m = b / g`` consecutive samples per composite from the composites' logits.

    Worked in logarithms: with s_i = m q_i / sum_j q_j and q_i = p[y_i], the score is m times the
    softmax of log q over the group, which stays right where every q underflows. A group whose
    probabilities are all exactly 0 is a tie: every score 1. So is one whose composite has a NaN
    among its logits, which tells nothing of its samples; the other groups are scored as ever.

    For soft labels q_i = sum_k y_ik p_k, the probability of a class drawn from the label. NOTE:
    this extension is ours and has not been measured. The paper has one label a sample, for which it
    gives the same scores.

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


@torch.inference_mode(False)  # what is made in that mode could not enter a backward pass later
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
    nobody and score 1, the mean of any group: in a batch smaller than a group that is everybody,
    and the model is not asked.

    ``mode="eval"`` runs the composites with dropout off and BatchNorm's running statistics;
    ``"train"`` as in training, with every buffer put back afterwards. Either way the model is left
    as it was found. It may return its logits as they are or inside of an object, see `logits_of`;
    ``forward``, from images to the same, is called in place of ``model``, in the same mode.

    ``compose``, from samples and grid to composites, is for samples that are no images, such as
    `Joined`. A model is called with composites of a mapping as transformers' are, ``model(**x)``.

    NOTE: the paper says neither which mode nor what happens to a remainder; these are our choices.

    Raises ``ValueError`` for an impossible grid, inputs that are no images, labels that are no
    classes of the model's, and a model that does not give one row of logits per composite.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> scores = ns_scores(model, torch.rand(9, 1, 8, 8), torch.arange(9), grid=(2, 2))
    >>> [round(float(group.sum()), 3) for group in scores.split(4)]  # the ninth is left over
    [4.0, 4.0, 1.0]
    """
    rows, cols = checked_grid(grid)
    if compose is None:
        check_images(x)
        compose = partial(composite, antialias=antialias)
    some = samples_of(x, y)
    m, b = rows * cols, len(some)
    soft = is_soft(y)
    check = check_soft if soft else check_labels
    check(y, b)
    competing = b - b % m
    if not competing:
        dtype = torch.promote_types(some.dtype, torch.float32)
        return torch.ones(b, dtype=dtype, device=some.device)
    head = slice(competing) if order is None else order[:competing]
    composites = compose(rows_of(x, head), grid)
    with scoring(local(model), mode) as net:
        output = forward(composites) if forward else called(net, composites)  # [NS Eq. 4]
    logits = logits_of(output)
    check_logits(logits, competing // m)
    if soft:
        check_soft(y, b, logits.shape[1])
    check_classes(logits, y)
    scores = group_scores(logits, y[head])
    if order is None and competing == b:
        return scores
    full = torch.ones(b, dtype=scores.dtype, device=scores.device)
    full[head] = scores
    return full


def ns_weights(
    scores: PerSample, sigma: float, rho: float, min_weight: float | None = None
) -> PerSample:
    """Loss weights w = sigma + rho * s.

    rho > 0 strengthens winners (NS-WS), rho < 0 focuses on losers (NS-LF). Their mean is
    sigma + rho, so NS also changes the step size. NOTE: the paper calls sigma a lower bound, yet
    with rho = -1 a weight is negative where s > sigma; as written there is no clamp, and
    ``min_weight`` offers one.

    >>> ns_weights(torch.tensor([0.5, 3.5]), sigma=2.5, rho=-1.0)
    tensor([ 2., -1.])
    """
    weights = sigma + rho * scores  # [NS Eq. 8]
    return weights if min_weight is None else weights.clamp(min=min_weight)


def shuffled_order(batch: Batch, stream: str = "grouping") -> Int[Tensor, " b"]:
    """A permutation of a batch that follows from its samples, the epoch and the run's seed.

    >>> batch = Batch(torch.zeros(4, 1, 8, 8), torch.zeros(4).long(), torch.arange(4), seed=7)
    >>> torch.equal(shuffled_order(batch), shuffled_order(batch))
    True
    """
    return torch.argsort(sample_bits(batch.index, batch.epoch, batch.seed, stream), stable=True)
