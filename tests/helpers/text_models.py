"""Tiny tokenizers and encoders of transformers, made here: nothing is downloaded."""

from pathlib import Path
from typing import Any

import torch

WORDS = ["cold", "rain", "wind", "snow", "ball", "goal", "team", "match", "bank", "stock", "fund"]
SPECIAL = {  # special tokens in the order of their ids
    "bert": ("[PAD]", "[CLS]", "[SEP]", "[UNK]"),
    "roberta": ("<s>", "<pad>", "</s>", "<unk>"),
    "gpt2": ("<|endoftext|>", "<unk>"),
}
TEMPLATES = {
    "bert": ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
}


def tokenizer_of(kind: str, length: int = 64) -> Any:
    """A word tokenizer with the special tokens of ``"bert"``, ``"roberta"`` or ``"gpt2"``."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    special = SPECIAL[kind]
    ids = {word: k for k, word in enumerate([*special, *WORDS])}
    unknown = special[-1]
    made = Tokenizer(models.WordLevel(ids, unknown))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    if kind in TEMPLATES:
        single, pair = TEMPLATES[kind]
        used = [(word, ids[word]) for word in special if word in pair]
        made.post_processor = processors.TemplateProcessing(single, pair, used)
    names = {
        "bert": {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"},
        "roberta": {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
        "gpt2": {"bos_token": special[0], "eos_token": special[0], "pad_token": special[0]},
    }[kind]
    return PreTrainedTokenizerFast(
        tokenizer_object=made, unk_token=unknown, model_max_length=length, **names
    )


def classifier_of(kind: str, length: int = 64, classes: int = 3, seed: int = 0) -> Any:
    """A classifier of that kind with random weights and without dropout."""
    import transformers

    pad = {"bert": 0, "roberta": 1, "gpt2": 0}[kind]
    common = {"vocab_size": 16, "num_labels": classes, "pad_token_id": pad}
    if kind == "gpt2":
        config = transformers.GPT2Config(
            n_embd=16,
            n_layer=1,
            n_head=2,
            n_positions=length,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
            **common,
        )
    else:
        cls = transformers.BertConfig if kind == "bert" else transformers.RobertaConfig
        config = cls(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            max_position_embeddings=length + 2,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
            **common,
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return transformers.AutoModelForSequenceClassification.from_config(config)


def save_bert(folder: Path, length: int = 64, seed: int = 0) -> Path:
    """Save such a BERT and its tokenizer in a folder, in the format of transformers."""
    classifier_of("bert", length, seed=seed).save_pretrained(folder)
    tokenizer_of("bert", length).save_pretrained(folder)
    return folder


def texts_of(n: int, seed: int = 0) -> tuple[list[str], list[int]]:
    """Texts of 0 to 12 words, most of which belong to their class, and the classes."""
    gen = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (n,), generator=gen).tolist()
    texts = []
    for label in labels:
        count = int(torch.randint(0, 13, (), generator=gen))
        own = torch.rand(count, generator=gen) < 0.8
        near = 4 * label + torch.randint(0, 4 - (label == 2), (count,), generator=gen)
        words = torch.where(own, near, torch.randint(0, len(WORDS), (count,), generator=gen))
        texts.append(" ".join(WORDS[k] for k in words.tolist()))
    return texts, labels
