"""Evolve your own checkpoint files in a run of the store, and write the best network."""

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from tqdm.auto import tqdm

from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.evolve import EvolveConfig
from nslab.configs.train import TrainConfig
from nslab.datasets import DATASETS, dataset_of, is_folder, is_text, resolved
from nslab.datasets.batch_order import Augment
from nslab.datasets.image_folder import PREFIX
from nslab.evolve import EVOLVERS
from nslab.networks import build_network, check_network, takes_texts
from nslab.networks.external import fitted, loading_code, try_model, with_heads
from nslab.neuroevolution.baselines import WeightAverage
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.neuroevolution.options import EvolveOptions
from nslab.runs.best_network import BEST, check_folder, write_best
from nslab.runs.folder import folder_of
from nslab.runs.results import Result
from nslab.runs.store import run
from nslab.system.content_names import parse_content_name
from nslab.system.distributed import process_group
from nslab.system.validation import check_parameters, coerce, hints, unknown

FEW = 200  # with fewer held-out images, choosing a network by them is mostly luck


def checkpoint_config(
    model: str,
    files: Sequence[str | Path],
    data: str,
    *,
    evolver: str = "sa-shade-tri-ensin",
    held_out: float = 0.1,
    augment: Augment | Literal["auto"] = "auto",
    image_size: int | None = None,
    seed: int = 0,
    **options: Any,
) -> EvolveConfig:
    """The config of the run that evolves checkpoint files; `evolve_checkpoints` has the arguments.

    Raises ``ValueError`` for files, data and a model that do not fit together.
    """
    names = tuple(map(str, [files] if isinstance(files, str | Path) else files))
    if evolver not in EVOLVERS:
        raise unknown("evolver", evolver, EVOLVERS)
    needed = {key: value.min_population for key, value in EVOLVERS.items()}
    if len(names) < needed[evolver]:
        fewer = [f"{key} ({n})" for key, n in needed.items() if n <= len(names)]
        fewer = fewer or [f"{key} ({n})" for key, n in needed.items() if n < needed[evolver]]
        raise ValueError(
            f"{evolver} needs at least {needed[evolver]} parents, not {len(names)}; fewer are "
            f"enough for {', '.join(fewer) or 'no evolver'}"
        )
    options = check_parameters(options, hints(EvolveOptions), "an evolution")
    augment = coerce("augment", augment, Augment | Literal["auto"])
    if not 0 <= held_out < 1:
        raise ValueError(f"held_out is a share: at least 0 and below 1, not {held_out}")
    check_network(model)
    if is_text(data) or takes_texts(model):
        raise ValueError(
            "checkpoint files of text networks have no vocabulary (which word has which number): "
            "evolve a run, which has one, by nslab.EvolveConfig(TrainConfig(...))"
        )
    known = data in DATASETS or is_folder(data) or parse_content_name(data)
    if not known and not os.path.isdir(data):
        raise ValueError(f"data {data!r} is neither a folder nor one of {', '.join(DATASETS)}")
    name = resolved(data if known else f"{PREFIX}{data}")
    folder = is_folder(name)
    if image_size and not folder:
        raise ValueError(
            f"the images of {data} have a fixed size: leave the size out, it is for folders"
        )
    about = dataset_of(name, image_size or 0)
    images, classes = about.layout.train, about.layout.num_classes
    held = max(1, round(held_out * images)) if held_out else 0
    if images - held < 2:
        raise ValueError(
            f"{data} has {images} training images: too few to hold out {held} and evolve on the "
            "rest; give a smaller held_out, or more images"
        )
    states = from_checkpoints(names)
    model = with_heads(model, states[0])
    network = build_network(model, about.shape, classes, seed=0)
    fitted(network, states, names, classes)
    try_model(network.to(process_group().device), about.shape, classes, process_group().device)
    base = TrainConfig(
        dataset=name,
        network=model,
        augment=("crop_flip" if folder else "none") if augment == "auto" else augment,
        hold_out=held,
        image_size=image_size or 0,
        seed=seed,
    )
    population = CheckpointFiles(names)
    return EvolveConfig(base, population, len(names), EVOLVERS[evolver], **options)


def evolve_checkpoints(
    model: str,
    files: Sequence[str | Path],
    data: str,
    out: Path | str | None = "evolved",
    *,
    evolver: str = "sa-shade-tri-ensin",
    held_out: float = 0.1,
    augment: Augment | Literal["auto"] = "auto",
    image_size: int | None = None,
    seed: int = 0,
    show: bool = True,
    **options: Any,
) -> Result:
    """Evolve checkpoint files of any classifier and write the best network into ``out``.

    It is a run of the store like any other, and the explorer shows it. If it is killed, the same
    call continues where it stopped, with the same bits on one device; once finished, it is looked
    up. The run's id hashes the contents of files and folders, not their paths. Several processes
    (torchrun) share the work. Returns the evolution's result.

    Args:
        model: a key of ``NETWORKS``, ``torchvision/<name>`` or ``timm/<name>``.
        files: checkpoints of that model, as `from_checkpoints` reads them.
        data: a key of ``DATASETS`` or a folder of images, see `nslab.datasets.image_folder`.
        out: folder for the best network, see `write_best`; None: keep it in the store only.
        evolver: key of ``EVOLVERS``.
        held_out: share of the training images that is used only to choose the network. NOTE: if the
            parents were trained on these images, they look better than they are.
        augment: ``"none"``, ``"crop"`` or ``"crop_flip"``; ``"auto"``: ``"crop_flip"`` for folders,
            ``"none"`` for other data sets.
        image_size: side of a folder's images, 224 by default.
        seed: of batches and evolution.
        show: whether to print what is done, and to show progress.
        options: the fields of `EvolveOptions` (``batches``, ``generations``, ``microbatch``, ...).

    Raises ``ValueError`` before any work for files, data and models that do not fit together and
    for an ``out`` that holds another network; later for an image that cannot be read.

    >>> import tempfile
    >>> from safetensors.torch import save_file
    >>> few = {"batches": 1, "generations": 1, "batch_size": 16, "show": False}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     files = [f"{folder}/{seed}.safetensors" for seed in range(6)]
    ...     for seed, file in enumerate(files):
    ...         save_file(build_network("mlp", (1, 32, 32), 10, seed).state_dict(), file)
    ...     result = evolve_checkpoints("mlp", files, "digits", out=None, **few)
    >>> result.config["size"]
    6
    """
    config = checkpoint_config(
        model,
        files,
        data,
        evolver=evolver,
        held_out=held_out,
        augment=augment,
        image_size=image_size,
        seed=seed,
        **options,
    )
    return evolve_and_write(
        config,
        out,
        lambda configs: [run(one, weights=True, show=show) for one in configs],
        show=show,
    )


def evolve_and_write(
    config: EvolveConfig,
    out: Path | str | None,
    runner: Callable[[Sequence[EvolveConfig]], Sequence[Result]],
    *,
    show: bool = True,
) -> Result:
    """Have ``runner`` compute an evolution of files and the average it is compared with, say how
    good they are, and write the best network into ``out``."""
    main = process_group().is_main_process

    def say(*lines: str) -> None:
        if show and main:
            tqdm.write("\n".join(lines))  # without tearing a progress bar
            sys.stdout.flush()

    if out is not None:
        check_folder(config, Path(out))
    say(f"run {config.id}, kept in {folder_of(config)}", *cautions(config))
    result, average = runner([config, plain_average(config)])
    say(*summary(config, result, average))
    if out is not None and main:
        write_best(config, result, Path(out))
        say(how_to_load(config, Path(out)))
    return result


def plain_average(config: EvolveConfig) -> EvolveConfig:
    """The run that averages the same parents, to compare with."""
    return EvolveConfig(
        config.base, config.init, config.size, WeightAverage(), precision=config.precision
    )


def cautions(config: EvolveConfig) -> list[str]:
    """Warnings to print before an evolution begins."""
    base, lines = config.base, []
    assert isinstance(config.init, CheckpointFiles)
    if twice := config.size - len(set(config.init.digests)):
        lines.append(
            f"of the {config.size} checkpoints, {config.size - twice} are different: a duplicate "
            "adds nothing to an evolution"
        )
    layout = base.about.layout
    if (left := layout.train - base.hold_out) < config.batch_size:
        lines.append(
            f"batches have {left} images, not {config.batch_size}: there are no more to evolve on"
        )
    if 0 < base.hold_out < FEW:
        lines.append(
            f"only {base.hold_out} held-out images choose the network; below {FEW}, the choice "
            "between good networks is mostly luck: hold out more if you can"
        )
    return lines


def summary(config: EvolveConfig, result: Result, average: Result) -> list[str]:
    """Lines to print at the end: numbers of the best parent, of the parents' plain average and of
    the chosen network."""
    row, lines = result.metrics, []
    test = "test accuracy {:.2f} %".format
    if config.base.hold_out:
        held = "held-out accuracy {:.2f} % (loss {:.4f}), ".format
        start = held(row["start_held_out_accuracy"], row["start_held_out_loss"])
        lines.append(f"best parent:   {start}{test(row['start_test_accuracy'])}")
        chosen = held(row["held_out_accuracy"], row["held_out_loss"])
    else:
        lines.append(f"last parent:   {test(row['start_test_accuracy'])}")
        chosen = ""
    batch = row["chosen_batch"]
    which = f"best member after batch {batch}" if batch else "best parent"
    lines += [
        f"plain average: {test(average.metrics['test_accuracy'])}",
        f"evolved:       {chosen}{test(row['test_accuracy'])}",
        f"chosen by {row['selected_by']}: the {which}",
    ]
    return lines


def how_to_load(config: EvolveConfig, out: Path) -> str:
    """Lines of Python that load what was written."""
    about = config.base.about
    network = config.base.network
    code = loading_code(network, about.shape, about.layout.num_classes, out / BEST)
    return "\n".join([f"wrote {out / BEST}; to load it:", *code])
