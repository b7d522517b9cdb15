"""Which drawings meet: samplers on drawings whose ink does not matter."""

import pytest
import torch

from siamese.characters.drawings import Drawings
from train.characters.sampling import AlphabetSampler, PairList, alphabet_sampler, pair_list, rows_of
from train.seeding import step_generator


def blank(alphabets: list[int], drawers: int) -> Drawings:
    """`alphabets` characters in each alphabet, each by `drawers` drawers, in an order that is no help."""
    alphabet, character, drawer = [], [], []
    for index, count in enumerate(alphabets):
        for _ in range(count):
            number = len(set(character))
            alphabet += [index] * drawers
            character += [number] * drawers
            drawer += range(1, drawers + 1)
    order = torch.randperm(len(drawer), generator=torch.Generator().manual_seed(5))
    ink = torch.zeros(len(drawer), 105, 105, dtype=torch.bool)
    names = tuple(f"alphabet {index}" for index in range(len(alphabets)))
    return Drawings(ink, *(torch.tensor(v)[order] for v in (alphabet, character, drawer)), names)


@pytest.fixture(scope="module")
def drawings():
    return blank([6, 9, 12, 3], 5)


@pytest.fixture(scope="module")
def sampler(drawings) -> AlphabetSampler:
    return alphabet_sampler(drawings)


@pytest.fixture(scope="module")
def pairs(drawings) -> PairList:
    return pair_list(drawings, 96, 2, seed=3)


def test_rows_of_says_where_each_label_stands():
    assert [rows.tolist() for rows in rows_of(torch.tensor([7, 2, 7, 7, 3]))] == [[1], [4], [0, 2, 3]]


def test_the_randomness_of_a_step_depends_on_seed_and_step_alone():
    steps = [(seed, step) for seed in range(5) for step in range(-9, 9)]
    draws = {tuple(torch.rand(3, generator=step_generator(*step)).tolist()) for step in steps}
    assert len(draws) == 5 * 18
    assert torch.equal(torch.rand(3, generator=step_generator(1, 2)), torch.rand(3, generator=step_generator(1, 2)))


@pytest.mark.parametrize("step", range(20))
def test_a_batch_holds_each_drawing_once_and_of_each_character_different_drawers(drawings, sampler, step):
    batch = sampler.sample(8, 3, 8, step_generator(1, step))
    assert len(batch.rows.unique()) == len(batch.rows) == 24
    assert len(batch.character.unique()) == 8
    for character in batch.character.unique():
        rows = batch.rows[batch.character == character]
        assert len(drawings.character[rows].unique()) == 1
        assert len(drawings.drawer[rows].unique()) == 3
        assert len(batch.view[batch.character == character].unique()) == 1


@pytest.mark.parametrize("step", range(20))
def test_a_batch_takes_as_few_alphabets_as_fill_it_each_in_one_view(drawings, sampler, step):
    batch = sampler.sample(8, 2, 8, step_generator(2, step))
    alphabets = drawings.alphabet[batch.rows]
    for alphabet in alphabets.unique():
        assert len(batch.view[alphabets == alphabet].unique()) == 1
    # all but the last one drawn give every character they have
    whole = [int((alphabets == a).sum()) // 2 == [6, 9, 12, 3][a] for a in alphabets.unique().tolist()]
    assert whole.count(False) <= 1


def test_alphabets_come_first_as_often_as_they_have_characters(drawings, sampler):
    first = [int(drawings.alphabet[sampler.sample(2, 2, 1, step_generator(0, step)).rows[0]]) for step in range(1500)]
    for alphabet, characters in enumerate([6, 9, 12, 3]):
        share = characters / 30  # of 1,500 draws, within four standard errors
        assert first.count(alphabet) / 1500 == pytest.approx(share, abs=4 * (share * (1 - share) / 1500) ** 0.5)


@pytest.mark.parametrize("views", [1, 4, 8])
def test_all_views_asked_for_are_seen_and_no_other(sampler, views):
    seen = {int(v) for step in range(100) for v in sampler.sample(6, 2, views, step_generator(0, step)).view}
    assert seen == set(range(views))


def test_the_same_step_gives_the_same_batch_and_another_another(sampler):
    first, again, other = (sampler.sample(8, 2, 8, step_generator(1, step)) for step in (4, 4, 5))
    assert torch.equal(first.rows, again.rows)
    assert torch.equal(first.view, again.view)
    assert not torch.equal(first.rows, other.rows)


def test_more_characters_than_there_are_are_refused(sampler):
    with pytest.raises(ValueError, match="A batch of 31 characters was asked for, the training set holds only 30"):
        sampler.sample(31, 2, 1, step_generator(0, 0))


@pytest.mark.parametrize("make", [alphabet_sampler, lambda drawings: pair_list(drawings, 4, 0, 0)])
def test_a_character_drawn_once_is_refused(make, drawings):
    one = (drawings.character == 4) & (drawings.drawer > 1)
    with pytest.raises(ValueError, match=r"drawn only once|two drawers of each"):
        make(drawings.take(~one))


def test_pairs_are_half_same_and_by_two_drawers(drawings, pairs):
    same = drawings.character[pairs.first] == drawings.character[pairs.second]
    assert torch.equal(same, pairs.same)
    assert int(same.sum()) == 48
    assert bool((drawings.drawer[pairs.first] != drawings.drawer[pairs.second]).all())


def test_pairs_treat_alphabets_alike_and_stay_within_one(drawings, pairs):
    assert torch.equal(drawings.alphabet[pairs.first], drawings.alphabet[pairs.second])
    for same in (True, False):
        assert drawings.alphabet[pairs.first][pairs.same == same].bincount().tolist() == [12, 12, 12, 12]


def test_pairs_across_alphabets_where_asked_for(drawings):
    pairs = pair_list(drawings, 400, 0, seed=3, different_within_alphabet=False)
    crossed = drawings.alphabet[pairs.first] != drawings.alphabet[pairs.second]
    assert not bool(crossed[pairs.same].any())
    assert crossed[~pairs.same].double().mean() > 0.5
    assert torch.equal(drawings.character[pairs.first] == drawings.character[pairs.second], pairs.same)


def test_alphabets_of_one_character_give_no_pairs():
    pairs = pair_list(blank([1, 2], 3), 8, 0, seed=0)
    assert bool((blank([1, 2], 3).alphabet[pairs.first] == 1).all())
    with pytest.raises(ValueError, match="Pairs need an alphabet of two characters"):
        pair_list(blank([1, 1], 3), 8, 0, seed=0)


def test_an_epoch_shows_every_pair_and_copy_once_and_the_next_in_another_order(pairs):
    def epoch(number: int) -> list[tuple[int, int, int]]:
        batches = [pairs.sample(36, step) for step in range(8 * number, 8 * number + 8)]
        return [e for b in batches for e in zip(b.first.tolist(), b.second.tolist(), b.copy.tolist(), strict=True)]

    assert len(pairs) == 288
    first, second = epoch(0), epoch(1)
    assert len({copy for _, _, copy in first if copy}) == 192
    assert sum(copy == 0 for _, _, copy in first) == 96
    assert first != second
    assert sorted(first) == sorted(second)


def test_what_fills_no_batch_is_left_out_of_an_epoch(pairs):
    """288 pairs give 2 batches of 100; step 2 begins the next epoch."""
    rest = pairs.sample(100, 2)
    order = torch.randperm(288, generator=step_generator(3, -2))[:100]
    assert torch.equal(rest.first, pairs.first[order % 96])


def test_a_list_shorter_than_a_batch_is_taken_whole(pairs):
    assert len(pairs.sample(1000, 5).first) == 288


def test_pairs_depend_on_the_seed_alone(drawings, pairs):
    again, other = pair_list(drawings, 96, 2, seed=3), pair_list(drawings, 96, 2, seed=4)
    assert torch.equal(again.second, pairs.second)
    assert not torch.equal(other.second, pairs.second)
