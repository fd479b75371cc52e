"""``nslab predict``: what a trained network takes images for, as a table."""

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from image_helpers import images
from PIL import Image
from typer.testing import CliRunner, Result

import nslab
from nslab.analysis.run_tables import class_table, trained_model
from nslab.cli import app
from nslab.datasets import load
from nslab.datasets.batches import make_batches
from nslab.runs.trained_on import data_of
from nslab.workbench.prediction import images_in, trained_network

__all__ = ["images"]  # a fixture


def call(*words: object) -> Result:
    """Call nslab predict in this process."""
    return CliRunner().invoke(app, ["predict", *map(str, words)], env={"COLUMNS": "200"})


def trained(data: str, **settings: object) -> nslab.Result:
    """A finished run."""
    plain = {"epochs": 1, "batch_size": 8, "lr": 0.01}
    return nslab.run(nslab.TrainConfig(data, "mlp", **plain | settings), show=False)


def test_a_folder_is_predicted(images: Path, tmp_path: Path) -> None:
    """Every image, as the run evaluates it; with classes; never over another file unasked."""
    run, to = trained(f"folder:{images}", image_size=16), tmp_path / "out" / "found.csv"
    done = call(run.id, f"folder:{images}", "--to", to)
    assert done.exit_code == 0, done.output
    table = pd.read_csv(to)
    three = [f"{name}{n}" for n in ("", "_2", "_3") for name in ("predicted", "probability")]
    assert list(table.columns) == ["file", "true", *three]
    assert len(table) == 36
    assert table["file"][0] == "blue/0.jpg"
    assert (table["true"] == table["file"].str.partition("/")[0]).all()
    assert np.allclose(table[three[1::2]].sum(axis=1), 1, atol=1e-5)
    assert (table["probability"] >= table["probability_2"]).all()
    right = 100 * (table["true"] == table["predicted"]).mean()
    assert f"36 images, {right:.2f} % right of the 36 in folders" in done.output
    data = load(run.config["dataset"], image_size=16)
    (batch,) = make_batches(data.arrays.test_x, data.arrays.test_y, data.dataset,
                            torch.device("cpu"), batch_size=9).in_order()  # fmt: skip
    with torch.no_grad():
        wanted = trained_model(run)(batch.x).softmax(1).max(1)
    by_file = table.set_index("file")
    for k, file in enumerate(data.arrays.test_x):
        line = by_file.loc[Path(file).relative_to(images).as_posix()]
        assert line["predicted"] == data.dataset.classes[int(wanted.indices[k])]
        assert line["probability"] == pytest.approx(float(wanted.values[k]), abs=1e-5)
    again, before = call(run.id[:6], f"folder:{images}", "--to", to), to.read_bytes()
    assert again.exit_code == 2
    assert "exists already: --force replaces it" in again.output
    assert call(run.id[:6], f"folder:{images}", "--to", to, "--force").exit_code == 0
    assert to.read_bytes() == before
    assert [file.name for file in to.parent.iterdir()] == ["found.csv"]


def test_flat_folders_and_unknown_classes(images: Path, tmp_path: Path) -> None:
    """Images in no class folder, in folders of other names, and of sets with test images."""
    run, to = trained(f"folder:{images}", image_size=16), tmp_path / "found.csv"
    flat = tmp_path / "flat"
    flat.mkdir()
    for k in (3, 1):
        shutil.copy(images / "red" / f"{k}.png", flat / f"{k}.png")
    (flat / "notes.txt").write_text("no image")
    done = call(run.id, f"folder:{flat}", "--to", to)
    assert done.output.endswith("found.csv: 2 images\n")
    table = pd.read_csv(to)
    assert "true" not in table
    assert table["file"].tolist() == ["1.png", "3.png"]
    shutil.copytree(images / "blue", flat / "elsewhere")
    done = call(run.id, f"folder:{flat}", "--to", to, "--force")
    assert done.output.endswith("found.csv: 14 images\n")
    assert pd.read_csv(to, keep_default_na=False)["true"].tolist() == ["elsewhere"] * 12 + [""] * 2
    split = tmp_path / "split"
    shutil.copytree(images, split / "train")
    shutil.copytree(images / "red", split / "test" / "red")
    files, names = images_in(f"folder:{split}")
    assert len(files) == 12
    assert set(names) == {"red"}


def test_networks_of_arrays(tmp_path: Path) -> None:
    """Images of their size, in colours or grey, give what the run's own evaluation gives."""
    run, data = trained("digits", train_size=200), load("digits")
    folder = tmp_path / "digits"
    folder.mkdir()
    for k in range(5):
        grey = Image.fromarray(data.arrays.test_x[k, ..., 0])
        (grey if k % 2 else grey.convert("RGB")).save(folder / f"{k}.png")
    assert call(run.id, f"folder:{folder}", "--to", tmp_path / "a.csv").exit_code == 0
    x, y = data.arrays.test_x[:5], data.arrays.test_y[:5]
    (batch,) = make_batches(x, y, data.dataset, torch.device("cpu"), batch_size=5).in_order()
    with torch.no_grad():
        wanted = trained_model(run)(batch.x).softmax(1).topk(5)
    table = pd.read_csv(tmp_path / "a.csv")
    assert len(table.columns) == 11
    assert table["predicted"].tolist() == wanted.indices[:, 0].tolist()
    assert np.allclose(table["probability_5"], wanted.values[:, 4], atol=1e-5)
    Image.new("RGB", (31, 32)).save(folder / "z.png")
    done = call(run.id, f"folder:{folder}", "--to", tmp_path / "b.csv")
    assert "z.png has 31 x 32 pixels, and the network was trained on arrays of 32" in done.output
    assert not (tmp_path / "b.csv").exists()


def test_mistakes_are_explained(images: Path, tmp_path: Path) -> None:
    """Exit status 2 and one line."""
    run, data = trained(f"folder:{images}", image_size=16), f"folder:{images}"
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "x.png").write_bytes(b"no image")
    (tmp_path / "runs" / "0123456789ab").mkdir(parents=True)
    (tmp_path / "alone.safetensors").write_bytes(b"x")
    for words, message in (
        (("ffffffffffff", data), "ffffffffffff is no run in"),
        (("best", data), "best is no run in"),
        ((run.id[:2], data), "four at least"),
        ((run.id, "digits"), "predictions need image files, folder:PATH, not 'digits'"),
        ((run.id, images), f"the images in {images} are folder:{images}"),
        ((run.id, "folder:/nowhere"), "/nowhere does not exist"),
        ((run.id, f"folder:{tmp_path / 'empty'}"), "empty has no images"),
        ((run.id, f"folder:{tmp_path / 'broken'}"), "x.png cannot be read as an image"),
        ((tmp_path / "alone.safetensors", data), "needs the best.json that was written with it"),
        ((tmp_path / "none.safetensors", data), "needs the best.json"),
    ):
        done = call(*words, "--to", tmp_path / "found.csv")
        assert done.exit_code == 2, done.output
        assert message in done.output
        assert "Traceback" not in done.output
        assert not (tmp_path / "found.csv").exists()


def test_a_network_outlives_its_data(images: Path, tmp_path: Path) -> None:
    """Whose classes its run has written down: the folder may change, and go."""
    images = shutil.copytree(images, tmp_path / "own")
    run = trained(f"folder:{images}", image_size=16)
    new = tmp_path / "new" / "green"
    shutil.copytree(images / "green", new)
    told = []
    for change in (lambda: None, (images / "red" / "3.png").unlink, lambda: shutil.rmtree(images)):
        change()
        done = call(run.id, f"folder:{new.parent}", "--to", tmp_path / "new.csv", "--force")
        assert done.exit_code == 0, done.output
        told.append((tmp_path / "new.csv").read_text())
    assert "green" in told[0]
    assert told == [told[0]] * 3
    assert class_table([run])["class"].tolist() == ["blue", "green", "red"]
    with pytest.raises(FileNotFoundError, match="is not there: put it back"):
        data_of(dataclasses.replace(run, env={}))


@pytest.mark.slow
def test_an_evolved_file(images: Path, tmp_path: Path) -> None:
    """``best.safetensors`` with its record; another file in its place is refused."""
    from safetensors.torch import save_file

    files = []
    for seed in range(6):
        net = nslab.build_network("mlp", (3, 16, 16), 3, seed)
        files.append(tmp_path / f"{seed}.safetensors")
        save_file(net.state_dict(), files[-1])
    out = tmp_path / "evolved"
    nslab.evolve_checkpoints("mlp", [str(f) for f in files], str(images), out=str(out), batches=1,
                             generations=1, batch_size=8, image_size=16, show=False)  # fmt: skip
    best = out / "best.safetensors"
    assert call(best, f"folder:{images}", "--to", tmp_path / "found.csv").exit_code == 0
    assert len(pd.read_csv(tmp_path / "found.csv")) == 36
    assert trained_network(str(best)).dataset.classes == ("blue", "green", "red")
    best.write_bytes(files[0].read_bytes())
    done = call(best, f"folder:{images}", "--to", tmp_path / "other.csv")
    assert "is not the file that" in done.output
