"""Provenance of a number: code, versions, device."""

import functools
import hashlib
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

from nslab.system.paths import checkout
from nslab.system.plugins import digests

# Set to use results of other code and data than today's; processes started from here agree.
ACCEPT = "NSLAB_ACCEPT_STALE"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "accelerate", "matplotlib")


@functools.cache
def source_digest() -> str:
    """Twelve hexadecimal digits that hash the package's source."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit and whether tracked files differ from it; (None, None) without git, or
    installed: a repository around that is another project's."""
    if not (root := checkout()):
        return None, None
    try:
        head, status = (
            subprocess.run(
                ["git", "-C", str(root), *args], capture_output=True, text=True, check=True
            ).stdout.strip()
            for args in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, bool(status)


def versions() -> dict[str, str]:
    """Python's and the main packages' versions."""
    return {"python": platform.python_version()} | {p: metadata.version(p) for p in PACKAGES}


def environment() -> dict[str, Any]:
    """Commit, dirty flag, digests of the source and of plug-ins, versions, device, processes and
    threads."""
    import torch

    from nslab.system.distributed import process_group

    state = process_group()
    head, dirty = commit()
    cuda = state.device.type == "cuda"
    return ({"plugins": plugins} if (plugins := digests()) else {}) | {
        "commit": head,
        "dirty": dirty,
        "source": source_digest(),
        "device": torch.cuda.get_device_name(state.device) if cuda else _processor(),
        "processes": state.num_processes,
        "threads": torch.get_num_threads(),
        "versions": versions(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"CPU {names[0] if names else platform.processor() or platform.machine()}"
