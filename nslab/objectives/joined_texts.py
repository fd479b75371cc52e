"""Composites of texts: the samples of a group joined into one row of tokens.

Rows of token ids (b, l) are padded on the right. A text may begin with a special token ([CLS]) and
end with another ([SEP]); `TokenInfo` says which.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from nslab.datasets.special_tokens import token_info
from nslab.networks.logits import can_read_values
from nslab.objectives.checks import check_tokens, checked_grid
from nslab.objectives.composites import IDS, Compose, Grid
from nslab.types import TokenInfo

TEXTS = ("tiled", "literal")  # ways to join texts
MASK, LABELS = "attention_mask", "labels"
PER_TOKEN = (IDS, MASK, "token_type_ids")  # the tensors (b, l) of a batch for transformers
Tokens = Int[Tensor, "b l"]


class Spans(NamedTuple):
    """What is kept of each text.

    Attributes:
        start, stop: where its content, the text without special tokens, begins and ends in its row.
        kept: how many tokens of the content are kept, the first ones.
        closed: whether the special token that ends a text follows them.
    """

    start: Int[Tensor, " b"]
    stop: Int[Tensor, " b"]
    kept: Int[Tensor, " b"]
    closed: Bool[Tensor, " b"]


@dataclass(frozen=True)
class Joined:
    """Joins every R*C consecutive texts into one row of at most ``tokens.length`` tokens.

    The token that begins a text, such as [CLS], appears once, at the start of the composite; the
    token that ends one, such as [SEP], after each text. There is no padding between texts, only
    after the last one.

    Attributes:
        tokens: length of the model's input and ids of special tokens.
        how: ``"tiled"`` keeps the first tokens of each text, at most so many that R*C texts always
            fit, just as each image shrinks to its tile. ``"literal"`` joins whole texts and cuts
            the row at ``tokens.length``, so that texts at its end may be lost, see `lost`.

    NOTE: the paper joins "four text instances into a single input" and says neither how long texts
    are made to fit nor which tokens stand between them. An equal share of the row for each text's
    first tokens is our interpretation of a tile. One end token after each text is how BERT joins a
    pair; RoBERTa puts two between the texts of a pair, here there is one. Token types are those of
    each text (all 0, unless texts are pairs): no model has learnt more than two.

    >>> joined = Joined(TokenInfo(length=9, vocabulary=100, pad=0, begin=1, end=2))
    >>> joined(torch.tensor([[1, 11, 12, 13, 14, 2], [1, 21, 2, 0, 0, 0]]), (1, 2))
    tensor([[ 1, 11, 12, 13,  2, 21,  2,  0,  0]])
    """

    tokens: TokenInfo
    how: Literal["tiled", "literal"] = "tiled"

    def __post_init__(self) -> None:
        if self.how not in TEXTS:
            raise ValueError(f"Joined: how is {self.how!r}, not 'tiled' or 'literal'")
        if not isinstance(self.tokens, TokenInfo):
            raise TypeError(
                f"Joined: tokens must be an nslab.types.TokenInfo, not {self.tokens!r}: "
                "Joined.of(tokenizer) takes it from a tokenizer"
            )

    @classmethod
    def of(
        cls, tokenizer: Any, length: int | None = None, how: Literal["tiled", "literal"] = "tiled"
    ) -> "Joined":
        """For a tokenizer of transformers. ``length``: tokens of the model's input, special tokens
        included (None: the tokenizer's maximum). Errors: see `token_info`."""
        return cls(token_info(tokenizer, length), how)

    def check(self, tokens: TokenInfo) -> None:
        """``ValueError`` unless the data have the same special tokens, and rows at least as
        long."""
        mine, theirs = ((t.pad, t.begin, t.end) for t in (self.tokens, tokens))
        if mine != theirs:
            raise ValueError(
                f"NS: compose joins texts with padding, first and last token {mine}, the data have "
                f"{theirs}: compose={self.how!r} takes those of the data"
            )
        if self.tokens.length > tokens.length:
            raise ValueError(
                f"NS: compose joins texts in {self.tokens.length} tokens, the data have "
                f"{tokens.length}: compose={self.how!r} takes the length of the data"
            )

    def __call__(
        self, x: Tokens | Mapping[str, Any], grid: Grid
    ) -> Int[Tensor, "g w"] | dict[str, Tensor]:
        """Composites (g, w) of the texts ``x`` (b, l), with g = b / (R*C).

        For a mapping with ``input_ids``, ``attention_mask`` and perhaps ``token_type_ids`` they
        are a dict with the same keys. The width w depends on that of ``x`` alone: it suffices for
        the longest texts that fit into ``x``, and is at most ``tokens.length``.

        Raises ``ValueError`` for anything that is not a batch of tokens, a mapping without a mask
        or with other entries (except ``labels``), padding on the left, and texts that do not fill
        the grids.
        """
        m = math.prod(checked_grid(grid))
        ids, mask = ids_and_mask(x)
        b, columns = ids.shape
        if b % m:
            raise ValueError(f"{b} texts do not fill grids of {m}")
        first = int(self.tokens.begin is not None)
        spans = self._spans(ids, mask, m)
        width = self._width(columns, m)
        # for each position in a composite: which text it belongs to, and where in that text
        place = torch.arange(width, device=ids.device) - first
        stops = (spans.kept + spans.closed).view(-1, m).cumsum(1)
        order = (place >= stops[:, :, None]).sum(1)  # m: behind all texts
        groups = torch.arange(len(stops), device=ids.device)[:, None]
        row = groups * m + order.clamp(max=m - 1)
        inside = place - (stops.flatten() - spans.kept - spans.closed.long())[row]
        used = order < m
        closing = used & (inside == spans.kept[row])
        column = torch.where(closing, spans.stop[row], spans.start[row] + inside)
        column = column.clamp(0, columns - 1)
        joined = ids[row, column]  # [NS Eq. 3]
        if self.tokens.end is not None:
            joined = joined.masked_fill(closing, self.tokens.end)
        if self.tokens.begin is not None:
            joined[:, 0] = self.tokens.begin
        joined = joined.masked_fill(~used, self.tokens.pad)
        if not isinstance(x, Mapping):
            return joined
        made = {IDS: joined, MASK: used.to(x[MASK].dtype)}
        return made | {
            key: x[key][row, column].masked_fill(~used, 0) for key in PER_TOKEN[2:] if key in x
        }

    def lost(self, x: Tokens | Mapping[str, Any], grid: Grid) -> Bool[Tensor, " b"]:
        """Which texts leave no token of their content in their composite; an empty text has none
        to lose.

        >>> joined = Joined(TokenInfo(length=4, vocabulary=100), how="literal")
        >>> joined.lost(torch.tensor([[3, 4, 5], [3, 0, 0], [6, 0, 0]]), (1, 3))
        tensor([False, False,  True])
        """
        ids, mask = ids_and_mask(x)
        spans = self._spans(ids, mask, math.prod(checked_grid(grid)))
        return (spans.kept == 0) & (spans.stop > spans.start)

    def _share(self, m: int) -> int:
        """Tokens of content that each of ``m`` tiled texts may keep."""
        first, last = self.tokens.begin is not None, self.tokens.end is not None
        share = (self.tokens.length - first) // m - last
        if share < 1:
            raise ValueError(
                f"{self.tokens.length} tokens have no room for a token of each of {m} texts: use a "
                "smaller grid or a longer input"
            )
        return share

    def _width(self, columns: int, m: int) -> int:
        """Width that suffices for ``m`` texts from rows of ``columns`` tokens. It depends on
        shapes alone, because reading the texts would stall an accelerator."""
        first, last = self.tokens.begin is not None, self.tokens.end is not None
        most = min(columns, self._share(m)) if self.how == "tiled" else columns
        return min(self.tokens.length, first + m * (most + last))

    def _spans(self, ids: Tokens, mask: Tokens | None, m: int) -> Spans:
        """What is kept of each of the texts, ``m`` to a composite."""
        tokens = self.tokens
        places = torch.arange(1, ids.shape[1] + 1, device=ids.device)
        real = ids != tokens.pad if mask is None else mask != 0
        size = (real * places).amax(1)
        start = torch.zeros_like(size)
        if tokens.begin is not None:
            start = ((ids[:, 0] == tokens.begin) & (size > 0)).long()
        stop = size
        if tokens.end is not None:
            final = ids.gather(1, (size - 1).clamp(min=0)[:, None])[:, 0]
            stop = size - ((final == tokens.end) & (size > start)).long()
        content, last = stop - start, int(tokens.end is not None)
        if self.how == "tiled":
            kept = content.clamp(max=self._share(m))
            return Spans(start, stop, kept, torch.full_like(kept, last, dtype=torch.bool))
        sizes = (content + last).view(-1, m)
        before = (sizes.cumsum(1) - sizes).flatten()
        left = tokens.length - int(tokens.begin is not None) - before
        kept = torch.minimum(content, (left - last).clamp(min=0))
        closed = (left >= last) & ((kept > 0) | (content == 0)) & bool(last)
        return Spans(start, stop, kept, closed)


def ids_and_mask(x: Any) -> tuple[Tokens, Tokens | None]:
    """The token ids of a batch, and its attention mask if it is a mapping (else None).

    Raises ``ValueError``, with what to do, for anything that is not a batch of tokens.
    """
    if not isinstance(x, Mapping):
        check_tokens(x)
        return x, None
    for key in (IDS, MASK):
        if key not in x:
            raise ValueError(
                f"a batch with {', '.join(map(str, x))} has no {key}: give what the tokenizer "
                "returns, input_ids and attention_mask"
            )
        boolean = isinstance(x[key], Tensor) and x[key].dtype == torch.bool  # a mask may be
        check_tokens(x[key].long() if boolean and key == MASK else x[key])
    if more := [str(key) for key in x if key not in (*PER_TOKEN, LABELS)]:
        raise ValueError(
            f"texts with {', '.join(more)} cannot be joined: leave that out of the batch that is "
            f"scored; it may have {', '.join(PER_TOKEN)}"
        )
    mask = x[MASK]
    if can_read_values(mask) and bool((mask[:, 1:] > mask[:, :-1]).any()):
        raise ValueError(
            'texts are padded on the left: set tokenizer.padding_side = "right", as classifiers '
            "are trained"
        )
    return x[IDS], mask


def compose_for(
    compose: Literal["images", "tiled", "literal"] | Compose, tokens: TokenInfo | None
) -> Literal["images", "tiled", "literal"] | Compose:
    """How to compose the samples of a data set: ``"tiled"`` and ``"literal"`` become a `Joined`
    with the data's special tokens (``tokens``; None for images), all else is returned unchanged.

    Raises ``ValueError`` for texts composed as images, and images as texts."""
    if tokens is not None and compose == "images":
        raise ValueError(
            "NS: the data are texts and compose is 'images': take compose='tiled', or 'literal'"
        )
    if isinstance(compose, Joined) and tokens is not None:
        compose.check(tokens)
    if compose != "tiled" and compose != "literal":
        return compose
    if tokens is None:
        raise ValueError(
            f"NS: compose is {compose!r} and the data are not texts: take compose='images'"
        )
    return Joined(tokens, compose)


class LostTexts:
    """Joins texts and counts those that are lost in their composites."""

    def __init__(self, joined: Joined) -> None:
        self.joined = joined
        self.sums = torch.zeros(2, dtype=torch.float64)  # lost texts, all that competed

    def __call__(self, x: Any, grid: Grid) -> Any:
        """The composites."""
        lost = self.joined.lost(x, grid)
        counts = torch.stack([lost.sum(), torch.ones_like(lost).sum()])
        self.sums = self.sums.to(lost.device) + counts
        return self.joined(x, grid)

    def counted(self) -> dict[str, Tensor]:
        """The number of lost texts, and of all texts, since the last call."""
        sums, self.sums = self.sums, torch.zeros_like(self.sums)
        return {"texts_lost": sums}

    def state_dict(self) -> dict[str, Any]:
        """What has been counted so far."""
        return {"sums": self.sums}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on counting from there."""
        self.sums = state["sums"]
