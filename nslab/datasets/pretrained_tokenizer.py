"""Tokenizers that come with networks of transformers."""

import functools
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nslab.datasets.special_tokens import token_info
from nslab.system.encoder_files import encoder_folder
from nslab.types import TokenInfo


@dataclass(frozen=True)
class PretrainedTokenizer:
    """The tokenizer of a network ``transformers/...``, special tokens included.

    Attributes:
        network: the network's name.
        length: most tokens of a text, special ones included; the end of a longer text is cut off.

    Raises ``ValueError`` if transformers, the network's folder or its tokenizer is missing, or if
    network and tokenizer pad by different ids; see also `token_info`.
    """

    network: str
    length: int

    def __post_init__(self) -> None:
        _info(self.network, self.length)

    @property
    def info(self) -> TokenInfo:
        """Length, vocabulary, and the ids that pad, begin and end a text."""
        return _info(self.network, self.length)

    def encode(self, texts: Sequence[str]) -> list[np.ndarray]:
        """Token ids of each text, int32, cut at ``length``."""
        if not texts:
            return []
        rows = _tokenizer(self.network)(
            list(texts),
            truncation=True,
            max_length=self.length,
            return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]
        return [np.array(row, np.int32) for row in rows]


@functools.lru_cache(maxsize=16)
def _info(network: str, length: int) -> TokenInfo:
    tokenizer, folder = _tokenizer(network), encoder_folder(network)
    info = token_info(tokenizer, length)
    transformers: Any = importlib.import_module("transformers")
    pad = transformers.AutoConfig.from_pretrained(folder, local_files_only=True).pad_token_id
    if pad != info.pad:
        raise ValueError(
            f"the tokenizer in {folder} pads with id {info.pad}, the network with {pad}: set "
            "pad_token_id in config.json to the tokenizer's"
        )
    return info


@functools.lru_cache(maxsize=4)
def _tokenizer(network: str) -> Any:
    folder = encoder_folder(network)
    try:
        transformers: Any = importlib.import_module("transformers")
    except ImportError:
        raise ValueError(
            f"{network} needs transformers, which is not installed: pip install transformers"
        ) from None
    try:
        return transformers.AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"transformers finds no tokenizer in {folder}: {error}. Put the files of the tokenizer "
            "there"
        ) from None
