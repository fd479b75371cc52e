"""Populations: rows that are never copied, indices that say whose they are."""

import io

import pytest
import torch

from nslab.evolve.population import Population

DTYPES = [torch.float32, torch.bfloat16, torch.float64]


def numbers(np: int, d: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Vectors that all differ."""
    return torch.arange(1.0, np * d + 1).view(np, d).to(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("np", "d"), [(1, 1), (1, 5), (4, 1), (4, 3)])
def test_of_copies_once_and_views_copy_nothing(np: int, d: int, dtype: torch.dtype) -> None:
    x = numbers(np, d, dtype).requires_grad_()
    population = Population.of(x)
    assert (population.size, population.genes) == (np, d)
    assert population.rows.shape == (2 * np, d)
    assert population.rows.dtype == dtype
    assert not population.rows.requires_grad
    assert torch.equal(population.x(), x)
    storage = population.rows.untyped_storage().data_ptr()
    assert storage != x.untyped_storage().data_ptr()
    for i in range(np):
        population.trial(i).fill_(-i - 1)
        assert torch.equal(population.member(i), x[i])
        for view in (population.member(i), population.trial(i)):
            assert view.untyped_storage().data_ptr() == storage
    assert torch.equal(population.x(), x)
    assert population.x().untyped_storage().data_ptr() != storage


def test_accept_changes_indices_only() -> None:
    """Winners' trials become members, their old rows spare; the population before stays valid."""
    before = Population.of(numbers(3, 4))
    for i in range(3):
        before.trial(i).fill_(-i - 1)
    rows, version = before.rows.clone(), before.rows._version
    after = before.accept(torch.tensor([True, False, True]))
    assert after.rows is before.rows
    assert after.rows._version == version
    assert torch.equal(after.rows, rows)
    assert after.members.tolist() == [3, 1, 5]
    assert after.spare.tolist() == [0, 4, 2]
    assert before.members.tolist() == [0, 1, 2]
    assert torch.equal(after.x(), torch.stack([rows[3], rows[1], rows[5]]))
    again = after.accept(torch.tensor([True, False, False]))
    assert again.members.tolist() == [0, 1, 5]
    assert again.spare.tolist() == [3, 4, 2]
    none = again.accept(torch.zeros(3, dtype=torch.bool))
    assert torch.equal(none.members, again.members)


@pytest.mark.parametrize("dtype", DTYPES)
def test_state_comes_back_to_the_bit(dtype: torch.dtype) -> None:
    """Members and trials, also NaN and -0, through torch.save without pickle; nothing copied."""
    population = Population.of(numbers(3, 4, dtype)).accept(torch.tensor([False, True, False]))
    population.rows[:, 0], population.rows[:, 1] = torch.nan, -0.0
    state = population.state_dict()
    assert state["rows"] is population.rows
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    back = Population.from_state(torch.load(file, weights_only=True))
    assert torch.equal(back.members, population.members)
    assert torch.equal(back.spare, population.spare)
    assert torch.equal(back.rows.view(torch.uint8), population.rows.view(torch.uint8))


def test_wrong_arguments_are_refused(as_users_call: None) -> None:
    for bad in (torch.zeros(3), torch.zeros(2, 3, 4)):
        with pytest.raises(ValueError, match="matrix"):
            Population.of(bad)
    for bad in (torch.zeros(0, 3), torch.zeros(3, 0), torch.zeros(2, 3).long()):
        with pytest.raises(ValueError, match="float32, bfloat16 or float64"):
            Population.of(bad)
    rows, two = torch.zeros(4, 3), torch.arange(2)
    for members, spare in ((two, two), (two, two + 1), (two, two + 3), (two, torch.arange(2, 5))):
        with pytest.raises(ValueError, match="each row named once"):
            Population(rows, members, spare)
    with pytest.raises(ValueError, match="4 rows evenly"):
        Population(rows, torch.arange(3), torch.tensor([3]))
    with pytest.raises(ValueError, match="members must be a vector of int64"):
        Population(rows, two.int(), two + 2)
    with pytest.raises(ValueError, match="spare must be a vector of int64"):
        Population(rows, two, two[:, None] + 2)
    population = Population(rows, two, two + 2)
    for won in (torch.zeros(3, dtype=torch.bool), torch.zeros(2), torch.zeros(1, 2) > 0):
        with pytest.raises(ValueError, match="each of the 2 members"):
            population.accept(won)
