"""Compiled networks: fewer and larger kernels, and on a GPU a step's kernels launched at once."""

from typing import Any, cast

import torch
from torch import Tensor, nn


class CompiledForSizes(nn.Module):
    """A network that is compiled for batches of some sizes, and runs uncompiled for all others.

    A GPU runs a small network's kernels faster than Python launches them, so a step is captured as
    CUDA graphs (``mode="reduce-overhead"``), anew for every size. That pays for the batches of
    training; an epoch's shorter last batch, and those of an evaluation, would cost seconds of
    compiling for each millisecond saved. Which batches are compiled depends only on their size, so
    a resumed training computes as before. The network itself is ``_orig_mod``, as in what
    ``torch.compile`` returns.
    """

    def __init__(self, network: nn.Module, sizes: set[int], **options: Any) -> None:
        super().__init__()
        self._orig_mod, self.sizes = network, sizes
        # not registered as a submodule, since its parameters are the network's
        self.__dict__["fast"] = torch.compile(network, **options)

    def forward(self, x: Tensor) -> Any:
        """The network's output for a batch."""
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

    On a GPU it uses CUDA graphs, for batches of that size and for the composites that NS scores,
    one for each ``group`` of samples. It is plain ``torch.compile`` on a CPU, which launches no
    kernels, and where gradients add up over several passes (``accumulate``) or several
    ``processes`` exchange them, because a CUDA graph overwrites the memory of its last call.
    """
    if device.type != "cuda" or processes > 1 or accumulate > 1:
        return cast(nn.Module, torch.compile(network))
    sizes = {batch, batch // group}
    return CompiledForSizes(network, sizes, mode="reduce-overhead", dynamic=False)
