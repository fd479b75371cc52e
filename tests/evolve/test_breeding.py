"""Breeding: the arithmetic by hand, the hash by statistics, the compiled loop by plain torch."""

import itertools
import logging
import math
import subprocess
import sys
from collections import Counter
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from nslab.evolve import breeding
from nslab.evolve.breeding import Terms, breed
from nslab.evolve.population import Population
from nslab.rng import generator, stream_seed

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
DTYPES = [torch.float32, torch.bfloat16, torch.float64]
NEVER = 2**62


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain torch, unless a test asks for the compiled loop."""
    monkeypatch.setattr(breeding, "COMPILE_FROM", NEVER)
    monkeypatch.setattr(breeding, "BRED", Counter())


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop, also for few genes."""
    cpp_builder = pytest.importorskip("torch._inductor.cpp_builder")
    try:
        cpp_builder.get_cpp_compiler()
    except Exception as error:
        pytest.skip(f"no C++ compiler: {error}")
    monkeypatch.setattr(breeding, "COMPILE_FROM", 0)
    monkeypatch.setattr(breeding, "UNCOMPILABLE", set())


def random(np: int, d: int, dtype: torch.dtype = torch.float32) -> Population:
    """A population of normal numbers, whose spare rows are NaN."""
    population = Population.of(torch.randn(np, d, generator=generator(0, "population")).to(dtype))
    population.rows[population.spare] = torch.nan
    return population


def rand_1(np: int, f: float = 0.5, targets: Tensor | None = None) -> Terms:
    """rand/1, the picks being the next three members."""
    targets = torch.arange(np) if targets is None else targets
    picks = (targets[:, None] + torch.arange(1, 4)) % np
    return Terms(picks, torch.tensor([1.0, f, -f]).expand(len(targets), 3))


def trials(population: Population) -> Tensor:
    """All trials, in order of their targets."""
    return population.rows[population.spare.to(population.rows.device)]


def masks(d: int, cr: float, seed: int, targets: int = 1, forced: bool = False) -> Tensor:
    """Which genes come from the mutant: parents of zeros, and a last member of ones as mutant."""
    population = Population.of(torch.zeros(targets + 1, d))
    population.member(targets).fill_(1)
    terms = Terms(torch.full((targets, 1), targets), torch.ones(targets, 1))
    breed(population, terms, torch.full((targets,), cr), seed, torch.arange(targets), forced)
    return trials(population)[:targets] == 1


def hashed(gene: int, target: int, seed: int) -> int:
    """The 31 bits that decide on a gene, in Python's integers."""
    key, low = stream_seed(seed, "crossover", target), 0xFFFFFFFF
    first, second = ((word & low) ^ 0x80000000 for word in (key, key >> 31))
    x = (gene ^ first) & low
    x = (x ^ (x >> 17)) * 0xED5AD4BB & low
    x ^= second
    x = (x ^ (x >> 11)) * 0xAC4C1B51 & low
    x = (x ^ (x >> 15)) * 0x31848BAB & low
    x ^= x >> 14
    return (x ^ 0x80000000) >> 1


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
def test_mutants_by_hand(dtype: torch.dtype, device: str) -> None:
    """Cr = 1: the linear combination, slots of weight 0 anywhere; a target may be its own term."""
    x = torch.tensor([[1.0, -2.0], [4.0, 8.0], [0.5, 16.0], [-3.0, 2.0]], device=device)
    population = Population.of(x.to(dtype))
    picks = torch.tensor([[1, 2, 3], [0, 3, 3], [2, 0, 1], [3, 0, 0]])
    weights = torch.tensor([[1, 0.5, -0.5], [0, 2, 0], [0.5, 0, 0.25], [0, 0, 0]])
    breed(population, Terms(picks, weights), torch.ones(4), 7, torch.arange(4))
    expected = torch.tensor([[5.75, 15.0], [-6.0, 4.0], [1.25, 10.0], [0.0, 0.0]])
    assert torch.equal(trials(population).cpu(), expected.to(dtype))
    assert torch.equal(population.x().cpu(), x.cpu().to(dtype))


@pytest.mark.parametrize("dtype", DTYPES)
def test_mutants_against_float64(dtype: torch.dtype) -> None:
    """Five terms of any weight, to the precision of the population (bfloat16: rounded once)."""
    population, gen = random(6, 999, dtype), generator(1)
    picks = torch.stack([torch.randperm(6, generator=gen)[:5] for _ in range(6)])
    weights = torch.randn(6, 5, generator=gen, dtype=torch.float64)
    breed(population, Terms(picks, weights), torch.ones(6), 7, torch.arange(6))
    terms = weights[:, :, None] * population.x().double()[picks]
    eps = 2e-16 if dtype == torch.float64 else 1.2e-7
    bound = 5 * eps * terms.abs().sum(1)
    if dtype == torch.bfloat16:
        bound += 2**-8 * terms.sum(1).abs()  # half a unit in the last place
    assert ((trials(population).double() - terms.sum(1)).abs() <= bound).all()


def test_unused_members_and_parents_do_not_leak() -> None:
    """Neither NaN in a slot of weight 0, nor an infinite mutant where Cr = 0, nor NaN parents where
    Cr = 1; parents are kept to the bit."""
    population = random(5, 64)
    population.member(4).fill_(torch.nan)
    population.member(0)[:3] = torch.tensor([-0.0, torch.inf, torch.nan])
    picks = torch.tensor([[1, 4, 2], [4, 4, 4], [1, 3, 4]])
    weights = torch.tensor([[1.0, 0, 1], [torch.inf, 1, 1], [1, 1, 0]])
    targets = torch.tensor([4, 0, 1])
    breed(population, Terms(picks, weights), torch.tensor([1.0, 0, 1]), 3, targets)
    assert torch.equal(population.trial(4), population.member(1) + population.member(2))
    kept, parent = population.trial(0), population.member(0)
    assert torch.equal(kept.view(torch.int32), parent.view(torch.int32))
    assert population.trial(1).isfinite().all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("np", [1, 4])
@pytest.mark.parametrize("d", [1, 2, 1000])
@pytest.mark.parametrize("forced", [False, True])
def test_sizes(np: int, d: int, dtype: torch.dtype, forced: bool) -> None:
    """Each gene is the mutant's or the parent's, the mask is the hash's; members stay."""
    population = random(np, d, dtype)
    x, terms, cr, targets = population.x(), rand_1(np), torch.full((np,), 0.4), torch.arange(np)
    breed(population, terms, torch.ones(np), 5, targets)
    mutants = trials(population)
    breed(population, terms, cr, 5, targets, forced)
    limit = round(0.4000000059604645 * 2**31)
    mask = torch.tensor([[hashed(j, t, 5) < limit for j in range(d)] for t in range(np)])
    if forced:
        for t in range(np):
            mask[t, stream_seed(5, "forced gene", t) % d] = True
    assert torch.equal(trials(population), torch.where(mask, mutants, x))
    assert torch.equal(population.x(), x)


def test_a_subset_is_bred_as_among_all() -> None:
    """Any targets in any order: their rows get what they always get, other rows nothing."""
    whole, part = random(6, 300), random(6, 300)
    cr = torch.linspace(0, 1, 6)
    breed(whole, rand_1(6), cr, 11, torch.arange(6))
    targets = torch.tensor([4, 1, 2])
    before = part.rows.clone()
    breed(part, rand_1(6, targets=targets), cr[targets], 11, targets)
    expected = before.clone()
    expected[part.spare[targets]] = trials(whole)[targets]
    torch.testing.assert_close(part.rows, expected, rtol=0, atol=0, equal_nan=True)
    none = torch.empty(0, dtype=torch.long)
    breed(part, Terms(none.view(0, 3), torch.empty(0, 3)), torch.empty(0), 11, none)
    torch.testing.assert_close(part.rows, expected, rtol=0, atol=0, equal_nan=True)


def test_generations_follow_the_indices() -> None:
    """Trials that won are members, so they are read, and their parents' rows are written."""
    population = random(4, 50)
    breed(population, rand_1(4), torch.ones(4), 0, torch.arange(4))
    won = torch.tensor([True, False, True, False])
    after = population.accept(won)
    x = after.x()
    assert torch.equal(x[0], population.trial(0))
    breed(after, rand_1(4), torch.ones(4), 1, torch.arange(4))
    expected = torch.stack([x[(t + 1) % 4] + 0.5 * x[(t + 2) % 4] for t in range(4)])
    expected -= 0.5 * x[(torch.arange(4) + 3) % 4]
    torch.testing.assert_close(trials(after), expected)
    assert torch.equal(after.x(), x)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut anywhere, a generation is the same; numbers of genes reach 32 bits."""
    results = []
    for size in (1, 2**16):
        monkeypatch.setattr(breeding, "CACHED_PLAIN", size)
        population = random(3, 3001)
        breed(population, rand_1(3), torch.full((3,), 0.3), 2, torch.arange(3), forced=True)
        results.append(trials(population))
    assert torch.equal(*results)

    population = Population.of(torch.tensor([[0.0], [1.0]]).expand(2, 64))
    terms, zero = Terms(torch.ones(1, 1).long(), torch.ones(1, 1)), torch.zeros(1).long()
    ((_, group),) = breeding._groups(population, terms, torch.tensor([0.5]), 9, zero)
    for start in (2**31 - 20, 2**32 - 64):
        counter = breeding._counter(start, torch.device("cpu"))
        breeding._block(population.rows, population.rows, counter, *group)
        expected = [float(hashed(start + j, 0, 9) < 2**30) for j in range(64)]
        assert population.trial(0).tolist() == expected


@pytest.mark.parametrize("cr", [0.0, 2**-18, 0.05, 0.15, 1 / 3, 0.5, 0.9, 1 - 2**-18, 1.0])
def test_share_of_mutant_genes(cr: float) -> None:
    """Binomial: each target within 5 standard deviations, all together too; 0 and 1 exactly."""
    mask = masks(2**19, cr, seed=1, targets=8).double()
    for share, n in ((mask.mean(1), 2**19), (mask.mean(), 2**22)):
        assert ((share - cr).abs() <= 5 * math.sqrt(cr * (1 - cr) / n)).all()


@pytest.mark.parametrize("cr", [0.05, 0.5, 0.9])
def test_genes_targets_and_seeds_are_independent(cr: float) -> None:
    """No correlation between genes at any distance, of one target or two, of one seed or two; as
    many runs as chance makes; no share that depends on the gene's number modulo 2^k."""
    n = 2**19
    every = torch.cat([masks(n, cr, seed, targets=3) for seed in (4, 5)]).double()
    every = (every - cr) / math.sqrt(cr * (1 - cr))
    waves = torch.fft.rfft(every)
    for i, j in itertools.combinations_with_replacement(range(6), 2):
        r = torch.fft.irfft(waves[i] * waves[j].conj(), n) / math.sqrt(n)  # at all distances
        if i == j:
            r[0] = 0
        assert r.abs().max() < 6.8, (i, j)  # chance: 1e-11 each, 1e-4 in all
        assert r[:17].abs().max() < 5, (i, j)
    z = every[:4]
    mask = z > 0
    runs = (mask[:, 1:] & ~mask[:, :-1]).sum(1).double()
    p = cr * (1 - cr)
    assert ((runs - n * p).abs() < 5 * math.sqrt(n * p)).all()
    for k in range(1, 15):
        chi2 = z.view(4, -1, 2**k).sum(1).square().sum(1) * 2**k / n
        assert ((chi2 - 2**k).abs() < 5.5 * math.sqrt(2 * 2**k) + 15).all(), k
        chi2 = z.view(4, 2**k, -1).sum(2).square().sum(1) * 2**k / n
        assert ((chi2 - 2**k).abs() < 5.5 * math.sqrt(2 * 2**k) + 15).all(), k


def test_triples_of_genes_and_seeds_are_independent() -> None:
    """All eight patterns of three neighbours, and of three seeds, are equally frequent."""
    n = 2**19
    a, b, c = (masks(n, 0.5, seed).long()[0] for seed in (0, 1, 2))
    for x, y, z in ((a, b, c), (a[:-2], a[1:-1], a[2:])):
        counts = torch.bincount(4 * x + 2 * y + z, minlength=8).double()
        assert ((counts - n / 8).square().sum() / (n / 8)) < 45


def test_forced_gene() -> None:
    """Cr = 0: one gene, which differs between targets and seeds and falls anywhere."""
    where = []
    for seed in range(40):
        mask = masks(16, 0.0, seed, targets=20, forced=True)
        assert (mask.sum(1) == 1).all()
        where.append(mask.long().argmax(1))
    counts = torch.bincount(torch.stack(where).flatten(), minlength=16).double()
    assert (counts - 50).square().sum() / 50 < 45
    assert masks(16, 1.0, 0, forced=True).all()
    plain, forced = masks(64, 0.3, 1, 50), masks(64, 0.3, 1, 50, forced=True)
    assert (forced & ~plain).sum(1).max() == 1
    assert not (plain & ~forced).any()


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("device", DEVICES)
def test_compiled_loop_agrees_with_plain_torch(
    dtype: torch.dtype, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To the bit, for 1, 3 and 5 terms, one target and many, several blocks, NaN and infinity."""
    weights = torch.tensor([[1, 0, 0.3, 0, -0.3], [0, 0.7, 0, 0, 0], [1, 0.2, -0.2, 0.1, -0.1]])
    kinds = torch.tensor([0, 0, 1, 2, 1, 1])
    picks = (torch.arange(6)[:, None] + torch.arange(1, 6)) % 6
    results = []
    for start in (0, NEVER):
        monkeypatch.setattr(breeding, "COMPILE_FROM", start)
        population = random(6, 50_001, dtype)
        population.rows[2, ::7], population.rows[3, ::11] = torch.inf, torch.nan
        population.rows[1, ::5] = -0.0
        rows = population.rows.to(device)
        population = Population(rows, population.members, population.spare)
        terms, cr = Terms(picks, weights[kinds]), torch.linspace(0, 1, 6)
        breed(population, terms, cr, 8, torch.arange(6), forced=True)
        results.append(population.rows.cpu())
    assert not breeding.UNCOMPILABLE
    assert torch.equal(results[0].isnan(), results[1].isnan())
    first, second = (r.nan_to_num(9.0) for r in results)
    assert torch.equal(first.view(torch.uint8), second.view(torch.uint8))


@pytest.mark.usefixtures("compiled")
def test_nothing_is_compiled_anew() -> None:
    """Other seeds, weights, rates, generations, numbers of genes, members and targets."""
    from torch._dynamo.utils import counters

    def graphs() -> int:
        return counters["stats"]["unique_graphs"]

    seen = []
    for np, d, t in ((6, 5000, 6), (6, 5000, 4), (6, 7777, 6), (9, 200_000, 9), (5, 1024, 2)):
        population = random(np, d)
        for seed in range(3):
            targets, cr = torch.arange(t), torch.full((t,), 0.1 * seed)
            breed(population, rand_1(np, 0.1 + seed, targets), cr, seed, targets)
            population = population.accept(torch.arange(np) % 2 == seed % 2)
        seen.append(graphs())
    assert not breeding.UNCOMPILABLE
    assert seen[-1] == seen[0]


def test_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Said once in the log, without a warning; then plain torch."""
    tried = []

    def failing(*args: object) -> Callable[..., None]:
        def block(*args: object) -> None:
            tried.append(1)
            raise RuntimeError("no C++ compiler found")

        return block

    expected, population = random(4, 2000), random(4, 2000)
    arguments = (rand_1(4), torch.full((4,), 0.3), 1, torch.arange(4))
    breed(expected, *arguments)
    monkeypatch.setattr(breeding, "COMPILE_FROM", 0)
    monkeypatch.setattr(breeding, "UNCOMPILABLE", set())
    monkeypatch.setattr(breeding, "_compiled", failing)
    with caplog.at_level(logging.INFO, logger="nslab"):
        for _ in range(3):
            breed(population, *arguments)
    assert torch.equal(population.rows, expected.rows)
    assert len(tried) == 1
    assert [r.levelname for r in caplog.records] == ["INFO"]
    assert "no C++ compiler found" in caplog.text


MEMORY = """
import torch
from nslab.evolve.breeding import Terms, breed
from nslab.evolve.population import Population
from nslab.system.timing import resident_peak
torch.set_num_threads(1)
def one(d):
    rows = torch.zeros(20, d).fill_(1)  # twice a population, in memory before anything is measured
    population = Population(rows, torch.arange(10), torch.arange(10, 20))
    before = resident_peak()
    picks = (torch.arange(10)[:, None] + torch.arange(1, 4)) % 10
    terms = Terms(picks, torch.tensor([1, 0.5, -0.5]).expand(10, 3))
    breed(population, terms, torch.full((10,), 0.3), 1, torch.arange(10))
    return resident_peak() - before
one(1000)
print(one(2_000_000))
"""


def test_memory() -> None:
    """Plain torch needs less than half a population beside its rows: 40 MB of 80."""
    code = "from nslab.evolve import breeding as g; g.COMPILE_FROM = 2**62\n" + MEMORY
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 40e6


def test_wrong_arguments_are_refused(as_users_call: None) -> None:
    population, terms, cr, targets = random(4, 8), rand_1(4), torch.ones(4), torch.arange(4)
    for bad in (targets[:3], targets.int(), targets + 1, targets - 1, targets[:, None]):
        with pytest.raises(ValueError, match="4 members below 4"):
            breed(population, terms, cr, 0, bad)
    with pytest.raises(ValueError, match="no target twice"):
        breed(population, terms, cr, 0, torch.tensor([0, 1, 2, 2]))
    for change in (-4, 4):
        with pytest.raises(ValueError, match="picks must be members"):
            breed(population, Terms(terms.picks + change, terms.weights), cr, 0, targets)
    for bad in (cr[:3], cr[:, None], cr.long(), cr * 1.01, cr * torch.nan, cr - 1.01):
        with pytest.raises(ValueError, match=r"4 crossover rates in \[0, 1\]"):
            breed(population, terms, bad, 0, targets)
    for picks, weights in (
        (terms.picks[:, :2], terms.weights),
        (terms.picks[0], terms.weights[0]),
        (terms.picks[:, :0], terms.weights[:, :0]),
    ):
        with pytest.raises(ValueError, match="of one shape"):
            Terms(picks, weights)
    with pytest.raises(ValueError, match="picks must be int64"):
        Terms(terms.picks.int(), terms.weights)
    with pytest.raises(ValueError, match="weights floats"):
        Terms(terms.picks, terms.weights.long())
    large = Population.of(torch.empty(4, 2**32 + 1, device="meta"))
    with pytest.raises(ValueError, match="too many for the hash"):
        breed(large, terms, cr, 0, targets)
    assert trials(population).isnan().all()


def test_long_evolutions_are_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small populations once plain torch has bred so many genes that compiling would have paid, by
    each number of terms for itself; tiny ones never."""
    compiled = []

    def counting(terms: int, single: bool, dtype: torch.dtype) -> Callable[..., None]:
        compiled.append((terms, single, dtype))
        return breeding._block

    monkeypatch.setattr(breeding, "COMPILE_AFTER", 5 * 4 * 2000)
    monkeypatch.setattr(breeding, "_compiled", counting)
    population, tiny = random(4, 2000), random(4, 1000)
    for seed in range(6):
        for some in (population, tiny):
            breed(some, rand_1(4), torch.full((4,), 0.3), seed, torch.arange(4))
        assert bool(compiled) == (seed >= 4)
    assert set(compiled) == {(3, False, torch.float32)}
    breed(population, rand_1(4, targets=torch.arange(1)), torch.ones(1), 0, torch.arange(1))
    assert set(compiled) == {(3, False, torch.float32)}
