import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from siamese.characters.drawings import Drawings
from siamese.characters.episodes import EpisodeError, Trials, correct, excluded_alphabets, sample_trials, trial_logits
from tests.networks import NARROW, narrow_network


def catalogue(sizes: list[int], drawers: int = 3) -> Drawings:
    """Blank drawings of alphabets with these numbers of characters; the rows are in no order."""
    alphabet = torch.tensor([a for a, size in enumerate(sizes) for _ in range(size * drawers)])
    character = torch.arange(sum(sizes)).repeat_interleave(drawers)
    drawer = torch.arange(1, drawers + 1).repeat(sum(sizes))
    order = torch.randperm(len(character), generator=torch.Generator().manual_seed(4))
    names = tuple("abcdefgh"[: len(sizes)])
    ink = torch.zeros(len(order), 105, 105, dtype=torch.bool)
    return Drawings(ink, alphabet[order], character[order], drawer[order], names)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@settings(max_examples=30, deadline=None)
@given(n_way=st.integers(2, 6), within=st.booleans(), seed=st.integers(0, 99), drawers=st.integers(2, 4))
def test_every_trial_is_a_fair_question(n_way, within, seed, drawers):
    drawings = catalogue([6, 7, 3], drawers)
    trials = sample_trials(drawings, n_way, 50, seeded(seed), within)
    assert trials.support.shape == (50, n_way)
    assert (len(trials), trials.n_way) == (50, n_way)
    for support, query, label in zip(
        trials.support.tolist(), trials.query.tolist(), trials.label.tolist(), strict=True
    ):
        characters = drawings.character[support].tolist()
        assert len(set(characters)) == n_way
        assert characters.index(drawings.character[query].item()) == label
        assert drawings.drawer[query] != drawings.drawer[support[label]]
        if within:
            assert len(drawings.alphabet[[*support, query]].unique()) == 1


def test_the_true_class_stands_anywhere():
    counts = sample_trials(catalogue([8, 8]), 5, 5_000, seeded(), True).label.bincount(minlength=5)
    assert counts.min() > 900  # 1000 expected, standard deviation 28
    assert counts.max() < 1_100


@pytest.mark.parametrize("within", [True, False])
def test_every_drawing_takes_part_as_support_and_as_query(within):
    drawings = catalogue([6, 6])
    trials = sample_trials(drawings, 4, 2_000, seeded(), within)
    assert set(trials.query.tolist()) == set(range(len(drawings)))
    assert set(trials.support.flatten().tolist()) == set(range(len(drawings)))


def test_alphabets_are_equally_likely_whatever_their_size():
    drawings = catalogue([4, 40])
    chosen = drawings.alphabet[sample_trials(drawings, 3, 4_000, seeded(), True).query].bincount()
    assert abs(chosen[0].item() - 2_000) < 150


def test_across_alphabets_characters_are_equally_likely():
    drawings = catalogue([4, 36])
    chosen = drawings.alphabet[sample_trials(drawings, 3, 4_000, seeded(), False).query].bincount()
    assert abs(chosen[0].item() - 400) < 100


def test_the_generator_decides():
    drawings = catalogue([9, 9])
    first, again, other = (sample_trials(drawings, 5, 40, seeded(seed), True) for seed in (3, 3, 4))
    assert torch.equal(first.support, again.support)
    assert torch.equal(first.query, again.query)
    assert not torch.equal(first.support, other.support)


def test_small_alphabets_are_left_out_and_named():
    drawings = catalogue([5, 6, 4])
    assert excluded_alphabets(drawings, 6) == ["a", "c"]
    assert excluded_alphabets(drawings, 4) == []
    trials = sample_trials(drawings, 6, 100, seeded(), True)
    assert drawings.alphabet[trials.query].unique().tolist() == [1]


def test_an_alphabet_whose_drawings_are_not_here_is_not_named():
    drawings = catalogue([5, 6])
    assert excluded_alphabets(drawings.take(drawings.alphabet == 1), 6) == []


def test_a_character_drawn_once_takes_no_part():
    drawings = catalogue([5, 3])
    once = drawings.take((drawings.character != 0) | (drawings.drawer == 1))
    trials = sample_trials(once, 4, 200, seeded(), True)
    assert 0 not in once.character[trials.support]
    assert excluded_alphabets(once, 5) == ["a", "b"]


@pytest.mark.parametrize(
    ("n_way", "trials", "within", "sentence"),
    [
        (1, 5, True, "n_way is 1, but a trial needs at least 2"),
        (7, 5, True, "needs 7 characters .* no alphabet holds that many .the largest has 6"),
        (12, 5, False, "needs 12 characters .* do not hold that many .there are 11"),
        (2, 0, True, "0 trials were asked for"),
    ],
)
def test_an_impossible_request_is_refused(n_way, trials, within, sentence):
    with pytest.raises(EpisodeError, match=sentence):
        sample_trials(catalogue([5, 6]), n_way, trials, seeded(), within)


def test_drawings_by_one_drawer_only_are_refused():
    with pytest.raises(EpisodeError, match="the largest has 0"):
        sample_trials(catalogue([5, 6], drawers=1), 2, 5, seeded(), True)


def test_two_drawings_of_a_character_by_one_drawer_are_refused():
    drawings = catalogue([5])
    same = Drawings(drawings.ink, drawings.alphabet, drawings.character, torch.ones_like(drawings.drawer), ("a",))
    with pytest.raises(EpisodeError, match="two drawings by one drawer"):
        sample_trials(same, 2, 5, seeded(), True)


def test_a_tie_or_no_number_counts_as_wrong():
    nan = float("nan")
    logits = torch.tensor(
        [[1.0, 3.0, 2.0], [3.0, 3.0, 2.0], [0.0, 0.0, 0.0], [-1.0, -2.0, -3.0], [nan, 1.0, 0.0], [1.0, nan, 0.0]]
    )
    label = torch.tensor([1, 0, 2, 0, 0, 0])
    assert correct(logits, label).tolist() == [True, False, False, True, False, False]


def test_a_collapsed_network_scores_nothing():
    trials = sample_trials(catalogue([6, 6]), 5, 100, seeded(), True)
    assert not correct(torch.full((100, 5), 0.7), trials.label).any()


def test_logits_are_those_of_compare_one_by_one(monkeypatch):
    three_trials = 3 * 4 * NARROW.embedding_units
    monkeypatch.setattr("siamese.characters.episodes.SCORE_BLOCK_ELEMENTS", three_trials)
    network = narrow_network()
    embeddings = torch.rand(9, NARROW.embedding_units, generator=seeded(1))
    trials = Trials(
        support=torch.randint(9, (7, 4), generator=seeded(2)),
        query=torch.randint(9, (7,), generator=seeded(3)),
        label=torch.zeros(7, dtype=torch.int64),
    )
    logits = trial_logits(network, embeddings, trials)
    assert logits.shape == (7, 4)
    assert not logits.requires_grad
    for row in range(7):
        for way in range(4):
            single = network.compare(embeddings[trials.query[row]], embeddings[trials.support[row, way]])
            torch.testing.assert_close(logits[row, way], single.detach())
