"""Provenance of a number: code, versions, device."""

import functools
import hashlib
import os
import platform
import subprocess
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from nslab.system.paths import checkout
from nslab.system.plugins import digests

# Environment variable: use results of earlier versions of the user's code and data all the same.
ACCEPT = "NSLAB_ACCEPT_STALE"
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "accelerate", "matplotlib")
GIT_SETTINGS = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM", "GIT_CONFIG_NOSYSTEM")  # kept by `git`


@functools.cache
def source_digest() -> str:
    """Twelve hexadecimal digits that hash the package's source."""
    root = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        digest.update(f"{file.relative_to(root).as_posix()}\0".encode() + file.read_bytes())
    return digest.hexdigest()[:12]


@functools.cache
def commit() -> tuple[str | None, bool | None]:
    """The checkout's commit and whether tracked files differed from it when this process first
    asked; (None, None) without git, installed, or if the checkout is no repository of its own.

    A repository around it, or one that the environment names (``GIT_DIR``, as in a hook), is
    another project's.
    """
    if not (root := checkout()):
        return None, None
    if not (top := git(root, "rev-parse", "--show-toplevel")) or not root.samefile(top):
        return None, None
    head = git(root, "rev-parse", "HEAD")
    status = git(root, "status", "--porcelain", "--untracked-files=no")
    return (None, None) if head is None or status is None else (head, bool(status))


def git(folder: Path, *words: str) -> str | None:
    """Git's output in a folder, whatever repository the environment names; None if it fails."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k in GIT_SETTINGS}
    command = ["git", "-C", str(folder), *words]
    try:
        done = subprocess.run(command, env=env, capture_output=True, encoding="utf-8", check=True)
    except (OSError, ValueError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def versions(*names: str) -> dict[str, str]:
    """Versions of the packages ``names``, if installed; without names, of Python and `PACKAGES`."""
    if not names:
        return {"python": platform.python_version()} | versions(*PACKAGES)
    found = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


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
