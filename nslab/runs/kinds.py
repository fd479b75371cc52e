"""Functions that compute runs, by kind: filled by `nslab.runs.compute` and by plug-ins."""

from collections.abc import Callable
from typing import Any

from nslab.system.registry import Registry, callable_with

COMPUTE: Registry[Callable[[Any, Any], Any]] = Registry(
    "function that computes runs", check=callable_with(None, None, says="(config, context)")
)
