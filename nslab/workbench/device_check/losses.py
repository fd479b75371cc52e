"""Compare every registered loss and its gradient on a device with formulas in extended
precision."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from nslab.lossnet.shipped import Shipped
from nslab.objectives import EDL, NLNL, OBJECTIVES, Mixup
from nslab.rng import stream_seed
from nslab.types import Batch, DataInfo
from nslab.workbench.device_check.findings import Finding, largest_error, worst
from nslab.workbench.device_check.hashes import bits, mixed, order
from nslab.workbench.device_check.loss_cases import CASES, hard, inputs, loss_of
from nslab.workbench.device_check.loss_references import (
    REFERENCES,
    Probabilities,
    at_least,
    evaluate,
)

PART = "losses"
SEED, EPOCH = 2024, 3
IN_NS = {"ns"}  # checked in `nslab.workbench.device_check.natural_selection`
# (in float32, in float64): of values relative to 0.3 + |value|, of gradients to 0.015 + |gradient|
LIMITS = {"values": (0.3, 2e-5, 1e-9), "gradients": (0.015, 1e-3, 1e-8)}
WHY = "float32: some 300 roundings of 6e-8; float64 is held to {:.0e} beside it"
FAR, HUGE = "logits of 1e4", 3e-3
WHY_HUGE = "float32 has log p of such logits to 5e-4, and a loss may take its fifth power"


def far(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (12, ``classes``) up to 1e4, some right or wrong by that much, and labels (12,)."""
    draw = np.random.default_rng(classes)
    y = draw.integers(0, classes, 12)
    z = draw.uniform(-1e4, 1e4, (12, classes))
    z[:3], z[3:6] = 1e4 * np.eye(classes)[y[:3]], -1e4 * np.eye(classes)[y[3:6]]
    return z.astype(np.float32), y


def on_device(
    case: Any, z: np.ndarray, y: np.ndarray, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """Losses per sample of an objective, or of a case, and the gradient of their sum with respect
    to the logits."""
    logits = torch.from_numpy(z).to(device, dtype).requires_grad_()
    labels = torch.from_numpy(y).to(device)
    if isinstance(case, tuple):
        loss = loss_of(case, logits, labels)
    else:
        objective = case.build(DataInfo.of(labels, z.shape[1]))
        index = torch.arange(len(y), device=device)
        batch = Batch(logits, labels, index, EPOCH, seed=SEED)
        loss = objective(torch.nn.Identity(), batch).loss
    (gradient,) = torch.autograd.grad(loss.sum(), logits)
    return loss, gradient


def nlnl(p: Probabilities, negatives: int) -> np.ndarray:
    """NLNL: -w times the sum over random wrong classes c of log(max(1 - p_c, 1e-5))."""
    drawn = bits(range(len(p.y)), EPOCH, SEED, "complementary labels")
    counts = np.bincount(p.y, minlength=p.classes)
    loss = np.zeros(p.z.shape[:-1], p.z.dtype)
    for i, (bit, label) in enumerate(zip(drawn, p.y.tolist(), strict=True)):
        for draw in range(1, negatives + 1):
            c = (label + 1 + mixed(bit + draw * 0xC2B2AE35) % (p.classes - 1)) % p.classes
            others = np.delete(p.p[:, i], c, axis=-1).sum(-1)
            loss[:, i] -= np.log(at_least(others, 1e-5)) * counts.max() / counts[label]
    return loss


def edl(p: Probabilities, name: str) -> np.ndarray:
    """EDL: sum_k phi(p_k, [k = y]) minus its value at the one-hot label, scaled so that its slope
    equals that of cross-entropy where all classes are equally likely."""
    net = Shipped(name).net()  # type: ignore[arg-type]
    form, h = net.form, net.form.hidden
    w = net.w.double().numpy().astype(np.longdouble)
    into, bias, out = w[: form.inputs * h].reshape(-1, h), w[-2 * h : -h], w[-h:]

    def features(q: np.ndarray, own: np.ndarray) -> np.ndarray:
        rows = [2 * q - 1]
        if form.log_feature:
            rows.append(2 * np.log(q / np.longdouble(1e-4) + 1) / np.log1p(np.longdouble(1e4)) - 1)
        return np.stack([*rows, (2 * own - 1) + 0 * q], -1)

    def total(q: np.ndarray, own: np.ndarray) -> np.ndarray:
        return (np.tanh(features(q, own) @ into + bias) @ out).sum(-1)

    def raw(one: Probabilities) -> np.ndarray:
        own = one.onehot + 0 * one.p
        return total(one.p, own) - total(own, own)

    slope = evaluate(raw, np.zeros((1, p.classes)), np.zeros(1, dtype=int))[1][0, 0]
    return raw(p) * (1 - 1 / np.longdouble(p.classes)) / abs(slope)


def mixup(z: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, np.ndarray]:
    """Mixup: cross-entropy of blended inputs with both labels, and its gradient with respect to the
    inputs."""
    share = np.random.default_rng(stream_seed(SEED, "mixup", 0)).beta(alpha, alpha)
    other = np.array(order(range(len(y)), EPOCH, SEED, "mixup partner"))
    exact = z.astype(np.float64)
    blend = share * exact + (1 - share) * exact[other]
    log_p = blend - blend.max(1, keepdims=True)
    log_p -= np.log(np.exp(log_p).sum(1, keepdims=True))
    each = np.arange(len(y))
    loss = -share * log_p[each, y] - (1 - share) * log_p[each, y[other]]
    eye = np.eye(z.shape[1])
    slope = np.exp(log_p) - share * eye[y] - (1 - share) * eye[y[other]]
    gradient = share * slope
    np.add.at(gradient, other, (1 - share) * slope)
    return loss, gradient


def compared() -> Iterator[tuple[str, bool, Any, np.ndarray, np.ndarray, Any]]:
    """What is compared: name, whether logits go up to 1e4, objective or case, logits, labels, and
    losses and gradients by the reference."""
    for classes in (2, 10, 100):
        for distant in (False, True):
            z, y = far(classes) if distant else hard(classes)
            some = slice(
                None, None, 2 if classes == 100 else 1
            )  # 100 classes take most of the time
            for case in CASES:
                # sums of such logits in the top-k loss would overflow its exponentials
                if case[0] in OBJECTIVES and not (distant and case[0] == "smooth_top_k"):
                    own = (z, y) if distant else inputs(case, classes)
                    own = own[0][some], own[1][some]
                    yield (
                        case[0],
                        distant,
                        case,
                        *own,
                        evaluate(REFERENCES[case[0]], *own, **case[1]),
                    )
            z, y = z[some], y[some]
            for n in (1, 7):
                yield "nlnl", distant, NLNL(n), z, y, evaluate(nlnl, z, y, negatives=n)
            for name in ("log", "order"):
                net = EDL(Shipped(name))
                yield "edl", distant, net, z, y, evaluate(edl, z, y, name=name)
        # mixup blends inputs: blending large ones would lose digits
        z, y = hard(classes)[0][:13] / 10, hard(classes)[1][:13]
        yield "mixup", False, Mixup(0.4), z, y, mixup(z, y, 0.4)


def check_losses(device: torch.device) -> Iterator[Finding]:
    """For each registered loss, findings for its values, its gradients, and for huge logits."""
    errors: dict[tuple[str, str], list[float]] = {}
    for key, distant, case, z, y, wanted in compared():
        for dtype in (torch.float32, torch.float64):
            found = on_device(case, z, y, device, dtype)
            for (what, (floor, single, double)), got, right in zip(
                LIMITS.items(), found, wanted, strict=True
            ):
                gap = largest_error(got, right.astype(np.float64), floor)
                limits = (HUGE, 100 * double) if distant else (single, double)
                # float64 counts in units of its own limit
                scale = 1.0 if dtype == torch.float32 else limits[0] / limits[1]
                errors.setdefault((key, FAR if distant else what), []).append(scale * gap)
    for key in (key for key in OBJECTIVES if key not in IN_NS):
        for what, (_, single, double) in LIMITS.items():
            why, compared_here = WHY.format(double), (key, what) in errors
            error: float | None = worst(errors[key, what]) if compared_here else None
            skipped = "" if compared_here else "nslab has no second formula for it"
            yield Finding(PART, f"{what} of {key}", error, single, why, skipped)
        if (key, FAR) in errors:
            name = f"both of {key}, {FAR}"
            yield Finding(PART, name, worst(errors[key, FAR]), HUGE, WHY_HUGE)
