"""Texts in a training's config: which fields fit texts, and the defaults of their tokenisation."""

from collections.abc import Mapping

from nslab.datasets import is_text
from nslab.datasets.text_sets import entry_of
from nslab.datasets.tokenization import MIN_COUNT, VOCABULARY
from nslab.networks import takes_texts
from nslab.objectives import NS, Mixup
from nslab.system.content_names import short_name
from nslab.system.encoder_files import is_encoder
from nslab.types import ObjectiveConfig

TEXT_FIELDS = ("text_length", "vocabulary", "min_count")
KINDS = ("images", "texts")


def check_kinds(dataset: str, network: str, objective: ObjectiveConfig) -> None:
    """``ValueError`` unless data, network and objective are all for images, or all for texts."""
    texts, reads = is_text(dataset), takes_texts(network)
    if texts != reads:
        own = " (one of your own that reads texts: mark it with for_texts = True)" if texts else ""
        raise ValueError(
            f"TrainConfig: {short_name(dataset)} has {KINDS[texts]}, the network "
            f"{short_name(network)} reads {KINDS[reads]}{own}"
        )
    if isinstance(objective, NS):
        check_kinds(dataset, network, objective.base)
    if isinstance(objective, NS) and isinstance(objective.compose, str):
        if texts != (objective.compose != "images"):
            ways = "'tiled'" if texts else "'images'"
            raise ValueError(
                f"TrainConfig: NS composes {objective.compose!r} and {short_name(dataset)} has "
                f"{KINDS[texts]}: write nslab.NS(compose={ways})"
            )
    elif texts and isinstance(objective, Mixup):
        raise ValueError("TrainConfig: Mixup blends images, not texts: choose another objective")


def text_fields(
    dataset: str, network: str, augment: str, given: Mapping[str, int]
) -> dict[str, int]:
    """The fields `TEXT_FIELDS` of a config: those given, else the defaults of the data set and of
    nslab. Empty for images.

    Raises ``ValueError`` if they are given for images, for augmented texts, and for a vocabulary
    with a network that has its own tokenizer.

    >>> text_fields("imdb", "textcnn", "none", {"vocabulary": 5000})
    {'text_length': 200, 'vocabulary': 5000, 'min_count': 2}
    """
    asked = [name for name in TEXT_FIELDS if given.get(name)]
    if not is_text(dataset):
        if asked:
            raise ValueError(f"TrainConfig: {asked[0]} is for texts, {dataset} has images")
        return {}
    if augment != "none":
        raise ValueError(f"TrainConfig: augment is {augment!r}, which is for images: set 'none'")
    if 0 < given.get("vocabulary", 0) < 3:
        raise ValueError(
            "TrainConfig: vocabulary must be at least 3: two ids are padding and unknown words"
        )
    usual = {"text_length": entry_of(dataset).length}
    if not is_encoder(network):
        usual |= {"vocabulary": VOCABULARY, "min_count": MIN_COUNT}
    elif asked not in ([], ["text_length"]):
        raise ValueError(f"TrainConfig: {asked[-1]} is not for {network}: it has a tokenizer")
    return {name: given.get(name) or value for name, value in usual.items()}
