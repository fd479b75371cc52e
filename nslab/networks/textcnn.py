"""TextCNN: convolutions over the words of a text, and max pooling over its length."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor, nn

from nslab.types import Logits, TextShape

PAD = 0  # id of padding


class TextCNN(nn.Module):
    """Kim 2014, CNN-rand: 100 filters each for windows of 3, 4 and 5 words, max pooling over the
    text, dropout 0.5, a linear layer; word embeddings of width 300, randomly initialised and
    trained.

    Padding (id 0, on the right) takes no part: a window reaches beyond its text only if the text
    is shorter than the window, and sees zeros there. So the logits of a text do not depend on the
    batch it is in.
    NOTE: Kim also pads both ends of every text by the largest window less one, and bounds the
    norms of the last layer's weights by 3. Neither is done here. Embeddings start uniform between
    -0.25 and 0.25 as in his code, all else with torch's defaults.

    Args:
        shape: length of a row (not used), and number of token ids.
        width: of the word embeddings.
        maps: number of filters for each window.
        windows: their lengths in words.

    >>> network = TextCNN((64, 1000), 4)
    >>> network(torch.tensor([[5, 6, 7, 8, 0, 0]])).shape
    torch.Size([1, 4])
    """

    for_texts: ClassVar = True

    def __init__(
        self,
        shape: TextShape,
        num_classes: int,
        *,
        width: int = 300,
        maps: int = 100,
        windows: tuple[int, ...] = (3, 4, 5),
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        self.embedding = nn.Embedding(shape[1], width, padding_idx=PAD)
        nn.init.uniform_(self.embedding.weight, -0.25, 0.25)
        with torch.no_grad():
            self.embedding.weight[PAD].zero_()
        self.windows = windows
        self.convolutions = nn.ModuleList(nn.Conv1d(width, maps, size) for size in windows)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(maps * len(windows), num_classes)

    def forward(self, x: Int[Tensor, "b l"]) -> Logits:
        x = F.pad(x, (0, max(0, max(self.windows) - x.shape[1])), value=PAD)
        words = (x != PAD).sum(1)
        vectors = self.embedding(x).transpose(1, 2)
        found = []
        for convolution, size in zip(self.convolutions, self.windows, strict=True):
            maps = convolution(vectors).relu()
            last = (words - size).clamp(min=0)  # where the last window starts
            beyond = torch.arange(maps.shape[2], device=x.device) > last[:, None]
            found.append(maps.masked_fill(beyond[:, None], 0.0).amax(2))
        return self.head(self.dropout(torch.cat(found, 1)))
