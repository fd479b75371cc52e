"""Overhead of the training loop over a bare one: CPU time of an epoch, channels-last.

``bare`` is a minimal step written by hand: gather images, normalise, cross-entropy, backward pass,
SGD with momentum; nothing is checked, counted or stored. ``accelerate`` is the same with the
optimizer and the backward pass of an `accelerate.Accelerator`; ``torchvision`` reads PIL images
through a `DataLoader` without workers. Images are random, of the data sets' shapes; one thread.
"""

import argparse
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from paired import finish, interleaved, machine, ratio
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from nslab.configs import TrainConfig
from nslab.datasets import dataset_of
from nslab.datasets.loader import Loader
from nslab.networks import build_network
from nslab.training.epoch import train_epoch
from nslab.training.setup import make_accelerator, make_optimizer, prepared
from nslab.types import DataInfo

CASES = {
    "lenet5": TrainConfig("mnist", "lenet5"),
    "resnet20": TrainConfig("cifar10", "resnet20", augment="crop_flip"),
}
LIMIT = 5  # percent of CPU time that the loop may add for LeNet-5
Epoch = Callable[[], object]


class Pictures(Dataset):
    """A data set as torchvision's: PIL images that are transformed one by one."""

    def __init__(self, config: TrainConfig, x: Tensor, y: Tensor) -> None:
        about = dataset_of(config.dataset)
        crops = [transforms.RandomCrop(x.shape[1], padding=4), transforms.RandomHorizontalFlip()]
        self.transform = transforms.Compose(
            [
                *(crops if config.augment == "crop_flip" else []),
                transforms.ToTensor(),
                transforms.Normalize(about.mean, about.std),
            ]
        )
        self.images = [Image.fromarray(image.squeeze()) for image in x.numpy()]
        self.y = y.tolist()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, i: int) -> tuple[Tensor, int]:
        return self.transform(self.images[i]), self.y[i]


def network(config: TrainConfig) -> nn.Module:
    """A config's network, channels-last, as all contenders train it."""
    about = dataset_of(config.dataset)
    model = build_network(config.network, about.shape, about.layout.num_classes, config.seed)
    return model.to(memory_format=torch.channels_last)


def ours(config: TrainConfig, x: Tensor, y: Tensor) -> Epoch:
    """An epoch by nslab's `train_epoch`."""
    accelerator = make_accelerator(config)
    net, optimizer = prepared(config, network(config), accelerator)
    batches = Loader(
        *(x, y, dataset_of(config.dataset)), batch_size=config.batch_size, augment=config.augment
    )
    objective = config.objective.build(DataInfo.of(y, 10))
    return partial(train_epoch, config, net, objective, batches, optimizer, accelerator, 0)


def bare(config: TrainConfig, x: Tensor, y: Tensor, *, accelerate: bool = False) -> Epoch:
    """An epoch by hand, or with accelerate's wrappers."""
    net, about, pad = network(config), dataset_of(config.dataset), 4
    optimizer: Any = make_optimizer(config, net)
    accelerator = make_accelerator(config)
    if accelerate:
        net, optimizer = accelerator.prepare(net, optimizer)
    mean, std = (255 * torch.tensor(v) for v in (about.mean, about.std))
    padded, side = F.pad(x, (0, 0, pad, pad, pad, pad)), torch.arange(x.shape[1])

    def images(index: Tensor) -> Tensor:
        if config.augment != "crop_flip":
            return x[index]
        top, left = torch.randint(0, 2 * pad + 1, (2, len(index), 1))
        rows, columns = (top + side)[:, :, None], (left + side)[:, None]
        crops, flip = padded[index[:, None, None], rows, columns], torch.rand(len(index)) < 0.5
        return torch.where(flip[:, None, None, None], crops.flip(2), crops)

    def epoch() -> None:
        net.train()
        for index in torch.randperm(len(y)).split(config.batch_size):
            batch = ((images(index).float() - mean) / std).permute(0, 3, 1, 2)
            optimizer.zero_grad()
            loss = F.cross_entropy(net(batch), y[index])
            if accelerate:
                accelerator.backward(loss)
            else:
                loss.backward()
            optimizer.step()

    return epoch


def torchvision(config: TrainConfig, x: Tensor, y: Tensor) -> Epoch:
    """An epoch with a `DataLoader` in this process."""
    net, pictures = network(config), Pictures(config, x, y)
    optimizer = make_optimizer(config, net)
    loader = DataLoader(pictures, config.batch_size, shuffle=True)

    def epoch() -> None:
        net.train()
        for images, labels in loader:
            optimizer.zero_grad()
            x = images.to(memory_format=torch.channels_last)
            F.cross_entropy(net(x), labels).backward()
            optimizer.step()

    return epoch


def table(config: TrainConfig, steps: int, rounds: int) -> dict[str, Any]:
    """Print and return a line per contender."""
    shape, gen = dataset_of(config.dataset).shape, torch.Generator().manual_seed(0)
    n = steps * config.batch_size
    x = torch.randint(0, 256, (n, *shape[1:], shape[0]), dtype=torch.uint8, generator=gen)
    y = torch.randint(0, 10, (n,), generator=gen)
    contenders = {
        "bare": bare(config, x, y),
        "nslab": ours(config, x, y),
        "accelerate": bare(config, x, y, accelerate=True),
        "torchvision": torchvision(config, x, y),
    }
    interleaved(contenders, 1)
    times = interleaved(contenders, rounds)
    print(f"\n{config.network}, epochs of {steps} batches of {config.batch_size}")
    print("contender    CPU ms/step  CPU time / bare")
    rows: dict[str, Any] = {}
    for name, mine in times.items():
        ms, slower = 1000 * float(np.median(mine.cpu)) / steps, ratio(mine.cpu, times["bare"].cpu)
        print(f"{name:12} {ms:11.2f}  {slower}")
        rows[name] = {"cpu_ms": ms, "cpu_ratio": slower._asdict()}
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="CPU time of the training loop.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--steps", type=int, default=30, help="of an epoch")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    if args.quick:
        args.cases, args.steps, args.rounds = ["lenet5"], 2, 2
    torch.set_num_threads(1)
    env = machine()
    results = {name: table(CASES[name], args.steps, args.rounds) for name in args.cases}

    def told(name: str) -> str:
        rows = {k: 100 * row["cpu_ratio"]["median"] - 100 for k, row in results[name].items()}
        others = ", ".join(f"{k} {rows[k]:+.1f} %" for k in ("accelerate", "torchvision"))
        return f"{name} {rows['nslab']:+.1f} % ({others})"

    finish(
        f"CPU time of an epoch over a bare loop's: {'; '.join(map(told, results))}; "
        f"limit of the project for LeNet-5: +{LIMIT} %.",
        args.json,
        machine=env,
        settings={k: v for k, v in vars(args).items() if k != "json"},
        cases=results,
    )


if __name__ == "__main__":
    main()
