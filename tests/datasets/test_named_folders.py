"""Folders of images that have a name: where they are looked for, how they are found and checked."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from image_helpers import make_images
from PIL import Image
from typer.testing import CliRunner

from nslab.cli import app
from nslab.configs import TrainConfig
from nslab.datasets import (
    DATASETS,
    ImageFolderDataset,
    MissingDataset,
    dataset_of,
    image_folder,
    load,
    named_folders,
)
from nslab.datasets.arrays import Layout, write_arrays
from nslab.datasets.provenance import data_digest, provenance_of
from nslab.datasets.several_labels import CONVERT
from nslab.runs import store
from nslab.training.loop import fit

WNIDS = ("n01", "n02", "n03")
TINY = {"network": "mlp", "epochs": 1, "batch_size": 8, "lr": 0.05}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder of data sets, and small entries of each form."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("NSLAB_DATA", str(folder))
    layout = Layout(30, 6, (16, 16, 3), 3)
    for form in ("classes", "imagenet"):
        entry = ImageFolderDataset(layout, places=(f"a_{form}", f"b_{form}"), form=form)
        monkeypatch.setitem(DATASETS, f"small_{form}", entry)
    hard = ImageFolderDataset(Layout(0, 4, (16, 16, 3), 10), places=("hard",), form="labels")
    monkeypatch.setitem(DATASETS, "small_labels", hard)
    image_folder.forget()
    yield folder
    image_folder.forget()


def tree(folder: Path, classes: tuple[str, ...] = WNIDS) -> Path:
    """Ten images a class to train on, two to test on."""
    for split, each in (("train", 10), ("val", 2)):
        make_images(folder / split, each)
        for old, new in zip(("blue", "green", "red"), classes, strict=True):
            (folder / split / old).rename(folder / split / new)
    return folder


# --- where it lies -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["imagenet", "imagenet_hard", "fi", "office_home/Real World"])
def test_a_folder_that_is_not_here(data: Path, name: str) -> None:
    """Is told with the places looked at, what is expected there, and the way out."""
    with pytest.raises(MissingDataset, match=f"looked in {data}.* for ") as told:
        load(name)
    for place in DATASETS[name].places:
        assert place in str(told.value)
    assert named_folders.EXPECTED[DATASETS[name].form] in str(told.value)
    assert "folder:PATH" in str(told.value)
    assert data_digest(name) is None
    assert provenance_of(name) == {}
    assert not list(data.iterdir())


def test_a_folder_that_is_something_else(data: Path) -> None:
    """Or the folder of data being the data set itself: both are said."""
    (data / "b_imagenet").mkdir()
    with pytest.raises(MissingDataset, match="b_imagenet holds no such folders"):
        load("small_imagenet")
    (data / "b_imagenet").rmdir()
    (data / "val").mkdir()
    with pytest.raises(MissingDataset, match=f"{data} itself has train or val"):
        load("small_imagenet")


def test_the_first_place_counts(data: Path) -> None:
    """Spaces in names are written in several ways; a link is as good as a folder."""
    tree(data / "b_classes")
    assert named_folders.place_of(DATASETS["small_classes"]) == data / "b_classes"
    (data / "a_classes").symlink_to(data / "b_classes")
    assert named_folders.place_of(DATASETS["small_classes"]) == data / "a_classes"
    assert load("small_classes").dataset.classes == WNIDS
    (data / "OfficeHome/RealWorld/bed").mkdir(parents=True)
    place = named_folders.place_of(DATASETS["office_home/Real World"])
    assert place == data / "OfficeHome/RealWorld"


def test_nothing_is_written_beside_the_images(data: Path) -> None:
    """Listing, digest and training leave the folder of data as it was."""
    tree(data / "a_imagenet")
    before = sorted((p, p.stat().st_mtime_ns) for p in data.rglob("*"))
    assert data_digest("small_imagenet")
    fit(TrainConfig("small_imagenet", **TINY), show=False)
    assert sorted((p, p.stat().st_mtime_ns) for p in data.rglob("*")) == before


# --- ImageNet ----------------------------------------------------------------------------------


def test_imagenet_by_wnid(data: Path) -> None:
    """Classes in the order of wnids, with people's names; what is here counts and is compared with
    what is published; empty classes keep their number."""
    wnids = [f"n{k:08}" for k in range(1440764, 1441764)]
    for wnid in reversed(wnids):
        (data / "ILSVRC2012/train" / wnid).mkdir(parents=True)
    make_images(data / "three", 2)
    for split in ("train", "val"):
        shutil.copytree(
            data / "three/red", data / "ILSVRC2012" / split / wnids[0], dirs_exist_ok=True
        )
        shutil.copytree(data / "three/blue", data / "ILSVRC2012" / split / wnids[999],
                        dirs_exist_ok=True)  # fmt: skip
    with (
        pytest.warns(UserWarning, match="no images in 998 of 1000 class folders"),
        pytest.warns(UserWarning, match=r"1,281,167 \+ 50,000 images, but 4 \+ 4 are"),
    ):
        found = load("imagenet")
    assert (found.dataset.classes[0], found.dataset.classes[999]) == ("tench", "toilet tissue")
    assert found.arrays.train_y.tolist() == found.arrays.test_y.tolist() == [0, 0, 999, 999]
    assert found.dataset.shape == (3, 224, 224)
    about = dataset_of("imagenet", 64)
    assert (about.layout.train, about.shape, about.layout.num_classes) == (4, (3, 64, 64), 1000)
    shutil.rmtree(data / "ILSVRC2012/train" / wnids[5])
    with pytest.raises(ValueError, match=r"has 999 class folders, and imagenet has 1,000 classes"):
        load("imagenet")
    with pytest.raises(ValueError, match=f"is folder:{data / 'ILSVRC2012'}"):
        dataset_of("imagenet")
    assert data_digest("imagenet") is None


def flat(folder: Path) -> Path:
    """ImageNet as it comes: images of ``val`` in one folder, numbered, of classes in turn."""
    tree(folder)
    files = [sorted((folder / "val" / wnid).iterdir()) for wnid in WNIDS]
    for k, file in enumerate((f for both in zip(*files, strict=True) for f in both), 1):
        file.rename(folder / f"val/ILSVRC2012_val_{k:08}.JPEG")
    for wnid in WNIDS:
        (folder / "val" / wnid).rmdir()
    return folder


def of_kaggle(folder: Path) -> None:
    rows = "".join(f"ILSVRC2012_val_{k:08},{WNIDS[(k - 1) % 3]} 1 2 3 4\n" for k in range(1, 7))
    (folder / "LOC_val_solution.csv").write_text("ImageId,PredictionString\n" + rows)


def of_torchvision(folder: Path) -> None:
    torch.save((dict.fromkeys(WNIDS, ("a", "b")), [*WNIDS, *WNIDS]), folder / "meta.bin")


def of_devkit(folder: Path) -> None:
    from scipy.io import savemat

    data = folder / "ILSVRC2012_devkit_t12/data"
    data.mkdir(parents=True)
    rows = np.empty(3, dtype=[("ILSVRC2012_ID", object), ("WNID", object), ("words", object)])
    for k, wnid in enumerate(("n03", "n01", "n02"), 1):  # its numbers are not in wnid order
        rows[k - 1] = (k, wnid, "a word")
    savemat(data / "meta.mat", {"synsets": rows})
    truth = data / "ILSVRC2012_validation_ground_truth.txt"
    truth.write_text("2\n3\n1\n2\n3\n1\n")


@pytest.mark.parametrize("key", [of_kaggle, of_torchvision, of_devkit])
@pytest.mark.parametrize("inner", ["", "ILSVRC/Data/CLS-LOC"])
def test_test_images_without_class_folders(data: Path, key, inner: str) -> None:
    """Their classes come from what was published with them, or what to do is said."""
    place = flat(data / "a_imagenet" / inner)
    with pytest.raises(ValueError, match=r"val has 6 images without class folders.*LOC_val"):
        load("small_imagenet")
    key(data / "a_imagenet")
    found = load("small_imagenet")
    assert found.arrays.test_y.tolist() == [0, 1, 2, 0, 1, 2]
    assert [Path(f).parent for f in found.arrays.test_x] == [place / "val"] * 6
    extra = place / "val/ILSVRC2012_val_00000007.JPEG"
    shutil.copy(found.arrays.test_x[0], extra)
    with pytest.raises(ValueError, match=r"1 images of .*val have no known class, such as .*07"):
        load("small_imagenet")


def test_other_labels_of_the_same_files_are_other_data(data: Path) -> None:
    """The key is part of what the digest is of."""
    place = flat(data / "a_imagenet")
    of_kaggle(place)
    before = data_digest("small_imagenet")
    solution = place / "LOC_val_solution.csv"
    solution.write_text(solution.read_text().replace("n01", "n00").replace("n02", "n01")
                        .replace("n00", "n02"))  # fmt: skip
    assert data_digest("small_imagenet") != before


def test_only_images_to_test_on(data: Path) -> None:
    """``val`` alone is enough to evaluate; to train on it is refused, in words; ``train`` alone is
    not ImageNet."""
    tree(data / "a_imagenet")
    shutil.move(data / "a_imagenet/train", data / "train")
    with pytest.warns(UserWarning, match=r"30 \+ 6 images, but 0 \+ 6 are here"):
        assert len(load("small_imagenet").arrays.test_y) == 6
    for config in (TrainConfig("small_imagenet", **TINY), TrainConfig("digits_hard", **TINY)):
        with pytest.raises(ValueError, match="has no training images: use it to evaluate"):
            fit(config, show=False)
    shutil.move(data / "train", data / "a_imagenet/train")
    shutil.rmtree(data / "a_imagenet/val")
    with pytest.raises(ValueError, match="has no val: the images to test small_imagenet on"):
        load("small_imagenet")


# --- class folders -----------------------------------------------------------------------------


def test_class_folders_with_splits_and_without(data: Path) -> None:
    """One in five of each class where none ships, the same ones every time."""
    make_images(data / "a_classes", 12)
    found = load("small_classes")
    assert np.bincount(found.arrays.test_y).tolist() == [2, 2, 2]
    assert len(found.arrays.train_y) == 30
    image_folder.forget()
    assert list(load("small_classes").arrays.test_x) == list(found.arrays.test_x)
    shutil.rmtree(data / "a_classes/red")
    with pytest.raises(ValueError, match="has 2 class folders, and small_classes has 3 classes"):
        load("small_classes")
    shutil.rmtree(data / "a_classes")
    tree(data / "a_classes")
    found = load("small_classes")
    assert {Path(f).parts[-3] for f in found.arrays.test_x} == {"val"}
    (data / "a_classes/val/n01/0.jpg").unlink()
    with pytest.warns(UserWarning, match="published with 36 images, but 35 are here"):
        assert dataset_of("small_classes").layout.test == 5


def test_what_lies_in_peoples_folders(data: Path) -> None:
    """Odd files are passed over, those worth knowing told; odd images are trained on, broken ones
    are not."""
    place = tree(data / "a_imagenet")
    red, pixels = place / "train/n03", np.zeros((20, 30, 3), np.uint8)
    for name in ("._0.jpg", ".DS_Store", "Thumbs.db", ".ipynb_checkpoints/0.png"):
        (red / name).parent.mkdir(exist_ok=True)
        (red / name).write_bytes(b"no image")
    (place / "train/__MACOSX/n03").mkdir(parents=True)
    for k, mode in enumerate(("CMYK", "L", "RGB")):
        (red / f"{2 * k}.jpg").unlink()
        Image.fromarray(pixels).convert(mode).save(red / f"{k}.JPEG")
    (red / "1.png").rename(red / "png.JPEG")
    (red / "again").symlink_to(place / "train")
    assert len(load("small_imagenet").arrays.train_y) == 30
    trained = fit(TrainConfig("small_imagenet", augment="crop_flip", **TINY), show=False)
    assert np.isfinite(trained.metrics["train_loss"])
    (red / "0.JPEG").write_bytes(b"")
    (red / "list.txt").write_text("mine")
    os.mkfifo(red / "pipe.jpg")
    image_folder.forget()
    with (
        pytest.warns(UserWarning, match="1 image files are empty"),
        pytest.warns(UserWarning, match="2 files are not images and are skipped, such as"),
        pytest.warns(UserWarning, match=r"published with 30 \+ 6 images, but 29 \+ 6 are"),
    ):
        assert len(load("small_imagenet").arrays.train_y) == 29
    whole = (red / "3.png").read_bytes()
    (red / "3.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"n03/3\.png cannot be read as an image"):
        fit(TrainConfig("small_imagenet", **TINY), show=False)


def test_digests_of_folders_stay(tmp_path: Path) -> None:
    """Runs are known by them: names and sizes below links and subfolders, in the order of names."""
    root = tmp_path / "kept"
    sizes = {"train/ape/1.png": 3, "train/ape/in/2.JPG": 4, "train/ape/in/deep/3.jpeg": 5}
    sizes |= {"train/ape/z.png": 6, "train/ape/.h.png": 2, "train/bee/ö 1.webp": 7}
    sizes |= {
        "train/bee/Thumbs.db": 2,
        "train/cat/a.tif": 1,
        "val/bee/1.png": 9,
        "val/cat/b.png": 2,
    }
    for name, size in sizes.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x" * size)
    (root / "train/ape/in/loop").symlink_to(root / "train/ape")
    digest = "b9bccb9e267771121601ee379f96d020480d8557ca234feb7c4d4d331ffc5741"
    assert image_folder.listing(root).digest == digest
    (root / "train/ape/in/loop").unlink()
    shutil.move(root / "train", tmp_path / "plain")
    found = image_folder.listing(tmp_path / "plain")
    assert found.digest == "adc4ce5e6934413dc06e0ffc4f76164eb9ab45033a45136e2cb714727e870cbb"
    assert [Path(f).name for f in found.train[0]] == [
        "1.png",
        "z.png",
        "2.JPG",
        "ö 1.webp",
        "a.tif",
    ]


# --- several right labels ----------------------------------------------------------------------


def hard(folder: Path, labels: object = None, name: str = "labels.json") -> Path:
    """Four images, of which two have more than one label."""
    (folder / "images").mkdir(parents=True)
    for k in range(4):
        Image.new("RGB", (20, 20), (60 * k, 0, 0)).save(folder / f"images/{k}.png")
    given = labels or {
        "images/1.png": [3, 7, 3],
        "0.png": 2,
        "images/3.png": [1],
        "2.png": [9, 0, 4],
    }
    (folder / name).write_text(given if isinstance(given, str) else json.dumps(given))
    return folder


def test_every_label_is_kept(data: Path) -> None:
    """Padded with -1, the first one being the label; in the order of names, whatever the file
    has."""
    hard(data / "hard")
    found = load("small_labels", image_size=8)
    by_name = {
        Path(f).name: row for f, row in zip(found.arrays.test_x, found.accepted, strict=True)
    }
    assert {name: row.tolist() for name, row in by_name.items()} == {
        "0.png": [2, -1, -1],
        "1.png": [3, 7, -1],
        "2.png": [9, 0, 4],
        "3.png": [1, -1, -1],
    }
    assert found.accepted.dtype == np.int64
    assert np.array_equal(found.arrays.test_y, found.accepted[:, 0])
    assert len(found.arrays.train_y) == 0
    assert found.dataset.shape == (3, 8, 8)
    before = data_digest("small_labels")
    (data / "hard/labels.json").unlink()
    rows = [{"file_name": f"images/{k}.png", "label": [k, k + 1]} for k in range(4)]
    (data / "hard/metadata.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    assert load("small_labels").accepted.tolist() == [[0, 1], [1, 2], [2, 3], [3, 4]]
    assert data_digest("small_labels") != before


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ('{"0.png": [1', "labels.json cannot be read"),
        ("[1, 2]", "names no images"),
        ({"0.png": [10]}, r"the labels of 0.png are \[10\], not numbers from 0 to 9"),
        ({"0.png": []}, r"are \[\], not numbers"),
        ({"0.png": ["3"]}, "not numbers"),
        ({"0.png": [True]}, "not numbers"),
        ({"0.png": 1, "gone.png": 2}, "1 of 2 images in .* are missing or empty, such as gone"),
    ],
)
def test_labels_that_cannot_be_used(data: Path, labels: object, message: str) -> None:
    """Each says which and what is expected."""
    hard(data / "hard", labels)
    with pytest.raises(ValueError, match=message):
        load("small_labels")


def test_no_labels_or_too_many_or_inside_other_files(data: Path) -> None:
    """What is expected is said, and how images come out of parquet files; images of no label are
    told."""
    hard(data / "hard", name="other.json")
    (data / "hard/images/more.png").write_bytes((data / "hard/images/0.png").read_bytes())
    with pytest.warns(UserWarning, match="1 images have no labels and are skipped, such as"):
        assert len(load("small_labels").arrays.test_y) == 4
    (data / "hard/third.json").write_text("{}")
    with pytest.raises(
        ValueError, match=r"needs one file of labels.*found: other.json, third.json"
    ):
        load("small_labels")
    for file in (data / "hard").glob("*.json"):
        file.unlink()
    with pytest.raises(ValueError, match="found: none"):
        load("small_labels")
    (data / "hard/validation-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"inside parquet files.*\n\nimport json"):
        load("small_labels")


def test_images_come_out_of_parquet_files(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the lines that the message gives; here pandas reads a file that pyarrow would."""
    hard(data / "given")
    rows = [
        {"image": {"bytes": (data / f"given/images/{k}.png").read_bytes()}, "label": [k, 9]}
        for k in range(4)
    ]
    monkeypatch.setattr(pd, "read_parquet", lambda file: pd.DataFrame(rows))
    (data / "hard").mkdir()
    (data / "hard/validation-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match="inside parquet files"):
        load("small_labels")
    monkeypatch.chdir(data / "hard")
    exec(CONVERT, {})
    found = load("small_labels")
    assert found.accepted.tolist() == [[0, 9], [1, 9], [2, 9], [3, 9]]


# --- what a result was made of -----------------------------------------------------------------


def test_a_changed_folder_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run on a named folder keeps the digest of its files; where they are others now, it is
    computed anew."""
    place = tree(data / "a_imagenet")
    config = TrainConfig("small_imagenet", **TINY)
    first = store.run(config, show=False)
    assert first.env["data"]["where"] == str(place)
    assert first.env["data"]["classes"] == 3
    assert store.run(config, show=False).origin == "stored"
    (place / "train/n01/0.jpg").rename(place / "train/n01/first.jpg")
    assert store.run(config, show=False).origin == "computed"
    assert "data of small_imagenet changed since its result was made" in capsys.readouterr().err
    assert TrainConfig("small_imagenet", **TINY).id == config.id
    Image.new("RGB", (40, 32)).save(place / "train/n01/first.jpg")  # another size, in its place
    image_folder.forget()  # as another process would, or this one a little later
    assert store.run(config, show=False).origin == "computed"
    assert store.run(config, show=False).origin == "stored"
    shutil.rmtree(place)
    assert store.run(config, show=False).origin == "stored", "it is not asked for what is not here"


def test_a_replaced_array_file_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its place, by the same process."""
    config = TrainConfig("digits", train_size=200, **TINY)
    store.run(config, show=False)
    arrays = load("digits").arrays
    write_arrays(
        data / "digits.npz", arrays._replace(train_x=np.ascontiguousarray(arrays.train_x)[:, ::-1])
    )
    assert store.run(config, show=False).origin == "computed"
    assert "data of digits changed since its result was made" in capsys.readouterr().err


def test_a_listing_is_kept_while_folders_look_the_same(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty runs list a folder once; a file more in any class folder shows at once."""
    place, listed = tree(data / "a_imagenet"), list[int]()
    read = named_folders.read_imagenet

    def counted(*given):
        listed.append(1)
        return read(*given)

    monkeypatch.setattr(named_folders, "read_imagenet", counted)
    monkeypatch.setattr(image_folder, "KEPT_SECONDS", 1000)
    digests = {data_digest("small_imagenet") for _ in range(50)}
    load("small_imagenet")
    assert (len(listed), len(digests)) == (1, 1)
    shutil.copy(place / "val/n02/0.jpg", place / "val/n02/more.jpg")
    with pytest.warns(UserWarning, match="but 30 [+] 7 are here"):
        assert data_digest("small_imagenet") not in digests
    monkeypatch.setattr(image_folder, "KEPT_SECONDS", 0)
    monkeypatch.setattr(image_folder, "KEPT_TIMES", 0)
    image_folder.forget()
    with pytest.warns(UserWarning, match="but 30"):
        assert [bool(data_digest("small_imagenet")) for _ in range(3)] == [True] * 3
    assert len(listed) == 5


def test_reports(data: Path) -> None:
    """``nslab data`` says what is there and what is odd, and finds an image that is broken."""
    place = tree(data / "a_imagenet")
    (place / "train/n01/notes.txt").write_text("mine")
    shown = CliRunner().invoke(app, ["data", "small_imagenet"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0, shown.output
    for text in (
        f"small_imagenet: 30 training and 6 test images, 3 classes, in {place}",
        "  training: 10 to 10 images a class; 15 .jpg, 15 .png",
        "  classes: n01, n02, n03",
        "36 images decoded",
        "  note: 1 files are not images and are skipped, such as",
    ):
        assert text in shown.output
    hard(data / "hard")
    several = CliRunner().invoke(app, ["data", "small_labels"])
    assert "right labels of an image: 1 to 3" in several.output
    own = CliRunner().invoke(app, ["data", f"folder:{place}"]).output
    assert "30 training and 6 test images" in own
    (place / "val/n02/1.png").write_bytes(b"broken")
    image_folder.forget()
    broken = CliRunner().invoke(app, ["data", "small_imagenet"])
    assert broken.exit_code == 2
    assert "1.png cannot be read as an image" in broken.output
    missing = CliRunner().invoke(app, ["data", "imagenet"])
    assert missing.exit_code == 2
    assert "looked in" in missing.output
