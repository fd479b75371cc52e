"""One network, one data set, several methods, the same seeds: a table and a figure."""

from collections.abc import Iterable, Mapping, Sequence, Set
from operator import index
from typing import Any

import pandas as pd

from nslab.configs import TrainConfig
from nslab.configs.labels import short_repr
from nslab.datasets import dataset_of, is_text, resolved
from nslab.datasets.own_arrays import add_arrays
from nslab.runs.results import Result, find
from nslab.runs.store import RunsFailed, run_all
from nslab.system.content_names import short_name
from nslab.system.distributed import choose_device
from nslab.system.plain_checks import check_jobs, check_line
from nslab.system.plurals import counted
from nslab.system.presets import FIRST_SEED
from nslab.system.validation import check_count, check_parameters, hints
from nslab.workbench.method_comparison import MethodComparison
from nslab.workbench.named_methods import fields_of
from nslab.workbench.own_objects import callable_name, network_name
from nslab.workbench.sweeps import VALIDATION_SHARE, choose, combinations, settings_of
from nslab.workbench.trial import try_out

TAKEN = {  # fields that have parameters of their own
    "dataset": "give the data as train and test",
    "network": "give the network as model",
    "objective": "give objectives as methods",
    "seed": "give seeds=3 for three seeds, or seeds=[2024] for that one",
}


def name_of(method: Any) -> str:
    """The name of a method that was given without one: its key, its class with the fields that
    differ from their defaults, or the name of a function."""
    if isinstance(method, str):
        return method
    plain = isinstance(method, type) or (callable(method) and not hasattr(method, "build"))
    return callable_name(method) if plain else short_repr(method)


def compare_methods(
    model: Any,
    train: Any,
    test: Any = None,
    methods: Mapping[str, Any] | Sequence[Any] = ("ce", "ns"),
    *,
    seeds: int | Sequence[int] = 3,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    name: str = "mine",
    classes: Sequence[str] = (),
    jobs: int = 1,
    device: str | None = None,
    show: bool = True,
    **settings: Any,
) -> MethodComparison:
    """Train a network by several methods on the same data with the same seeds.

    The result ``found`` prints, or shows in a notebook, a table: each method's mean test accuracy
    with its sd over seeds, and its paired difference from the first method with the 95 % interval;
    and a sentence on what that shows. ``found.figure()`` draws it, and ``found.to("table.html")``
    writes it (or a ``.md``, ``.csv``, ``.tex``); ``found.runs`` and ``found.results`` are the runs;
    ``found.per_class`` and ``found.confusion("ns")`` show which classes are confused.

    Args:
        model: a subclass of ``nn.Module``, a function that returns a network (called without
            arguments, with the number of classes, or with the images' shape and the number of
            classes), or the name of a network. One for texts has an attribute
            ``for_texts = True``.
        train, test: pairs ``(images, labels)`` of arrays or tensors, or torch data sets, see
            `add_arrays`; or ``train`` alone: the name of a data set, ``"folder:PATH"``, or
            ``"csv:PATH"`` for texts.
        methods: a list, or a dict by names for the table; the first is the baseline. A method is a
            key of ``OBJECTIVES``, a value of such a class (``nslab.NS(rho=-1)``) or of your own, or
            a function of logits and labels that gives the loss of each sample. Other words of our
            tables: ``"ns_ws"``, ``"ns_lf"`` and ``"aul"``; cross-entropy on rebalanced batches,
            ``"cbs"``, ``"srs"`` and ``"pbs"``; and two controls, cross-entropy with the mean weight
            of the one NS among the methods as a factor of its loss, ``"ce_constant"``, or of its
            learning rate, ``"ce_lr"``. Where a control gains as much as NS, the scores are not what
            helps.
        seeds: how many (from 2024 on), or which.
        sweep: several values of some fields of `TrainConfig`, ``{"lr": [0.01, 0.1]}``: every method
            is trained with each combination, and the table has the one with the best mean accuracy
            on validation samples. These are a fifth of the training samples, or ``hold_out`` of
            them, which no run trains on; each run's result is its best epoch on them. Test samples
            have no part in either choice. ``found.grid`` has every setting. A fair comparison needs
            a sweep: a method whose weights do not average to 1 also changes the size of the steps.
        name, classes: the name of the data in tables, and the names of its classes.
        jobs: runs at once, each in a process of its own.
        device: ``"cpu"``, ``"cuda"`` or ``"cuda:1"``; default: a CUDA device if there is one. It
            stays this process's device.
        show: whether to show progress.
        settings: other fields of `TrainConfig`, such as ``epochs=5, batch_size=64, lr=0.05``.

    Every run is stored and looked up the next time, by the content of data and code: an edited
    network is trained again. Raises ``ValueError`` before any work for arguments that do not fit.

    >>> import torch
    >>> x, y = torch.rand(64, 1, 8, 8), torch.arange(64) % 2
    >>> found = compare_methods("mlp", (x, y), (x, y), seeds=2, epochs=1, batch_size=16, show=False)
    >>> found.table[["method", "n"]].to_dict("list")
    {'method': ['ce', 'ns'], 'n': [2, 2]}
    """
    check_jobs(jobs)
    allowed = {key: hint for key, hint in hints(TrainConfig).items() if key not in TAKEN}
    settings = check_parameters(settings, allowed, "compare_methods", TAKEN)
    fields = settings_of(sweep, settings) if sweep else {}
    texts = isinstance(train, str) and is_text(train)
    trainings = _trainings(methods, {*settings, *fields}, texts)
    chosen_seeds = _seeds(seeds)
    grid = combinations(fields)
    counts = {"methods": len(trainings), "seeds": len(chosen_seeds), "settings": len(grid)}
    check_count("compare_methods", counts)
    if isinstance(train, str):
        if test is not None:
            raise ValueError(f"data set {train!r} has its own test images: leave test out")
        data = resolved(train)
    elif test is None:
        raise ValueError("test is missing: give samples that are not trained on, as a pair or set")
    else:
        data = add_arrays(train, test, name, classes)
    network = network_name(model)
    if fields and not settings.get("hold_out"):
        size = dataset_of(data, settings.get("image_size", 0)).layout.train
        settings["hold_out"] = max(1, round(VALIDATION_SHARE * size))
    configs = {
        (method, place, seed): TrainConfig(
            dataset=data, network=network, seed=seed, **settings, **setting, **training
        )
        for place, setting in enumerate(grid)
        for seed in chosen_seeds
        for method, training in trainings.items()
    }
    by_id: dict[str, str] = {}
    for method in trainings:
        same = by_id.setdefault(configs[method, 0, chosen_seeds[0]].id, method)
        if same != method:
            raise ValueError(
                f"{same!r} and {method!r} are the same training: leave out one of them"
            )
    if device is not None:
        choose_device(device)
    first = {(m, place): config for (m, place, _), config in reversed(configs.items())}
    for place in range(len(grid)):
        if not all(find(config) for (_, at, _), config in configs.items() if at == place):
            try_out({m: first[m, place] for m in trainings})
    about = (short_name(known).partition(" #")[0] for known in (network, data))
    title = f"{' on '.join(about)}, {counted(len(chosen_seeds), 'seed')}"
    if not fields:
        results = run_all(list(configs.values()), jobs=jobs, show=show)
        keys = [(method, seed) for method, _, seed in configs]
        lines = _lines(dict(zip(keys, results, strict=True)))
        return MethodComparison(results, lines, next(iter(trainings)), title)
    outcomes = _outcomes(configs, jobs, show)
    swept, best = choose(fields, outcomes, settings["hold_out"])
    kept = {
        (method, seed): result
        for seed in chosen_seeds
        for method, place in best.items()
        if (result := outcomes[method, place, seed])
    }
    return MethodComparison(list(kept.values()), _lines(kept), next(iter(trainings)), title, swept)


def _trainings(methods: Any, given: Set[str], texts: bool) -> dict[str, dict[str, Any]]:
    """What each method sets, by its name in the table, checked; ``given`` are the fields that all
    of them have."""
    plain = isinstance(methods, str) or callable(methods) or hasattr(methods, "build")
    if isinstance(methods, Iterable) and not (plain or isinstance(methods, Mapping | Sequence)):
        raise ValueError(
            f"methods is a {type(methods).__name__}: give a list or dict, in the order wanted; the "
            "first is the baseline"
        )
    if isinstance(methods, str) or not isinstance(methods, Mapping | Sequence):
        shown = repr(methods) if isinstance(methods, str) else name_of(methods)
        pair = f"['ce', {'nslab.NS()' if methods == 'ce' else shown}]"
        raise ValueError(
            f"methods is one method, {shown}: give a list, such as {pair}, or a dict of names and "
            "methods"
        )
    if not isinstance(methods, Mapping) and any(isinstance(m, tuple | list) for m in methods):
        raise ValueError("methods has pairs: give a dict, such as dict([('CE', 'ce'), ...])")
    named = methods if isinstance(methods, Mapping) else {name_of(m): m for m in methods}
    if len(named) < len(methods):
        raise ValueError("two methods have one name: give them as {name: method, ...}")
    if not named:
        raise ValueError("no methods: give their names, or values by name")
    for name in named:
        check_line("the name of a method", name)
    trainings = fields_of(named, texts=texts)
    for name, training in trainings.items():
        if twice := sorted(given & training.keys()):
            both = ", ".join(twice)
            raise ValueError(f"method {name!r} sets {both}: leave it out of settings and sweep")
    return trainings


def _seeds(seeds: Any) -> list[int]:
    """The seeds, checked."""
    try:
        numbers = seeds
        if not hasattr(seeds, "__len__"):
            numbers = range(FIRST_SEED, FIRST_SEED + index(seeds))
        check_count("compare_methods", {"seeds": len(numbers)})
        chosen = [index(seed) for seed in numbers]
    except TypeError:
        chosen = []
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(
            f"seeds must be a whole number above 0, or a list of different seeds, not {seeds!r}"
        )
    return chosen


def _outcomes(
    configs: Mapping[tuple[str, int, int], TrainConfig], jobs: int, show: bool
) -> dict[tuple[str, int, int], Result | None]:
    """Results of a grid, None for a run that failed, for example because a learning rate was too
    large. `RunsFailed` is raised if some method has no setting that succeeded with every seed."""
    try:
        results = run_all(list(configs.values()), jobs=jobs, show=show)
        return dict(zip(configs, results, strict=True))
    except RunsFailed as error:
        places: dict[str, set[int]] = {}
        failed: set[tuple[str, int]] = set()
        for (method, place, _), config in configs.items():
            places.setdefault(method, set()).add(place)
            if config.id in error.failed:
                failed.add((method, place))
        none_left = any(all((m, p) in failed for p in tried) for m, tried in places.items())
        if error.later or none_left:
            raise
        if show:
            print(f"{len(error.failed)} runs of the sweep failed; their settings are not chosen")
        return {
            key: None if config.id in error.failed else find(config)
            for key, config in configs.items()
        }


def _lines(results: Mapping[tuple[str, int], Result]) -> pd.DataFrame:
    """A line per run."""
    return pd.DataFrame(
        {
            "method": method,
            "seed": seed,
            "value": result.metrics["test_accuracy"],
            "learnt": result.learnt,
            "run": result.id,
        }
        for (method, seed), result in results.items()
    )


__all__ = ["MethodComparison", "compare_methods", "name_of"]
