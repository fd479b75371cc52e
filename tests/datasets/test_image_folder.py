"""Folders of images: what is in them, which images are tested on, and by what they are known."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from image_helpers import CLASSES, folder_data, images, make_images
from PIL import Image

from nslab.analysis import run_tables
from nslab.configs import TrainConfig, decode, encode
from nslab.datasets import MissingDataset, dataset_of, image_folder, load, resolved
from nslab.runs import store
from nslab.system.content_names import parse_content_name, short_name
from nslab.training.loop import fit

__all__ = ["images"]  # a fixture


def test_one_in_five_of_each_class_is_tested_on(images: Path) -> None:
    """Where no test images are set apart; the same ones every time, in neither set twice."""
    data = folder_data(images)
    for y, count in ((data.arrays.test_y, 2), (data.arrays.train_y, 10)):
        assert np.bincount(y).tolist() == [count] * 3
    files = [*data.arrays.train_x, *data.arrays.test_x]
    assert sorted(files) == sorted(map(str, images.glob("*/*")))
    assert list(folder_data(images).arrays.test_x) == list(data.arrays.test_x)
    assert all(CLASSES[k] == Path(f).parent.name for f, k in zip(files, [*data.arrays.train_y,
               *data.arrays.test_y], strict=True))  # fmt: skip
    assert data.dataset.classes == CLASSES
    assert data.dataset.shape == (3, 32, 32)


@pytest.mark.parametrize("name", ["test", "val"])
def test_split_folders(images: Path, tmp_path: Path, name: str) -> None:
    """Images of ``train`` are trained on, those beside it tested on."""
    shutil.copytree(images, tmp_path / "train")
    shutil.copytree(images, tmp_path / name)
    shutil.rmtree(tmp_path / name / "red")
    data = folder_data(tmp_path)
    assert len(data.arrays.train_y) == 36
    assert np.bincount(data.arrays.test_y, minlength=3).tolist() == [12, 12, 0]
    (tmp_path / name / "violet").mkdir()
    with pytest.raises(ValueError, match=r"has classes that .* lacks: violet"):
        folder_data(tmp_path)


def test_a_folder_is_known_by_its_content(images: Path, tmp_path: Path) -> None:
    """A copy elsewhere is the same run; a file more, or one of another size, is another."""
    copy = tmp_path / "copy"
    shutil.copytree(images, copy)
    first, second = (TrainConfig(f"folder:{f}", image_size=32) for f in (images, copy))
    assert first.id == second.id
    assert first.dataset != second.dataset
    assert first.columns()["dataset"] == short_name(first.dataset)
    assert first.columns()["dataset"].startswith("colours #")
    assert TrainConfig(f"folder:{images}").image_size == 224
    assert TrainConfig(f"folder:{images}").id != first.id
    shutil.copy(copy / "red/0.jpg", copy / "red/more.jpg")
    more = TrainConfig(f"folder:{copy}", image_size=32)
    assert more.id != first.id
    (copy / "red/more.jpg").write_bytes(b"other")
    image_folder.forget()  # as another process would, or this one a little later
    assert TrainConfig(f"folder:{copy}", image_size=32).id not in (first.id, more.id)
    with pytest.raises(ValueError, match="no longer those of copy #"):
        load(more.dataset)


def test_other_images_of_the_same_names_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Are other data: contents count, of a large folder those of some files."""
    for name, grey in (("a", 10), ("b", 11)):
        for k in range(30):
            file = tmp_path / name / "xy"[k % 2] / f"{k}.bmp"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (8, 8), grey).save(file)
    first, second = (resolved(f"folder:{tmp_path / name}") for name in "ab")
    assert first.rpartition("#")[2] != second.rpartition("#")[2]
    monkeypatch.setattr(image_folder, "SMALL", 1000)
    monkeypatch.setattr(image_folder, "SAMPLE", 5)
    image_folder.forget()
    large = [resolved(f"folder:{tmp_path / name}").rpartition("#")[2] for name in "aab"]
    assert large[0] == large[1] != large[2]


def test_a_result_is_found_where_its_data_are_now(images: Path, tmp_path: Path) -> None:
    """Asked for by the place they moved to, it has that place: its network and classes can be
    had."""
    first, second = tmp_path / "first", tmp_path / "second"
    shutil.copytree(images, first)
    given = {"network": "mlp", "image_size": 8, "epochs": 1, "batch_size": 8}
    store.run(TrainConfig(f"folder:{first}", **given), show=False)
    shutil.move(first, second)
    found = store.run(TrainConfig(f"folder:{second}", **given), show=False)
    assert found.origin == "stored"
    assert parse_content_name(found.config["dataset"])[1] == str(second)
    assert set(run_tables.class_table([found])["class"]) == set(CLASSES)
    run_tables.trained_model(found)


def test_a_stored_config_is_read_without_the_folder(images: Path, tmp_path: Path) -> None:
    """Its id is what it was; the data are asked for, and missing, only when they are needed."""
    shutil.copytree(images, tmp_path / "moved")
    config = TrainConfig(f"folder:{tmp_path / 'moved'}", "resnet8", image_size=16)
    text = json.dumps(encode(config))
    shutil.rmtree(tmp_path / "moved")
    again = decode(json.loads(text))
    assert (again, again.id) == (config, config.id)
    with pytest.raises(MissingDataset, match="name the place it is at now"):
        load(again.dataset)


def test_relative_and_home_paths(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name has the absolute path, so that other processes find the folder."""
    monkeypatch.chdir(images.parent)
    monkeypatch.setenv("HOME", str(images.parent))
    names = {resolved(f"folder:{way}") for way in (images.name, f"~/{images.name}", images)}
    assert len(names) == 1
    assert parse_content_name(names.pop())[1] == str(images)


def test_what_is_no_image_is_left_out(images: Path, tmp_path: Path) -> None:
    """Hidden files and folders, texts; a class without images keeps its number and is told."""
    shutil.copytree(images, tmp_path / "data")
    (tmp_path / "data/.ipynb_checkpoints").mkdir()
    (tmp_path / "data/.ipynb_checkpoints/0.png").write_bytes(b"")
    (tmp_path / "data/@eaDir").mkdir()
    (tmp_path / "data/red/._0.jpg").write_bytes(b"")
    (tmp_path / "data/red/Thumbs.db").write_bytes(b"")
    assert folder_data(tmp_path / "data").dataset.layout.train == 30
    assert folder_data(tmp_path / "data").dataset.classes == CLASSES
    (tmp_path / "data/red/notes.txt").write_text("mine")
    (tmp_path / "data/blue/film.gif").write_bytes(b"")
    with pytest.warns(UserWarning, match=r"2 files are not images and are skipped, such as .*film"):
        assert folder_data(tmp_path / "data").dataset.layout.train == 30
    (tmp_path / "data/red/notes.txt").unlink()
    (tmp_path / "data/blue/film.gif").unlink()
    (tmp_path / "data/cyan").mkdir()
    with pytest.warns(UserWarning, match="no images in 1 of 4 class folders, such as 'cyan'"):
        data = folder_data(tmp_path / "data")
    assert data.dataset.classes == ("blue", "cyan", "green", "red")
    assert set(data.arrays.train_y) == {0, 2, 3}


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    """Each says what is expected."""
    with pytest.raises(ValueError, match="needs the path of a folder of images"):
        resolved("folder:")
    with pytest.raises(
        ValueError, match="is not a folder: images are expected as FOLDER/class/image"
    ):
        resolved(f"folder:{tmp_path / 'nowhere'}")
    with pytest.raises(ValueError, match="0 images in 0 class folders"):
        resolved(f"folder:{tmp_path}")
    with pytest.raises(ValueError, match=f"a folder of images is folder:{tmp_path}"):
        TrainConfig(str(tmp_path))
    make_images(tmp_path / "single", each=1)
    with pytest.raises(ValueError, match="no images to test on: give each class two or more"):
        resolved(f"folder:{tmp_path / 'single'}")
    with pytest.raises(ValueError, match="images of digits have a fixed size"):
        TrainConfig("digits", image_size=64)
    with pytest.raises(ValueError, match="its kind 'cloud' is none of"):
        dataset_of("cloud:pets#0123456789ab")


def test_a_class_called_train(images: Path, tmp_path: Path) -> None:
    """Is one where images lie in it; where it might be a split, a person has to say."""
    for name in ("bus", "train", "tram"):
        shutil.copytree(images / "red", tmp_path / name)
    assert folder_data(tmp_path).dataset.classes == ("bus", "train", "tram")
    (tmp_path / "train/steam").mkdir()
    shutil.move(tmp_path / "train/0.jpg", tmp_path / "train/steam/0.jpg")
    assert folder_data(tmp_path).dataset.layout.train == 30
    for file in (tmp_path / "train").glob("*.*"):
        shutil.move(file, tmp_path / "train/steam" / file.name)
    with pytest.raises(ValueError, match="train looks like a split, and beside it bus"):
        folder_data(tmp_path)


def test_numbers_as_names_of_classes(images: Path, tmp_path: Path) -> None:
    """Sorted as text, as everywhere, which is said; with leading zeros all is well."""
    for k in range(12):
        shutil.copytree(images / "red", tmp_path / "text" / str(k))
        shutil.copytree(images / "red", tmp_path / "zeros" / f"{k:02}")
    with pytest.warns(UserWarning, match="numbers, which sort as text: '10' is class 2"):
        data = folder_data(tmp_path / "text")
    assert data.dataset.classes[:4] == ("0", "1", "10", "11")
    assert folder_data(tmp_path / "zeros").dataset.classes[2] == "02"


def test_links_and_what_cannot_be_read(images: Path, tmp_path: Path) -> None:
    """Linked classes count; links in circles end; broken ones and odd names are told or taken."""
    (tmp_path / "blue").symlink_to(images / "blue")
    shutil.copytree(images / "red", tmp_path / "red")
    (tmp_path / "red/again").symlink_to(tmp_path / "red")
    data = folder_data(tmp_path)
    assert np.bincount(data.arrays.train_y).tolist() == [10, 10]
    odd = os.fsencode(tmp_path / "red") + b"/\xff\xfe.jpg"
    shutil.copy(images / "red/0.jpg", odd)
    assert folder_data(tmp_path).dataset.layout.train == 21
    (tmp_path / "red/gone.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(ValueError, match=r"red/gone\.png cannot be read: No such file"):
        folder_data(tmp_path)


def test_a_network_is_trained_on_a_folder(images: Path, tmp_path: Path) -> None:
    """By the loop that trains on arrays, held-out images and a sampler too, resumed to the bit."""
    config = TrainConfig(
        f"folder:{images}",
        "mlp",
        image_size=8,
        epochs=4,
        batch_size=8,
        lr=0.01,
        augment="crop_flip",
        hold_out=6,
        sampler="cbs",
    )
    whole = fit(config, show=False)
    assert whole.metrics["test_accuracy"] > 60
    assert len(whole.history) == 4

    def stop(row: dict) -> None:
        if row["epoch"] == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(config, tmp_path, show=False, on_epoch=stop)
    again = fit(config, tmp_path, show=False)
    drop = [[{k: v for k, v in r.items() if k != "seconds"} for r in t.history]
            for t in (whole, again)]  # fmt: skip
    assert drop[0] == drop[1]
