"""One generation of differential evolution: mutate and cross over, in one pass over memory.

The arithmetic is a single pure function of a block of genes. For large populations and long
evolutions `torch.compile` turns it into one loop, whose intermediate results never leave the
processor's registers. Where that fails (no C++ compiler, say), or compiling would take longer than
it saves, plain torch runs the same function on blocks that fit the cache, several times slower and
with the same result.
"""

import functools
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import NamedTuple, no_type_check

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.dlpack import from_dlpack

from nslab.evolve.population import Population
from nslab.rng import stream_seed

LOG = logging.getLogger(__name__)
COMPILE_FROM = 2**22  # genes in one call for which compiling, which takes seconds, is worth it
# Smaller calls compile once they have bred this many genes in total. By then plain torch has lost
# as much time as compiling takes, so at worst it takes twice the time of the better choice.
COMPILE_AFTER = 2**30
MAX_GENES = 2**32  # beyond that, counters of the hash would repeat
# Numbers in a block: in all rows for the compiled loop, in the trials alone for plain torch.
CACHED, CACHED_PLAIN, ON_ACCELERATOR = 2**21, 2**17, 2**24
WORDS = {torch.bfloat16: torch.int16, torch.float32: torch.int32, torch.float64: torch.int64}
UNCOMPILABLE: set[str] = set()  # kinds of device for which compiling failed
BRED: Counter[tuple] = Counter()  # genes bred in this process, by device and variant of the loop


@dataclass(frozen=True, eq=False)
class Terms:
    """Mutants as linear combinations: that of target t is sum_k weights[t, k] member(picks[t, k]).

    Members with weight 0 are not read.
    """

    picks: Int[Tensor, "t k"]
    weights: Float[Tensor, "t k"]

    def __post_init__(self) -> None:
        picks, weights = self.picks, self.weights
        if picks.dim() != 2 or picks.shape != weights.shape or not picks.shape[1]:
            raise ValueError(
                "picks and weights must be matrices (targets, terms) of one shape, not "
                f"{tuple(picks.shape)} and {tuple(weights.shape)}"
            )
        if picks.dtype != torch.int64 or not weights.is_floating_point():
            raise ValueError(
                f"picks must be int64 and weights floats, not {picks.dtype} and {weights.dtype}"
            )


def breed(
    population: Population,
    terms: Terms,
    cr: Float[Tensor, " t"],
    seed: int,
    targets: Int[Tensor, " t"],
    forced: bool = False,
) -> None:
    """Write each target's trial into its spare row; members are not changed.

    A gene comes from the mutant with probability ``cr`` (rounded to 2^-31), else from the target.
    A hash of gene, target and ``seed`` decides which, so that the choice is the same on every
    device and in every process. ``forced``: one gene of each trial, chosen by the seed too, always
    comes from the mutant. bfloat16 genes are computed in float32 and rounded once.

    Raises ``ValueError`` for arguments that do not fit the population or one another.
    """
    _check(population, terms, cr, targets)
    with torch.no_grad():
        for chosen, group in _groups(population, terms, cr, seed, targets.cpu()):
            if not _run_compiled(population.rows, group):
                genes = _block_length(population.rows, CACHED_PLAIN // len(group.out))
                for a in range(0, population.genes, genes):
                    part = population.rows[:, a : a + genes]
                    _block(part, part, _counter(a, part.device), *group)
            if forced:
                _force(population.rows, seed, chosen, group)


class Group(NamedTuple):
    """Targets whose mutants have the same number of terms; tensors on the population's device."""

    out: Int[Tensor, " t"]  # rows to write; the rest says what to read
    parent: Int[Tensor, " t"]
    picks: tuple[Int[Tensor, " t"], ...]
    weights: tuple[Float[Tensor, "t 1"], ...]
    keys: tuple[Int[Tensor, "t 1"], ...]
    limit: Int[Tensor, "t 1"]  # genes whose hash is below it come from the mutant


@no_type_check  # traced by the compiler
def _mutant(parts, weights):
    """sum_k weights[k] parts[k], in the precision of the weights."""
    total = None
    for part, weight in zip(parts, weights, strict=True):
        term = part.to(weight.dtype) * weight
        total = term if total is None else total + term
    return total


@no_type_check  # traced by the compiler
def _block(read, write, start, out, parent, picks, weights, keys, limit):
    """Breed the genes from ``start`` on: read rows of ``read``, write other rows of ``write``.

    The hash is a 32-bit mixer of three rounds (Wellons' triple32) with keys before the first two.
    It maps counters one to one, so over all of them each value occurs once. Two rounds would be
    cheaper, but leave correlations of 1 % between genes at certain distances. Genes are selected
    bit by bit under a mask, because torch.where in plain torch branches at every gene. For 16-bit
    words the compiler has no fast loop, so compiled code uses torch.where there.
    """
    x = torch.arange(read.shape[1], dtype=torch.int32, device=read.device) + start
    x = x ^ keys[0]
    x ^= (x >> 17) & 0x7FFF  # an unsigned shift
    x *= 0xED5AD4BB - 2**32
    x ^= keys[1]
    x ^= (x >> 11) & 0x1FFFFF
    x *= 0xAC4C1B51 - 2**32
    x ^= (x >> 15) & 0x1FFFF
    x *= 0x31848BAB
    x ^= (x >> 14) & 0x3FFFF
    x >>= 1
    x -= limit
    x >>= 31  # all bits set where the hash is below the limit
    mutant = _mutant([read.index_select(0, p) for p in picks], weights).to(read.dtype)
    kept = read.index_select(0, parent)  # [DE Eq. 1]
    if read.dtype == torch.bfloat16 and torch.compiler.is_compiling():
        write[out] = torch.where(x < 0, mutant, kept)
        return
    word = WORDS[read.dtype]
    bits, kept = mutant.view(word), kept.view(word)
    bits ^= kept
    bits &= x.to(word)
    bits ^= kept
    write[out] = mutant


@functools.cache
def _compiled(terms: int, single: bool, dtype: torch.dtype) -> Callable[..., None]:
    """`_block` compiled for a number of terms, for a single target or several, and a type of genes;
    all other sizes may vary. Each variant has a code object of its own, since torch gives up on one
    that it has compiled a few times."""
    name = f"_block_{terms}_{single}_{str(dtype).removeprefix('torch.')}"
    code = _block.__code__.replace(co_name=name)
    return torch.compile(FunctionType(code, globals(), name), dynamic=True, fullgraph=True)


def _run_compiled(rows: Float[Tensor, "rows d"], group: Group) -> bool:
    """Breed a group with the compiled loop; False if that is not worth it or does not compile."""
    d, kind, at_once = rows.shape[1], rows.device.type, len(group.out) * rows.shape[1]
    if d < 1024 or kind in UNCOMPILABLE:
        return False
    loop = (len(group.picks), len(group.out) == 1, rows.dtype)
    BRED[kind, *loop] += at_once
    if at_once < COMPILE_FROM and BRED[kind, *loop] < COMPILE_AFTER:
        return False
    genes = min(_block_length(rows, CACHED // len(rows)), (d + 1) // 2)  # never all in one part
    genes += -genes % 16
    starts = range(0, d - 16, genes)
    try:
        # Rows that are written are never read. By DLPack the compiler does not know that both are
        # the same memory, so it need not buffer results until all rows have been read.
        write = from_dlpack(rows)
        block = _compiled(*loop)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for a, b in zip(starts, [*starts[1:], d], strict=True):
                block(rows[:, a:b], write[:, a:b], _counter(a, rows.device), *group)
    except Exception as error:  # whatever a compiler can fail with
        LOG.info("generations on %s are not compiled, which is slower: %s", kind, error)
        UNCOMPILABLE.add(kind)
        return False
    return True


def _block_length(rows: Tensor, on_cpu: int) -> int:
    """Number of genes in a block."""
    return max(256, on_cpu if rows.device.type == "cpu" else ON_ACCELERATOR // len(rows))


def _counter(gene: int, device: torch.device) -> Int[Tensor, ""]:
    """The number of a gene in 32 bits; a tensor, since a new number would be compiled anew."""
    return torch.tensor((gene + 2**31) % 2**32 - 2**31, dtype=torch.int32, device=device)


def _groups(
    population: Population,
    terms: Terms,
    cr: Float[Tensor, " t"],
    seed: int,
    targets: Int[Tensor, " t"],
) -> Iterator[tuple[Int[Tensor, " t"], Group]]:
    """The targets, grouped by the number of their terms: which they are, and their `Group`."""
    rows = population.rows
    used = terms.weights.cpu() != 0
    first = (~used).long().argsort(dim=1, stable=True)
    picks = population.members[terms.picks.cpu().gather(1, first)]
    precision = torch.float64 if rows.dtype == torch.float64 else torch.float32
    weights = terms.weights.cpu().gather(1, first).to(precision)
    keys = [stream_seed(seed, "crossover", t) for t in targets.tolist()]
    words = torch.tensor([[key & 0xFFFFFFFF, key >> 31] for key in keys]).view(-1, 2)
    words = (words - 2**31).to(torch.int32)
    limit = ((cr.cpu().double() * 2**31).round().long() - 2**30).to(torch.int32)

    def columns(x: Tensor, chosen: Tensor, k: int) -> Iterator[Tensor]:
        return (x[chosen, i, None].to(rows.device) for i in range(k))

    count = used.sum(1).clamp(min=1)
    for k in count.unique().tolist():
        t = (count == k).nonzero()[:, 0]
        group = Group(
            population.spare[targets[t]].to(rows.device),
            population.members[targets[t]].to(rows.device),
            tuple(p[:, 0] for p in columns(picks, t, k)),
            tuple(columns(weights, t, k)),
            tuple(columns(words, t, 2)),
            limit[t, None].to(rows.device),
        )
        yield targets[t], group


def _force(rows: Tensor, seed: int, targets: Int[Tensor, " t"], group: Group) -> None:
    """Take one gene of each trial from the mutant."""
    drawn = [stream_seed(seed, "forced gene", t) % rows.shape[1] for t in targets.tolist()]
    genes = torch.tensor(drawn, device=rows.device)
    weights = [w[:, 0] for w in group.weights]
    rows[group.out, genes] = _mutant([rows[p, genes] for p in group.picks], weights).to(rows.dtype)


def _check(population: Population, terms: Terms, cr: Tensor, targets: Tensor) -> None:
    """Raise ``ValueError`` for arguments of `breed` that do not fit."""

    def within(index: Tensor) -> bool:
        return bool(((index >= 0) & (index < population.size)).all())

    t = len(terms.picks)
    if targets.shape != (t,) or targets.dtype != torch.int64 or not within(targets):
        raise ValueError(
            f"targets must be {t} members below {population.size} (int64), one per row of the "
            f"terms, not {tuple(targets.shape)} of {targets.dtype}"
        )
    if len(targets.unique()) != t:
        raise ValueError("a member has one trial: name no target twice")
    if not within(terms.picks):
        raise ValueError(f"picks must be members: at least 0 and below {population.size}")
    if cr.shape != (t,) or not cr.is_floating_point() or not bool(((cr >= 0) & (cr <= 1)).all()):
        raise ValueError(f"cr must be {t} crossover rates in [0, 1], one per target, not {cr}")
    if population.genes > MAX_GENES:
        raise ValueError(f"{population.genes} genes are too many for the hash: at most {MAX_GENES}")
