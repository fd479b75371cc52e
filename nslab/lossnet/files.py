"""Loss networks as files: weights as safetensors, form and origin as JSON beside them."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as read
from safetensors.torch import save as written

from nslab.lossnet.net import LossForm, LossNet
from nslab.system.files import explaining, replacing_all
from nslab.system.validation import check_parameters, hints

SUFFIX = ".safetensors"


def save_loss(net: LossNet, file: Path, provenance: Mapping[str, Any]) -> None:
    """Write the weights to ``file`` (.safetensors), the rest to the .json of the same name.

    ``provenance`` is anything that JSON takes: how the network was evolved, where, from what code.
    Raises ``ValueError`` for another suffix, ``OSError`` where nothing can be written.
    """
    _check_suffix(file)
    data = written({"w": net.w.detach().cpu().contiguous().clone()}, {"format": "pt"})
    about = {
        "form": dataclasses.asdict(net.form),
        "scale": net.scale,
        "sha256": hashlib.sha256(data).hexdigest(),
        "provenance": dict(provenance),
    }
    text = json.dumps(about, indent=1) + "\n"  # may fail, so before anything is written
    with replacing_all(file, file.with_suffix(".json")) as (weights, description):
        weights.write_bytes(data)
        description.write_text(text, encoding="utf-8")


def load_loss(file: Path) -> tuple[LossNet, dict[str, Any]]:
    """The network that `save_loss` wrote, and its provenance.

    Raises ``FileNotFoundError`` if either file is missing, ``ValueError`` if one cannot be read, or
    if the two do not belong together.
    """
    _check_suffix(file)
    beside = file.with_suffix(".json")
    for part in (file, beside):
        if not part.is_file():
            raise FileNotFoundError(
                f"{part} is missing: a loss network is {file.name} with {beside.name} beside it"
            )
    with explaining(file):
        data, text = file.read_bytes(), beside.read_text(encoding="utf-8", errors="replace")
    try:
        about = json.loads(text)
        fields = check_parameters(about["form"], hints(LossForm), "LossForm")
        form, scale = LossForm(**fields), float(about["scale"])
        digest, provenance = about["sha256"], dict(about["provenance"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{beside} does not describe a loss network ({error!r})") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(
            f"{file} is not the file that {beside.name} describes: it is damaged, or one of the "
            "two was replaced"
        )
    try:
        return LossNet(form, read(data)["w"], scale), provenance
    except (SafetensorError, LookupError, ValueError) as error:
        raise ValueError(f"{file} holds no loss network ({error})") from None


def _check_suffix(file: Path) -> None:
    if file.suffix != SUFFIX:
        raise ValueError(f"a loss network's file ends in {SUFFIX}, unlike {file}")
