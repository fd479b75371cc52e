"""What an evolution of checkpoints leaves in its folder: the best network, its origin, history."""

import csv
import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import reduce
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from nslab.configs.evolve_files import Task
from nslab.configs.selection import SELECTION
from nslab.datasets.image_folder import Data
from nslab.evolve import EVOLVERS
from nslab.evolve.protocol import completed
from nslab.networks.logits import logits_of
from nslab.neuroevolution.evolution import CHECKPOINT, Evolved
from nslab.neuroevolution.history import diversity
from nslab.system.distributed import process_group
from nslab.system.files import replacing, write_text
from nslab.system.provenance import environment
from nslab.training.metrics import Tally
from nslab.types import StateDict

BEST, RECORD, HISTORY = "best.safetensors", "best.json", "history.csv"
IMAGES_AT_ONCE = 256  # images
RULES = {
    True: f"the network with the best {SELECTION.name}: a parent, or the best member after a batch",
    False: "the best member on the last batch",
}

Numbers = dict[str, float]


class Record:
    """Keeps the best network of an evolution in ``folder`` and says how it goes.

    The header of ``best.safetensors`` says whose weights these are and how good: it changes with
    them in one step, so what is best so far survives a kill at any moment. Everything may be
    written twice, the same: an evolution that goes on does its last batch again if that was not
    kept. Several processes measure together; the first one writes.

    Args:
        keys: the tensors to write, under the names that the parents' files have.
        say: takes a line for the user.
    """

    def __init__(
        self,
        task: Task,
        folder: Path,
        data: Data,
        model: nn.Module,
        keys: Sequence[str],
        say: Callable[[str], object],
    ) -> None:
        self.task, self.folder, self.data, self.model = task, folder, data, model
        self.keys, self.say, self.main = keys, say, process_group().is_main_process
        self.identity = json.loads(json.dumps(task.identity(data.about)))
        self.id = hashlib.sha256(json.dumps(self.identity).encode()).hexdigest()[:12]
        self.parents: list[dict[str, Any]] = []

    @cached_property
    def environment(self) -> dict[str, Any]:
        """Code and machine."""
        return environment()

    def check(self) -> None:
        """``ValueError`` if the folder holds anything but this very evolution."""
        file, best, state = (self.folder / name for name in (RECORD, BEST, CHECKPOINT))
        advice = f"take another folder, or remove {RECORD}, {BEST} and {CHECKPOINT} to start afresh"
        if file.exists():
            try:
                found = json.loads(file.read_text(encoding="utf-8"))
                before, self.parents = found["identity"], found["parents"]
            except (ValueError, LookupError, TypeError) as error:
                raise ValueError(f"{file} cannot be read ({error!r}): {advice}") from None
            if before != self.identity:
                names = [k for k in self.identity if before.get(k) != self.identity[k]]
                other = ", ".join(names) or "options"
                raise ValueError(f"{self.folder} holds an evolution of other {other}: {advice}")
            if not best.exists() and (self.task.held_out or state.exists()):
                raise ValueError(f"{best} of the evolution there is missing: {advice}")
        elif state.exists() or (best.exists() and self.best().get("evolution") != self.id):
            raise ValueError(f"{self.folder} holds other networks, without {RECORD}: {advice}")

    def begin(self, states: Sequence[StateDict]) -> None:
        """Measure the parents, unless that is done, and keep the best of them."""
        if self.parents:
            return
        measured = self.measure(states)
        self.parents = [
            {"file": file, "sha256": sha} | numbers
            for file, sha, numbers in zip(
                self.task.parents, self.identity["parents"], measured, strict=True
            )
        ]
        if self.main and self.task.held_out:
            first = max(range(len(states)), key=lambda i: SELECTION.key(measured[i]))
            self.keep(states[first], 0, measured[first], self.task.parents[first])
        if self.main:
            self.write()

    def after_batch(self, evolved: Evolved) -> Numbers:
        """Measure the best member, keep it if it is the one to keep, and write what happened."""
        state, last = evolved.network().state_dict(), evolved.history[-1]
        measured = self.measure([state])[0]
        numbers = {"diversity": diversity(evolved.state.population)} | measured
        if self.main:
            if not self.task.held_out or SELECTION.key(numbers) > SELECTION.key(self.best()):
                self.keep(state, last["batch"] + 1, {"batch_loss": last["best"]} | measured)
            self.write()
            self.write_history([*evolved.history[:-1], last | numbers])
            self.say(self.line(last | numbers))
        return numbers

    @torch.no_grad()
    def measure(self, states: Sequence[StateDict]) -> list[Numbers]:
        """Loss and accuracy (percent) of networks on the held-out images; nothing without any."""
        group, classes = process_group(), self.data.num_classes
        if not self.task.held_out:
            return [{} for _ in states]
        device = next(self.model.parameters()).device
        tallies = [Tally.empty(classes, device) for _ in states]
        self.model.eval()
        for batch in () if self.data.held is None else self.data.held.in_order():
            for state, tally in zip(states, tallies, strict=True):
                self.model.load_state_dict(state)
                size = min(IMAGES_AT_ONCE, self.task.microbatch or IMAGES_AT_ONCE)
                for x, y in zip(batch.x.split(size), batch.y.split(size), strict=True):
                    tally.add(logits_of(self.model(x)), y)
        if group.num_processes > 1:
            tallies = [Tally.unpacked(reduce(tally.packed(), "sum")) for tally in tallies]
        return [{"held_out_loss": t.mean_loss, "held_out_accuracy": t.accuracy} for t in tallies]

    def keep(self, state: StateDict, batches: int, numbers: Numbers, parent: str = "") -> None:
        """Write a network: a parent, or the best member after so many batches."""
        task = self.task
        header = {"format": "pt", "evolution": self.id, "model": task.model}
        header |= {"evolver": task.evolver, "seed": str(task.seed), "after_batches": str(batches)}
        header |= {"parent": parent} if parent else {}
        header |= {name: repr(value) for name, value in numbers.items()}
        header |= {"commit": str(self.environment["commit"]), "torch": torch.__version__}
        plain = torch.contiguous_format
        tensors = {k: state[k].detach().cpu().clone(memory_format=plain) for k in self.keys}
        with replacing(self.folder / BEST) as temporary:
            temporary.write_bytes(save(tensors, header))

    def best(self) -> dict[str, str]:
        """The header of the network that is kept."""
        try:
            with safe_open(self.folder / BEST, "pt") as opened:
                return dict(opened.metadata() or {})
        except SafetensorError as error:
            raise ValueError(f"{self.folder / BEST} cannot be read: {error}") from None

    def write(self) -> None:
        """Write where the network comes from."""
        found = {
            "rule": RULES[bool(self.task.held_out)],
            "best": self.best() if (self.folder / BEST).exists() else None,
            "parents": self.parents,
            "data": self.data.about,
            "options": dataclasses.asdict(self.task) | {"out": str(self.folder)},
            "environment": self.environment,
            "identity": self.identity,
        }
        write_text(self.folder / RECORD, json.dumps(found, indent=1) + "\n")

    def write_history(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write a row per generation; lists as JSON."""
        text = io.StringIO()
        columns = list(dict.fromkeys(name for row in rows for name in row))
        table = csv.DictWriter(text, columns, lineterminator="\n")
        table.writeheader()
        for row in rows:
            lists = {k: json.dumps(v) for k, v in row.items() if isinstance(v, list)}
            table.writerow(row | lists)
        write_text(self.folder / HISTORY, text.getvalue())

    def line(self, row: dict[str, Any]) -> str:
        """What is said after a batch."""
        parts = [f"batch {row['batch'] + 1} of {self.task.batches}: best loss {row['best']:.4f}"]
        if self.task.held_out:
            parts.append(quality(row))
        parts.append(f"diversity {row['diversity']:.3g}")
        if strategies := completed(EVOLVERS[self.task.evolver]).strategies:
            shares = zip(strategies, row["strategy_probability"], strict=True)
            parts.append("strategies " + " ".join(f"{name} {p:.2f}" for name, p in shares))
        return ", ".join(parts)

    def summary(self) -> list[str]:
        """What is said at the end: the parents, and the network that was written."""
        best, lines = self.best(), []
        if self.task.held_out:
            first = max(self.parents, key=SELECTION.key)
            lines.append(f"best parent: {quality(first)} ({first['file']})")
            lines.append(f"written:     {quality(best)}")
        after = int(best["after_batches"])
        which = f"best member after batch {after}" if after else f"the parent {best['parent']}"
        return [*lines, f"{self.folder / BEST} holds the {which.removeprefix('the ')}"]


def quality(numbers: Any) -> str:
    """Held-out numbers in words."""
    accuracy, loss = (float(numbers[f"held_out_{what}"]) for what in ("accuracy", "loss"))
    return f"held-out accuracy {accuracy:.2f} % (loss {loss:.4f})"
