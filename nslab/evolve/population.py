"""A population in one tensor: a row for every member, and one for every member's trial."""

from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

DTYPES = (torch.float32, torch.bfloat16, torch.float64)


@dataclass(frozen=True, eq=False)
class Population:
    """NP vectors of D genes, and room for a trial vector for each.

    A trial that wins becomes a member by a change of index; genes are never copied.

    Attributes:
        rows: the genes of members and trials, on any device.
        members: the row of each member, on the CPU.
        spare: the row where each member's trial is written, on the CPU.
    """

    rows: Float[Tensor, "rows d"]
    members: Int[Tensor, " np"]
    spare: Int[Tensor, " np"]

    def __post_init__(self) -> None:
        rows, np = self.rows, self.members.numel()
        if rows.dim() != 2 or rows.dtype not in DTYPES or rows.numel() == 0:
            raise ValueError(
                "a population is a (rows, genes) matrix of float32, bfloat16 or float64, "
                f"not {tuple(rows.shape)} of {rows.dtype}"
            )
        for name in ("members", "spare"):
            index = getattr(self, name)
            if index.dtype != torch.int64 or index.device.type != "cpu" or index.dim() != 1:
                raise ValueError(
                    f"{name} must be a vector of int64 on the CPU, not {tuple(index.shape)} of "
                    f"{index.dtype} on {index.device}"
                )
        every = torch.cat([self.members, self.spare]).sort().values
        if len(self.spare) != np or not torch.equal(every, torch.arange(len(rows))):
            raise ValueError(
                f"members and spare must share the {len(rows)} rows evenly, each row named once"
            )

    @classmethod
    def of(cls, x: Float[Tensor, "np d"]) -> "Population":
        """A population whose members are copies of the rows of ``x``."""
        if x.dim() != 2:
            raise ValueError(f"members come as a matrix (members, genes), not {tuple(x.shape)}")
        np = len(x)
        rows = x.new_empty((2 * np, x.shape[1]), requires_grad=False)
        rows[:np] = x.detach()
        return cls(rows, torch.arange(np), torch.arange(np, 2 * np))

    @property
    def size(self) -> int:
        """NP."""
        return len(self.members)

    @property
    def genes(self) -> int:
        """D."""
        return self.rows.shape[1]

    def member(self, i: int) -> Float[Tensor, " d"]:
        """A view of a member."""
        return self.rows[int(self.members[i])]

    def trial(self, i: int) -> Float[Tensor, " d"]:
        """A view of a member's trial."""
        return self.rows[int(self.spare[i])]

    def x(self) -> Float[Tensor, "np d"]:
        """A copy of all members, in order."""
        return self.rows.index_select(0, self.members.to(self.rows.device))

    def accept(self, won: Bool[Tensor, " np"]) -> "Population":
        """The population in which trials that ``won`` are members, and their parents' rows spare.

        It shares its rows with this one and changes none of them.
        """
        if won.dtype != torch.bool or won.shape != self.members.shape:
            raise ValueError(
                f"say for each of the {self.size} members whether its trial won (bool), "
                f"not {tuple(won.shape)} of {won.dtype}"
            )
        won = won.cpu()
        members = torch.where(won, self.spare, self.members)
        return Population(self.rows, members, torch.where(won, self.members, self.spare))

    def state_dict(self) -> dict[str, Any]:
        """The three tensors, not copied; trials included, so that they need not be bred again."""
        return {"rows": self.rows, "members": self.members, "spare": self.spare}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Population":
        """The population that returned ``state`` from `state_dict`; it keeps these tensors."""
        return cls(**state)
