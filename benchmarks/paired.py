"""Parts that benchmarks share: timing, a description of the machine, and output of results."""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState

from nslab.system.files import write_text
from nslab.system.provenance import environment
from nslab.system.timing import interleaved, ratio

__all__ = ["finish", "interleaved", "machine", "ratio"]


def machine(device: str = "cpu") -> dict[str, Any]:
    """Device, threads and versions; prints a line of them."""
    PartialState(cpu=device == "cpu")  # else `environment` would name a GPU that is not used
    env = environment()
    print(f"{env['device']}, {env['threads']} thread(s), torch {env['versions']['torch']}")
    return env


def finish(sentence: str, file: Path | None, **results: Any) -> None:
    """Print the finding, and write it with all results to a JSON file if one is given."""
    print(f"\n{sentence}")
    if file is not None:
        write_text(file, json.dumps({**results, "sentence": sentence}, indent=2) + "\n")
