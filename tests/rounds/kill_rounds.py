"""Kill batches of runs at random moments, again and again, and count what is lost: nothing may be.

    python tests/rounds/kill_rounds.py --rounds 200

Each round forks one or two processes that compute the same batch of small runs in the same store,
and kills (SIGKILL) one or both at random moments. After each, every run that was finished before
must still be there, byte for byte, every result must be whole, and nothing half written may have
been left by those who were not killed. At the end the batch is finished undisturbed, and its
numbers must be those of a batch that was never killed.
"""

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

import torch

from nslab.configs import EvolveConfig, RunConfig, TrainConfig
from nslab.datasets import load
from nslab.evolve import EVOLVERS
from nslab.objectives import NS, CrossEntropy
from nslab.runs.store import RESULT, RunsFailed, run_all


def batch(number: int) -> list[RunConfig]:
    """Nine trainings of a few tenths of a second, and an evolution with its parents."""
    objectives = (CrossEntropy(), NS(), NS(grid=(1, 2), sigma=2.5, rho=-1.0))
    runs: list[RunConfig] = [
        TrainConfig(network="mlp", epochs=3, lr=0.05, seed=seed, objective=objective)
        for seed in range(3 * number, 3 * number + 3)
        for objective in objectives
    ]
    base = TrainConfig(network="mlp", epochs=4, lr=0.05, seed=number, keep_last=4, hold_out=100)
    de = EVOLVERS["de"]
    runs.append(EvolveConfig(base, size=4, method=de, batches=3, generations=2, batch_size=128))
    return runs


def results(home: Path) -> dict[str, bytes]:
    """The finished runs of a store: result files, each whole."""
    found = {}
    for file in home.glob(f"data/runs/*/{RESULT}"):
        found[file.parent.name] = file.read_bytes()
        whole = json.loads(found[file.parent.name])
        assert whole["id"] == file.parent.name
        rows = {"train": whole["metrics"].get("epochs"), "evolve": 6}[whole["config"]["@"]]
        assert len(whole["history"]) == rows
    return found


def halves(home: Path) -> list[Path]:
    """What is left of files that were being written, but for a run's description, which is written
    without its lock."""
    found = home.glob("data/runs/*/.*.part")
    return [file for file in found if not file.name.startswith(".config.json.")]


def forked(home: Path, configs: list[RunConfig], jobs: int = 1) -> int:
    """Begin to compute the batch in a forked process; its id. Its exit status is 0 if it got
    through, 1 if runs failed, with why in a file beside the store, a line each."""
    child = os.fork()
    if child:
        return child
    os.environ["NSLAB_HOME"] = str(home)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # waiting for one another is no news
    try:
        run_all(configs, jobs=jobs, show=False)
    except (RunsFailed, OSError, ValueError) as error:
        failed = error.failed if isinstance(error, RunsFailed) else {"": str(error)}
        with home.with_suffix(".errors").open("a") as errors:
            errors.writelines(" ".join([name, *why.split()]) + "\n" for name, why in failed.items())
        os._exit(1)
    except BaseException as error:
        print(f"child failed: {error!r}", file=sys.stderr, flush=True)
        os._exit(2)
    os._exit(0)


def ended(child: int) -> int:
    """How a child ended: its exit status, or minus the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def in_children(home: Path, configs: list[RunConfig], kills_after: list[float | None]) -> bool:
    """Compute the same batch in forked processes, each killed after some seconds if it still runs;
    whether one of them got through."""
    children, began = [forked(home, configs) for _ in kills_after], time.monotonic()
    ends = []
    for seconds, child in sorted(zip(kills_after, children, strict=True), key=lambda p: p[0] or 0):
        if seconds is not None:
            time.sleep(max(0.0, began + seconds - time.monotonic()))
            os.kill(child, signal.SIGKILL)
        ends.append(ended(child))
        assert ends[-1] in (0, -signal.SIGKILL if seconds is not None else 0), "the batch failed"
    return 0 in ends


def numbers(home: Path) -> dict[str, list]:
    """What the runs of a store measured, apart from times."""
    whole = {name: json.loads(text) for name, text in results(home).items()}
    return {
        name: [{k: v for k, v in row.items() if k != "seconds"} for row in run["history"]]
        + [{k: v for k, v in run["metrics"].items() if k != "seconds"}]
        for name, run in whole.items()
    }


def main(words: list[str] | None = None) -> int:
    """Print the counts; 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(words)
    torch.set_num_threads(1)
    load("digits")
    draws = random.Random(args.seed)
    kills = batches = lost = doubles = 0
    seen: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        while kills < args.rounds:
            configs, home = batch(batches), Path(folder, f"killed{batches}")
            calm = Path(folder, f"calm{batches}")
            home.mkdir()
            calm.mkdir()
            started = time.monotonic()
            in_children(calm, configs, [None])
            length = 0.6 * (time.monotonic() - started)  # several kills a batch
            done = False
            while not done and kills < args.rounds:
                before, writers = results(home), draws.choice((1, 2))
                seen.append(len(before))
                moments: list[float | None] = [draws.uniform(0, length) for _ in range(writers)]
                done = in_children(home, configs, moments)
                kills += 1
                doubles += writers - 1
                after = results(home)
                lost += sum(after.get(name) != text for name, text in before.items())
            before = results(home)
            in_children(home, configs, [None, None])
            after = results(home)
            lost += sum(after[name] != text for name, text in before.items())
            assert numbers(home) == numbers(calm), "a killed and resumed batch ended differently"
            assert len(after) == len(configs) + 1
            assert not halves(home), "something half written was left"
            batches += 1
    finished = sum(seen) / len(seen)
    print(f"{kills} kills, {doubles} of them of two batches at once on the same store;")
    print(f"{batches} batches of 11 runs, {finished:.1f} finished before a kill on average:")
    print(f"{lost} finished runs lost or recomputed, 0 results half written or different")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
