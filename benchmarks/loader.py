"""Images per second: nslab's loader against torchvision and a DataLoader.

Both shuffle CIFAR-10, cut it into batches, crop with 4 black pixels of padding, mirror, normalise,
and produce channels-last float32. torchvision's data set gives one PIL image at a time, and its
workers persist between epochs. In every round each contender runs through a whole epoch.
"""

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from paired import finish, interleaved, machine, ratio
from PIL import Image
from torch.utils.data import DataLoader
from torch.utils.data import Dataset as TorchDataset
from torchvision import transforms

from nslab.datasets import DATASETS, load
from nslab.datasets.loader import Loader
from nslab.system.paths import cache_dir

CIFAR = DATASETS["cifar10"]


class PilImages(TorchDataset):
    """A data set that gives images as torchvision's CIFAR10 does."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.images, self.labels = images, labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(CIFAR.mean, CIFAR.std),
            ]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(Image.fromarray(self.images[i])), self.labels[i]


def images_and_labels(quick: bool) -> tuple[str, np.ndarray, np.ndarray]:
    """A description, images and labels: CIFAR-10's training set if it is here, else random ones."""
    if not quick and (cache_dir() / "cifar10.npz").exists():
        arrays = load("cifar10").arrays
        return "images of CIFAR-10", np.array(arrays.train_x), np.array(arrays.train_y)
    rng, n = np.random.default_rng(0), 1_000 if quick else 50_000
    x = rng.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
    return "random images of CIFAR-10's shape", x, rng.integers(0, 10, n)


def ours(loader: Loader) -> None:
    """An epoch of nslab's batches."""
    for _ in loader.epoch(0):
        pass


def theirs(loader: DataLoader) -> None:
    """An epoch of torchvision's batches, in the same layout as nslab's."""
    for images, _ in loader:
        images.to(memory_format=torch.channels_last)


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second of loaders.")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    rounds = 2 if args.quick else args.rounds
    env = machine()
    what, x, y = images_and_labels(args.quick)
    print(f"{len(x):,} {what}, batch {args.batch}, {rounds} rounds of an epoch each\n")

    tensors = torch.from_numpy(x), torch.from_numpy(y)
    loader = Loader(*tensors, CIFAR, batch_size=args.batch, augment="crop_flip")
    contenders = {"nslab": partial(ours, loader)}
    for workers in (0, 2):
        common = {"batch_size": args.batch, "shuffle": True, "num_workers": workers}
        pictures = DataLoader(PilImages(x, y), persistent_workers=workers > 0, **common)
        contenders[f"torchvision, {workers} workers"] = partial(theirs, pictures)
    interleaved(contenders, 1)  # warm up, start the workers
    times = interleaved(contenders, rounds)

    print("contender                images/s  wall time / nslab's       CPU us/image")
    rows: dict[str, dict[str, Any]] = {}
    for name, (cpu, wall) in times.items():
        rate, faster = float(np.median(len(x) / wall)), ratio(wall, times["nslab"].wall)
        # this process's CPU clock does not count the work of worker processes
        cost = None if name.endswith("2 workers") else float(np.median(cpu)) / len(x)
        shown = "-" if cost is None else f"{1e6 * cost:.1f}"
        print(f"{name:22} {rate:10,.0f}  {faster!s:26} {shown:>12}")
        rows[name] = {"images_per_s": rate, "ratio": faster._asdict(), "cpu_s_per_image": cost}
    print("ratios: median (quartiles) over rounds, wall time")

    plain, with_workers = list(times)[1:]
    best = max(plain, with_workers, key=lambda name: rows[name]["images_per_s"])
    finish(
        f"nslab's loader gives {rows['nslab']['images_per_s']:,.0f} images/s, "
        f"{rows[best]['ratio']['median']:.1f} times as many as {best}, and needs "
        f"{ratio(times[plain].cpu, times['nslab'].cpu).median:.1f} times less CPU time an image.",
        args.json,
        machine=env,
        settings={"images": what, "samples": len(x), "batch": args.batch, "rounds": rounds},
        contenders=rows,
    )


if __name__ == "__main__":
    main()
