"""Options of an evolution of networks, one frozen value."""

from dataclasses import dataclass
from typing import Literal

import torch

from nslab.system.validation import check_fields
from nslab.types import Precision

Policy = Literal["inherit", "recalibrate", "parent"]
Genes = Literal["float32", "bfloat16"]
GENES: dict[Genes, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class EvolveOptions:
    """How networks evolve, whichever evolver is used; configs of evolutions inherit these fields.

    Attributes:
        batches: number of batches of data, one after the other.
        generations: number of generations on each batch.
        batch_size: samples per batch, for the function that makes them.
        policy: what BatchNorm does. ``"inherit"``: it normalises with the batch (training mode) and
            its running statistics learn; a trial starts from its parent's, and the survivor keeps
            what it learned. ``"recalibrate"``: its running statistics are re-estimated from
            calibration batches, then used. ``"parent"``: statistics never change; a trial has those
            of its parent. With the first two, statistics depend on the batches, so give batches
            augmented as in training, even though fitness itself does not need it.
        exempt_head: the last linear layer does not evolve; a trial has its parent's.
        dtype: of the population's genes.
        precision: of autocast when networks are scored; cross-entropy is computed in at least
            float32.
        microbatch: at most this many samples pass at once, in parts as equal as possible. The mean
            over the batch stays exact; BatchNorm in training mode treats each part as a batch of
            its own, and its statistics learn once per part. None: the whole batch, except on a CPU
            where parts give the same result: parts that fit its cache take a third of the time.
    """

    batches: int = 20
    generations: int = 10
    batch_size: int = 2048
    policy: Policy = "inherit"
    exempt_head: bool = True
    dtype: Genes = "float32"
    precision: Precision = "no"
    microbatch: int | None = None

    def __post_init__(self) -> None:
        counts = ("batches", "generations", "batch_size", "microbatch")
        check_fields(self, at_least=dict.fromkeys(counts, 1))


DEFAULTS = EvolveOptions()
