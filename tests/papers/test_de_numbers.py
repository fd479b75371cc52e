"""Check the numbers transcribed from the differential evolution paper against one another."""

from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "nslab/papers/de"
TAIL = ["value", "sd", "unit", "n", "source", "doubtful", "note"]
TICKS = ["de", "sade", "shade", "trigonometric", "sin_f"]
CORRUPTED = ["dataset", "network", "method", "corruption", "metric"]
KEYS = {
    "1": ["dataset", "network", "method", "metric"],
    "2": ["dataset", "network", "method", "initialization", "metric"],
    "3": ["dataset", "network", "method", "initialization", *TICKS],
    "S1": ["dataset", "network", "method", "metric"],
    "S2": ["name", "symbol"],
    "S3": ["name", "symbol"],
    "S7": ["population_size"],
    "S8": ["batch_size"],
    "S9": ["initialization"],
}
KEYS |= dict.fromkeys(("S4", "S5", "S6"), CORRUPTED)
ROWS = {"1": 44, "2": 32, "3": 8, "S1": 20, "S2": 9, "S3": 9, "S7": 4, "S8": 6, "S9": 3}
ROWS |= dict.fromkeys(("S4", "S5", "S6"), 8 * 16)
UNITS = {"1": {"%", "M parameters"}, "S1": {"%", "parameters"}, "S2": {""}, "S3": {""}}
OURS = "sa_shade_tri_ensin"
BASE = ("lenet1", "adam")  # its error is 100 % mCE
DOUBTFUL = {
    ("1", "imagenet resnet18  params"),
    ("1", f"imagenet resnet50 {OURS} top1"),
    ("2", f"imagenet resnet50 {OURS} init_rs top1"),
    ("3", "imagenet resnet50 sa_shade_ensin  no yes yes yes yes"),
    ("3", f"imagenet resnet50 {OURS}  no yes yes yes yes"),
    ("S1", "mnist lenet5  params"),
    ("S1", "fashion_mnist lenet5  params"),
    ("S1", "cifar100 lenet5  params"),
    ("S8", "256"),
    ("S8", "512"),
}
# torchvision's first ImageNet weights: parameters, top-1 and top-5 accuracy
PUBLISHED = {
    "resnet18": (11_689_512, 69.758, 89.078),
    "resnet34": (21_797_672, 73.314, 91.420),
    "resnet50": (25_557_032, 76.130, 92.862),
    "resnet101": (44_549_160, 77.374, 93.546),
}


def text(name: str) -> pd.DataFrame:
    """Read a table, every cell as text."""
    return pd.read_csv(FOLDER / f"table{name}.csv", dtype=str, keep_default_na=False)


def values(name: str) -> pd.Series:
    """Return the values of a table under its key columns."""
    table = text(name).set_index(KEYS[name])
    return pd.to_numeric(table["value"]).sort_index()


def corrupted(name: str, metric: str) -> pd.DataFrame:
    """Corruptions (16, the average among them) by network and method (4 columns)."""
    return values(name).xs(metric, level="metric").droplevel(0).unstack(["network", "method"])


def steps(name: str) -> pd.Series:
    """Values of Tables S7 and S8 by size, ascending."""
    sizes = values(name)
    return sizes.set_axis(sizes.index.astype(int)).sort_index()


@pytest.mark.parametrize("name", sorted(KEYS))
def test_schema(name: str) -> None:
    """Columns, keys, units and remarks have the agreed form."""
    table = text(name)
    assert list(table.columns) == KEYS[name] + TAIL
    assert len(table) == ROWS[name]
    assert not table.duplicated(KEYS[name]).any()
    assert set(table["unit"]) == UNITS.get(name, {"%"})
    assert set(table["doubtful"]) <= {"yes", "no"}
    assert not table[["sd", "n"]].any(axis=None)
    assert table["source"].str.match(rf"DE Table {name}, (row|column) \S").all()
    remarked = (table["doubtful"] == "yes") | (table["value"] == "")
    assert (table.loc[remarked, "note"] != "").all()
    if name not in ("S2", "S3"):
        numbers = pd.to_numeric(table["value"].replace("", None)).dropna()
        assert (numbers > 0).all()
        share = table["unit"].eq("%") & table.get("metric", pd.Series("", table.index)).ne("mce")
        assert (numbers[share[numbers.index]] < 100).all()


def test_doubtful_cells() -> None:
    """Exactly the cells that the README names are marked."""
    marked = set()
    for name, keys in KEYS.items():
        table = text(name)
        doubt = table.loc[table["doubtful"] == "yes", keys]
        marked |= {(name, " ".join(row)) for row in doubt.itertuples(index=False)}
    assert marked == DOUBTFUL


@pytest.mark.parametrize("name", ["S4", "S5", "S6"])
def test_corruption_averages(name: str) -> None:
    """The mean error of the 15 corruptions gives the printed average."""
    errors = corrupted(name, "error")
    average = errors.loc["average"]
    errors = errors.drop(index="average")
    assert errors.shape == (15, 4)
    assert ((errors.mean() - average).abs() <= 0.05 + 1e-6).all()


@pytest.mark.parametrize(("name", "base"), [("S4", "S4"), ("S5", "S5"), ("S6", "S5")])
def test_mean_corruption_error(name: str, base: str) -> None:
    """Every mCE is the ratio to LeNet-1 with Adam, and the average is the mean of the ratios."""
    errors, printed = corrupted(name, "error"), corrupted(name, "mce")
    errors, average = errors.drop(index="average"), printed.loc["average"]
    printed = printed.drop(index="average")
    against = corrupted(base, "error")[BASE].drop(index="average")
    # Bounds of the true values behind the rounded ones.
    low = (100 * (errors - 0.05)).div(against + 0.05, axis=0).clip(lower=printed - 0.5)
    high = (100 * (errors + 0.05)).div(against - 0.05, axis=0).clip(upper=printed + 0.5)
    assert low.shape == (15, 4)
    assert (low <= high + 1e-6).all(axis=None)
    assert (low.mean() <= average + 0.5 + 1e-6).all()
    assert (high.mean() >= average - 0.5 - 1e-6).all()
    if name == base:
        assert (printed[BASE] == 100).all()


def test_best_on_corrupted_images() -> None:
    """LeNet-5 evolved wins on all of CIFAR-10-C and on all but two corruptions of MNIST-C."""
    fourth, fifth, sixth = (corrupted(name, "error") for name in ("S4", "S5", "S6"))
    winners = fourth.drop(index="average").idxmin(axis=1)
    assert set(winners.index[winners != ("lenet5", "de")]) == {"scale", "canny_edges"}
    assert (fifth.idxmin(axis=1) == pd.Series([("lenet5", "de")] * 16, fifth.index)).all()
    worse = {
        (name, network, corruption)
        for name, errors in (("S4", fourth), ("S5", fifth), ("S6", sixth))
        for network in errors.columns.unique("network")
        for corruption in errors.index[errors[network, "de"] > errors[network, "adam"]]
    }
    assert worse == {
        ("S4", "lenet1", "impulse_noise"),
        ("S4", "lenet1", "fog"),
        ("S5", "lenet1", "frost"),
        ("S6", "mobilenet", "pixelate"),
    }


def test_published_models() -> None:
    """Starting points and sizes of the ResNets are those of the public weights."""
    first, second, ninth = values("1")["imagenet"], values("2"), values("S9")
    for network, (size, *accuracies) in PUBLISHED.items():
        for metric, accuracy in zip(("top1", "top5"), accuracies, strict=True):
            assert abs(first[network, "pytorch", metric] - accuracy) <= 0.005
        fits = abs(first[network, "", "params"] - size / 1e6) <= 0.05 + 1e-6
        assert fits == (network != "resnet18")
    start = first["resnet50", "pytorch"]
    for initialization in ("init_rs", "init_hp"):
        same = second["imagenet", "resnet50", "pytorch", initialization]
        assert same.to_dict() == start.to_dict()
    assert ninth["pytorch"] == start["top1"]


def test_lenet_sizes() -> None:
    """The printed number of parameters is right for LeNet-1 on MNIST and LeNet-5 on CIFAR-10."""
    lenet1 = 4 * (25 + 1) + 12 * (4 * 25 + 1) + 10 * (12 * 16 + 1)
    shapes = {"mnist": (1, 10), "fashion_mnist": (1, 10), "cifar10": (3, 10), "cifar100": (3, 100)}
    sizes = values("S1").xs(("", "params"), level=("method", "metric"))
    assert sizes["mnist", "lenet1"] == lenet1
    rows = text("S1").set_index(["dataset", "network", "metric", "method"]).sort_index()
    for dataset, (channels, classes) in shapes.items():
        convolutions = 6 * (25 * channels + 1) + 16 * (6 * 25 + 1)
        lenet5 = convolutions + 120 * (400 + 1) + 84 * (120 + 1) + classes * (84 + 1)
        row = rows.loc[(dataset, "lenet5", "params", "")]
        assert (sizes[dataset, "lenet5"] == lenet5) == (row["doubtful"] == "no")
        assert row["doubtful"] == "no" or f"LeNet-5 has {lenet5} " in row["note"]


def test_best_methods() -> None:
    """Ours leads Tables 1 and 2 in top-1, DE beats Adam in Table S1, means are below the best."""
    first = values("1")["imagenet"].drop("params", level="metric").unstack("method")
    assert first.shape == (8, 5)
    assert (first[OURS] >= first.max(axis=1)).all()
    second = values("2")["imagenet", "resnet50"].unstack("method")
    assert second.shape == (4, 8)
    assert (second[OURS] >= second.max(axis=1)).all()
    assert (second["population_mean"] < second["population_best"]).all()
    assert (second["pytorch"] < second["population_mean"]).all()
    lenets = values("S1").xs("top1", level="metric").unstack("method")
    assert (lenets["de"] > lenets["adam"]).all()


def test_ablation() -> None:
    """Ticks and values of Table 3: every component helps except the one of row 5."""
    table = text("3")
    assert table["source"].str.extract(r"row (\d)$")[0].astype(int).tolist() == [*range(1, 9)]
    assert (table[TICKS] == "yes").sum(axis=1).tolist() == [1, 1, 2, 3, 4, 4, 4, 4]
    gains = table["value"].astype(float).diff().dropna()
    assert gains.index[gains < 0].tolist() == [4]


def test_one_setting_in_several_tables() -> None:
    """Ten members without tricks appear three times; the tricks' gains agree to the last digit."""
    third = values("3").droplevel(TICKS)["imagenet", "resnet50"]
    full = third[OURS, ""]
    assert full == steps("S7")[10] == 76.568
    assert abs(values("S9")["fine_tuned"] - full) <= 0.005
    assert abs(values("1")["imagenet", "resnet50", OURS, "top1"] - full) > 0.07  # doubtful
    second = values("2")["imagenet", "resnet50", OURS].xs("top1", level="metric")
    assert abs(second["init_hp"] - third[OURS, "init_hp"]) <= 0.005
    assert 0.005 < abs(second["init_rs"] - third[OURS, "init_rs"]) <= 0.01  # doubtful
    assert steps("S7").is_monotonic_increasing
    assert steps("S8").iloc[:2].tolist() == steps("S7").iloc[:2].tolist()  # doubtful


def test_equations() -> None:
    """Equations, algorithm and figures are all listed, with a reason for each no."""
    table = pd.read_csv(FOLDER / "equations.csv", dtype=str, keep_default_na=False)
    assert list(table.columns) == ["kind", "number", "statement", "computed", "note"]
    figures = [f"Fig {n}" for n in range(1, 7)] + [f"Fig S{n}" for n in range(1, 9)]
    listed = (table["kind"] + " " + table["number"]).tolist()
    assert listed == ["Eq 1", "Eq S1", "Eq S2", "Alg 1", *figures]
    assert (table["statement"] != "").all()
    assert set(table["computed"]) <= {"yes", "no"}
    assert (table.loc[table["computed"] == "no", "note"] != "").all()
