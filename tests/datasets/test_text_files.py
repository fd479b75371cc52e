"""Texts in files of every form that people have them in."""

import bz2
import csv
import gzip
import io
import lzma
import os
import tarfile
import warnings
from collections import Counter
from pathlib import Path

import pytest
from text_helpers import rows, write_csv

from nslab.datasets import MissingDataset, dataset_of, load, resolved, text_sets
from nslab.datasets.provenance import data_digest, provenance_of
from nslab.datasets.text_report import report

NEWS = [(str(k % 4 + 1), f"Title {k}", f'news of "{k}",\nline two') for k in range(24)]
TITLED = [f'Title {k} . news of "{k}",\nline two' for k in range(24)]


@pytest.fixture(autouse=True)
def data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for data."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("NSLAB_DATA", str(folder))
    return folder


def as_csv(table: list[tuple[str, ...]]) -> bytes:
    """A CSV as text."""
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL).writerows(table)
    return out.getvalue().encode()


def archive(file: Path, members: dict[str, bytes]) -> None:
    """An archive of such files."""
    with tarfile.open(file, "w:gz") as packed:
        for name, content in members.items():
            about = tarfile.TarInfo(name)
            about.size = len(content)
            packed.addfile(about, io.BytesIO(content))


def test_news_in_every_form(data: Path) -> None:
    """As released without names of columns, labels from 1; compressed; in an archive; with names
    and labels from 0, or names of classes: the same data by digest."""
    train, test = NEWS[:16], NEWS[16:]
    headed = [("Class Index", "Title", "Description"), *train]
    names = ("World", "Sports", "Business", "Sci/Tech")
    told = [(names[int(k) - 1].lower(), f"{t} . {x}") for k, t, x in test]
    forms: list[dict[str, bytes]] = [
        {"ag_news_csv/train.csv": as_csv(train), "ag_news_csv/test.csv": as_csv(test)},
        {"ag_news/train_part.csv.xz": lzma.compress(as_csv(headed)),
         "ag_news/test.csv.gz": gzip.compress(as_csv(test))},
        {"AG_NEWS/train.csv": b"\xef\xbb\xbf" + as_csv([("label", "other", "text"), *(
            (str(int(k) - 1), "9", f"{t} . {x}") for k, t, x in train)]),
         "AG_NEWS/test.csv.bz2": bz2.compress(as_csv([("LABEL ", "text"), *told]))},
    ]  # fmt: skip
    digests = set()
    for k, files in enumerate(forms):
        for name, content in files.items():
            (data / str(k) / name).parent.mkdir(parents=True, exist_ok=True)
            (data / str(k) / name).write_bytes(content)
    (data / "3").mkdir()
    archive(data / "3" / "ag_news_csv.tar.gz", forms[0])
    for k in range(4):
        found = load("ag_news", data / str(k))
        assert found.arrays.train_x.tolist() == TITLED[:16]
        assert found.arrays.test_y.tolist() == [k % 4 for k in range(16, 24)]
        assert found.dataset.classes == names
        assert (found.dataset.layout.train, found.dataset.layout.test) == (16, 8)
        digests.add(text_sets.present("ag_news", data / str(k))[1].digest)
    assert len(digests) == 1


def test_reviews_as_files(data: Path) -> None:
    """As IMDB is released: a file a review in folders of classes, others without a label beside
    them; as a folder and as its archive."""
    members = {
        f"aclImdb/{split}/{label}/{k}_{k % 10}.txt": f"{split} {label} {k} é".encode()
        for split in ("train", "test")
        for label in ("neg", "pos")
        for k in range(3)
    }
    members |= {"aclImdb/train/unsup/1_0.txt": b"nothing", "aclImdb/README": b"read me"}
    for name, content in members.items():
        (data / "a" / name).parent.mkdir(parents=True, exist_ok=True)
        (data / "a" / name).write_bytes(content)
    (data / "b").mkdir()
    archive(data / "b" / "aclImdb_v1.tar.gz", members)
    a, b = (load("imdb", data / place) for place in "ab")
    assert a.arrays.train_x.tolist() == [
        f"train {c} {k} é" for c in ("neg", "pos") for k in (0, 1, 2)
    ]
    assert a.arrays.test_y.tolist() == [0, 0, 0, 1, 1, 1]
    assert a.dataset.classes == ("negative", "positive")
    for split in ("train_x", "train_y", "test_x", "test_y"):
        assert getattr(a.arrays, split).tolist() == getattr(b.arrays, split).tolist()


def test_what_is_missing_is_said(data: Path, tmp_path: Path) -> None:
    """Which files are taken, where; nothing is fetched."""
    with pytest.raises(MissingDataset) as told:
        load("ag_news")
    for part in (
        str(data),
        "ag_news_csv.tar.gz",
        "train.csv and test.csv",
        "csv:PATH",
        "NSLAB_DATA",
    ):
        assert part in str(told.value)
    assert dataset_of("imdb").layout.train == 25000
    assert data_digest("imdb") is None
    assert provenance_of("imdb") == {}
    assert not list(data.iterdir())


def test_anyones_csv(tmp_path: Path) -> None:
    """One in five of each class is tested on, the same every time; labels are numbers or words."""
    table = rows(60)
    name = resolved(f"csv:{write_csv(tmp_path / 'mine.csv', table)}")
    found = load(name)
    assert found.dataset.classes == ("animals", "food", "sky")
    assert Counter(found.arrays.test_y.tolist()) == {0: 4, 1: 4, 2: 4}
    whole = [*found.arrays.train_x, *found.arrays.test_x]
    assert sorted(whole) == sorted(text for _, text in table)
    assert found.arrays.test_x.tolist() == load(name).arrays.test_x.tolist()
    places = {text: label for label, text in table}
    for text, k in zip(found.arrays.train_x, found.arrays.train_y, strict=True):
        assert places[text] == found.dataset.classes[k]
    about = provenance_of(name)
    assert (about["kind"], about["train"], about["test"]) == ("csv", 48, 12)
    numbers = [(str(10 - k % 3), text) for k, (_, text) in enumerate(table)]
    other = load(f"csv:{write_csv(tmp_path / 'n.csv', numbers)}")
    assert other.dataset.classes == ("8", "9", "10")


def test_identity_is_the_content(tmp_path: Path) -> None:
    """A file may move, be compressed, or have its columns in another order; another word is other
    data, and a file that changed is noticed."""
    table = rows(30)
    first = resolved(f"csv:{write_csv(tmp_path / 'a.csv', table)}")
    moved = tmp_path / "b.csv.xz"
    turned = [(text, "x", label) for label, text in table]
    moved.write_bytes(lzma.compress(as_csv([("Review", "id", "Sentiment"), *turned])))
    assert resolved(f"csv:{moved}").rpartition("#")[2] == first.rpartition("#")[2]
    changed = [(table[0][0], table[0][1] + " more"), *table[1:]]
    other = resolved(f"csv:{write_csv(tmp_path / 'a.csv', changed)}")
    assert other.rpartition("#")[2] != first.rpartition("#")[2]
    with pytest.raises(ValueError, match=r"are no longer those of a\.csv #"):
        load(first)
    os.remove(tmp_path / "a.csv")
    with pytest.raises(MissingDataset, match="is not there: put it back"):
        load(first)
    assert resolved(first) == first


def test_a_folder_with_its_own_test_texts(tmp_path: Path) -> None:
    """``csv:FOLDER``, of CSV files or of text files in class folders."""
    table = rows(30)
    write_csv(tmp_path / "own" / "train.csv", table[:21])
    write_csv(tmp_path / "own" / "test.csv", table[21:])
    found = load(f"csv:{tmp_path / 'own'}")
    assert found.arrays.test_x.tolist() == [text for _, text in table[21:]]
    for k, (label, text) in enumerate(table):
        file = tmp_path / "files" / ("train" if k < 21 else "test") / label / f"{k:02}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    again = load(f"csv:{tmp_path / 'files'}")
    assert sorted(again.arrays.train_x) == sorted(found.arrays.train_x)
    assert not text_sets.all_to_test_on(again.name)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"a,b\n1,2\n", "begins with the line 'a, b': name the columns there"),
        (b"label,text\n0,one\n1,two\n", "2 texts to train on, 0 to test on and 2 classes"),
        (b"label,text\n" + b"0,one\n" * 9, "and 1 classes"),
        (b"text,label\none,0\ntwo\n", "'two' has no label"),
        (b"label,text\n0,one,more\n", "cannot be read"),
        (b"label,text\n0,\xff\xfe\n", "save it as UTF-8"),
        (b"label,text\n", "has no train texts"),
    ],
)
def test_files_that_are_none(tmp_path: Path, content: bytes, message: str) -> None:
    """Each says what is wrong, and what is expected, before any run."""
    (tmp_path / "odd.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        resolved(f"csv:{tmp_path / 'odd.csv'}")


def test_other_mistakes(data: Path, tmp_path: Path) -> None:
    """No file, two files for a split, test labels nobody trains on, labels that are no classes."""
    with pytest.raises(ValueError, match="is not there: it must be a CSV"):
        resolved(f"csv:{tmp_path / 'nowhere.csv'}")
    with pytest.raises(ValueError, match="needs the path"):
        resolved("csv:")
    folder = data / "ag_news"
    for name in ("train.csv", "train_more.csv", "test.csv"):
        write_csv(folder / name, [("1", "x")])
    with pytest.raises(ValueError, match="move one of them elsewhere"):
        load("ag_news")
    os.remove(folder / "train_more.csv")
    with pytest.raises(ValueError, match="labels are 1; they must be World, Sports"):
        load("ag_news")
    os.remove(folder / "train.csv")
    with pytest.raises(ValueError, match="has no texts to train on"):
        load("ag_news")
    own = tmp_path / "own"
    write_csv(own / "train.csv", rows(9))
    write_csv(own / "test.csv", [("plants", "tree")])
    with pytest.raises(ValueError, match="test texts have the label 'plants'"):
        load(f"csv:{own}")


def test_what_is_odd_is_told(data: Path, tmp_path: Path) -> None:
    """Empty texts once; a part of a published set in provenance and report, with texts that are
    trained and tested on."""
    file = write_csv(tmp_path / "holes.csv", [*rows(30), ("sky", " ")])
    with pytest.warns(UserWarning, match="1 texts are empty"):
        name = resolved(f"csv:{file}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load(name)
    for split, part in (("train", [*NEWS[:16], NEWS[0]]), ("test", [*NEWS[16:], NEWS[1]])):
        (data / "ag_news").mkdir(exist_ok=True)
        (data / "ag_news" / f"{split}.csv").write_bytes(as_csv(part))
    assert provenance_of("ag_news")["published"] == [120000, 7600]
    said = "\n".join(report("ag_news"))
    assert "ag_news: 17 training and 9 test texts, 4 classes" in said
    assert "note: 120,000 + 7,600 texts are published, which differs from those here" in said
    assert "note: 1 test texts are also trained on" in said
    assert "note: 1 training texts repeat another" in said


@pytest.mark.parametrize("name", ["cut.csv.xz", "cut.csv.gz", "cut.tar.gz", "cut.tar"])
@pytest.mark.parametrize("content", [b"junk that is no archive", b""], ids=["junk", "empty"])
def test_damaged_files_are_told(tmp_path: Path, name: str, content: bytes) -> None:
    """Whatever they are packed by."""
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|cannot be read|no texts"):
        resolved(f"csv:{tmp_path / name}")


def test_archives_that_were_cut_short_are_told(tmp_path: Path) -> None:
    """As by an interrupted download; what systems put beside texts is none."""
    for label in ("a", "b"):
        for k in range(5):
            for split in ("train", "test"):
                file = tmp_path / "d" / split / label / f"{k}.txt"
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{label} text {k} of {split} " * 40, encoding="utf-8")
                (file.parent / f"._{k}.txt").write_bytes(b"\x00\x05\x16")
    whole = tmp_path / "whole.tar.gz"
    with tarfile.open(whole, "w:gz") as archive:
        archive.add(tmp_path / "d", "d")
    assert len(load(f"csv:{whole}").arrays.train_x) == 10
    half = tmp_path / "half.tar.gz"
    half.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    with pytest.raises(ValueError, match="damaged or incomplete"):
        resolved(f"csv:{half}")
