"""Names of the weights that trainings start from: pretrained ones, files, runs."""

import os
import re

from nslab.configs.checkpoint_files import digest
from nslab.networks.bottleneck import backbone_of
from nslab.networks.pretrained import is_pretrained, resolved_weights
from nslab.system.content_names import content_name, parse_content_name

FILE = "file:"  # begins a start from a file of weights


def resolved_start(start: str, network: str) -> str:
    """A start as a config stores it; a file gets its absolute path and its digest.

    Args:
        start: see ``TrainConfig.start``.
        network: the name of the network, which must have such weights.

    Raises ``ValueError`` for an unknown start, a file that cannot be read, and weights that do not
    exist.
    """
    if is_pretrained(start):
        return resolved_weights(start, backbone_of(network))
    if start.startswith(FILE) and not parse_content_name(start):
        file = os.path.abspath(os.path.expanduser(start.removeprefix(FILE)))
        return content_name("file", file, digest(file))
    if start.startswith(FILE) or re.fullmatch("([0-9a-f]{12}(@[1-9][0-9]*)?|public)?", start):
        return start
    hint = f"; a file of weights is file:{start}" if os.path.isfile(start) else ""
    raise ValueError(
        f"TrainConfig: start is {start!r}, neither torchvision:WEIGHTS, timm:TAG, "
        f"transformers:pretrained, file:PATH, a run's id, id@epoch nor public{hint}"
    )
