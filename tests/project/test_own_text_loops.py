"""Natural Selection on texts in training loops of other people's: transformers' models, a plain
loop and `Trainer`, as docs/tutorials/texts.md shows them."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from text_models import classifier_of, texts_of, tokenizer_of
from torch.utils.data import DataLoader

from nslab import NS, Joined
from nslab.objectives.competition import group_scores
from nslab.types import TokenInfo

transformers = pytest.importorskip("transformers", reason="pip install transformers")
LENGTH = 32
KINDS = {
    "bert": TokenInfo(LENGTH, 15, 0, 1, 2),
    "roberta": TokenInfo(LENGTH, 15, 1, 0, 2),
    "gpt2": TokenInfo(LENGTH, 13, 0, None, None),
}
TUTORIAL = (Path(__file__).parents[2] / "docs/tutorials/texts.md").read_text(encoding="utf-8")
LOOP, TRAINER = re.findall(r"```python\n(.*?)```", TUTORIAL, re.S)[:2]


def batches(kind: str, n: int = 33, size: int = 8) -> DataLoader:
    """Texts as a tokenizer and a collator give them, the last batch of one text."""
    tokenizer = tokenizer_of(kind, LENGTH)
    texts, labels = texts_of(n)
    if kind == "gpt2":  # which takes no empty text
        texts = [text or "rain" for text in texts]
    rows = [
        dict(tokenizer(text, truncation=True, max_length=LENGTH)) | {"labels": label}
        for text, label in zip(texts, labels, strict=True)
    ]
    return DataLoader(rows, size, collate_fn=transformers.DataCollatorWithPadding(tokenizer))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["tiled", "literal"])
def test_special_tokens_of_a_tokenizer(kind: str, how: Any) -> None:
    """Found by asking it: composites are what it would have written, had it joined the texts."""
    tokenizer = tokenizer_of(kind, LENGTH)
    joined = Joined.of(tokenizer, how=how)
    assert joined.tokens == KINDS[kind]
    texts = ["cold rain", "goal", "stock fund bank", "snow"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    made = joined(batch, (2, 2))
    last = {"bert": "[SEP]", "roberta": "</s>", "gpt2": ""}[kind]
    expected = tokenizer(f" {last} ".join(texts))["input_ids"]
    assert made["input_ids"][0, : len(expected)].tolist() == expected
    assert made["attention_mask"].sum().item() == len(expected)
    assert made["input_ids"][0, len(expected) :].eq(tokenizer.pad_token_id).all()
    assert set(made) == {*batch}
    assert Joined.of(tokenizer, length=16).tokens.length == 16


def test_tokenizers_that_cannot_be_joined_are_told() -> None:
    """With what to set."""
    unlimited = tokenizer_of("bert", 10**30)
    with pytest.raises(ValueError, match="pass a length"):
        Joined.of(unlimited)
    assert Joined.of(unlimited, 20).tokens.length == 20
    left = tokenizer_of("bert")
    left.padding_side = "left"
    with pytest.raises(ValueError, match='padding_side = "right"'):
        Joined.of(left)
    without = tokenizer_of("gpt2")
    without.pad_token = None
    with pytest.raises(ValueError, match=r"tokenizer\.pad_token = tokenizer\.eos_token"):
        Joined.of(without)

    class Twice:
        pad_token_id, model_max_length = 0, 9

        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            return [1, 1, 5, 2] if add_special_tokens else [5]

    with pytest.raises(ValueError, match="Twice writes"):
        Joined.of(Twice())


@pytest.mark.parametrize("kind", KINDS)
def test_the_loop_of_the_tutorial(kind: str) -> None:
    """As it stands there: the loss goes down, the text left over weighs sigma + rho, and composites
    are scored as the model is called."""
    model, tokenizer = classifier_of(kind, LENGTH).train(), tokenizer_of(kind, LENGTH)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses: list[float] = []
    weights: list[torch.Tensor] = []

    def step(loss: torch.Tensor, w: torch.Tensor) -> None:
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        weights.append(w)

    code = LOOP.replace("...  # backward and step as usual", "step(loss, w)")
    assert code != LOOP
    code = code.replace("length=128", f"length={LENGTH}")
    names = {"model": model, "tokenizer": tokenizer, "loader": batches(kind), "step": step}
    for _ in range(12):
        exec(code, names)
    assert sum(losses[-5:-1]) < 0.7 * sum(losses[:4])
    assert [len(w) for w in weights[:5]] == [8, 8, 8, 8, 1]
    assert all(w.mean().item() == pytest.approx(1.5, rel=1e-4) for w in weights)
    assert model.training
    batch = next(iter(batches(kind)))
    y = batch.pop("labels")
    joined = Joined.of(tokenizer, LENGTH)
    w = NS(sigma=2.5, rho=-1, compose=joined).weights(model, batch, y)
    with torch.no_grad():
        scores = group_scores(model.eval()(**joined(batch, (2, 2))).logits, y)
    torch.testing.assert_close(w, 2.5 - scores)


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_padding_of_the_batch_does_not_count(kind: str) -> None:
    """Wider rows, the same weights."""
    model, ns = classifier_of(kind, 64), NS(compose=Joined.of(tokenizer_of(kind), LENGTH))
    batch = next(iter(batches(kind)))
    y = batch.pop("labels")
    wide = {
        key: F.pad(value, (0, 20), value=KINDS[kind].pad if key == "input_ids" else 0)
        for key, value in batch.items()
    }
    torch.testing.assert_close(
        ns.weights(model, wide, y), ns.weights(model, batch, y), rtol=0, atol=1e-5
    )


def trainer_of(model: Any, rows: Any, folder: Path, **settings: Any) -> tuple[Any, dict]:
    """The tutorial's trainer, and the names of its code."""
    tokenizer = tokenizer_of("bert", LENGTH)
    args = transformers.TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=8,
        report_to=[],
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        dataloader_pin_memory=False,
        **settings,
    )
    names = {
        "ns": NS(grid=(2, 2), sigma=2.5, rho=-1, compose=Joined.of(tokenizer, LENGTH)),
        "F": F,
        "model": model,
        "args": args,
        "rows": rows,
        "collator": transformers.DataCollatorWithPadding(tokenizer),
    }
    code = TRAINER.replace("trainer.train()\n", "")
    assert code != TRAINER
    exec(code.replace("model, args, ...", "model, args, collator, rows, rows"), names)
    return names["trainer"], names


def test_the_trainer_of_the_tutorial(tmp_path: Path) -> None:
    """It learns, and evaluates by the plain loss."""
    model, rows = classifier_of("bert", LENGTH), batches("bert", 64).dataset
    trainer, _ = trainer_of(
        model, rows, tmp_path, num_train_epochs=8, learning_rate=0.01, warmup_steps=4
    )
    before = trainer.evaluate()["eval_loss"]
    trainer.train()
    after = trainer.evaluate()["eval_loss"]
    assert after < 0.7 * before
    batch = trainer.data_collator(list(rows))
    y = batch.pop("labels")
    with torch.no_grad():
        loss = F.cross_entropy(model.eval()(**batch).logits, y)
    assert after == pytest.approx(loss.item(), rel=1e-4)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_step_of_the_trainer(tmp_path: Path, accumulate: int) -> None:
    """One step, its batch in one or two parts, by hand: the mean over the parts of their weighted
    means."""
    model, rows = classifier_of("bert", LENGTH), list(batches("bert", 16).dataset)
    reference = classifier_of("bert", LENGTH).train()
    trainer, names = trainer_of(
        model,
        rows,
        tmp_path,
        max_steps=1,
        gradient_accumulation_steps=accumulate,
        max_grad_norm=0.0,
        lr_scheduler_type="constant",
    )
    trainer.optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = batches("bert", 16)
    trainer.get_train_dataloader = lambda: loader
    trainer.train()
    parts = list(loader)[:accumulate]
    for batch in parts:
        y = batch.pop("labels")
        w = names["ns"].weights(reference, batch, y)
        loss = (w * F.cross_entropy(reference(**batch).logits, y, reduction="none")).mean()
        (loss / accumulate).backward()
    for mine, p in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine, p - 0.1 * p.grad, rtol=1e-4, atol=1e-6)
