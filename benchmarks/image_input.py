"""Images per second and core from JPEG files: nslab's batches against torchvision's ImageFolder.

The photographs are synthetic: coloured noise with the spectrum of photographs (1/f) and shapes with
edges, stored as JPEGs. All contenders read the same files and produce normalised channels-last
float32 images of 224 x 224 pixels. ``train`` is a random crop (8 to 100 % of the area) with
mirroring, ``eval`` the centre crop after resizing the shorter side to 256. CPU time is that of all
threads of this process, so its ratios are per core; for it, torchvision's loader works in this
process. For wall time, nslab has two threads and torchvision two worker processes.
"""

import argparse
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL
import torch
import torchvision
from numpy.typing import NDArray
from paired import finish, interleaved, machine, ratio
from PIL import Image, ImageDraw
from torch import Tensor
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from nslab.datasets import load
from nslab.datasets.decoding import Decoding, middle_square, random_square
from nslab.datasets.image_files import ImageFiles
from nslab.datasets.image_folder import MEAN, STD
from nslab.rng import generator

SIZES = ((1600, 1200), (1000, 750), (500, 375))
SIDE, QUALITY = 224, 92
LENS = 200  # cycles across a photograph that its simulated lens still resolves
WAYS = ("train", "eval")
DECODINGS: tuple[Decoding, ...] = ("exact", "reduced")
NORMALISED = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)]
TRANSFORMS = {
    "train": [transforms.RandomResizedCrop(SIDE), transforms.RandomHorizontalFlip()],
    "eval": [transforms.Resize(256), transforms.CenterCrop(SIDE)],
}


def photograph(width: int, height: int, rng: np.random.Generator) -> Image.Image:
    """A synthetic photograph: 1/f noise with correlated colour channels, blurred as by a lens (so
    larger photographs have less detail per pixel), with shapes and a camera's grain on it."""
    down, across = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    frequency = np.hypot(down, across)
    amplitude = np.exp(-((frequency * width / LENS) ** 2) / 2)
    amplitude /= np.maximum(frequency, 1 / width)
    channels: list[NDArray[np.float64]] = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(amplitude.shape))
        noise = np.fft.irfft2(amplitude * phases, (height, width))
        channels.append(noise / noise.std())
    grey, red, blue = channels
    values = np.stack([grey + 0.4 * red, grey, grey + 0.4 * blue], -1)
    image = Image.fromarray((128 + 45 * values).clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        w, h = rng.integers(width // 40, width // 5, 2).tolist()
        shape = draw.ellipse if rng.random() < 0.5 else draw.rectangle
        shape((x, y, x + w, y + h), fill=tuple(rng.integers(0, 256, 3).tolist()))
    grain = rng.normal(0, 2, (height, width, 1))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


def write_folder(folder: Path, size: tuple[int, int], number: int) -> float:
    """Write photographs into two class folders; returns the bits per pixel of their files."""
    rng, written = np.random.default_rng(0), 0
    for i in range(number):
        file = folder / "ab"[i % 2] / f"{i:03}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        photograph(*size, rng).save(file, quality=QUALITY)
        written += file.stat().st_size
    return 8 * written / (number * size[0] * size[1])


def ours(folder: Path, way: str, decoding: Decoding, batch: int) -> Callable[[], object]:
    """A pass over the folder's images by `ImageFiles`."""
    data = load(f"folder:{folder}", image_size=SIDE)
    files = [*data.arrays.train_x.tolist(), *data.arrays.test_x.tolist()]
    batches = ImageFiles(
        files,
        torch.zeros(len(files), dtype=torch.long),
        data.dataset,
        batch_size=batch,
        augment="crop_flip" if way == "train" else "none",
        decoding=decoding,
    )
    return lambda: [None for _ in batches.epoch(0)]


def theirs(folder: Path, way: str, workers: int, batch: int) -> Callable[[], object]:
    """A pass by torchvision and a DataLoader, in the same layout as nslab's."""
    images = ImageFolder(str(folder), transforms.Compose(TRANSFORMS[way] + NORMALISED))
    loader: DataLoader[tuple[Tensor, int]] = DataLoader(
        images, batch, shuffle=True, num_workers=workers, persistent_workers=workers > 0
    )
    last = torch.channels_last
    return lambda: [x.to(memory_format=last).shape for x, _ in loader]


def difference(folder: Path, way: str) -> float:
    """Mean absolute difference between pixels of reduced and exact decoding, in grey levels."""
    found = []
    for i, file in enumerate(sorted(map(str, folder.rglob("*.jpg")))):
        exact, other = (
            middle_square(file, SIDE, decoding)
            if way == "eval"
            else random_square(file, SIDE, generator(0, "part", i), True, decoding)
            for decoding in DECODINGS
        )
        found.append(np.abs(exact.astype(int) - other).mean())
    return float(np.mean(found))


def measured(folder: Path, way: str, batch: int, rounds: int) -> dict[str, Any]:
    """Rates and ratios of all contenders on one folder."""
    contenders = {f"nslab, {d}": ours(folder, way, d, batch) for d in DECODINGS}
    contenders["torchvision"] = theirs(folder, way, 0, batch)
    contenders["torchvision, 2 workers"] = theirs(folder, way, 2, batch)
    interleaved(contenders, 1)  # warm up, start the workers
    times = interleaved(contenders, rounds)
    number = len(list(folder.rglob("*.jpg")))
    alone, workers = times["torchvision"], times["torchvision, 2 workers"]
    rows: dict[str, Any] = {}
    for name in list(contenders)[:3]:
        row = {"images_per_cpu_s": float(np.median(number / times[name].cpu))}
        rows[name] = row | {"cpu_ratio": ratio(alone.cpu, times[name].cpu)._asdict()}
        if name != "torchvision":
            wall = ratio(workers.wall, times[name].wall)._asdict()
            rows[name] |= {"wall_ratio": wall}
    return {"contenders": rows, "difference": difference(folder, way)}


def main() -> None:
    parser = argparse.ArgumentParser(description="Images per second from JPEG files.")
    parser.add_argument("--images", type=int, default=64, help="of each size")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the numbers")
    parser.add_argument("--quick", action="store_true", help="a smoke test; numbers mean nothing")
    args = parser.parse_args()
    images, rounds = (6, 1) if args.quick else (args.images, args.rounds)
    sizes = ((300, 250),) if args.quick else SIZES
    os.environ.setdefault("NSLAB_WORKERS", "2")
    torch.set_num_threads(1)
    env = machine() | {"torchvision": torchvision.__version__, "pillow": PIL.__version__}
    print(f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}")
    print(f"{images} JPEGs of each size, quality {QUALITY}, {rounds} rounds of a pass each\n")
    print("photographs     way    decoding  images / CPU s  / torchvision's        wall, two each")
    cases: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        for size in sizes:
            folder = Path(place) / f"{size[0]}x{size[1]}"
            bits = write_folder(folder, size, images)
            for way in WAYS:
                found = measured(folder, way, min(32, images), rounds) | {"bits_per_pixel": bits}
                cases[f"{folder.name} {way}"] = found
                for decoding in DECODINGS:
                    row = found["contenders"][f"nslab, {decoding}"]
                    cpu, wall = row["cpu_ratio"], row["wall_ratio"]
                    print(
                        f"{folder.name:15} {way:6} {decoding:8} {row['images_per_cpu_s']:15,.0f}  "
                        f"{cpu['median']:.2f} ({cpu['q1']:.2f}-{cpu['q3']:.2f})      "
                        f"{wall['median']:.2f}"
                    )
    for name, case in cases.items():
        print(
            f"{name}: {case['bits_per_pixel']:.1f} bits a pixel; reduced decoding changes pixels "
            f"by {case['difference']:.2f} of 255 on average"
        )
    said = [
        f"{name} "
        + " and ".join(
            f"{case['contenders'][f'nslab, {d}']['cpu_ratio']['median']:.2f}" for d in DECODINGS
        )
        for name, case in cases.items()
    ]
    finish(
        "times as many images a CPU second as torchvision's ImageFolder and DataLoader, exact and "
        f"reduced: {', '.join(said)}.",
        args.json,
        machine=env,
        settings={"images": images, "rounds": rounds, "quality": QUALITY, "quick": args.quick},
        cases=cases,
    )


if __name__ == "__main__":
    main()
