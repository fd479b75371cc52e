"""Words for figures: readable names of data sets and networks, and what a preset supports."""

import re
from collections.abc import Iterable

import pandas as pd

SMOKE = "smoke: supports no claim"
DATASET_WORDS = {
    "digits": "digits",
    "digits_16": "digits, 16 px",
    "digits_slanted": "slanted digits",
    "digits_folder": "digits from files",
    "digits_half": "digits, half of the images",
    "digits_hard": "hard digits",
    "docstrings": "docstrings",
    "mnist": "MNIST",
    "usps": "USPS",
    "svhn": "SVHN",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "imagenet": "ImageNet",
    "imagenet_hard": "ImageNet-Hard",
    "twitter1": "Twitter I",
    "twitter2": "Twitter II",
    "flickr": "Flickr",
    "instagram": "Instagram",
    "fi": "FI",
    "emoset": "EmoSet",
    "ag_news": "AG News",
    "imdb": "IMDB",
}
NETWORK_WORDS = {
    "mlp": "perceptron",
    "lenet1": "LeNet-1",
    "lenet5": "LeNet-5",
    "rnn": "LSTM",
    "alexnet_cifar": "AlexNet",
    "alexnet": "AlexNet",
    "vgg19_bn_cifar": "VGG-19",
    "vgg16": "VGG-16",
    "mobilenet_v2_cifar": "MobileNetV2",
    "resnext29": "ResNeXt-29",
    "densenet_bc_100_12": "DenseNet-BC (100, 12)",
    "densenet_bc_190_40": "DenseNet-BC (190, 40)",
    "densenet121": "DenseNet-121",
    "vit_b_16": "ViT-B/16",
    "swin_t": "Swin-T",
    "vmamba_t": "VMamba-T",
    "bert-base-uncased": "BERT-base",
    "transformers/bert-base-uncased": "BERT-base",
    "textcnn": "TextCNN",
    "textcnn_64": "TextCNN, 64-d embeddings",
    # keys of the papers' tables
    "vgg19": "VGG-19",
    "mobilenet": "MobileNet",
    "vit_b16": "ViT-B/16",
    "bert_base": "BERT-base",
}
_EMBEDDED = re.compile(r"digits(_|$)|docstrings$")
_RESNET = re.compile(r"resnet(\d+)(b?)(_public)?$")
_KEY = re.compile(r"(?<![\w/.$-])[a-z]\w+(?![\w/$]|\.\w)")
_PRESET = re.compile(r"(?:[,;:]? *)\(?\b[Pp]reset (smoke|cpu|paper)\b\)?(, frozen)?")
_FIRST_IN_BRACKETS = re.compile(r" \(([Pp]reset \w+), (?=[^)]*\))")
_PLAIN = ("digits", "docstrings", "instagram", "fi", "flickr")  # may occur as ordinary words


def dataset_words(name: str) -> str:
    """The name of a data set in figures; its key if it is unknown.

    >>> dataset_words("digits_16"), dataset_words("office_home/Art"), dataset_words("mine")
    ('digits, 16 px', 'Office-Home, Art', 'mine')
    """
    kind, _, domain = name.partition("/")
    if kind.startswith("office_home") and domain:
        return f"Office-Home, {domain}"
    return DATASET_WORDS.get(name, name)


def network_words(name: str) -> str:
    """The name of a network in figures; its key if it is unknown.

    >>> network_words("resnet20"), network_words("resnet110b"), network_words("my_net")
    ('ResNet-20', 'ResNet-110', 'my_net')
    """
    if resnet := _RESNET.match(name):
        return f"ResNet-{resnet[1]}{', pretrained' if resnet[3] else ''}"
    return NETWORK_WORDS.get(name, name)


def in_words(text: str) -> str:
    """A text with the keys of data sets and networks replaced by their names, and the preset moved
    to the end; for preset smoke, by a note that it supports no claim.

    >>> in_words("digits_16, lenet5, preset smoke")
    'digits, 16 px, LeNet-5 (smoke: supports no claim)'
    >>> in_words("cifar10, resnet20, preset cpu, n = 3")
    'CIFAR-10, ResNet-20, n = 3, preset cpu'
    >>> in_words("Times (preset smoke, 6 rounds)")
    'Times (6 rounds) (smoke: supports no claim)'
    """
    text = _FIRST_IN_BRACKETS.sub(r", \1 (", _KEY.sub(_word, text))
    if not (preset := _PRESET.search(text)):
        return text
    text = (text[: preset.start()] + text[preset.end() :]).strip(" ,;:")
    if preset[1] == "smoke":
        return f"{text} ({SMOKE})" if text else SMOKE.capitalize()
    return f"{text}, preset {preset[1]}" if text else f"Preset {preset[1]}"


def embedded(table: pd.DataFrame, *texts: str) -> bool:
    """Whether a figure supports no claim, because its runs are at preset ``smoke`` (by the column
    ``preset`` or by ``texts``) or on the small data sets that come with nslab.

    >>> embedded(pd.DataFrame({"dataset": ["digits_16"]}))
    True
    >>> embedded(pd.DataFrame({"dataset": ["cifar10"]}), "preset cpu")
    False
    """
    if any(re.search(r"\b[Pp]reset smoke\b", text) for text in texts):
        return True
    if "preset" in table:
        return bool((table["preset"] == "smoke").any())
    return "dataset" in table and all(map(_EMBEDDED.match, _texts(table["dataset"])))


def _texts(values: Iterable[object]) -> list[str]:
    return [str(value) for value in dict.fromkeys(values)]


def _word(key: re.Match[str]) -> str:
    name = key[0]
    if name in _PLAIN:
        return name
    return network_words(name) if network_words(name) != name else dataset_words(name)
