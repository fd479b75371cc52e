"""TextCNN against a plain reading of Kim 2014, text by text and window by window."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nslab.networks import build_network, takes_texts
from nslab.networks.textcnn import TextCNN
from nslab.training.loop import dropout_stream

IDS, CLASSES = 40, 3


def network(width: int = 6, maps: int = 4, seed: int = 0) -> TextCNN:
    """A small one in double precision."""
    with dropout_stream(torch.device("cpu")):
        torch.manual_seed(seed)
        return TextCNN((9, IDS), CLASSES, width=width, maps=maps).double()


def rows(*lengths: int, wide: int) -> Tensor:
    """Texts of so many tokens, padded to a width."""
    draws = torch.Generator().manual_seed(sum(lengths))
    ids = torch.randint(1, IDS, (len(lengths), wide), generator=draws)
    return ids * (torch.arange(wide) < torch.tensor(lengths)[:, None])


def plainly(net: TextCNN, ids: list[int]) -> Tensor:
    """Logits of one text, a window at a time."""
    table, features = net.embedding.weight, []
    for convolution in net.convolutions:
        assert isinstance(convolution, nn.Conv1d)
        maps, width, size = convolution.weight.shape
        # a text shorter than the window is filled up by zeros
        vectors = [table[k] for k in ids] + [torch.zeros(width).double()] * (size - len(ids))
        for m in range(maps):
            best = torch.zeros(()).double()  # relu
            for start in range(len(vectors) - size + 1):
                value = convolution.bias[m]  # type: ignore[index]
                for offset in range(size):
                    value = value + convolution.weight[m, :, offset] @ vectors[start + offset]
                best = torch.maximum(best, value)
            features.append(best)
    return net.head.weight @ torch.stack(features) + net.head.bias


@pytest.mark.parametrize("wide", [9, 14])
def test_values_and_gradients(wide: int) -> None:
    """Of texts of every length from none on, whatever they are padded to."""
    lengths = (0, 1, 2, 3, 4, 5, 6, 9)
    net, x = network().eval(), rows(*lengths, wide=9)
    x = F.pad(x, (0, wide - 9))
    found = net(x)
    wanted = torch.stack(
        [plainly(net, row[:n].tolist()) for row, n in zip(x, lengths, strict=True)]
    )
    torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
    y = torch.arange(len(lengths)) % CLASSES
    ours = torch.autograd.grad(F.cross_entropy(found, y), list(net.parameters()))
    theirs = torch.autograd.grad(F.cross_entropy(wanted, y), list(net.parameters()))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-12)
    assert not ours[0][0].any(), "padding learns nothing"


def test_padding_never_wins() -> None:
    """Where every real window is far below what a window of zeros would give."""
    net = network().eval()
    with torch.no_grad():
        net.embedding.weight[1:] = 1.0
        for convolution in net.convolutions:
            convolution.weight.fill_(-1.0)
            convolution.bias.fill_(5.0)  # what zeros give; each real word takes 6 of it
        net.head.weight.fill_(1.0)
        net.head.bias.zero_()
    x = rows(5, 9, wide=9)
    assert net(x).tolist() == net(F.pad(x, (0, 30))).tolist() == [[0.0] * CLASSES] * 2
    short = net(rows(0, wide=9))
    assert short.tolist() == [[3 * 4 * 5.0] * CLASSES]  # an empty text has no other windows


def test_a_text_alone_and_among_longer_ones() -> None:
    """The same logits in any company."""
    net = network().eval()
    x = rows(2, 9, 4, wide=9)
    alone = torch.cat([net(x[k : k + 1, :n]) for k, n in enumerate((2, 9, 4))])
    torch.testing.assert_close(net(x), alone, rtol=1e-12, atol=1e-12)


def test_kims_network() -> None:
    """300 numbers a word, 100 maps each of 3, 4 and 5 words, dropout before the last layer alone;
    embeddings within a quarter, and zero for padding."""
    net = build_network("textcnn", (64, 1000), 4, seed=0)
    sizes = 1000 * 300 + sum(300 * 100 * k + 100 for k in (3, 4, 5)) + 300 * 4 + 4
    assert sum(p.numel() for p in net.parameters()) == sizes
    assert net.dropout.p == 0.5
    table = net.embedding.weight
    assert not table[0].any()
    assert 0.24 < table.abs().max() <= 0.25
    small = build_network("textcnn_64", (64, 1000), 4, seed=0)
    assert small.embedding.weight.shape == (1000, 64)
    assert takes_texts("textcnn_64")
