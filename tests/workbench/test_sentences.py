"""Sentences and tables agree with the numbers that they are computed from."""

import math

import pandas as pd

from nslab.analysis.statistics import differences
from nslab.workbench import sentences
from nslab.workbench.notebook_tables import drawn_table

RUNS = pd.DataFrame(
    {
        "dataset": "digits",
        "method": ["ce", "ns_ws"] * 3,
        "seed": [1, 1, 2, 2, 3, 3],
        "value": [90.0, 92.0, 91.0, 93.5, 92.0, 93.0],
    }
)


def test_a_ranking_averages_tasks_within_a_seed() -> None:
    """Two tasks of one seed are one of n, and their distance is no spread over seeds."""
    tasks = pd.concat([RUNS.assign(task="a"), RUNS.assign(task="b", value=RUNS["value"] - 50)])
    said = sentences.ranking(tasks)
    assert "n = 3" in said
    assert "NS-WS, 67.83 %" in said
    assert "up to 2.00 points" in said
    assert "One seed says nothing" in sentences.ranking(RUNS[RUNS["seed"] == 1])


def test_a_ranking_names_what_has_not_learnt() -> None:
    said = sentences.ranking(RUNS.assign(learnt=RUNS["method"] == "ce"))
    assert said.endswith("Not above chance: NS-WS.")
    assert "Highest" not in sentences.ranking(RUNS[RUNS["method"] == "ce"])


def test_differences_are_said_one_by_one_or_counted() -> None:
    few = differences(RUNS, "ce", ["dataset"])
    said = sentences.differences(few, ["dataset"])
    assert said.startswith("digits: NS-WS − CE: +1.83 points (95 % interval ")
    one = differences(RUNS[RUNS["seed"] == 1], "ce", ["dataset"])
    assert "so no interval" in sentences.differences(one)
    many = pd.concat([few.assign(low=low, high=low + 1) for low in (-2.0, -0.5, 1.0, 2.0, 3.0)])
    assert sentences.differences(many) == (
        "Of 5 intervals of differences to CE, 3 lie above 0, 1 lies below, and 1 contains 0."
    )
    none = pd.concat([few.assign(low=-1.0, high=1.0)] * 5)
    assert sentences.differences(none) == "All 5 intervals of differences to CE contain 0."
    single = pd.concat([few.assign(low=math.nan, high=math.nan, n=1)] * 5)
    assert "5 differences to CE, from +1.83 to +1.83 points" in sentences.differences(single)


def test_a_table_says_nothing_twice_and_hides_nothing() -> None:
    """Equal words go into the caption, numbers and rows all stay, what is not text is escaped."""
    table = RUNS.assign(note="a <b>", value=[math.nan, *RUNS["value"][1:]])
    text, plain = drawn_table(table, 1, "runs", {"value": "accuracy (%)"})
    assert "Runs; all rows: dataset: digits, note: a &lt;b&gt;" in text
    assert text.count("<tr>") == 1 + len(table)
    assert "92.0" in plain
    assert "nan" not in plain
    assert "empty" not in drawn_table(RUNS.assign(empty=""))[0]
    assert '<th style="text-align: right; white-space: normal">accuracy (%)</th>' in text
    assert "NS-WS" in plain


def test_long_words_wrap_so_that_later_columns_are_in_sight() -> None:
    """Even on pages whose tables do not wrap; numbers never do."""
    text, _ = drawn_table(pd.DataFrame({"claim": ["word " * 30, "b"], "value": [1.5, 2.0]}))
    assert text.count("white-space: normal") == 4
    assert "max-width: 24em; white-space: normal" in text
    assert '<td style="text-align: right; white-space: nowrap">1.50</td>' in text


def test_whole_floats_have_no_decimals() -> None:
    text, _ = drawn_table(pd.DataFrame({"imbalance": [100.0, 20.0], "share": [0.25, 1.0]}))
    assert ">100<" in text
    assert ">1.00<" in text


def test_one_row_keeps_its_words() -> None:
    """There is nothing that it could repeat."""
    assert ">digits<" in drawn_table(RUNS.head(1))[0]
