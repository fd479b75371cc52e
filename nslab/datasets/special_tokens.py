"""Special tokens that a tokenizer puts around a text, found by asking it."""

from typing import Any

from nslab.types import TokenInfo

UNLIMITED = 1_000_000  # lengths above stand for "no limit" in transformers
PROBE = "a"


def token_info(tokenizer: Any, length: int | None = None) -> TokenInfo:
    """How a tokenizer of transformers writes a text: padding, first and last token.

    ``length`` is the most tokens of an input, special ones included; None: what the tokenizer says.
    Raises ``ValueError`` with what to do for a tokenizer without padding, one that pads on the
    left, one that names no length, and one that adds more than a token before or after a text.
    """
    name = type(tokenizer).__name__
    if length is None:
        length = getattr(tokenizer, "model_max_length", UNLIMITED)
        if length is None or length >= UNLIMITED:
            raise ValueError(
                f"{name} does not say the longest input: give length, such as length=128"
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
            f"{name} writes {whole} for {PROBE!r}, {plain} without special tokens: one token "
            "before a text and one after it are the most that can be joined"
        )
    begin, end = (tokens[0] if tokens else None for tokens in (before, after))
    return TokenInfo(length, len(tokenizer), tokenizer.pad_token_id, begin, end)
