"""The benchmarks run and say what they promise; how fast anything is, is no matter of tests."""

import importlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
from process_helpers import python

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def quick(name: str, folder: Path) -> dict[str, Any]:
    """Results of a benchmark's smoke test, in a process where warnings are no errors."""
    file = folder / "results.json"
    done = python(BENCHMARKS / f"{name}.py", "--quick", "--json", str(file))
    assert done.returncode == 0, done.stderr
    results = json.loads(file.read_text(encoding="utf-8"))
    assert done.stdout.endswith(f"\n{results['sentence']}\n")
    assert {"device", "threads", "versions"} <= set(results["machine"])
    return results


def check_ratio(ratio: dict[str, float]) -> None:
    """Quartiles in order, positive and finite."""
    assert 0 < ratio["q1"] <= ratio["median"] <= ratio["q3"] < math.inf


def test_ns_overhead(tmp_path: Path) -> None:
    results = quick("ns_overhead", tmp_path)
    assert results["settings"]["quick"]
    variants = results["variants"]
    assert list(variants) == [
        "ce",
        "ce_again",
        "ns",
        "ns_folded",
        "ns_bf16",
        "ns_folded_bf16",
        "naive",
        "ce_nchw",
        "naive_nchw",
    ]
    for name, variant in variants.items():
        assert variant["base"] == ("ce_nchw" if "nchw" in name else "ce")
        assert variant["cpu_ms"] > 0
        check_ratio(variant["cpu_ratio"])
        check_ratio(variant["wall_ratio"])
    assert variants["ce"]["cpu_ratio"]["median"] == variants["ce_nchw"]["cpu_ratio"]["median"] == 1
    assert variants["ce"]["extra_mib"] == 0
    assert math.isfinite(variants["ns"]["extra_mib"])
    assert set(results["shares"]) == {"compositing", "scoring forward", "scores and weights"}
    for share in results["shares"].values():
        check_ratio(share)
    assert "limit of the project: +10 %" in results["sentence"]


def test_ns_texts(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="pip install transformers")
    results = quick("ns_texts", tmp_path)
    assert list(results["networks"]) == ["textcnn", "encoder"]
    for rows in results["networks"].values():
        assert list(rows) == ["ce", "ce_again", "ns_tiled", "ns_literal", "joining"]
        for row in rows.values():
            check_ratio(row["cpu_ratio"])
            check_ratio(row["wall_ratio"])


def test_loader(tmp_path: Path) -> None:
    results = quick("loader", tmp_path)
    assert results["settings"]["images"].startswith("random")
    contenders = results["contenders"]
    assert list(contenders) == ["nslab", "torchvision, 0 workers", "torchvision, 2 workers"]
    for contender in contenders.values():
        assert contender["images_per_s"] > 0
        check_ratio(contender["ratio"])
    assert contenders["nslab"]["ratio"]["median"] == 1
    assert contenders["nslab"]["cpu_s_per_image"] > 0


def test_training_loop(tmp_path: Path) -> None:
    results = quick("training_loop", tmp_path)
    assert results["settings"]["quick"]
    assert list(results["cases"]) == ["lenet5"]
    rows = results["cases"]["lenet5"]
    assert list(rows) == ["bare", "nslab", "accelerate", "torchvision"]
    for row in rows.values():
        assert row["cpu_ms"] > 0
        check_ratio(row["cpu_ratio"])
    assert rows["bare"]["cpu_ratio"]["median"] == 1
    assert "limit of the project for LeNet-5: +5 %" in results["sentence"]


def test_fast_scores(tmp_path: Path) -> None:
    results = quick("fast_scores", tmp_path)
    assert list(results["networks"]) == ["lenet5", "resnet8"]
    for row in results["networks"].values():
        assert row["correlation"] > 0.99
        assert 0 <= row["orders"] <= row["winners"] <= 1
        assert row["difference"] > 0
        check_ratio(row["cpu_ratio"])


def test_image_input(tmp_path: Path) -> None:
    """From JPEGs that it makes itself."""
    results = quick("image_input", tmp_path)
    assert results["settings"]["quick"]
    assert list(results["cases"]) == ["300x250 train", "300x250 eval"]
    for name, case in results["cases"].items():
        assert list(case["contenders"]) == ["nslab, exact", "nslab, reduced", "torchvision"]
        for contender in case["contenders"].values():
            assert contender["images_per_cpu_s"] > 0
            check_ratio(contender["cpu_ratio"])
        assert 0 <= case["difference"] < 20
        assert 0 < case["bits_per_pixel"] < 24
        assert f"{name} " in results["sentence"]


def test_de_generation(tmp_path: Path) -> None:
    results = quick("de_generation", tmp_path)
    assert results["settings"]["quick"]
    assert results["limit_ms"] > 0
    contenders = results["contenders"]
    assert list(contenders) == ["compiled", "plain", "naive", "evosax", "evox"]
    assert contenders["plain"]
    assert contenders["naive"]
    for contender in filter(None, contenders.values()):
        assert contender["ms"] > 0
        assert contender["peak"] > 0
        check_ratio(contender["ratio"])
    assert "(goal: 15)" in results["sentence"]


def test_population_forward(tmp_path: Path) -> None:
    """The benchmark itself fails if its contenders do not find the same losses."""
    results = quick("population_forward", tmp_path)
    assert results["settings"]["quick"]
    cases = results["cases"]
    assert list(cases) == ["lenet5-64", "resnet8-8", "mlp-64"]
    for name, case in cases.items():
        assert case["chosen"] in ("loop", "vmap")
        assert 0 <= case["difference"] < 1e-3
        contenders = case["contenders"]
        assert list(contenders)[:5] == ["limit", "loop", "vmap", "auto", "inherit"]
        assert list(contenders)[5:] == ["deepcopy", "vector", "stock vmap", "evox", "evosax"]
        absent = {key for key, contender in contenders.items() if contender is None}
        assert absent - {"evox", "evosax"} == (set() if "resnet" in name else {"inherit"})
        for contender in filter(None, contenders.values()):
            assert contender["ms"] > 0
            check_ratio(contender["wall_ratio"])
            check_ratio(contender["cpu_ratio"])
        # CPU time, of which other work on the machine takes no part
        limit, loop, naive = (contenders[k]["cpu_ratio"] for k in ("limit", "loop", "deepcopy"))
        assert limit["q1"] == limit["q3"] == 1
        assert loop["q3"] > 0.7
        assert loop["q1"] < (6 if name == "mlp-64" else 2.5)
        assert loop["q1"] < naive["q3"]
        assert f"{name} " in results["sentence"]


def test_edl_search(tmp_path: Path) -> None:
    """The benchmark itself fails if its contenders do not find the same losses."""
    results = quick("edl_search", tmp_path)
    assert results["settings"]["quick"]
    assert list(results["cases"]) == ["order", "log"]
    for name, case in results["cases"].items():
        assert 0 < case["difference"] < 1e-4
        contenders = case["contenders"]
        assert list(contenders) == ["nslab", "vmap", "evotorch", "evosax", "evosax map"]
        assert contenders["nslab"]
        assert contenders["vmap"]
        for key, contender in contenders.items():
            if contender is None:
                continue
            assert (contender["compiling_s"] > 0) == key.startswith("evosax")
            for part in ("fitness", "generation"):
                assert contender[part]["per_cpu_s"] > 0
                check_ratio(contender[part]["cpu_ratio"])
                check_ratio(contender[part]["wall_ratio"])
                assert len(contender[part]["cpu_ratio"]["repeats"]) == 3
            shown = contender["fitness"]["cpu_ratio"]["median"]
            assert (f"{key} {shown:.2f} (" in results["sentence"]) == (key != "nslab")
        assert f"{name}: vmap" in results["sentence"]
        # CPU time, of which other work on the machine takes no part
        assert contenders["vmap"]["fitness"]["cpu_ratio"]["median"] > 1
    for clock in ("cpu", "wall"):
        assert all(seconds > 0 for seconds in results["pretraining"][clock]["seconds"])
        check_ratio(results["pretraining"][clock]["steps"])


@pytest.mark.parametrize("part", ["losses", "fitness"])
def test_edl_search_refuses_to_time_different_losses(
    part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One loss of one candidate, or one objective, off by a thousandth of the largest."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    search = importlib.import_module("edl_search")
    problem = search.Problem.of(search.CASES["order, log p"])
    ours, other = search.nslab(problem), search.vmap(problem)
    assert search.check({"nslab": ours, "vmap": other}) < 1e-4
    found = getattr(other, part)()
    (found[1] if part == "losses" else found[None])[-1, -1] += 1e-3 * (1 + float(found[0].max()))
    wrong = other._replace(**{part: lambda: found})
    with pytest.raises(RuntimeError, match="losses by vmap differ from those of nslab"):
        search.check({"nslab": ours, "vmap": wrong})
