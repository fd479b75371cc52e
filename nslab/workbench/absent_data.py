"""Data sets that are not here and that nslab cannot fetch: which runs have to be left out."""

from collections.abc import Collection, Sequence

from nslab.configs import RunConfig
from nslab.datasets import MissingDataset, array_sets, is_folder, is_text, load


def absent_folders(todo: Sequence[RunConfig]) -> dict[str, tuple[int, str]]:
    """The folders of images and the texts that runs need and that are not here, by name: how many
    runs need them, and what to do."""
    absent: dict[str, tuple[int, str]] = {}
    names = {config.dataset for config in todo}
    for name in sorted(name for name in names if is_folder(name) or is_text(name)):
        try:
            load(name)
        except MissingDataset as error:
            absent[name] = (0, str(error))
    for name, (_, why) in absent.items():
        absent[name] = (sum(needs(config, {name}) for config in todo), why)
    return absent


def absent_arrays(todo: Sequence[RunConfig]) -> dict[str, tuple[int, str]]:
    """The same for data sets of arrays that are not here and cannot be fetched."""
    absent: dict[str, tuple[int, str]] = {}
    for name in sorted({config.dataset for config in todo} & set(array_sets())):
        try:
            load(name)
        except MissingDataset as error:
            absent[name] = (sum(needs(config, {name}) for config in todo), str(error))
    return absent


def needs(config: RunConfig, datasets: Collection[str]) -> bool:
    """Whether a run, or one that it requires, uses one of these data sets."""
    own = config.dataset in datasets
    return bool(datasets) and (own or any(needs(c, datasets) for c in config.requires()))
