"""Types that all modules share: a batch, its scores, and what an objective is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn

Logits = Float[Tensor, "b c"]
Labels = Int[Tensor, " b"]
PerSample = Float[Tensor, " b"]
Images = Float[Tensor, "b c h w"]
ImageShape = tuple[int, int, int]  # channels, height, width
TextShape = tuple[int, int]  # tokens in a row, number of token ids
InputShape = ImageShape | TextShape
Precision = Literal["no", "bf16", "fp16"]  # autocast's; "no": full precision
AUTOCAST: dict[Precision, torch.dtype | None] = {
    "no": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Batch:
    """A mini-batch.

    Attributes:
        x: inputs, one row per sample.
        y: class numbers.
        index: positions of the samples in the data set.
        epoch: counted from 0.
        lr: learning rate of the step that the batch is for, if the training loop sets it.
        seed: the run's seed, which determines what a method draws for the batch.

    >>> batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([3, 5]), index=torch.arange(2))
    >>> batch.x.shape, batch.epoch
    (torch.Size([2, 1, 8, 8]), 0)
    """

    x: Num[Tensor, "b ..."]
    y: Labels
    index: Int[Tensor, " b"]
    epoch: int = 0
    lr: float | None = None
    seed: int = 0


@dataclass(frozen=True)
class Scored:
    """What an objective returns for a batch; training minimises ``loss.mean() + penalty``.

    Attributes:
        loss: per sample, already weighted.
        logits: the network's output for the batch.
        weight: the factor of each sample's loss, for logging; None: all ones.
        penalty: terms that belong to no sample, such as an L1 norm of the parameters.

    >>> logits = torch.zeros(2, 3)
    >>> Scored(torch.tensor([1.0, 2.0]), logits, penalty=torch.tensor(0.5)).total()
    tensor(2.)
    """

    loss: PerSample
    logits: Logits
    weight: PerSample | None = None
    penalty: Float[Tensor, ""] | None = None

    def total(self) -> Float[Tensor, ""]:
        """The scalar to differentiate."""
        mean = self.loss.mean()  # [NS Eq. 2]
        return mean if self.penalty is None else mean + self.penalty


@dataclass(frozen=True)
class TokenInfo:
    """How texts are written as rows of token ids (b, length).

    Attributes:
        length: tokens in a row.
        vocabulary: number of token ids.
        pad: id of padding, on the right.
        begin, end: ids of the special tokens that start and end each text; None: there is none.

    >>> TokenInfo(length=64, vocabulary=20_000).pad
    0
    """

    length: int
    vocabulary: int
    pad: int = 0
    begin: int | None = None
    end: int | None = None


@dataclass(frozen=True)
class DataInfo:
    """What a method may know about its training set before training starts.

    Attributes:
        class_counts: number of samples of each class.
        tokens: how texts are written; None for images.

    >>> DataInfo.of(torch.tensor([0, 0, 2]), num_classes=3).class_counts
    tensor([2, 0, 1])
    """

    num_classes: int
    num_samples: int
    class_counts: Int[Tensor, " k"] = field(compare=False)
    tokens: TokenInfo | None = None

    @classmethod
    def of(cls, labels: Int[Tensor, " n"], num_classes: int) -> "DataInfo":
        """Count the labels of a training set."""
        counts = torch.bincount(labels.cpu(), minlength=num_classes)
        return cls(num_classes, len(labels), counts)


Row = dict[str, Any]  # one row of a table: an epoch, a generation, or the results of a run
StateDict = dict[str, Tensor]  # weights and buffers by name
Pair = tuple[Tensor, Labels]
BatchOf = Callable[[int], Pair | Batch]  # batch k, the same at every call

Loss = Callable[[Logits, Labels], PerSample]
Weigh = Callable[[nn.Module, Batch, Logits | None], PerSample]  # logits: None if not computed yet


@runtime_checkable
class Batches(Protocol):
    """Batches of one set of samples: of arrays on the device (`Loader`), of image files decoded in
    the background (`ImageFiles`), or of texts (`TextBatches`). Asking for a batch again gives the
    same batch."""

    def __len__(self) -> int:
        """Number of batches in a training epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled, augmented batches of an epoch (from 0), from batch ``start`` on."""
        ...

    def nth(self, k: int) -> Batch:
        """Batch k (from 0), counted on from epoch to epoch."""
        ...

    def parts(self, k: int, size: int) -> Iterator[Batch]:
        """Batch k in parts of ``size`` samples, the last perhaps fewer."""
        ...

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, not augmented, for evaluation; with several processes, the share of
        this one."""
        ...


@runtime_checkable
class Objective(Protocol):
    """Scores a batch; the training loop knows nothing else about a method.

    ``min_batch`` is the smallest batch the method can score: training drops a shorter last batch
    of an epoch (its samples come back with the next shuffle). An objective that keeps a state from
    batch to batch also has ``state_dict()`` and ``load_state_dict(state)``, so that an interrupted
    training resumes with it. One that counts something also has ``counted()``: the shares it
    returns become part of an epoch's row, see `nslab.objectives.weighted.counted`.

    >>> from nslab.objectives import GCE
    >>> batch = Batch(torch.zeros(2, 1, 8, 8), torch.tensor([3, 5]), index=torch.arange(2))
    >>> objective = GCE(q=0.7).build(DataInfo.of(batch.y, 10))
    >>> objective(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), batch).loss.shape
    torch.Size([2])
    """

    @property
    def min_batch(self) -> int: ...

    def __call__(self, model: nn.Module, batch: Batch) -> Scored: ...


@runtime_checkable
class ObjectiveConfig(Protocol):
    """A frozen dataclass of hyper-parameters, which specifies a method in a config."""

    def build(self, info: DataInfo) -> Objective: ...


@runtime_checkable
class LossConfig(ObjectiveConfig, Protocol):
    """An objective that is a plain per-sample loss, so that its samples can be weighted."""

    def loss(self, logits: Logits, y: Labels) -> PerSample: ...


__all__ = [
    "AUTOCAST",
    "Batch",
    "BatchOf",
    "Batches",
    "DataInfo",
    "ImageShape",
    "Images",
    "InputShape",
    "Labels",
    "Logits",
    "Loss",
    "LossConfig",
    "Objective",
    "ObjectiveConfig",
    "Pair",
    "PerSample",
    "Precision",
    "Row",
    "Scored",
    "StateDict",
    "TextShape",
    "TokenInfo",
    "Weigh",
]
