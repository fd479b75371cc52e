"""Errors for unknown names, with suggestions of similar known ones."""

import difflib
from collections.abc import Iterable

PLUGIN_ADVICE = "one of your own comes with its plug-in: --plugin FILE, or nslab.use(FILE)"
# Fields by the names they have in other libraries.
ALIASES = {
    "learning_rate": "lr",
    "lr_schedule": "schedule",
    "lr_scheduler": "schedule",
    "scheduler": "schedule",
    "batch": "batch_size",
    "bs": "batch_size",
    "seed": "seeds",
    "wd": "weight_decay",
}


def near(name: object, known: Iterable[object]) -> list[str]:
    """The known names that were perhaps meant, at most two, the most similar first.

    >>> near("CIFAR-10", ["digits", "cifar10", "cifar100"])
    ['cifar10', 'cifar100']
    """
    folded = {str(key).casefold(): str(key) for key in known}
    if (alias := ALIASES.get(str(name).casefold())) in folded:
        return [alias]
    return [folded[key] for key in difflib.get_close_matches(str(name).casefold(), folded, 2, 0.65)]


def unknown(what: str, name: object, known: Iterable[object], more: str = "") -> ValueError:
    """The error for an unknown name: the most similar known ones, and all known ones.

    ``what`` says what it should name, ``more`` is appended to the list.

    >>> print(unknown("network", "resnet21", ["mlp", "resnet20"]))
    unknown network 'resnet21': did you mean resnet20? There are mlp, resnet20
    >>> print(unknown("data set", "x", ["digits"], ", and folder:PATH"))
    unknown data set 'x'; there are digits, and folder:PATH
    """
    names = [str(key) for key in known]
    if hasattr(known, "register"):  # a registry
        more += f"; {PLUGIN_ADVICE}"
    return ValueError(
        f"unknown {what} {name!r}{suggestion([name], names, 'There')} are "
        f"{', '.join(names) or 'none'}{more}"
    )


def suggestion(names: Iterable[object], known: Iterable[object], subject: str) -> str:
    """The part of a message between unknown ``names`` and the list of ``known`` ones, which begins
    with ``subject``: a question with the most similar ones, if there are any."""
    meant = list(dict.fromkeys(key for name in names for key in near(name, known)))
    return f": did you mean {' or '.join(meant)}? {subject}" if meant else f"; {subject.lower()}"
