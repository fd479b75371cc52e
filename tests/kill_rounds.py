"""Kill a batch of runs at random moments, again and again, and count what is lost: nothing may be.

    python tests/kill_rounds.py --rounds 200

Each round forks a process that computes a batch of small runs and kills it (SIGKILL) at a random
moment. After each, every run that was finished before must still be there, byte for byte, and
every result must be whole. At the end the batch is finished undisturbed, and its numbers must be
those of a batch that was never killed.
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

from nslab.datasets import load
from nslab.experiments import TrainConfig
from nslab.objectives import NS, CrossEntropy
from nslab.store import RESULT, run_all


def batch(number: int) -> list[TrainConfig]:
    """Twelve runs of a few tenths of a second."""
    objectives = (CrossEntropy(), NS(), NS(grid=(1, 2), sigma=2.5, rho=-1.0))
    return [
        TrainConfig(network="mlp", epochs=3, lr=0.05, seed=seed, objective=objective)
        for seed in range(4 * number, 4 * number + 4)
        for objective in objectives
    ]


def results(home: Path) -> dict[str, bytes]:
    """The finished runs of a store: result files, each whole."""
    found = {}
    for file in home.glob(f"data/runs/*/{RESULT}"):
        found[file.parent.name] = file.read_bytes()
        whole = json.loads(found[file.parent.name])
        assert whole["id"] == file.parent.name
        assert len(whole["history"]) == whole["metrics"]["epochs"] == 3
    return found


def in_child(home: Path, configs: list[TrainConfig], kill_after: float | None) -> bool:
    """Compute the batch in a forked process, killed after some seconds; whether it got through."""
    child = os.fork()
    if child == 0:
        os.environ["NSLAB_HOME"] = str(home)
        try:
            run_all(configs, show=False)
        except BaseException as error:
            print(f"child failed: {error!r}", file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    if kill_after is not None:
        time.sleep(kill_after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the batch itself failed"
    return not os.WIFSIGNALED(status)


def numbers(home: Path) -> dict[str, list]:
    """What the runs of a store measured, apart from times."""
    whole = {name: json.loads(text)["history"] for name, text in results(home).items()}
    return {
        name: [{k: v for k, v in row.items() if k != "seconds"} for row in rows]
        for name, rows in whole.items()
    }


def main() -> int:
    """Play the rounds and print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    load("digits")
    draws = random.Random(args.seed)
    kills = batches = lost = 0
    seen: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        while kills < args.rounds:
            configs, home = batch(batches), Path(folder, f"killed{batches}")
            calm = Path(folder, f"calm{batches}")
            home.mkdir()
            calm.mkdir()
            started = time.monotonic()
            in_child(calm, configs, None)
            length = 0.6 * (time.monotonic() - started)  # several kills a batch
            done = False
            while not done and kills < args.rounds:
                before = results(home)
                seen.append(len(before))
                done = in_child(home, configs, draws.uniform(0, length))
                kills += not done
                after = results(home)
                lost += sum(after.get(name) != text for name, text in before.items())
            before = results(home)
            in_child(home, configs, None)
            after = results(home)
            lost += sum(after[name] != text for name, text in before.items())
            assert numbers(home) == numbers(calm), "a killed and resumed batch ended differently"
            assert len(after) == len(configs)
            batches += 1
    finished = sum(seen) / len(seen)
    print(
        f"{kills} kills over {batches} batches of 12 runs, {finished:.1f} of them finished before"
    )
    print(f"a kill on average: {lost} finished runs lost or recomputed")
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
