"""Kill a suite of experiments and notebooks, with all its processes, and see that it ends the same.

    python tests/rounds/suite_rounds.py    # all tables and notebooks at preset smoke
    python tests/rounds/suite_rounds.py --file tests/rounds/suite_small.yaml --kills 5

``nslab suite`` runs twice from an empty store: once undisturbed; once killed at random moments
(SIGKILL to the whole process group), interrupted (SIGINT to the group, as Ctrl-C does) and asked to
end (SIGTERM to the first process alone), and each time started again by the same command. No
process may be left over, and in the end tables, runs and notebooks must be those of the first.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from nslab.workbench.suite import DEFAULT

# These figures show seconds, which never are the same twice.
CLOCKS = ("overhead", "seconds")


def command(file: Path, jobs: int) -> list[str]:
    """The command line that is killed and repeated."""
    words = [sys.executable, "-m", "nslab.cli", "suite", "smoke", "--jobs", str(jobs)]
    return [*words, "--file", str(file)]


def started(home: Path, file: Path, jobs: int) -> subprocess.Popen:
    """Start it in a process group of its own, its output appended to a log."""
    env = os.environ | {"NSLAB_HOME": str(home), "OMP_NUM_THREADS": "1"}
    with home.with_suffix(".log").open("ab") as log:
        return subprocess.Popen(
            command(file, jobs), stdout=log, stderr=log, env=env, start_new_session=True
        )


def left_over(home: Path) -> list[int]:
    """Processes that work for a store, by their environment."""
    found, wanted = [], f"NSLAB_HOME={home}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if wanted in (folder / "environ").read_bytes().split(b"\0") and state != "Z":
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def all_gone(home: Path, seconds: float) -> bool:
    """Whether no process is left over after that time, at the latest."""
    end = time.monotonic() + seconds
    while left_over(home) and time.monotonic() < end:
        time.sleep(0.1)
    return not left_over(home)


def tables(home: Path) -> dict[str, bytes]:
    """The tables a suite writes."""
    folder = home / "figures" / "smoke" / "tables"
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.csv"))}


def runs(home: Path) -> dict[str, str]:
    """The finished runs, apart from times and machines."""
    found = {}
    for file in sorted(home.glob("data/runs/*/result.json")):
        whole = json.loads(file.read_text())
        parts = [whole["config"], whole["metrics"], *whole["history"]]
        for part in parts:
            part.pop("seconds", None)
        found[whole["id"]] = json.dumps(parts)
    return found


def pictures(home: Path) -> dict[str, bytes]:
    """The figures that do not show times."""
    found = {str(f.relative_to(home)): f.read_bytes() for f in (home / "figures").rglob("*.png")}
    return {name: b for name, b in found.items() if not any(word in name for word in CLOCKS)}


def disturb(home: Path, file: Path, jobs: int, moments: list[tuple[signal.Signals, float]]) -> int:
    """Run the suite, ended by each signal after some seconds; how many times that came in time."""
    counted = 0
    for number, seconds in moments:
        process = started(home, file, jobs)
        while len(left_over(home)) < 2 and process.poll() is None:
            time.sleep(0.1)  # it has no children yet
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            if number == signal.SIGTERM:
                process.send_signal(number)
            else:
                os.killpg(process.pid, number)
            status, counted = process.wait(300), counted + 1
            expected = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143}[number]
            if status != expected:
                raise AssertionError(
                    f"{number.name} ended it with {status}, not {expected}"
                ) from None
        # kernels notice within a second that their parent was killed; asked to, they end before it
        if not all_gone(home, 5 if number == signal.SIGKILL else 2):
            raise AssertionError(f"{number.name} left processes: {left_over(home)}")
        done = len(runs(home))
        print(
            f"{number.name} after {seconds:.0f} s (status {status}): {done} runs done", flush=True
        )
    return counted


def main() -> int:
    """Print the counts; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", type=Path, default=DEFAULT)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    # started in the background, this script ignores SIGINT, and so would all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    draws = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        calm, home = Path(folder, "calm"), Path(folder, "killed")
        began = time.monotonic()
        status = started(calm, args.file, args.jobs).wait()
        length = time.monotonic() - began
        print(f"undisturbed: {len(runs(calm))} runs in {length:.0f} s, status {status}", flush=True)
        if status:
            print(calm.with_suffix(".log").read_text())
            return 1
        signals = [signal.SIGKILL] * args.kills + [signal.SIGINT, signal.SIGTERM]
        moments = [(number, draws.uniform(0.05, 0.2) * length) for number in signals]
        draws.shuffle(moments)
        count = disturb(home, args.file, args.jobs, moments)
        status = started(home, args.file, args.jobs).wait()
        if status:
            print(home.with_suffix(".log").read_text())
            return 1
        if not all_gone(home, 2):
            raise AssertionError(f"processes are left: {left_over(home)}")
        same = tables(home) == tables(calm)
        ours, theirs = pictures(home), pictures(calm)
        other = sorted(name for name in theirs if ours.get(name) != theirs[name])
        equal = runs(home) == runs(calm)
        parts = list(home.glob("data/runs/*/.*.part")) + list((home / "figures").rglob(".*.part"))
        print(f"ended {count} times; the same command then finished it:")
        print(f"{len(tables(calm))} tables {'the same to the bit' if same else 'DIFFER'},")
        print(
            f"{len(runs(calm))} runs {'the same to the bit' if equal else 'DIFFER'} (but seconds),"
        )
        print(f"{len(theirs) - len(other)} of {len(theirs)} figures the same to the byte {other},")
        print(f"{len(parts)} files half written are left, 0 processes left over")
        for part in parts:
            print(f"left, and never read: {part.relative_to(home)}")
    return int(not (same and equal and ours == theirs))


if __name__ == "__main__":
    sys.exit(main())
