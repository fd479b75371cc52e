"""Check the numbers transcribed from the Natural Selection paper against one another."""

from pathlib import Path

import pandas as pd
import pytest

FOLDER = Path(__file__).parents[2] / "nslab/papers/ns"
TAIL = ["value", "sd", "unit", "n", "source", "doubtful", "note"]
KEYS = {
    1: ["dataset", "network", "method", "grid"],
    2: ["dataset", "network", "method"],
    3: ["dataset", "network", "method"],
    4: ["source_domain", "target_domain", "method"],
    5: ["dataset", "imbalance", "method"],
    9: ["dataset"],
    12: ["dataset", "network", "method", "quantity"],
    13: ["dataset", "operation"],
}
KEYS |= {6: ["grid"], 7: ["sigma", "method"], 8: ["rho", "method"], 10: KEYS[2], 11: KEYS[2]}
ROWS = {1: 15, 2: 16, 3: 84, 4: 221, 5: 136, 6: 5, 7: 7, 8: 7, 9: 12, 10: 2, 11: 8, 12: 8, 13: 4}
UNITS = {12: {"MB", "s per epoch"}, 13: {"s"}}
HALF = 0.05 + 1e-6  # half of the last printed digit

# Gains printed in brackets behind the value with NS.
GAINS_1 = {"resnet18": 0.5, "swin_t": 0.5, "vmamba_t": 0.4}
GAINS_2 = {
    "cifar10": {"alexnet": 1.2, "vgg19": 0.4, "resnet110": 1.1, "resnext29": 0.3},
    "cifar100": {"alexnet": 2.2, "vgg19": 0.9, "resnet110": 1.8, "resnext29": 0.9},
}
DATASETS_3 = ("twitter1", "twitter2", "flickr", "instagram", "fi", "emoset")
GAINS_3 = dict(zip(DATASETS_3, (1.5, 1.8, 0.7, 0.6, 1.7, 1.0), strict=True))
OVERHEAD = {"cifar10": {"memory": 1.5, "time": 10.2}, "cifar100": {"memory": 1.5, "time": 12.7}}


def text(number: int) -> pd.DataFrame:
    """Read a table, every cell as text."""
    return pd.read_csv(FOLDER / f"table{number}.csv", dtype=str, keep_default_na=False)


def values(number: int) -> pd.Series:
    """Return the values of a table under its key columns."""
    table = text(number).set_index(KEYS[number])
    return pd.to_numeric(table["value"]).sort_index()


def trusted(number: int) -> pd.Series:
    """Tell for every key whether the value is there and not doubtful."""
    table = text(number).set_index(KEYS[number])
    return ((table["doubtful"] == "no") & (table["value"] != "")).sort_index()


@pytest.mark.parametrize("number", sorted(KEYS))
def test_schema(number: int) -> None:
    """Columns, keys, units and remarks have the agreed form."""
    table = text(number)
    assert list(table.columns) == KEYS[number] + TAIL
    assert len(table) == ROWS[number]
    assert not table.duplicated(KEYS[number]).any()
    assert set(table["unit"]) <= UNITS.get(number, {"%"})
    assert set(table["doubtful"]) <= {"yes", "no"}
    assert set(table["n"]) <= {"", "3", "10"}
    assert table["source"].str.startswith("NS Table ").all()
    numbers = pd.to_numeric(table["value"].replace("", None))
    spread = pd.to_numeric(table["sd"].replace("", None))
    assert (numbers.dropna() > 0).all()
    assert (spread.dropna() > 0).all()
    assert number >= 12 or (numbers.dropna() < 100).all()
    remarked = (table["doubtful"] == "yes") | (table["value"] == "")
    assert (table.loc[remarked, "note"] != "").all()


def test_table3_averages() -> None:
    """The mean of the six networks gives the printed average of all twelve columns."""
    wide = values(3).unstack("network")
    sure = trusted(3).unstack("network").all(axis=1)
    printed = wide.pop("average")
    assert (int(sure.sum()), wide.shape) == (12, (12, 6))
    assert ((wide.mean(axis=1) - printed)[sure].abs() <= HALF).all()


def test_table4_averages() -> None:
    """The mean of the twelve sub-tasks gives the printed average of all 17 rows."""
    wide = values(4).unstack("method").T
    sure = trusted(4).unstack("method").all()
    printed = wide["average", "average"]
    wide = wide.drop(columns=[("average", "average")])
    assert (int(sure.sum()), wide.shape) == (17, (17, 12))
    assert ((wide.mean(axis=1) - printed)[sure].abs() <= HALF).all()
    assert (wide.loc["ns_ws"] >= wide.max()).all()


def test_table5_order() -> None:
    """Accuracy never rises with the imbalance, and NS-LF is the best method everywhere."""
    frame = values(5).where(trusted(5)).unstack("imbalance")[["200", "100", "50", "10"]]
    steps = frame.diff(axis=1)
    assert int(steps.notna().sum().sum()) == 17 * 2 * 3 - 7
    assert not (steps < 0).any().any()
    for _, part in frame.groupby(level="dataset"):
        others = part.drop(index="ns_lf", level="method").max()
        assert (part.xs("ns_lf", level="method").iloc[0] > others).all()


def test_printed_gains() -> None:
    """Differences between NS and the baseline match the printed gains."""
    first, second, third = values(1)["imagenet"], values(2), values(3)
    for network, gain in GAINS_1.items():
        base = first[network, "ce", ""]
        assert first[network, "ns_ws", "2x2"] - base == pytest.approx(gain)
    for dataset, gains in GAINS_2.items():
        for network, gain in gains.items():
            base = second[dataset, network, "ce"]
            assert second[dataset, network, "ns_ws"] - base == pytest.approx(gain)
    for dataset, gain in GAINS_3.items():
        base = third[dataset, "average", "ce"]
        assert third[dataset, "average", "ns_lf"] - base == pytest.approx(gain)


def test_table9_means() -> None:
    """The means of the stability table follow from the tables that they summarise."""
    expected = {"imagenet": values(1).xs(("ns_ws", "2x2"), level=("method", "grid")).mean()}
    expected |= {name: values(3)[name, "average", "ns_lf"] for name in GAINS_3}
    expected["office_home"] = values(4)["average", "average", "ns_ws"]
    for name in ("cifar10_lt", "cifar100_lt"):
        expected[name] = values(5)[name].xs("ns_lf", level="method").mean()
    ninth, sure = values(9), trusted(9)
    assert sorted(expected) == sorted(sure.index[sure])
    assert len(expected) == 10
    for name, mean in expected.items():
        assert abs(ninth[name] - mean) <= HALF, name


def test_ablations_agree() -> None:
    """The three ablations share one setting, and rho = 0 is the plain baseline."""
    assert values(8)["0.0", "ns_ws"] == values(2)["cifar100", "resnet110", "ce"] == 70.3
    assert values(6)["2x2"] == values(7)["0.8", "ns_ws"] == values(8)["1.0", "ns_ws"] == 72.1
    assert values(2)["cifar100", "resnet110", "ns_ws"] == 72.1
    assert all(values(number).max() == 72.1 for number in (6, 7, 8))


def test_overhead() -> None:
    """Extra memory and time match the printed percentages and the printed steps."""
    cost, steps = values(12), values(13)
    for dataset, percents in OVERHEAD.items():
        base, with_ns = (cost[dataset, "resnet110", method] for method in ("ce", "ns_ws"))
        for quantity, percent in percents.items():
            assert abs(100 * (with_ns[quantity] / base[quantity] - 1) - percent) <= HALF
        extra = with_ns["time"] - base["time"]
        assert extra == pytest.approx(steps[dataset].sum(), abs=0.05)
