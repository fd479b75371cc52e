"""What every loss per sample must do as a trainer's criterion: a new entry of OBJECTIVES is bound
by these without a new test, and so is a stranger's."""

import copy
import io
import pickle
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.objectives import EDL, NS, OBJECTIVES, SETTINGS, CrossEntropy
from nslab.objectives.criterion import Criterion
from nslab.objectives.probabilities import log_probabilities, of_label
from nslab.objectives.weighted import PlainLoss
from nslab.types import Labels, Logits, PerSample

B, K = 12, 5
GEN = torch.Generator().manual_seed(0)
Z, Y = torch.randn(B, K, generator=GEN), torch.randint(0, K, (B,), generator=GEN)
SOFT = torch.randn(B, K, generator=GEN).softmax(1)


@dataclass(frozen=True)
class Doubt(PlainLoss):
    """A stranger's: ``scale`` times 1 - p_y, and nothing else defined."""

    scale: float = 2.0

    def loss(self, logits: Logits, y: Labels) -> PerSample:
        """Per sample."""
        return self.scale * (1 - of_label(log_probabilities(logits, y).exp(), y))


LOSSES: dict[str, PlainLoss] = {
    key: cls() for key, cls in OBJECTIVES.items() if issubclass(cls, PlainLoss)
}
LOSSES |= {
    f"{key}/{name}": setting.objective
    for key, settings in SETTINGS.items()
    for name, setting in settings.items()
    if key in LOSSES and setting.objective != LOSSES[key] and "100" not in name
}
LOSSES["stranger"] = Doubt()


@pytest.fixture(params=LOSSES)
def loss(request: pytest.FixtureRequest) -> PlainLoss:
    """Each loss with its defaults, and with other settings that sources recommend."""
    return LOSSES[request.param]


def gradient(value: Tensor, z: Tensor) -> Tensor:
    """Of a sum, in the logits."""
    return torch.autograd.grad(value.sum(), z, retain_graph=True)[0]


def test_reductions(loss: PlainLoss) -> None:
    """As torch's: "none" gives the losses, "sum" their sum, "mean" their mean; a call and the
    module say the same, in value and gradient."""
    z = Z.clone().requires_grad_()
    each = loss.criterion(reduction="none")(z, Y)
    assert each.shape == (B,)
    assert torch.equal(each, loss.loss(z, Y))
    for reduction, expected in (("none", each), ("sum", each.sum()), ("mean", each.mean())):
        for found in (loss.criterion(reduction)(z, Y), loss(z, Y, reduction=reduction)):
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(gradient(found, z), gradient(expected, z))
    assert torch.equal(loss(z, Y), loss.criterion()(z, Y))
    assert gradient(loss(z, Y), z).abs().max() > 0


@pytest.mark.usefixtures("as_users_call")
def test_unknown_reductions_are_refused(loss: PlainLoss) -> None:
    """Where the module is made, and where a loss is called, with the nearest name."""
    with pytest.raises(ValueError, match="did you mean mean"):
        loss.criterion(reduction="meen")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="did you mean none"):
        loss(Z, Y, reduction="non")  # type: ignore[arg-type]


def test_a_module_like_others(loss: PlainLoss) -> None:
    """It can be moved, cast, copied, pickled, saved as a whole and by its state, put into modes and
    printed; nothing of it is trained, and it says the same afterwards."""
    criterion = loss.criterion()
    expected = criterion(Z, Y)
    assert isinstance(criterion, nn.Module)
    assert isinstance(criterion, Criterion)
    assert repr(loss) in repr(criterion)
    assert "reduction='mean'" in repr(criterion)
    assert not list(criterion.parameters())
    twin = loss.criterion()
    assert not any(twin.load_state_dict(criterion.state_dict()))
    file = io.BytesIO()
    torch.save(criterion, file)
    file.seek(0)
    for same in (
        copy.deepcopy(criterion),
        pickle.loads(pickle.dumps(criterion)),
        torch.load(file, weights_only=False),
        twin,
        loss.criterion().to("cpu").eval().train(),
        loss.criterion().to(torch.bfloat16),
        loss.criterion().half().double(),
    ):
        assert torch.equal(same(Z, Y), expected)
        assert same.config == loss


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(loss: PlainLoss, dtype: torch.dtype) -> None:
    """Losses of 16-bit logits are those of the same numbers in float32, under autocast too."""
    narrow = Z.to(dtype)
    expected = loss.criterion()(narrow.float(), Y)
    assert torch.equal(loss.criterion()(narrow, Y), expected)
    assert torch.equal(loss(narrow, SOFT.to(dtype)), loss(narrow.float(), SOFT.to(dtype)))
    with torch.autocast("cpu", dtype=dtype):
        found = loss.criterion()(narrow, Y)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)


def test_positions(loss: PlainLoss) -> None:
    """Classes are the second dimension, each position a sample, as torch has it."""
    z = torch.randn(2, K, 3, 4, generator=torch.Generator().manual_seed(1))
    y = torch.randint(0, K, (2, 3, 4), generator=torch.Generator().manual_seed(2))
    each = loss.criterion("none")(z, y)
    assert each.shape == y.shape
    torch.testing.assert_close(each[1, :, 2], loss.loss(z[1, :, :, 2].T, y[1, :, 2]))
    torch.testing.assert_close(loss.criterion()(z, y), each.mean())
    one_hot = F.one_hot(y, K).movedim(-1, 1).float()
    torch.testing.assert_close(loss.criterion("none")(z, one_hot), each)


def test_ignored_labels(loss: PlainLoss) -> None:
    """Samples with that label are as though absent; without ``ignore_index`` they are refused."""
    y = torch.where(torch.arange(B) % 3 == 0, -100, Y)
    kept = y != -100
    z = Z.clone().requires_grad_()
    found = loss.criterion(ignore_index=-100)(z, y)
    expected = loss(z[kept], Y[kept])
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, z), gradient(expected, z))
    each = loss.criterion("none", ignore_index=-100)(z, y)
    assert (each[~kept] == 0).all()
    torch.testing.assert_close(loss.criterion("sum", -100)(z, y), each.sum())
    with pytest.raises(ValueError, match=r"^labels must be classes from 0"):
        loss.criterion()(z, y)
    with pytest.raises(ValueError, match="labels go up to 99"):
        loss.criterion(ignore_index=-100)(z, torch.where(kept, 99, y))


def test_soft_labels(loss: PlainLoss) -> None:
    """The expected loss: of one-hot labels the loss itself, of a blend of two labels the blend of
    their losses, as mixup's released code has it; gradients too."""
    z = Z.clone().requires_grad_()
    one_hot, other = F.one_hot(Y, K).float(), (Y + 1) % K
    blend = 0.3 * one_hot + 0.7 * F.one_hot(other, K)
    for found, expected in (
        (loss(z, one_hot), loss(z, Y)),
        (loss(z, blend), 0.3 * loss(z, Y) + 0.7 * loss(z, other)),
        (loss.criterion("none")(z, blend), 0.3 * loss.loss(z, Y) + 0.7 * loss.loss(z, other)),
    ):
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(gradient(found, z), gradient(expected, z), rtol=1e-4, atol=1e-6)


def test_the_loss_for_every_class(loss: PlainLoss) -> None:
    """Column k is the loss with label k, whether a loss has its own way to it or not."""
    for z in (Z, Z.double(), 30 * Z):
        expected = torch.stack([loss.loss(z, torch.full((B,), k)) for k in range(K)], 1)
        torch.testing.assert_close(loss.losses_by_class(z), expected)
        torch.testing.assert_close(loss.criterion().losses_by_class(z), expected)


def test_cross_entropy_of_probabilities_is_torchs() -> None:
    """And so is that of ignored labels and of positions."""
    torch.testing.assert_close(CrossEntropy()(Z, SOFT), F.cross_entropy(Z, SOFT))
    z, y = Z.view(3, K, 4), Y.view(3, 4).clone()
    y[0, 1] = -100
    for reduction in ("none", "sum", "mean"):
        found = CrossEntropy().criterion(reduction, ignore_index=-100)(z, y)  # type: ignore[arg-type]
        torch.testing.assert_close(found, F.cross_entropy(z, y, reduction=reduction))


WRONG = {
    "logits": (Z, "at least 0, with a sum of 1"),
    "counts": (2 * SOFT, "a sum of 1"),
    "classes": (SOFT[:, 1:] / SOFT[:, 1:].sum(1, keepdim=True), f"of {B} samples and {K} classes"),
    "samples": (SOFT[1:], f"of {B} samples and {K} classes"),
    "nan": (torch.full_like(SOFT, torch.nan), "a sum of 1"),
}


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("kind", WRONG)
def test_floats_that_are_no_probabilities_are_refused(loss: PlainLoss, kind: str) -> None:
    """By a sentence that says what soft labels are."""
    y, said = WRONG[kind]
    for call in (loss, loss.criterion()):
        with pytest.raises(ValueError, match=said):
            call(Z, y)


def test_soft_labels_beside_a_masked_class_are_refused(loss: PlainLoss) -> None:
    """Its loss would be infinite, and 0 times that is no number."""
    masked = Z.clone()
    masked[:, 2] = -torch.inf
    with pytest.raises(ValueError, match="masked, its logit is -inf"):
        loss(masked, SOFT)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("y", [Y[:3], torch.zeros(2, 4), torch.zeros(2, 3, 4)])
def test_labels_of_another_layout_are_refused(y: Any) -> None:
    """With the two shapes that would do."""
    with pytest.raises(ValueError, match=r"labels must be whole numbers of shape \(2, 3, 4\)"):
        CrossEntropy().criterion()(torch.zeros(2, K, 3, 4), y)


def test_the_module_of_edl_keeps_its_weights() -> None:
    """A checkpoint brings the loss it was trained with, on which the scale then depends; another
    form is refused by torch."""
    order, log = (EDL(OBJECTIVES["edl"]().source.__class__(name)) for name in ("order", "log"))
    first, second = log.criterion(), log.criterion()
    second.weights.mul_(0.5)
    first(Z, Y)  # its scale is known by now
    first.load_state_dict(second.state_dict())
    assert torch.equal(first(Z, Y), second(Z, Y))
    assert not torch.equal(first(Z, Y), log(Z, Y))
    with pytest.raises(RuntimeError, match="size mismatch for weights"):
        first.load_state_dict(order.criterion().state_dict())


def test_natural_selection_over_each(loss: PlainLoss) -> None:
    """``ns.loss`` is the weights times the losses of the base, reduced."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, K))
    x, ns = torch.randn(B + 1, 1, 4, 4), NS(sigma=2.5, rho=-1, base=loss)
    for y in (torch.arange(B + 1) % K, torch.cat([SOFT, SOFT[:1]])):
        w = ns.weights(model, x, y)
        each = w * loss(model(x), y, reduction="none")
        for reduction, expected in (("none", each), ("sum", each.sum()), ("mean", each.mean())):
            torch.testing.assert_close(
                ns.loss(model, x, y, reduction=reduction),  # type: ignore[arg-type]
                expected,
            )
