"""Compiled networks: fewer and larger kernels, and on a GPU a step's kernels launched at once."""

from typing import Any, cast

import torch
from torch import Tensor, nn


class CompiledForSizes(nn.Module):
    """A network compiled for batches of some sizes, itself for all others.

    A GPU runs a small network's kernels faster than Python launches them, so a step is captured as
    CUDA graphs (``mode="reduce-overhead"``), anew for every size. That pays for the batches of
    training; an epoch's last short one, and those of an evaluation, would cost seconds of compiling
    for each millisecond saved. Which batches are compiled depends on nothing but their size, so a
    training that is taken up computes as before. The network itself is ``_orig_mod``, as in what
    ``torch.compile`` returns.
    """

    def __init__(self, network: nn.Module, sizes: set[int], **options: Any) -> None:
        super().__init__()
        self._orig_mod, self.sizes = network, sizes
        # kept out of the submodules, whose parameters are the network's already
        self.__dict__["fast"] = torch.compile(network, **options)

    def forward(self, x: Tensor) -> Any:
        """What the network says of a batch."""
        chosen = self.__dict__["fast"] if len(x) in self.sizes else self._orig_mod
        return chosen(x)


def compiled(
    network: nn.Module,
    device: torch.device,
    batch: int,
    group: int = 1,
    *,
    processes: int = 1,
    accumulate: int = 1,
) -> nn.Module:
    """``network`` compiled for steps of ``batch`` samples.

    On a GPU by CUDA graphs, for that size and for the composites of groups of so many samples,
    which NS scores. A CUDA graph writes into the memory of its last call, so where gradients add up
    over several passes (``accumulate``), or several ``processes`` exchange them, and on a CPU,
    which launches nothing, it is plain ``torch.compile``.
    """
    if device.type != "cuda" or processes > 1 or accumulate > 1:
        return cast(nn.Module, torch.compile(network))
    sizes = {batch, batch // group}
    return CompiledForSizes(network, sizes, mode="reduce-overhead", dynamic=False)
