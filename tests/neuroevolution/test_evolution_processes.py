"""Evolution by two processes is that by one, to the bit, and goes on where it was interrupted.

Each network is scored whole, by one process, on one thread; numbers and statistics are exchanged
as they are, and every process breeds all trials from the same named streams. So nothing depends on
how many processes there are.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from evolution_helpers import Net, data, parents
from process_helpers import distributed

from nslab.evolve import EVOLVERS
from nslab.neuroevolution.evolution import CHECKPOINT, Evolved, evolve
from nslab.neuroevolution.options import EvolveOptions
from nslab.system.distributed import process_group

MEMBERS = 7  # shares of two processes are uneven
Outcome = dict[str, Any]


def evolution(folder: Path | None, **options: Any) -> Evolved:
    """Two batches of three generations, BatchNorm learning."""
    evolver, sizes = EVOLVERS["sa-shade-tri-ensin"], EvolveOptions(batches=2, generations=3)
    plain: dict[str, Any] = {"folder": folder, "seed": 3, "show": False}
    return evolve(Net(), parents(MEMBERS), data, evolver, sizes, **plain, **options)


def stop_in_second_batch(evolved: Evolved) -> dict[str, Any]:
    """Interrupt, as on_batch, before anything of the second batch is kept."""
    if len(evolved.history) > 3:
        raise KeyboardInterrupt
    return {}


def outcome(evolved: Evolved) -> Outcome:
    """Members with all that belongs to them, and what happened."""
    state, extras = evolved.state, evolved.extras
    members = state.population.members
    buffers = {name: t[members] for name, t in extras.buffers.items()}
    tensors = {"genes": state.population.x(), "fitness": state.fitness, **extras.heads, **buffers}
    return {"tensors": tensors, "history": evolved.history}


def same(one: Outcome, other: Outcome) -> bool:
    """Equal to the bit."""
    a, b = one["tensors"], other["tensors"]
    return (
        a.keys() == b.keys()
        and all(torch.equal(a[name], b[name]) for name in a)
        and one["history"] == other["history"]
    )


def work(part: str, folder: Path) -> None:
    """What each process does: all at once and up to the interruption, or the rest."""
    torch.set_num_threads(1)
    rank = process_group().process_index
    if part == "whole":
        whole = evolution(folder / f"of{rank}")  # of its own, to see who writes
        torch.save(outcome(whole), folder / f"whole{rank}.pt")
        with pytest.raises(KeyboardInterrupt):
            evolution(folder / "shared", on_batch=stop_in_second_batch)
    else:
        seen: list[int] = []
        found = evolution(folder / "shared", on_batch=lambda e: seen.append(len(e.history)) or {})
        assert seen == [6], "the first batch was evolved again"
        torch.save(outcome(found), folder / f"resumed{rank}.pt")


def both(name: str, folder: Path) -> list[Outcome]:
    """What the two processes found."""
    return [torch.load(folder / f"{name}{rank}.pt") for rank in (0, 1)]


def test_two_processes_evolve_as_one_does(tmp_path: Path) -> None:
    """Whole, and interrupted after the first batch; the first process alone writes. What two
    processes began one can end."""
    distributed(Path(__file__), "whole", str(tmp_path))
    alone = evolution(None)
    first, second = both("whole", tmp_path)
    assert same(first, second)
    assert same(first, outcome(alone))
    assert sum(row["wins"] for row in alone.history) > 0
    tracked = first["tensors"]["norm.num_batches_tracked"]
    start = torch.tensor([int(p.norm.num_batches_tracked) for p in parents(MEMBERS)])
    assert (tracked > start).all()
    assert [f.name for f in (tmp_path / "of0").iterdir()] == [CHECKPOINT]
    assert not (tmp_path / "of1").exists()

    shutil.copytree(tmp_path / "shared", tmp_path / "copy")
    assert torch.load(tmp_path / "copy" / CHECKPOINT)["done"] == 1
    assert same(outcome(evolution(tmp_path / "copy")), first)
    distributed(Path(__file__), "rest", str(tmp_path))
    assert all(same(found, first) for found in both("resumed", tmp_path))


if __name__ == "__main__":
    work(sys.argv[1], Path(sys.argv[2]))
