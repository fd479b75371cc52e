"""Names that mean nothing here, and the nearest that do."""

import difflib
from collections.abc import Iterable

PLUGIN_ADVICE = "one of your own comes with its plug-in: --plugin FILE, or nslab.use(FILE)"
# What other libraries call some fields.
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
    """The known names that were perhaps meant, two at most, the nearest first.

    >>> near("CIFAR-10", ["digits", "cifar10", "cifar100"])
    ['cifar10', 'cifar100']
    """
    folded = {str(key).casefold(): str(key) for key in known}
    if (alias := ALIASES.get(str(name).casefold())) in folded:
        return [alias]
    return [folded[key] for key in difflib.get_close_matches(str(name).casefold(), folded, 2, 0.65)]


def unknown(what: str, name: object, known: Iterable[object], more: str = "") -> ValueError:
    """The error for a name that means nothing: the nearest that does, and all there are.

    >>> print(unknown("network", "resnet21", ["mlp", "resnet20"]))
    unknown network 'resnet21': did you mean resnet20? There are mlp, resnet20
    >>> print(unknown("data set", "x", ["digits"], ", and folder:PATH"))
    unknown data set 'x'; there are digits, and folder:PATH
    """
    names = [str(key) for key in known]
    if hasattr(known, "register"):  # a registry
        more += f"; {PLUGIN_ADVICE}"
    return ValueError(
        f"unknown {what} {name!r}{perhaps([name], names, 'There')} are "
        f"{', '.join(names) or 'none'}{more}"
    )


def perhaps(names: Iterable[object], known: Iterable[object], subject: str) -> str:
    """What joins a complaint about names with the list of those that there are."""
    meant = list(dict.fromkeys(key for name in names for key in near(name, known)))
    return f": did you mean {' or '.join(meant)}? {subject}" if meant else f"; {subject.lower()}"
