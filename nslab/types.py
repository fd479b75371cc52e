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
TextShape = tuple[int, int]  # tokens, ids that there are
InputShape = ImageShape | TextShape
Precision = Literal["no", "bf16", "fp16"]  # of autocast
AUTOCAST: dict[Precision, torch.dtype | None] = {
    "no": None,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclass(frozen=True)
class Batch:
    """A mini-batch: inputs, labels, positions in the data set, the epoch (from 0), the learning
    rate of the step it is for, where a loop says so, and the run's seed, which names all that a
    method draws for the batch.

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
    """What an objective says of a batch; training descends ``loss.mean() + penalty``.

    ``loss`` is per sample and already weighted; ``weight`` is what it was multiplied by, for
    logging (None: all ones); ``penalty`` is for terms that belong to no sample, such as an L1
    norm of the parameters.

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
    """Texts as rows of token ids (b, length): how long a row is, how many ids there are, and the
    ids of padding (on the right), of a row's first and of its last token (None: there are none).

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
    """What a method may know of its training set before training starts; ``tokens``: of texts.

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


Row = dict[str, Any]  # of a table: an epoch, a generation, the numbers of a run
StateDict = dict[str, Tensor]  # weights and buffers by name
Pair = tuple[Tensor, Labels]
BatchOf = Callable[[int], Pair | Batch]  # batch k, the same whenever it is asked

Loss = Callable[[Logits, Labels], PerSample]
Weigh = Callable[[nn.Module, Batch, Logits | None], PerSample]


@runtime_checkable
class Batches(Protocol):
    """Batches of one set of samples: of arrays that lie on the device (`Loader`), of files that are
    decoded in the background (`ImageFiles`), or of texts (`TextBatches`). The same ones come
    whenever they are asked for."""

    def __len__(self) -> int:
        """Batches of a training epoch."""
        ...

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Shuffled, augmented batches of an epoch (from 0), from batch ``start`` on."""
        ...

    def nth(self, k: int) -> Batch:
        """Batch k (from 0) of epoch after epoch."""
        ...

    def parts(self, k: int, size: int) -> Iterator[Batch]:
        """Batch k in parts of ``size`` samples, the last perhaps fewer."""
        ...

    def in_order(self) -> Iterator[Batch]:
        """Every sample once, as it is evaluated; of several processes, this one's share."""
        ...


@runtime_checkable
class Objective(Protocol):
    """Scores a batch; the training loop knows nothing else of a method.

    ``min_batch`` is the smallest batch the method can score: training drops a shorter last batch
    of an epoch (its samples come back with the next shuffle). An objective that remembers
    something from batch to batch has ``state_dict()`` and ``load_state_dict(state)`` too: an
    interrupted training then goes on with its memory. One that counts something has ``counted()``:
    its shares become part of an epoch's row, see `nslab.objectives.weighted.counted`.

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
    """A frozen dataclass of hyper-parameters: the value that names a method in a config."""

    def build(self, info: DataInfo) -> Objective: ...


@runtime_checkable
class LossConfig(ObjectiveConfig, Protocol):
    """An objective that is a plain per-sample loss, so a weighting can be put on top of it."""

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
