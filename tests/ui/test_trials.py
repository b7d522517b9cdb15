from datetime import date, timedelta

import pytest
import torch

from siamese.characters.omniglot import pixel_hashes
from siamese.ui import trials
from siamese.ui.trials import TrialSource, synthetic_trial
from siamese.ui.validation import PermanentUserError, UserError

DAY = date(2026, 3, 14)


def same_trial(first, second):
    pairs = zip((first.query, *first.candidates), (second.query, *second.candidates), strict=True)
    return first.truth == second.truth and all(torch.equal(a, b) for a, b in pairs)


def test_a_link_replays_its_round_in_another_copy_of_the_app():
    game = TrialSource(secret="kept").new_game(5, "invented")
    assert same_trial(TrialSource(secret="kept").trial(game, 0), TrialSource(secret="kept").trial(game, 0))
    replayed = TrialSource(secret="kept").game_of(game.link, DAY)
    assert replayed == game
    assert not same_trial(TrialSource(secret="kept").trial(game, 0), TrialSource(secret="kept").trial(game, 1))


def test_another_key_deals_another_round_and_says_that_the_link_is_not_its_own():
    game = TrialSource(secret="one").new_game(5, "invented")
    assert not same_trial(TrialSource(secret="one").trial(game, 0), TrialSource(secret="two").trial(game, 0))
    with pytest.raises(UserError, match="another key"):
        TrialSource(secret="two").game_of(game.link, DAY)


def test_the_daily_challenge_is_the_same_whatever_the_key():
    one, two = TrialSource(secret="one"), TrialSource()
    games = one.game_of("daily", DAY), two.game_of("daily-2026-03-14", DAY)
    assert games[0] == games[1]
    assert games[0].rounds == 10
    assert games[0].source == "omniglot"
    assert same_trial(one.trial(games[0], 7), two.trial(games[1], 7))


@pytest.mark.parametrize(
    "link",
    ["", "daily-2026-03-15", "daily-2025-12-31", "daily-2026-02-30", "5i-abc", "7i-" + "a" * 16, None, 3, ["daily"]],
)
def test_what_is_no_link_is_refused(link):
    with pytest.raises(PermanentUserError):
        TrialSource().game_of(link, DAY)


def test_a_match_of_ten_has_ten_rounds_in_its_link():
    source = TrialSource()
    game = source.new_game(20, "invented", is_match=True)
    assert game.link.endswith("-x10")
    assert source.game_of(game.link, DAY).rounds == 10


def test_the_true_place_is_spread_over_all_places():
    truths = [synthetic_trial(3, seed).truth for seed in range(45)]
    counts = [truths.count(place) for place in range(3)]
    assert min(counts) > 4  # 15 expected each; 4 or fewer has a chance of about 1 in 1,000


def test_a_trial_of_omniglot_is_of_one_evaluation_alphabet_by_two_drawers(omniglot):
    drawings, source = omniglot["evaluation"], TrialSource()
    row_of = {digest: row for row, digest in enumerate(pixel_hashes(drawings.ink))}
    for number in range(8):
        game = source.new_game(5, "omniglot")
        trial = source.trial(game, number)
        rows = [row_of[digest] for digest in pixel_hashes(torch.stack([trial.query, *trial.candidates]))]
        characters, drawers = drawings.character[rows].tolist(), drawings.drawer[rows].tolist()
        assert len(set(drawings.alphabet[rows].tolist())) == 1
        assert drawings.alphabet_names[drawings.alphabet[rows[0]]].replace("_", " ") == trial.alphabet
        assert len(set(characters[1:])) == 5
        assert characters[0] == characters[1 + trial.truth]
        assert len(set(drawers[1:])) == 1
        assert drawers[0] != drawers[1]
        assert same_trial(trial, TrialSource().trial(game, number))


def test_the_daily_challenge_asks_for_no_drawing_twice_within_a_year(monkeypatch):
    source = TrialSource()
    first = source.trial(source.daily_game(DAY), 0)
    queries = []
    monkeypatch.setattr(trials, "omniglot_trial", lambda n_way, seed, query: queries.append(query) or first)
    for days in range(366):
        game = source.daily_game(DAY + timedelta(days))
        for index in range(game.rounds):
            source.trial(game, index)
    assert len(queries) == len(set(queries)) == 3660
    assert queries[0][0].replace("_", " ") == first.alphabet
