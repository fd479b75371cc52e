"""Predictions of trained networks on images in files, or on texts, as a table."""

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from nslab.analysis.run_tables import trained_model
from nslab.configs import TrainConfig
from nslab.configs.serialization import decode
from nslab.datasets import is_folder, load
from nslab.datasets.catalogue import Dataset
from nslab.datasets.decoding import opened
from nslab.datasets.folder_files import SkippedFiles, images_of, scan_folder, subfolders
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.image_folder import PREFIX, split_root
from nslab.datasets.loader import Loader, on_device
from nslab.networks import build_network
from nslab.networks.external import fitted
from nslab.networks.logits import logits_of
from nslab.networks.modes import scoring
from nslab.runs.best_network import BEST, RECORD
from nslab.runs.results import Result, read_result
from nslab.runs.trained_on import data_of
from nslab.system.content_names import parse_content_name
from nslab.system.distributed import process_group
from nslab.system.files import replacing
from nslab.system.paths import runs_dir
from nslab.system.plurals import counted
from nslab.system.progress import Progress
from nslab.training.setup import evaluation_batch
from nslab.workbench.evaluation import data_to_test_on
from nslab.workbench.text_prediction import texts_in, token_batches

PLACES = 5  # how many classes are listed for each image or text


@dataclass(frozen=True)
class Trained:
    """A trained network.

    Attributes:
        model: the network.
        training: the config of its training.
        dataset: what it was trained on: classes, sizes, mean and sd.
        folder: that of its run, if it is a run's.
    """

    model: nn.Module
    training: TrainConfig
    dataset: Dataset
    folder: Path | None = None


def trained_network(run: str) -> Trained:
    """The network of a finished run, by the beginning of its id, or of a ``best.safetensors`` that
    `nslab.evolve_checkpoints` has written.

    Raises ``ValueError`` if ``run`` is neither, ``FileNotFoundError`` for weights or data that are
    not here.
    """
    if run.endswith(".safetensors"):
        return _from_file(Path(run))
    found = sorted(path.name for path in runs_dir().glob("*") if path.name.startswith(run))
    if not re.fullmatch("[0-9a-f]{4,12}", run) or not found:
        raise ValueError(
            f"{run} is no run in {runs_dir()}: give the id of a finished one, or its first digits "
            f"(four at least), or a {BEST}"
        )
    if len(found) > 1:
        raise ValueError(f"{run} may be {' or '.join(found)}: give more digits")
    result = read_result(runs_dir() / found[0])
    if result is None:
        raise ValueError(f"run {found[0]} is not finished: the command that began it continues it")
    training, model = decode(result.config).training, trained_model(result)
    return Trained(model, training, data_of(result), result.folder)


def _from_file(file: Path) -> Trained:
    record = file.parent / RECORD
    try:
        about = json.loads(record.read_text(encoding="utf-8"))
        training = decode(about["config"]).training
        digest = about["sha256"][file.name]
        whole = file.read_bytes()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f"{file} needs the {RECORD} that was written with it, which names network and classes: "
            f"{type(error).__name__}: {error}"
        ) from None
    if hashlib.sha256(whole).hexdigest() != digest:
        raise ValueError(f"{file} is not the file that {record} was written with")
    dataset = data_of(Result(file.name, about["config"], {}, [], about.get("environment", {})))
    number = dataset.layout.num_classes
    model = build_network(training.network, dataset.shape, number, training.seed)
    (state,) = fitted(model, [load_file(file)], [str(file)], number)
    model.load_state_dict(state)
    return Trained(model.eval(), training, dataset)


def images_in(data: str) -> tuple[list[str], list[str]]:
    """Image files, and for each the name of its class folder, or "" if it lies in none.

    ``data``: ``folder:PATH``, with or without class folders, or the name of a data set that is a
    folder. If the folder has a split, the test images are taken. Raises ``ValueError`` if there are
    no images.
    """
    folder = Path(data.removeprefix(PREFIX)).expanduser().absolute()
    if not is_folder(data):
        hint = f"; the images in {data} are folder:{data}" if folder.is_dir() else ""
        raise ValueError(f"predictions need image files, folder:PATH, not {data!r}{hint}")
    own = data.startswith(PREFIX) and not parse_content_name(data)
    if not own or (folder.is_dir() and split_root(folder)):
        found = data_to_test_on(data)
        names = found.dataset.classes
        return found.arrays.test_x.tolist(), [names[k] for k in found.arrays.test_y]
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder: give one with images, as folder:PATH")
    classes, passed = tuple(subfolders(folder)), SkippedFiles()
    files, labels = images_of(folder, classes, hashlib.sha256(), passed)
    _, loose = scan_folder(str(folder), passed)
    files += [str(folder / name) for name, _ in loose]
    if not files:
        raise ValueError(f"{folder} has no images")
    return files, [classes[k] for k in labels] + [""] * len(loose)


@torch.no_grad()
def predictions(trained: Trained, data: str, *, show: bool = True) -> pd.DataFrame:
    """A line per image or text: ``file`` or ``text``, ``true`` (its class folder or label, if any
    has one), ``predicted``, ``probability``, and so on to ``predicted_5``, the likeliest class
    first.

    Images are preprocessed as in the network's own test; for a network trained on arrays, they must
    have the same size. For ``data`` see `images_in` and `texts_in`. Raises ``ValueError`` naming a
    file that cannot be read, or has another size.
    """
    texts = trained.training.tokenization is not None
    files, true = texts_in(data, trained.training, trained.dataset) if texts else images_in(data)
    device, classes = process_group().device, np.array(trained.dataset.classes, dtype=object)
    model, places = trained.model.to(device), min(PLACES, len(classes))
    values, names = [], []
    unit = "text" if texts else "image"
    with scoring(model), Progress(len(files), f"{unit}s", unit=unit, show=show) as bar:
        for x in batches(trained, files):
            likely = logits_of(model(x)).float().softmax(1).topk(places)
            values.append(likely.values.cpu().numpy())
            names.append(classes[likely.indices.cpu().numpy()])
            bar.advance("", len(x))
    table: dict[str, object] = {"text": files}
    if not texts:
        table = {"file": [relative(file, data) for file in files]}
    if any(true):
        table["true"] = true
    columns = zip(np.concatenate(names).T, np.concatenate(values).T, strict=True)
    for place, (name, value) in enumerate(columns, 1):
        suffix = f"_{place}" if place > 1 else ""
        table |= {f"predicted{suffix}": name, f"probability{suffix}": value}
    return pd.DataFrame(table)


def batches(trained: Trained, files: list[str]) -> Iterator[Tensor]:
    """Batches of images or tokens on the device, preprocessed as in the run's own evaluation."""
    dataset, device = trained.dataset, process_group().device
    size, y = evaluation_batch(device, dataset.shape), torch.zeros(len(files), dtype=torch.int64)
    if trained.training.tokenization:
        yield from token_batches(trained.training, dataset, files, trained.folder, size)
        return
    options: dict[str, Any] = {"batch_size": size, "channels_last": trained.training.channels_last}
    if is_folder(trained.training.dataset):
        yield from (b.x for b in ImageFiles(files, y.to(device), dataset, **options).in_order())
        return
    kind = load(trained.training.dataset).arrays.test_x.dtype
    if kind != np.uint8 or dataset.shape[0] not in (1, 3):
        raise ValueError(
            f"the network was trained on arrays of {kind} with {dataset.shape[0]} channels, which "
            "image files cannot have: predict with the network itself"
        )
    for first in range(0, len(files), size):
        x = np.stack([as_array(file, dataset) for file in files[first : first + size]])
        loader = Loader(*on_device(x, np.zeros(len(x), np.int64), device), dataset, **options)
        yield from (b.x for b in loader.in_order())


def as_array(file: str, dataset: Dataset) -> np.ndarray:
    """An image file as an array (h, w, c) like those of a data set, in colour or grey;
    ``ValueError`` if it has another size."""
    height, width, channels = dataset.layout.shape
    image = opened(file)
    if image.size != (width, height):
        raise ValueError(
            f"{file} has {image.width} x {image.height} pixels, and the network was trained on "
            f"arrays of {width} x {height}: bring images to that size first"
        )
    return np.asarray(image.convert("L"))[..., None] if channels == 1 else np.asarray(image)


def relative(file: str, data: str) -> str:
    """The path of a file relative to ``folder:PATH``; unchanged for a data set by name."""
    folder = Path(data.removeprefix(PREFIX)).expanduser().absolute()
    own = data.startswith(PREFIX) and not parse_content_name(data)
    return Path(file).relative_to(folder).as_posix() if own else file


def write_predictions(table: pd.DataFrame, file: Path) -> None:
    """Write a CSV in one step, with probabilities to six decimals."""
    text = table.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    with replacing(file) as temporary:  # names of files need not be valid UTF-8
        temporary.write_bytes(text.encode("utf-8", errors="surrogateescape"))


def summary(table: pd.DataFrame, classes: tuple[str, ...]) -> str:
    """A sentence: how many images or texts there are, and the accuracy on those whose class is
    known."""
    texts = "text" in table
    said = counted(len(table), "text" if texts else "image")
    if "true" in table:
        known = table[table["true"].isin(classes)]
        if len(known):
            right = 100 * (known["true"] == known["predicted"]).mean()
            where = "with a label" if texts else "in folders named as a class"
            said += f", {right:.2f} % right of the {len(known):,} {where}"
    return said
