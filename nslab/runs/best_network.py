"""The best network of an evolution of checkpoints, written to a folder with its provenance."""

import csv
import io
import json
import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from nslab.configs.checkpoint_files import CheckpointFiles
from nslab.configs.evolve import EvolveConfig
from nslab.configs.serialization import encode
from nslab.evolve import EVOLVERS
from nslab.neuroevolution.checkpoints import from_checkpoints
from nslab.runs.results import Result
from nslab.system.files import misfits, remove_strays, replacing_all, sha256
from nslab.system.locks import locked
from nslab.training.checkpoint import WEIGHTS

BEST, RECORD, HISTORY = "best.safetensors", "best.json", "history.csv"


def check_folder(config: EvolveConfig, folder: Path) -> None:
    """``ValueError`` if the folder holds the network of anything but this very evolution."""
    record, best = folder / RECORD, folder / BEST
    advice = f"use another folder, or remove {RECORD} and {BEST} to have them written again"
    if not record.exists():
        if best.exists():
            raise ValueError(f"{folder} holds another network, without {RECORD}: {advice}")
        return
    try:
        before = json.loads(record.read_text(encoding="utf-8"))
        found, config_before = before.get("run"), before.get("config")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{record} cannot be read ({error}): {advice}") from None
    if config_before is None:
        raise ValueError(
            f"{folder} holds a network of nslab 0.1, which did not store its run: {advice}"
        )
    if found != config.id:
        named = ", ".join(differences(config_before, encode(config))) or "its options"
        raise ValueError(f"{folder} holds an evolution that differs in {named}: {advice}")


def differences(before: Any, now: dict[str, Any]) -> list[str]:
    """The fields in which two encoded configs differ, including those of ``base`` and ``init``. The
    paths of files do not count."""
    names: list[str] = []
    for name, value in now.items():
        old = before.get(name) if isinstance(before, dict) else None
        if isinstance(value, dict) and name in ("base", "init"):
            names += differences(old, value)
        elif old != value and name not in ("files", "size", "@"):
            names.append({"digests": "parents"}.get(name, name))
    return names


def write_best(config: EvolveConfig, result: Result, folder: Path) -> None:
    """Write ``best.safetensors``, with the parameter names of the parents' files and a header that
    says which run the weights are from and how good they are; ``best.json`` with config, parents,
    metrics and environment; and ``history.csv``, a row per generation.

    One process writes at a time. Raises ``ValueError`` if the folder holds another evolution.
    ``best.json`` has the SHA-256 of the other two files: files that do not belong together are
    written again, and a complete set is left as it is.
    """
    assert isinstance(config.init, CheckpointFiles)
    assert result.folder is not None
    keys = from_checkpoints(config.init.files[:1])[0].keys()
    weights = load_file(result.folder / WEIGHTS)
    evolver = next((key for key, value in EVOLVERS.items() if value == config.method), "")
    header = {"format": "pt", "run": config.id, "model": config.base.network}
    header |= {"evolver": evolver or repr(config.method), "seed": str(config.seed)}
    row = result.metrics
    numbers = ("chosen_batch", "held_out_accuracy", "held_out_loss", "test_accuracy", "selected_by")
    header |= {name: str(row[name]) for name in numbers if name in row}
    header |= {"commit": str(result.env.get("commit"))}
    header |= {"torch": str(result.env.get("versions", {}).get("torch"))}
    parents = [
        {"file": file, "sha256": digest}
        for file, digest in zip(config.init.files, config.init.digests, strict=True)
    ]
    record = {
        "run": config.id,
        "best": header,
        "parents": parents,
        "metrics": row,
        "config": encode(config),
        "environment": result.env,
    }
    with locked(folder / ".lock", f"another process is writing into {folder}"):
        try:
            check_folder(config, folder)
        except ValueError as error:
            kept = f"run {config.id} is stored, so with another folder the command only writes it"
            raise ValueError(f"{error}; {kept}") from None
        # the record comes first: it says which evolution the folder belongs to
        files = [folder / RECORD, folder / HISTORY, folder / BEST]
        for file in files:
            remove_strays(folder, file.name)
        if whole(folder, record):
            return
        with replacing_all(*files) as (about, history, best):
            history.write_text(history_csv(result.history), encoding="utf-8")
            best.write_bytes(save({key: weights[key] for key in keys}, header))
            record |= {"sha256": {HISTORY: sha256(history), BEST: sha256(best)}}
            about.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def whole(folder: Path, record: dict[str, Any]) -> bool:
    """Whether a folder holds all three files of the evolution of ``record``, written together."""
    if not all((folder / name).exists() for name in (RECORD, HISTORY, BEST)):
        return False
    found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    digests = found.pop("sha256", {})
    if others := misfits(folder, digests):
        names = " and ".join(others)
        problem = f"{folder}: {names} did not belong to {RECORD}; all three are written again"
        warnings.warn(problem, stacklevel=3)
    return bool(digests) and not others and found == json.loads(json.dumps(record))


def history_csv(rows: list[dict[str, Any]]) -> str:
    """A history as the text of a CSV: a row per generation, lists as JSON."""
    text = io.StringIO()
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    for row in rows:
        table.writerow(row | {k: json.dumps(v) for k, v in row.items() if isinstance(v, list)})
    return text.getvalue()
