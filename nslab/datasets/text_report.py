"""Report on a data set of texts: what is there, how long the texts are, and whether test texts are
also trained on."""

import warnings

import numpy as np

from nslab.datasets import resolved
from nslab.datasets.text_sets import present, provenance
from nslab.datasets.tokenization import words_of
from nslab.system.content_names import DIGITS, short_name


def report(name: str) -> list[str]:
    """Lines on a data set of texts: numbers of texts here and published, classes, words per text,
    texts that occur twice, digest.

    Raises ``ValueError`` and `MissingDataset` as `nslab.datasets.load` does.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the report has a line for each warning
        name = resolved(name)
        place, there = present(name)
        about = provenance(name)
    (train, labels), (test, _) = there.train, there.test
    counts = np.bincount(labels, minlength=len(there.classes))
    words = np.array([len(words_of(text)) for text in train])
    lines = [
        f"{short_name(name)}: {len(train):,} training and {len(test):,} test texts, "
        f"{len(there.classes)} classes, in {place}",
        f"  training: {counts.min():,} to {counts.max():,} texts a class; "
        f"{int(np.median(words))} words a text (median), {int(np.quantile(words, 0.9))} or fewer "
        "in nine of ten",
        f"  classes: {', '.join(there.classes[:12])}",
        f"  digest of texts and labels {there.digest[:DIGITS]}",
    ]
    published = about.get("published")
    if published and published != [len(train), len(test)]:
        numbers = " + ".join(f"{number:,}" for number in published)
        lines.append(f"  note: {numbers} texts are published, which differs from those here")
    if versions := about.get("versions"):
        lines.append(f"  made of {', '.join(f'{k} {v}' for k, v in versions.items())}")
    both = len(set(train) & set(test))
    twice = len(train) - len(set(train))
    repeated = "training texts repeat another"
    for count, what in ((both, "test texts are also trained on"), (twice, repeated)):
        if count:
            lines.append(f"  note: {count} {what}")
    return lines + [f"  note: {remark}" for remark in there.remarks]
