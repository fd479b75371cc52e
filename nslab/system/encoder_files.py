"""Files of models of the transformers library: where they lie, and their names by content.

A network ``transformers/NAME`` is a folder as ``save_pretrained`` writes it, or a model of the
Hugging Face hub in its local cache; nothing is downloaded here. Its resolved name is
``transformers:NAME#digest``, with a digest of the configuration and the tokenizer's files. The
digest of the weights is part of a training's start.
"""

import functools
import hashlib
import importlib
import json
import os
import re
from pathlib import Path

from nslab.system.content_names import content_name, parse_content_name

KIND, PREFIX = "transformers", "transformers/"
START = f"{KIND}:pretrained"  # of a training: the weights that lie beside the configuration
CONFIG, WEIGHTS, INDEX = "config.json", "model.safetensors", "model.safetensors.index.json"
TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.txt", "vocab.json", "merges.txt", "spiece.model", "sentencepiece.bpe.model"),
)
HUB_NAME = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")


def is_encoder(name: str) -> bool:
    """Whether a network is a model of the transformers library.

    >>> is_encoder("transformers/bert-base-uncased"), is_encoder("transformers:x#0123456789ab")
    (True, True)
    """
    return name.startswith((PREFIX, f"{KIND}:"))


def resolved_encoder(name: str) -> str:
    """The name of a network of transformers with the digest of its configuration and tokenizer. A
    model of the hub that is not here keeps its name, so that runs can be planned.

    Raises ``ValueError`` for a folder that does not exist, or holds no model.
    """
    if parse_content_name(name):
        return name
    where = name.removeprefix(PREFIX)
    folder = _found(where)
    if folder is None:
        if not HUB_NAME.fullmatch(where):
            raise ValueError(f"{name}: the folder {where} does not exist")
        return name
    if not (folder / CONFIG).is_file():
        raise ValueError(
            f"{folder} has no {CONFIG}: give a folder that save_pretrained has written"
        )
    place = folder.absolute() if Path(where).expanduser().is_dir() else where
    return content_name(KIND, place, described_digest(folder))


def encoder_folder(name: str) -> Path:
    """The folder of a resolved network of transformers.

    Raises ``FileNotFoundError``, with what to fetch, if it is not here, and ``ValueError`` if its
    files do not match the digest, or came only after the run was planned.
    """
    _, where, digest = parse_content_name(name) or (KIND, name.removeprefix(PREFIX), "")
    folder = _found(where)
    if folder is None or not (folder / CONFIG).is_file():
        hub = HUB_NAME.fullmatch(where)
        advice = f", or on a machine with a network run `hf download {where}`" if hub else ""
        raise FileNotFoundError(
            f"the files of {PREFIX}{where} are not here, and nothing is downloaded unasked: put "
            f"{CONFIG}, {WEIGHTS} and the tokenizer's files into a folder and name it, "
            f"transformers/FOLDER{advice}"
        )
    if not digest:
        raise ValueError(
            f"the files of {name} came after the run was planned: make its config again, so that "
            "it is named by their content"
        )
    if not described_digest(folder).startswith(digest):
        raise ValueError(
            f"{folder} has another configuration or tokenizer than when the run was planned: put "
            "the old files back, or make its config again"
        )
    return folder


def resolved_weights_of(network: str) -> str:
    """The start of a training from the weights of a network of transformers, with their digest;
    without one if the network's files are not here.

    Raises ``ValueError`` for a network of another kind, and if there are no safetensors.
    """
    if not is_encoder(network):
        raise ValueError(
            f"transformers has no weights for {network}: take a network transformers/<name>, or "
            "transformers/<folder>"
        )
    if not parse_content_name(network):
        return START
    return content_name(KIND, START.partition(":")[2], weights_digest(encoder_folder(network)))


def described_digest(folder: Path) -> str:
    """SHA-256 of the configuration and the tokenizer's files."""
    files = [name for name in (CONFIG, *TOKENIZER) if (folder / name).is_file()]
    return _digest_of(folder, files)


def weights_digest(folder: Path) -> str:
    """SHA-256 of the safetensors of a folder; ``ValueError`` if there are none."""
    if (folder / WEIGHTS).is_file():
        return _digest_of(folder, [WEIGHTS])
    if not (folder / INDEX).is_file():
        raise ValueError(
            f"{folder} has no {WEIGHTS}, and files that need unpickling are not read. If you trust "
            "them, convert them once: AutoModel.from_pretrained(folder).save_pretrained(folder)"
        )
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    parts = sorted(set(index["weight_map"].values()))
    if missing := [name for name in parts if not (folder / name).is_file()]:
        raise ValueError(f"{folder} lacks {', '.join(missing)}, which its {INDEX} names")
    return _digest_of(folder, parts)


def _digest_of(folder: Path, names: list[str]) -> str:
    whole = hashlib.sha256()
    for name in names:
        about = (folder / name).stat()
        digest = _file_digest(folder / name, about.st_size, about.st_mtime_ns)
        whole.update(f"{name} {digest}\n".encode())
    return whole.hexdigest()


@functools.lru_cache(maxsize=256)
def _file_digest(file: Path, size: int, mtime: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _found(where: str) -> Path | None:
    """The folder ``where``, or that of the model of this name in the hub's cache; else None."""
    folder = Path(where).expanduser()
    if folder.is_dir():
        return folder
    if not HUB_NAME.fullmatch(where):
        return None
    try:
        hub = importlib.import_module("huggingface_hub")
    except ImportError:
        return None
    file = hub.try_to_load_from_cache(where, CONFIG)
    return Path(file).parent if isinstance(file, str | os.PathLike) else None


__all__ = [
    "START",
    "described_digest",
    "encoder_folder",
    "is_encoder",
    "resolved_encoder",
    "resolved_weights_of",
    "weights_digest",
]
