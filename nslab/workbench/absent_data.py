"""Data sets that somebody has to put down and are not here: which runs have to be left out."""

from collections.abc import Collection, Sequence

from nslab.configs import RunConfig
from nslab.datasets import MissingDataset, is_folder, is_text, load


def absent_folders(todo: Sequence[RunConfig]) -> dict[str, tuple[int, str]]:
    """The folders of images, and the texts, that runs need and that are not here: how many runs,
    and what to do."""
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


def needs(config: RunConfig, datasets: Collection[str]) -> bool:
    """Whether a run, or one that it requires, is on one of these data sets."""
    own = config.dataset in datasets
    return bool(datasets) and (own or any(needs(c, datasets) for c in config.requires()))
