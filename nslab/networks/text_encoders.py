"""Encoders of transformers as classifiers of texts: ``transformers/<name or folder>``.

Models come from a folder or from the hub's local cache, see `nslab.system.encoder_files`. Weights
are read from safetensors only, and no code that comes with a model is run.
"""

import importlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor, nn

from nslab.networks.logits import logits_of
from nslab.system.encoder_files import encoder_folder, weights_digest
from nslab.types import InputShape, Logits, StateDict


class TextEncoder(nn.Module):
    """A classifier of transformers that takes rows of token ids.

    Padding is masked out of attention. In an empty text without special tokens the first padding
    token is not, so that there is something to attend to.
    """

    def __init__(self, net: nn.Module, pad: int) -> None:
        super().__init__()
        self.net, self.pad = net, pad

    def forward(self, x: Int[Tensor, "b l"]) -> Logits:
        mask = (x != self.pad).long()
        mask[:, 0] = 1
        return logits_of(self.net(input_ids=x, attention_mask=mask))


def text_encoder(name: str, shape: InputShape, num_classes: int) -> TextEncoder:
    """The architecture of a network of transformers with weights drawn from torch's global stream;
    ``shape``: length of a row and number of token ids.

    Raises ``FileNotFoundError`` if its files are missing, ``ValueError`` if transformers is not
    installed or has no classifier of that architecture, and for rows that the network cannot take.
    """
    folder, transformers = encoder_folder(name), imported_transformers(name)
    config = _config(folder)
    length, vocabulary = shape if len(shape) == 2 else (0, 0)
    if not length:
        raise ValueError(f"{name} reads texts, and the data are images of {shape}")
    if config.pad_token_id is None:
        raise ValueError(
            f"{folder / 'config.json'} names no padding: set pad_token_id there to the tokenizer's"
        )
    if vocabulary > config.vocab_size:
        raise ValueError(
            f"{name} knows {config.vocab_size} tokens, and its tokenizer has {vocabulary}"
        )
    most = longest_input(config)
    if most and length > most:
        raise ValueError(f"{name} reads {most} tokens at most: text_length is {length}")
    config.num_labels = num_classes
    try:
        made = transformers.AutoModelForSequenceClassification.from_config(config)
    except ValueError as error:
        raise ValueError(f"transformers has no classifier for {name}: {error}") from None
    return TextEncoder(made.float(), config.pad_token_id)


# RoBERTa and its relatives count positions from the one after the id of padding.
SHIFTED = {"roberta", "xlm-roberta", "camembert", "longformer", "mpnet", "data2vec-text", "ibert"}
SHIFTED |= {"lilt", "luke", "markuplm", "xmod", "xlm-roberta-xl", "roberta-prelayernorm"}


def longest_input(config: Any) -> int:
    """The most tokens that an input may have by its model's configuration; 0 if that sets no
    limit."""
    most = int(getattr(config, "max_position_embeddings", 0) or 0)
    first = getattr(config, "pad_token_id", None)
    shifted = config.model_type in SHIFTED
    return most - first - 1 if most and shifted and first is not None else most


def pretrained_state(model: nn.Module, network: str, start: str) -> tuple[StateDict, Path]:
    """The state of ``model`` with the weights that lie beside a network's configuration, and their
    folder. Parts of the head that are missing there keep ``model``'s own weights.

    Raises ``ValueError`` for weights whose digest is not that of ``start``, and if layers of the
    encoder are missing.
    """
    folder, transformers = encoder_folder(network), imported_transformers(network)
    if not weights_digest(folder).startswith(start.partition("#")[2]):
        raise ValueError(
            f"the weights in {folder} have changed since the run was planned: put the old ones "
            "back, or plan the run anew"
        )
    with torch.random.fork_rng(devices=[]), quiet(transformers):  # it draws a head, and reports it
        found, about = transformers.AutoModelForSequenceClassification.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    encoder = f"{found.base_model_prefix}."
    lacking = set(about["missing_keys"])
    if odd := sorted(k for k in lacking if k.startswith(encoder) and "pooler" not in k):
        raise ValueError(f"the weights in {folder} are of another network: they lack {odd[0]}")
    own = model.state_dict()
    state = {f"net.{k}": t for k, t in found.state_dict().items() if k not in lacking}
    return {k: own[k] for k in own if k not in state} | state, folder


@contextmanager
def quiet(transformers: Any) -> Iterator[None]:
    """Silences transformers' progress bars and reports: missing weights are handled here."""
    logging = transformers.utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def imported_transformers(name: str) -> Any:
    """The library transformers; ``ValueError`` if it is not installed."""
    try:
        return importlib.import_module("transformers")
    except ImportError:
        raise ValueError(
            f"{name} needs transformers, which is missing: pip install transformers"
        ) from None


def _config(folder: Path) -> Any:
    transformers = imported_transformers(str(folder))
    try:
        return transformers.AutoConfig.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
    except (ValueError, OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} is not a model that transformers knows: {error}") from None
