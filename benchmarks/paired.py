"""What benchmarks share: `nslab.system.timing`, the machine's name, how results are kept."""

import json
from pathlib import Path
from typing import Any

from accelerate import PartialState

from nslab.system.files import write_text
from nslab.system.provenance import environment
from nslab.system.timing import interleaved, ratio

__all__ = ["finish", "interleaved", "machine", "ratio"]


def machine(device: str = "cpu") -> dict[str, Any]:
    """Device, threads and versions, printed and returned."""
    PartialState(cpu=device == "cpu")  # else a GPU would be named that is not used
    env = environment()
    print(f"{env['device']}, {env['threads']} thread(s), torch {env['versions']['torch']}")
    return env


def finish(sentence: str, file: Path | None, **results: Any) -> None:
    """Print what it comes to, and keep everything as JSON if asked."""
    print(f"\n{sentence}")
    if file is not None:
        write_text(file, json.dumps({**results, "sentence": sentence}, indent=2) + "\n")
