"""The store under fire: full disks, folders that cannot be written, files cut short, wrong clocks.

    python tests/rounds/fire.py                      # all of it, 20 rounds each, and 200 kills
    python tests/rounds/fire.py --only full_disk --rounds 5

Each scenario damages something in every round, in a way of its own, and then runs the same batch
again. Nothing that was finished may be lost or computed again, nothing half written may be read,
the numbers in the end must be those of a batch that nothing happened to, and whatever is refused
must say what to do. Full and read-only disks are real ones, for which root may mount small file
systems; without that right they are left out, and the reason is printed.
"""

import argparse
import os
import random
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from kill_rounds import batch, ended, forked, halves, in_children, numbers, results
from kill_rounds import main as kill_rounds

from nslab.configs import RunConfig
from nslab.datasets import load
from nslab.runs import frozen, store

CONFIGS = [*batch(0)[:3], batch(0)[-1]]
ADVICE = ("make room", "set NSLAB_HOME", "makes it again", "Remove it to start afresh", "restore")


class Draws(random.Random):
    """Random draws, and random moments of a batch that takes ``seconds`` undisturbed."""

    seconds = 1.0

    def moment(self) -> float:
        """Some seconds after a batch began, before its end."""
        return self.uniform(0.1, 0.9) * self.seconds


class LeftOut(Exception):
    """A scenario that cannot be tried here."""


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A small file system in memory; `LeftOut` without the right to mount one."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "nslab-fire", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise LeftOut(f"no mount here: {error}") from None
    if done.returncode:
        raise LeftOut(f"mounting needs root: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder: Path, options: str) -> None:
    """Change a mounted file system; what was killed in it may take a moment to let go of it."""
    command, until = ["mount", "-o", f"remount,{options}", str(folder)], time.monotonic() + 30
    while subprocess.run(command, capture_output=True, check=False).returncode:
        if time.monotonic() > until:
            raise TimeoutError(f"{shlex.join(command)} failed for 30 seconds")
        time.sleep(0.1)


def refusals(home: Path) -> list[str]:
    """What failed in forked batches, a line each; every line must say what to do."""
    file = home.with_suffix(".errors")
    lines = file.read_text().splitlines() if file.exists() else []
    file.unlink(missing_ok=True)
    said = [line for line in lines if "its parent" not in line]
    for line in said:
        assert any(advice in line for advice in ADVICE), f"no advice in: {line}"
    return said


def finish(home: Path, calm: Path, before: dict[str, bytes]) -> int:
    """Finish the batch undisturbed and compare; how many of the runs finished before were lost."""
    in_children(home, CONFIGS, [None])
    after = results(home)
    assert numbers(home) == numbers(calm), "it ended differently"
    assert not halves(home), "something half written was left"
    return sum(after.get(name) != text for name, text in before.items())


def full_disk(rounds: int, draws: Draws, folder: Path, calm: Path) -> str:
    """A disk of random size fills up; with room again the same command goes on."""
    used = sum(f.stat().st_size for f in calm.rglob("*") if f.is_file())
    home, lost, said, kept = folder / "full", 0, 0, 0
    for _ in range(rounds):
        with mounted(home, "size=16k"):
            remount(home, f"size={draws.randrange(20, used // 1000)}k")
            status = ended(forked(home, CONFIGS, draws.choice((1, 2))))
            assert status == 1, "a disk that small cannot have been enough"
            found = refusals(home)
            assert found, "the batch failed without a word"
            said, before = said + len(found), results(home)
            kept += len(before)
            remount(home, "size=64m")
            lost += finish(home, calm, before)
    return f"{kept} runs finished before it was full, {said} refusals with advice, {lost} lost"


def read_only(rounds: int, draws: Draws, folder: Path, calm: Path) -> str:
    """A store that can only be read: what is finished is found, the rest refused."""
    home, lost, said, kept = folder / "read", 0, 0, 0
    for _ in range(rounds):
        with mounted(home, "size=64m"):
            in_children(home, CONFIGS, [draws.moment()])
            before, there = results(home), sorted(home.rglob("*"))
            kept += len(before)
            remount(home, "ro")
            finished = [config for config in CONFIGS if config.id in before]
            assert ended(forked(home, finished)) == 0, "a finished run was not found"
            jobs = draws.choice((1, 2))
            if len(finished) < len(CONFIGS):
                assert ended(forked(home, CONFIGS, jobs)) == 1
                found = refusals(home)
                assert found, "nothing was said"
                assert all("the folder is read-only: set NSLAB_HOME" in line for line in found)
                said += len(found)
            assert (sorted(home.rglob("*")), results(home)) == (there, before)
            remount(home, "rw")
            lost += finish(home, calm, before)
    return f"{kept} runs found in it, {said} refusals with advice, {lost} lost"


def truncated(rounds: int, draws: Draws, folder: Path, calm: Path) -> str:
    """Any file of a store cut short, as by a file system that lost its end, or overwritten."""
    home, lost, damaged, said = folder / "cut", 0, 0, 0
    for number in range(rounds):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        in_children(home, CONFIGS, [draws.moment()])
        before = results(home)
        files = [f for f in sorted(home.glob("data/runs/*/*")) if f.name != "lock" and f.is_file()]
        kinds = sorted({f.name for f in files})
        kind = kinds[number % len(kinds)] if kinds else ""
        for file in (f for f in files if f.name == kind):
            whole = file.read_bytes()
            cut = whole[: draws.randrange(len(whole))] if whole else b""
            file.write_bytes(draws.choice((cut, b"\0" * len(whole), cut + draws.randbytes(50))))
            damaged += 1
            if kind == store.RESULT:
                before.pop(file.parent.name, None)
        while ended(forked(home, CONFIGS)):
            lines = refusals(home)
            assert lines, "it failed without a word"
            said += len(lines)
            for file in files:  # do as they say
                if any(str(file) in line for line in lines):
                    file.unlink(missing_ok=True)
                    forced = [c for c in every() if c.id == file.parent.name]
                    assert ended(afresh(home, forced)) == 0
                    before.pop(file.parent.name, None)
        lost += finish(home, calm, before)
    lost += cut_tables(rounds, draws, folder, calm)
    return f"{damaged} files and {rounds} tables cut, {said} refusals with advice, {lost} lost"


def every() -> list[RunConfig]:
    """The batch, and the run that its evolution starts from."""
    return [*CONFIGS, CONFIGS[-1].parents()[0].config]


def afresh(home: Path, configs: list[RunConfig]) -> int:
    """Compute runs again, as a refusal advises, in a forked process; its id."""
    child = os.fork()
    if child:
        return child
    os.environ["NSLAB_HOME"] = str(home)
    for config in configs:
        store.run(config, weights=True, force=True, show=False)
    os._exit(0)


def cut_tables(rounds: int, draws: Draws, folder: Path, calm: Path) -> int:
    """Frozen results cut at random bytes: a run is read whole, or refused, or not there."""
    os.environ["NSLAB_HOME"] = str(calm)
    found, tables = store.finished(CONFIGS), folder / "tables"
    wrong = 0
    for _ in range(rounds):
        shutil.rmtree(tables, ignore_errors=True)
        file = draws.choice(frozen.freeze("fire", found, tables))
        whole = file.read_bytes()
        file.write_bytes(whole[: draws.randrange(len(whole))])
        frozen._load.cache_clear()
        for result in found:
            whole_row = {"metrics": result.metrics, "history": result.history, "env": result.env}
            try:
                wrong += frozen.frozen_row(result.id, tables) not in (None, whole_row)
            except ValueError as error:
                wrong += "restore both from version control" not in str(error)
    return wrong


def clock(rounds: int, draws: Draws, folder: Path, calm: Path) -> str:
    """The clock jumps back by up to years while runs are computed, killed and looked up."""
    home, lost, jumps, real = folder / "clock", 0, 0, time.time
    for _ in range(rounds):
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir()
        before: dict[str, bytes] = {}
        for _ in range(3):
            back = draws.uniform(0, 1e8)
            time.time = lambda back=back: real() - back
            in_children(home, CONFIGS, [draws.moment()])
            for file in home.rglob("*"):
                os.utime(file, (real() - back, real() - back))
            after = results(home)
            lost += sum(after.get(name) != text for name, text in before.items())
            before, jumps = after, jumps + 1
        time.time = real
        lost += finish(home, calm, before)
    return f"{jumps} jumps, {lost} lost"


SCENARIOS: dict[str, Callable[[int, Draws, Path, Path], str]] = {
    "full_disk": full_disk,
    "read_only": read_only,
    "truncated": truncated,
    "clock": clock,
}


def main() -> int:
    """Print a line for each scenario; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=[*SCENARIOS, "kills"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message=".*(is broken|is ignored)")
    load("digits")
    bad = 0
    for name in [args.only] if args.only else [*SCENARIOS, "kills"]:
        if name == "kills":
            bad += kill_rounds(["--rounds", str(args.kills), "--seed", str(args.seed)])
            continue
        draws = Draws(args.seed)
        with tempfile.TemporaryDirectory() as folder:
            calm = Path(folder, "calm")
            calm.mkdir()
            began = time.monotonic()
            in_children(calm, CONFIGS, [None])
            draws.seconds = time.monotonic() - began
            try:
                said = SCENARIOS[name](args.rounds, draws, Path(folder), calm)
            except LeftOut as reason:
                print(f"{name}: left out, {reason}", flush=True)
                continue
        print(f"{name}: {args.rounds} rounds, {said}", flush=True)
        bad += not said.endswith(" 0 lost")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())
