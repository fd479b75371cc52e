"""The stretches of a run that was interrupted and resumed: the environment of each."""

from pathlib import Path
from typing import Any

from nslab.configs.protocol import RunConfig
from nslab.runs.folder import STRETCHES, has_interim, set_interim_aside
from nslab.runs.made_of import MADE_OF, accepted, changed
from nslab.system.files import no_file, write_text
from nslab.system.seals import sealed_json, unsealed_json

# entries of an environment that are kept of each stretch
KEPT = (
    *("begun", "commit", "dirty", "source", "device", "processes", "threads", "versions"),
    *("plugins", "data", MADE_OF),
)


def begin(config: RunConfig, folder: Path, env: dict[str, Any]) -> list[dict[str, Any]]:
    """The environments of earlier stretches, if the run continues from them; writes down ``env``,
    that of the stretch which begins now.

    If an earlier stretch used other code of the user's, or other data, its checkpoints are set
    aside and the run begins afresh.
    """
    try:
        before = read(folder) if has_interim(folder) else []
    except ValueError as error:
        set_interim_aside(folder, f"has lost the record of its origin ({STRETCHES}: {error})")
        before = []
    if before and (what := changed(config, before[-1])) and not accepted(config.id, what, False):
        set_interim_aside(folder, f"was started before {', '.join(what)} changed")
        before = []
    write_text(folder / STRETCHES, sealed_json({"stretches": [*before, env]}))
    return before


def read(folder: Path) -> list[dict[str, Any]]:
    """The environments of the stretches so far; none where an older version of nslab began the run.
    ``ValueError`` for a file that is damaged."""
    try:
        found, sealed = unsealed_json((folder / STRETCHES).read_bytes())
    except FileNotFoundError:
        return []
    except OSError as error:
        if not no_file(error):
            raise
        raise ValueError(str(error)) from None
    if not sealed:
        raise ValueError("it has no digest")
    return list(found["stretches"])


def merge_environments(before: list[dict[str, Any]], env: dict[str, Any]) -> dict[str, Any]:
    """A result's environment: that of the last stretch and, if there were several, of each under
    ``stretches``."""
    if not before:
        return env
    each = [{key: stretch[key] for key in KEPT if key in stretch} for stretch in (*before, env)]
    return env | {"stretches": each}
