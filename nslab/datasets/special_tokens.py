"""Special tokens that a tokenizer puts around a text, found by encoding a text with it."""

from typing import Any

from nslab.types import TokenInfo

UNLIMITED = 1_000_000  # transformers uses lengths above this for "no limit"
PROBE = "a"


def token_info(tokenizer: Any, length: int | None = None) -> TokenInfo:
    """Length, vocabulary, and padding, first and last token of a transformers tokenizer.

    ``length`` is the most tokens of an input, special ones included; None stands for the
    tokenizer's own limit. Raises ``ValueError``, saying what to do, for a tokenizer that has no
    padding token, pads on the left, has no limit, or adds more than one token before or after a
    text.
    """
    name = type(tokenizer).__name__
    if length is None:
        length = getattr(tokenizer, "model_max_length", UNLIMITED)
        if length is None or length >= UNLIMITED:
            raise ValueError(
                f"{name} does not give its longest input: pass a length, such as length=128"
            )
    if tokenizer.pad_token_id is None:
        raise ValueError(
            f"{name} has no padding token: set tokenizer.pad_token = tokenizer.eos_token, and "
            "model.config.pad_token_id to its id"
        )
    if getattr(tokenizer, "padding_side", "right") != "right":
        raise ValueError(f'{name} pads on the left: set tokenizer.padding_side = "right"')
    plain = list(tokenizer.encode(PROBE, add_special_tokens=False))
    whole = list(tokenizer.encode(PROBE))
    places = range(len(whole) - len(plain) + 1)
    first = next((k for k in places if whole[k : k + len(plain)] == plain), None)
    before = [] if first is None else whole[:first]
    after = [] if first is None else whole[first + len(plain) :]
    if first is None or len(before) > 1 or len(after) > 1:
        raise ValueError(
            f"{name} writes {PROBE!r} as {whole}, and as {plain} without special tokens: use a "
            "tokenizer that adds at most one token before a text and one after it"
        )
    begin, end = (tokens[0] if tokens else None for tokens in (before, after))
    return TokenInfo(length, len(tokenizer), tokenizer.pad_token_id, begin, end)
