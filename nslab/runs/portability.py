"""Whether other processes can find the code that a config names, and whether this one can."""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from nslab.configs.methods import training_method
from nslab.configs.protocol import RunConfig
from nslab.configs.serialization import decode
from nslab.runs.made_of import entries
from nslab.runs.result_file import Result
from nslab.system.content_names import parse_content_name, short_name
from nslab.system.plugin_sources import digest_of, sources_of
from nslab.system.plugins import LOADED, VARIABLE, digests, owner
from nslab.system.registry import Origin, Registry, name_of


def check_portable(configs: Sequence[RunConfig]) -> None:
    """``ValueError`` for configs that name something only this process knows: what a notebook's
    cell, a script or a module that is no plug-in has registered."""
    for registry, key in (entry for config in configs for entry in entries(config)):
        origin = registry.origins[key]
        ours = origin.module.partition(".")[0] == "nslab" and not parse_content_name(key)
        plugin = LOADED.get(owner(origin.module))
        if not (ours or plugin):
            raise ValueError(_advice(registry, key, origin))
        if plugin and digest_of(sources_of(plugin.path)) != plugin.digest:
            raise ValueError(
                f"the plug-in {plugin.path} has changed since it was loaded, and other processes "
                f"would load it as it is now: nslab.use({str(plugin.path)!r}) loads it again"
            )


def _advice(registry: Registry, key: str, origin: Origin) -> str:
    """What to do about an entry that other processes lack."""
    what = f"the {registry.what} {key!r} ({name_of(registry[key])})"
    if parts := parse_content_name(key):  # known by the digest of its code
        what = f"the {registry.what} {parts[1].strip('<>')}"
        origin = Origin("__main__", "this session", 0)
        module = sys.modules.get(getattr(registry[key], "__module__", ""))
        if module and module.__name__ != "__main__" and (file := getattr(module, "__file__", "")):
            line = (
                'NETWORKS.register("mine")(lambda shape, classes: Net(classes))'
                if registry.what == "network"
                else f"@{registry.what.upper()}S.register above a class with a key"
            )
            return (
                f"{what} is defined in {file}, which other processes do not load: register it "
                f"there, {line}, then nslab.use({file!r}), and give its key; or compute it here, "
                "with jobs=1"
            )
    if origin.module != "__main__":
        return (
            f"{what} was registered in {origin.file}, which other processes do not load: "
            f"nslab.use({origin.file!r}) or --plugin makes it a plug-in; jobs=1 computes it here"
        )
    place = origin.file if parts else origin
    return (
        f"{what} is defined in {place}, where other processes cannot find it: put it into a file, "
        'such as mine.py, together with the line that registers it, then nslab.use("mine.py"); or '
        "compute it in this process, with jobs=1"
    )


def known_config(form: Mapping[str, Any]) -> RunConfig | None:
    """The config that ``form`` encodes; None if its class or data set is unknown here."""
    return None if isinstance(found := _decoded(form), Exception) else found


def unknown_here(result: Result) -> dict[str, Any]:
    """What can be said of a run whose config is unknown here: the columns of
    `nslab.configs.labels.columns`, and ``unknown``: what of it is unknown, and the plug-in that it
    was made with if that is not loaded."""
    form = result.config.get("trained", result.config)
    form = form.get("base", form)
    method = result.config.get("method") or _training_method(form)
    reason = str(_decoded(result.config)).partition("; ")[0].partition(": did you mean")[0]
    return {
        "dataset": short_name(str(form.get("dataset", ""))),
        "network": short_name(str(form.get("network", ""))),
        "method": str(method.get("@", "") if isinstance(method, dict) else method),
        "seed": form.get("seed", ""),
        "unknown": "; ".join(filter(None, [reason, lacking(result.env)])),
    }


def _training_method(form: Mapping[str, Any]) -> str:
    """The name of the method that trained a network, or the key of its objective if that is
    unknown here."""
    written = form.get("objective") or {}
    objective = _decoded(written)
    if isinstance(objective, Exception):
        return str(written.get("@", ""))
    sampler, scale = form.get("sampler", "shuffle"), form.get("lr_scale", 1.0)
    return training_method(objective, str(sampler), float(scale))


def _decoded(form: Mapping[str, Any]) -> Any:
    try:
        return decode(form)
    except Exception as error:  # a class of a plug-in may raise whatever it likes
        return error


def lacking(env: Mapping[str, Any]) -> str:
    """A sentence with advice if a run was made, or begun, with plug-ins that are not loaded here;
    else empty."""
    here = digests()
    known = env.get("plugins") or {}
    gone = [f"{name} (digest {digest})" for name, digest in known.items() if name not in here]
    if not gone:
        return ""
    return (
        f"this run was made with the plug-in {', '.join(gone)}, which is not loaded here: load its "
        f"file by --plugin FILE, nslab.use(FILE) or {VARIABLE}=FILE"
    )
