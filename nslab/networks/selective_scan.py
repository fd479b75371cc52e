"""The selective scan of Mamba (Gu & Dao 2023, section 3), as a loop and in chunks."""

import math
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

Sequence = Float[Tensor, "b l g d"]
States = Float[Tensor, "b l g n"]


def selective_scan(
    x: Sequence,
    dt: Sequence,
    A: Float[Tensor, "g d n"],
    B: States,
    C: States,
    D: Float[Tensor, "g d"],
) -> Sequence:
    """h_t = exp(dt_t A) h_{t-1} + dt_t B_t x_t from h = 0, and y_t = C_t h_t + D x_t.

    ``b`` sequences of length ``l`` in ``g`` groups that share B and C among their ``d`` channels,
    each with ``n`` states. ``dt`` is positive, ``A`` negative. Computed in 32 bits at least,
    returned in the precision of ``x``.
    """
    dtype = x.dtype
    x, dt, A, B, C, D = (wide(value) for value in (x, dt, A, B, C, D))
    decay = torch.exp(dt.unsqueeze(-1) * A)
    h = linear_recurrence(decay, (dt * x).unsqueeze(-1) * B.unsqueeze(-2))
    return ((h * C.unsqueeze(-2)).sum(-1) + D * x).to(dtype)


def selective_scan_reference(
    x: Sequence,
    dt: Sequence,
    A: Float[Tensor, "g d n"],
    B: States,
    C: States,
    D: Float[Tensor, "g d"],
) -> Sequence:
    """What `selective_scan` computes, one step after the other: slow, for comparison."""
    dtype = x.dtype
    x, dt, A, B, C, D = (wide(value) for value in (x, dt, A, B, C, D))
    h = torch.zeros((), dtype=x.dtype, device=x.device)
    y = []
    for t in range(x.shape[1]):
        step = dt[:, t, :, :, None]
        h = torch.exp(step * A) * h + step * B[:, t, :, None, :] * x[:, t, :, :, None]
        y.append((h * C[:, t, :, None, :]).sum(-1) + D * x[:, t])
    return torch.stack(y, 1).to(dtype)


def wide(value: Tensor) -> Tensor:
    """The tensor in 32 bits if it has fewer."""
    return value.float() if value.dtype.itemsize < 4 else value


def linear_recurrence(a: Float[Tensor, "b l ..."], b: Float[Tensor, "b l ..."]) -> Tensor:
    """h_t = a_t h_{t-1} + b_t along dimension 1, from h = 0; a, b and h have one shape.

    It uses no division and no logarithm, so coefficients may be zero. It is differentiable any
    number of times, and a single operation for ``torch.compile``.
    """
    return recurrence(a, b, False)


@torch.library.custom_op("nslab::recurrence", mutates_args=())
def recurrence(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    """h_t = a_t h_{t-1} + b_t, or in reverse h_t = a_{t+1} h_{t+1} + b_t: the gradient of either
    is computed by the other."""
    h = torch.empty_like(b)
    if reverse:  # the coefficient that leads to step t is that of step t + 1
        a = torch.cat((a[:, 1:], torch.zeros_like(a[:, :1])), 1)
    run(a, b, h, reverse)
    return h


@recurrence.register_fake
def shape_of(a: Tensor, b: Tensor, reverse: bool) -> Tensor:
    """An empty result, from which the compiler takes shape and type."""
    return torch.empty_like(b)


def remember(ctx: Any, inputs: tuple[Tensor, Tensor, bool], output: Tensor) -> None:
    """Keep what the gradient needs."""
    ctx.save_for_backward(inputs[0], output)
    ctx.reverse = inputs[2]


def gradient(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    """Gradients with respect to the coefficients, the inputs and the direction (none)."""
    a, h = ctx.saved_tensors
    back = recurrence(a, grad, not ctx.reverse)
    late, early = (h, back) if ctx.reverse else (back, h)
    through = late[:, 1:] * early[:, :-1]
    return torch.cat((torch.zeros_like(late[:, :1]), through), 1), back, None


recurrence.register_autograd(gradient, setup_context=remember)


def run(a: Tensor, b: Tensor, h: Tensor, reverse: bool) -> None:
    """Write h_t = a_t h_{t-1} + b_t into ``h``, or h_t = a_t h_{t+1} + b_t in reverse.

    The sequence is cut into about sqrt(l) chunks of about sqrt(l) steps. First all chunks run at
    once from zero, which gives what each passes on; then the starts of the chunks are computed one
    after the other; then all chunks run at once from their starts. That reads memory five times
    where a loop over steps reads it three times, with some 4 sqrt(l) operations instead of l.
    """
    length = b.shape[1]
    chunks = max(1, round(math.sqrt(length)))
    steps = length // chunks
    whole = slice(length - chunks * steps, None) if reverse else slice(chunks * steps)
    rest = slice(length - chunks * steps) if reverse else slice(chunks * steps, None)
    order = -1 if reverse else 1
    parts = [
        value[:, whole].unflatten(1, (chunks, steps)).unbind(2)[::order] for value in (a, b, h)
    ]
    end, decay = torch.zeros_like(parts[1][0]), torch.ones_like(parts[0][0])
    for a_t, b_t in zip(*parts[:2], strict=True):
        torch.addcmul(b_t, a_t, end, out=end)
        decay *= a_t
    start = torch.zeros_like(end)
    ends, decays, starts = (value.unbind(1)[::order] for value in (end, decay, start))
    for c in range(1, chunks):
        torch.addcmul(ends[c - 1], decays[c - 1], starts[c - 1], out=starts[c])
    for a_t, b_t, h_t in zip(*parts, strict=True):
        torch.addcmul(b_t, a_t, start, out=h_t)
        start = h_t
    last = start.select(1, 0 if reverse else -1)
    for a_t, b_t, h_t in zip(*(v[:, rest].unbind(1)[::order] for v in (a, b, h)), strict=True):
        torch.addcmul(b_t, a_t, last, out=h_t)
        last = h_t
