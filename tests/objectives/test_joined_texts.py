"""Joining of texts against a plain loop, over lengths, special tokens, grids and ways to join."""

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import nslab
from nslab.configs import TrainConfig
from nslab.configs.serialization import decode, encode, identity
from nslab.objectives import NS, Joined
from nslab.objectives.competition import group_scores, ns_scores
from nslab.objectives.weighted import counted, restore_state, state_of
from nslab.types import Batch, DataInfo, TokenInfo

BERT = {"pad": 0, "begin": 101, "end": 102}
ROBERTA = {"pad": 1, "begin": 0, "end": 2}
T5 = {"pad": 0, "end": 1}
GPT = {"pad": 50, "end": None}
PLAIN = {"pad": 0}
ONE_FOR_ALL = {"pad": 3, "begin": 3, "end": 3}
CONVENTIONS = {"bert": BERT, "roberta": ROBERTA, "t5": T5, "gpt": GPT, "plain": PLAIN}
CONVENTIONS |= {"one": ONE_FOR_ALL}
GRIDS = [(1, 2), (2, 2), (3, 1), (1, 1)]


def rows(contents: list[list[int]], info: TokenInfo, width: int = 0) -> Tensor:
    """Texts as a tokenizer writes them: special tokens around, padding behind."""
    first, last = ([] if t is None else [t] for t in (info.begin, info.end))
    whole = [first + content + last for content in contents]
    width = width or max(1, *map(len, whole))
    return torch.tensor([text + [info.pad] * (width - len(text)) for text in whole])


def masks(contents: list[list[int]], info: TokenInfo, width: int) -> Tensor:
    """1 for tokens, 0 for padding."""
    extra = (info.begin is not None) + (info.end is not None)
    return torch.tensor([[int(k < len(c) + extra) for k in range(width)] for c in contents])


def reference(
    contents: list[list[int]], info: TokenInfo, m: int, how: str
) -> tuple[list[list[int]], list[bool]]:
    """Composites without padding, and which texts are lost, text by text."""
    made, lost = [], []
    last = [] if info.end is None else [info.end]
    for g in range(0, len(contents), m):
        row = [] if info.begin is None else [info.begin]
        share = (info.length - len(row)) // m - len(last)
        full = False
        for content in contents[g : g + m]:
            kept = list(content)
            if how == "tiled":
                kept = kept[:share]
            else:
                kept = kept[: max(0, info.length - len(row) - len(last))]
                full = full or len(row) + len(last) > info.length or (not kept and bool(content))
                kept = [] if full else kept
            lost.append(bool(content) and not kept)
            row += [] if full else kept + last
        made.append(row)
    return made, lost


def contents_of(lengths: list[int], seed: int = 0) -> list[list[int]]:
    """Random ids from 10 to 40, which are special nowhere."""
    gen = torch.Generator().manual_seed(seed)
    return [torch.randint(10, 41, (n,), generator=gen).tolist() for n in lengths]


def check(contents: list[list[int]], info: TokenInfo, grid: tuple[int, int], how: Any) -> None:
    """Composites of ids alone and of a mapping are those of the loop, padded behind."""
    joined, m = Joined(info, how), math.prod(grid)
    ids = rows(contents, info)
    expected, lost = reference(contents, info, m, how)
    made = joined(ids, grid)
    assert isinstance(made, Tensor)
    width = made.shape[1]
    assert max(map(len, expected)) <= width <= info.length
    assert made.tolist() == [row + [info.pad] * (width - len(row)) for row in expected]
    assert joined.lost(ids, grid).tolist() == lost
    mask = masks(contents, info, ids.shape[1])
    types = torch.arange(ids.numel()).view_as(ids) % 7 * mask
    batch = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
    found = joined(batch, grid)
    assert isinstance(found, dict)
    assert set(found) == set(batch)
    assert torch.equal(found["input_ids"], made)
    shown = [[int(k < len(row)) for k in range(width)] for row in expected]
    assert found["attention_mask"].tolist() == shown
    assert found["token_type_ids"][mask.new_tensor(shown) == 0].eq(0).all()
    assert joined.lost(batch, grid).tolist() == lost


@pytest.mark.parametrize("convention", CONVENTIONS)
@pytest.mark.parametrize("how", ["tiled", "literal"])
@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("length", [16, 31])
def test_composites_are_those_of_a_plain_loop(
    convention: str, how: str, grid: tuple[int, int], length: int
) -> None:
    """Empty texts, texts of one token, full ones, all of them together, in any order."""
    info = TokenInfo(length, 200, **CONVENTIONS[convention])
    most = length - (info.begin is not None) - (info.end is not None)
    m = math.prod(grid)
    kinds = list(itertools.product((0, 1, most // m, most), repeat=m))
    for seed, lengths in enumerate(kinds[:: max(1, len(kinds) // 30)]):
        check(contents_of([*lengths, *lengths[::-1]], seed), info, grid, how)


@given(
    convention=st.sampled_from(sorted(CONVENTIONS)),
    how=st.sampled_from(["tiled", "literal"]),
    grid=st.sampled_from(GRIDS),
    length=st.integers(9, 40),
    data=st.data(),
)
@settings(deadline=None, max_examples=80)
def test_any_lengths(
    convention: str, how: str, grid: tuple[int, int], length: int, data: st.DataObject
) -> None:
    """The same for random ones."""
    info = TokenInfo(length, 200, **CONVENTIONS[convention])
    most = length - (info.begin is not None) - (info.end is not None)
    m = math.prod(grid)
    n = m * data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(0, most), min_size=n, max_size=n))
    check(contents_of(lengths), info, grid, how)


def test_by_hand() -> None:
    """[CLS] once, [SEP] after each text, no padding between them; of each as much as of the others
    if they are tiled; the last one gone if they are not."""
    info = TokenInfo(length=14, vocabulary=200, **BERT)
    x = rows([[11, 12, 13, 14], [], [31], [41, 42, 43, 44, 45, 46, 47]], info)
    tiled = Joined(info)(x, (2, 2))
    assert tiled.tolist() == [[101, 11, 12, 102, 102, 31, 102, 41, 42, 102, 0, 0, 0]]
    literal = Joined(info, "literal")
    assert literal(x, (2, 2)).tolist() == [
        [101, 11, 12, 13, 14, 102, 102, 31, 102, 41, 42, 43, 44, 102]
    ]
    assert literal.lost(x, (2, 2)).tolist() == [False] * 4
    long = rows([[11] * 12, [21], [], [41]], info)
    assert literal(long, (2, 2)).tolist() == [[101, *[11] * 12, 102]]
    assert literal.lost(long, (2, 2)).tolist() == [False, True, False, True]


def test_padding_of_a_batch_changes_nothing() -> None:
    """Nor do other texts: wider rows give the same tokens in wider composites."""
    info = TokenInfo(length=40, vocabulary=200, **BERT)
    contents = contents_of([3, 0, 5, 9])
    narrow, wide = rows(contents, info), rows(contents, info, width=40)
    for how in ("tiled", "literal"):
        joined = Joined(info, how)
        first, second = joined(narrow, (2, 2)), joined(wide, (2, 2))
        w = first.shape[1]
        assert torch.equal(first, second[:, :w])
        assert second[:, w:].eq(info.pad).all()


def test_padding_inside_a_text_stays_where_a_mask_says_so() -> None:
    """GPT-2's usual padding is its end token, which a text may hold; the mask tells them apart."""
    info = TokenInfo(length=16, vocabulary=60, pad=50)
    ids = torch.tensor([[11, 50, 12, 50, 50], [21, 22, 50, 50, 50]])
    mask = torch.tensor([[1, 1, 1, 1, 0], [1, 1, 0, 0, 0]])
    joined = Joined(info)
    made = joined({"input_ids": ids, "attention_mask": mask}, (1, 2))
    assert made["input_ids"].tolist() == [[11, 50, 12, 50, 21, 22, 50, 50, 50, 50]]
    assert made["attention_mask"].sum().item() == 6
    assert joined(ids, (1, 2)).tolist() == [[11, 50, 12, 21, 22, *[50] * 5]]


def test_texts_cut_by_hand_get_their_last_token() -> None:
    """Rows without the end that a tokenizer would have kept."""
    info = TokenInfo(length=9, vocabulary=200, **BERT)
    x = torch.tensor([[101, 11, 12, 13], [21, 22, 23, 24]])
    for how in ("tiled", "literal"):
        assert Joined(info, how)(x, (1, 2)).tolist() == [[101, 11, 12, 13, 102, 21, 22, 23, 102]]


def test_pairs_keep_their_types_and_separators() -> None:
    """Texts that are themselves two sentences."""
    info = TokenInfo(length=16, vocabulary=200, **BERT)
    ids = torch.tensor([[101, 11, 102, 12, 102], [101, 21, 102, 22, 102]])
    batch = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    batch["token_type_ids"] = torch.tensor([[0, 0, 0, 1, 1]] * 2)
    made = Joined(info)(batch, (1, 2))
    assert made["input_ids"][0, :9].tolist() == [101, 11, 102, 12, 102, 21, 102, 22, 102]
    assert made["token_type_ids"][0, :9].tolist() == [0, 0, 0, 1, 1, 0, 0, 1, 1]


class Bag(nn.Module):
    """Logits are the mean over tokens of a table's rows; padding and special tokens have none. It
    says how it was called."""

    def __init__(self, vocabulary: int = 200, classes: int = 5) -> None:
        super().__init__()
        draws = torch.randn(vocabulary, classes, generator=torch.Generator().manual_seed(0))
        draws[[0, 101, 102]] = 0
        self.table = nn.Embedding.from_pretrained(draws, freeze=False)
        self.calls: list[str] = []

    def forward(self, x: Tensor | None = None, **batch: Tensor) -> Tensor:
        """Logits."""
        self.calls.append(" ".join(batch) or "ids")
        ids = batch["input_ids"] if x is None else x
        mask = batch.get("attention_mask", ids != 0)[:, :, None]
        return (self.table(ids) * mask).sum(1) / mask.sum(1).clamp(min=1)


INFO = TokenInfo(length=32, vocabulary=200, **BERT)


def batch_of(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Texts of up to 12 tokens, and labels."""
    gen = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 13, (n,), generator=gen).tolist()
    return rows(contents_of(lengths, seed), INFO), torch.randint(0, 5, (n,), generator=gen)


@pytest.mark.parametrize("how", ["tiled", "literal"])
@pytest.mark.parametrize("n", [1, 4, 10])
def test_scores_are_those_of_the_composites(how: str, n: int) -> None:
    """With a remainder, shuffled or not, as a tensor or a mapping, called as the batch is."""
    x, y = batch_of(n)
    joined, model = Joined(INFO, how), Bag()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(1))
    batch = {"input_ids": x, "attention_mask": (x != 0).long(), "labels": y}
    for given_order in (None, order):
        head = (torch.arange(n) if given_order is None else given_order)[: n - n % 4]
        expected = torch.ones(n)
        if len(head):
            expected[head] = group_scores(model(joined(x[head], (2, 2))), y[head])
        for inputs, call in ((x, "ids"), (batch, "input_ids attention_mask")):
            s = ns_scores(model, inputs, y, (2, 2), order=given_order, compose=joined)
            torch.testing.assert_close(s, expected)
            assert not len(head) or model.calls[-1] == call
    w = NS(sigma=2.5, rho=-1, compose=joined).weights(model, batch, y)
    torch.testing.assert_close(w, 2.5 - ns_scores(model, x, y, (2, 2), compose=joined))
    shuffled = NS(sigma=2.5, rho=-1, compose=joined, grouping="shuffled")
    torch.testing.assert_close(
        shuffled.weights(model, batch, y, order), shuffled.weights(model, x, y, order)
    )
    assert shuffled.weights(model, batch, y).mean().item() == pytest.approx(1.5)


def test_a_16_bit_copy_scores_texts() -> None:
    """Ids stay ids; the scores are near those of the network itself."""
    x, y = batch_of(8)
    model = nn.Sequential(nn.Embedding(200, 8), nn.AdaptiveAvgPool2d((1, 8)), nn.Flatten())
    model.append(nn.Linear(8, 5))
    plain = NS(sigma=2.5, rho=-1, compose=Joined(INFO))
    copied = dataclasses.replace(plain, score_dtype="bfloat16")
    torch.testing.assert_close(
        copied.weights(model, x, y), plain.weights(model, x, y), rtol=0, atol=0.05
    )


def test_a_forward_of_ones_own_gets_the_composites() -> None:
    """As a mapping, if that is what competes."""
    x, y = batch_of(8)
    batch, model = {"input_ids": x, "attention_mask": (x != 0).long()}, Bag()
    ns = NS(sigma=2.5, rho=-1, compose=Joined(INFO))
    w = ns.weights(model, batch, y, forward=lambda made: model(made["input_ids"]))
    torch.testing.assert_close(w, ns.weights(model, x, y))


def test_a_composing_function_of_ones_own() -> None:
    """For samples that are neither: here sounds, averaged."""

    def averaged(x: Tensor, grid: tuple[int, int]) -> Tensor:
        return x.unflatten(0, (-1, math.prod(grid))).mean(1)

    model, x, y = nn.Linear(7, 5), torch.randn(9, 7), torch.arange(9) % 5
    w = NS(compose=averaged).weights(model, x, y)
    assert w.mean().item() == pytest.approx(1.7)
    assert w[8].item() == pytest.approx(1.7)
    expected = group_scores(model(averaged(x[:8], (2, 2))), y[:8]) + 0.7
    torch.testing.assert_close(w[:8], expected.detach())


def info_of(y: Tensor, tokens: TokenInfo | None = INFO) -> DataInfo:
    """What a run knows of its texts."""
    return DataInfo(5, len(y), torch.bincount(y, minlength=5), tokens)


@pytest.mark.parametrize("how", ["tiled", "literal"])
def test_in_a_run_special_tokens_are_those_of_the_data(how: Any) -> None:
    """The objective weighs as the three lines do; gradients are of the weighted losses."""
    x, y = batch_of(10)
    model = Bag()
    scored = NS(sigma=2.5, rho=-1, compose=how).build(info_of(y))(
        model, Batch(x, y, torch.arange(10))
    )
    expected = NS(sigma=2.5, rho=-1, compose=Joined(INFO, how)).weights(model, x, y)
    torch.testing.assert_close(scored.weight, expected)
    scored.total().backward()
    assert model.table.weight.grad is not None
    assert model.table.weight.grad.isfinite().all()


@pytest.mark.parametrize("grouping", ["consecutive", "shuffled"])
def test_lost_texts_are_counted(grouping: Any) -> None:
    """Of those that compete, over batches, since it was last asked; the count survives a pause."""
    y = torch.arange(9) % 5
    x = rows(contents_of([30, 4, 0, 4, 7, 7, 7, 7, 30]), INFO)
    ns = NS(sigma=2.5, rho=-1, compose="literal", grouping=grouping)
    objective = ns.build(info_of(y))
    batch = Batch(x, y, torch.arange(9))
    first = objective(Bag(), batch)
    again = ns.build(info_of(y))
    restore_state(again, state_of(objective))
    again(Bag(), batch)
    if grouping == "consecutive":
        assert counted(objective)["texts_lost"].tolist() == [2, 8]
        assert counted(again)["texts_lost"].tolist() == [4, 16]
    else:
        assert counted(again)["texts_lost"][0] == 2 * counted(objective)["texts_lost"][0]
    assert counted(again)["texts_lost"].tolist() == [0, 0]
    assert not counted(NS(compose="tiled").build(info_of(y)))
    short = objective(Bag(), Batch(x[:3], y[:3], torch.arange(3)))
    assert short.weight is not None
    assert short.weight.tolist() == [1.5] * 3
    assert first.weight is not None


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(4, 3, 8, 8), "rows of token ids .* images need compose='images'"),
        (torch.zeros(4, 9), "rows of token ids"),
        (torch.zeros(4, 9, dtype=torch.bool), "rows of token ids"),
        (torch.zeros(4, 0, dtype=torch.long), "rows of token ids"),
        (torch.zeros(4, dtype=torch.long), "rows of token ids"),
        ({"input_ids": torch.ones(4, 9).long()}, "has no attention_mask"),
        ({"attention_mask": torch.ones(4, 9).long()}, "has no input_ids"),
        (
            {"input_ids": [[1, 2]] * 4, "attention_mask": torch.ones(4, 2).long()},
            "rows of token ids .* not as a list",
        ),
        (
            {k: torch.ones(4, 9).long() for k in ("input_ids", "attention_mask", "position_ids")},
            "texts with position_ids cannot be joined",
        ),
        (
            {
                "input_ids": torch.ones(4, 3).long(),
                "attention_mask": torch.tensor([[0, 1, 1]] * 4),
            },
            'padding_side = "right"',
        ),
    ],
)
def test_what_cannot_be_joined_is_refused(x: Any, message: str) -> None:
    """With what to do instead."""
    with pytest.raises(ValueError, match=message):
        NS(compose=Joined(INFO)).weights(Bag(), x, torch.zeros(4).long())


@pytest.mark.usefixtures("as_users_call")
def test_the_wrong_way_to_compose_is_refused() -> None:
    """By the objective when it is built, and in a loop of one's own; with what to set."""
    x, y = batch_of(8)
    texts, images = info_of(y), info_of(y, None)
    for ns, info, message in (
        (NS(), texts, "take compose='tiled'"),
        (NS(compose="tiled"), images, "take compose='images'"),
        (NS(compose=Joined(TokenInfo(32, 200))), texts, "compose='tiled' takes those of the data"),
    ):
        with pytest.raises(ValueError, match=message):
            ns.build(info)
    for inputs in (x, {"input_ids": x, "attention_mask": (x != 0).long()}):
        with pytest.raises(ValueError, match=r"texts need compose='tiled' .*Joined\.of"):
            NS().weights(Bag(), inputs, y)
        with pytest.raises(ValueError, match=r"compose=nslab\.Joined\.of\(tokenizer, how='tiled'"):
            NS(compose="tiled").weights(Bag(), inputs, y)
    with pytest.raises(ValueError, match="folded or 16-bit copy, not both"):
        NS(compose=Joined(INFO), score_dtype="bfloat16").weights(Bag(), {"input_ids": x}, y)
    with pytest.raises(ValueError, match="8 texts do not fill grids of 3"):
        Joined(INFO)(x, (1, 3))
    with pytest.raises(ValueError, match="no room for a token of each of"):
        Joined(TokenInfo(8, 200, **BERT))(x, (2, 2))
    for wrong in ("title", 3, None):
        with pytest.raises(ValueError, match="compose is"):
            NS(compose=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="how is"):
        Joined(INFO, "cut")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"Joined\.of\(tokenizer\)"):
        Joined(32)  # type: ignore[arg-type]


def test_ways_to_compose_are_part_of_the_identity() -> None:
    """Images as before there were texts; a run on texts is known by how they are joined."""
    ways: tuple[Any, ...] = ("images", "tiled", "literal", Joined(INFO), Joined(INFO, "literal"))
    made = [NS(compose=how) for how in ways]
    assert len({identity(ns) for ns in made}) == len(made)
    assert identity(made[0]) == "9502e3634e5b"
    assert [decode(encode(ns)) for ns in made] == made
    runs = [TrainConfig("imdb", "textcnn", ns).id for ns in made[1:]]
    assert len(set(runs)) == len(runs)


def test_nslab_has_it() -> None:
    """For three lines without knowing where it lives."""
    assert nslab.Joined is Joined
