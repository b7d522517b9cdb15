import json
import re
from datetime import date

import pytest
import torch

from siamese.characters.drawings import Drawings
from siamese.characters.recognizer import Recognizer
from siamese.network import SiameseNetwork
from siamese.ui.pages import challenge
from siamese.ui.pages.challenge import Deck, Round, Rounds, Table
from siamese.ui.validation import PermanentUserError, UserError

DAY = date(2026, 3, 14)


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(SiameseNetwork(generator=torch.Generator().manual_seed(0)))


@pytest.fixture
def table(recognizer):
    return Table(recognizer, Deck(), lambda: DAY)


def same_hand(first, second):
    pairs = zip((first.query, *first.candidates), (second.query, *second.candidates), strict=True)
    return first.truth == second.truth and all(torch.equal(a, b) for a, b in pairs)


def a_round(**changes):
    values = {
        "truth": 1,
        "alphabet": "Lumo",
        "source": "invented",
        "similarities": (0.1, 0.9),
        "pick": 1,
        "certainty": 0.8,
        "network_right": True,
    }
    return Round(**values | changes)


def test_a_link_replays_its_round_in_another_copy_of_the_app():
    game = Deck(secret="kept").new_game(5, "invented")
    assert same_hand(Deck(secret="kept").hand(game, 0), Deck(secret="kept").hand(game, 0))
    replayed = Deck(secret="kept").game_of(game.link, DAY)
    assert replayed == game
    assert not same_hand(Deck(secret="kept").hand(game, 0), Deck(secret="kept").hand(game, 1))


def test_another_key_deals_another_round_and_says_that_the_link_is_not_its_own():
    game = Deck(secret="one").new_game(5, "invented")
    assert not same_hand(Deck(secret="one").hand(game, 0), Deck(secret="two").hand(game, 0))
    with pytest.raises(UserError, match="another key"):
        Deck(secret="two").game_of(game.link, DAY)


def test_the_daily_challenge_is_the_same_whatever_the_key():
    one, two = Deck(secret="one"), Deck()
    games = one.game_of("daily", DAY), two.game_of("daily-2026-03-14", DAY)
    assert games[0] == games[1]
    assert games[0].rounds == 10
    assert games[0].source == "invented"
    assert same_hand(one.hand(games[0], 7), two.hand(games[1], 7))


@pytest.mark.parametrize(
    "link",
    ["", "daily-2026-03-15", "daily-2025-12-31", "daily-2026-02-30", "5i-abc", "7i-" + "a" * 16, None, 3, ["daily"]],
)
def test_what_is_no_link_is_refused(link):
    with pytest.raises(PermanentUserError):
        Deck().game_of(link, DAY)


def test_a_match_of_ten_has_ten_rounds_in_its_link():
    deck = Deck()
    game = deck.new_game(20, "invented", is_match=True)
    assert game.link.endswith("-x10")
    assert deck.game_of(game.link, DAY).rounds == 10


def test_the_true_place_is_spread_over_all_places():
    truths = [challenge.invented_hand(5, seed).truth for seed in range(200)]
    counts = [truths.count(place) for place in range(5)]
    assert min(counts) > 20  # 40 expected each; below 20 has a chance of about 1 in 10,000


def test_what_is_dealt_says_nothing_of_the_answer(table):
    game = table.deck.new_game(5, "invented")
    dealt = table.deal(game, 0)
    assert set(dealt) == {
        "round", "link", "rounds", "n_way", "source", "source_name", "query", "candidates",
    }  # fmt: skip
    hand = table.deck.hand(game, 0)
    assert hand.alphabet not in json.dumps(dealt)
    assert dealt["query"] not in dealt["candidates"]  # the query is another drawing than its candidate
    assert re.fullmatch(r"[\w-]{22}", dealt["round"])
    assert dealt["round"] != table.deal(game, 0)["round"]


def test_an_answer_is_judged_once_against_the_hand_that_was_dealt(table):
    game = table.deck.new_game(10, "invented")
    truth = table.deck.hand(game, 0).truth
    dealt = table.deal(game, 0)
    result = table.answer(dealt["round"], truth)
    assert result["right"] is True
    assert result["truth"] == truth
    assert len(result["similarities"]) == 10
    assert result["network_choice"] == max(range(10), key=result["similarities"].__getitem__)
    assert result["network_right"] == (result["network_choice"] == truth)
    assert 0.1 <= result["certainty"] <= 1
    with pytest.raises(UserError, match="answered already"):
        table.answer(dealt["round"], truth)


def test_a_wrong_choice_is_wrong_and_an_impossible_one_ends_nothing(table):
    game = table.deck.new_game(5, "invented")
    truth = table.deck.hand(game, 0).truth
    identity = table.deal(game, 0)["round"]
    for impossible in (5, -1, "0", None, 0.5):
        with pytest.raises(UserError, match="whole number from 0 to 4"):
            table.answer(identity, impossible)
    assert table.answer(identity, (truth + 1) % 5)["right"] is False


def test_the_network_is_not_right_on_a_tie(recognizer, table, monkeypatch):
    monkeypatch.setattr(recognizer, "embed_pictures", lambda pictures: torch.zeros(len(pictures), 4096))
    dealt = table.deal(table.deck.new_game(5, "invented"), 0)
    assert table.answer(dealt["round"], 0)["network_right"] is False


def test_rounds_are_forgotten_after_their_time_and_beyond_their_number():
    now = [0.0]
    rounds = Rounds(most=3, life_s=10.0, clock=lambda: now[0])
    first = rounds.add(a_round())
    now[0] = 5.0
    others = [rounds.add(a_round()) for _ in range(3)]
    assert len(rounds) == 3
    for gone in (first, "nothing", None, 7, ["x"]):
        with pytest.raises(UserError):
            rounds.get(gone)
    assert rounds.get(others[0]) == a_round()
    now[0] = 15.0
    with pytest.raises(UserError, match="too old"):
        rounds.get(others[2])
    assert len(rounds) == 0


def test_omniglot_is_dealt_where_it_is_there(drawings):
    assert Deck(lambda: drawings).sources() == ["omniglot", "invented"]
    with pytest.raises(UserError, match="not on this server"):
        Deck().new_game(5, "omniglot")
    deck = Deck(lambda: drawings)
    for number in range(8):
        game = deck.new_game(5, "omniglot")
        hand = deck.hand(game, number)
        rows = [row_of(drawings, ink) for ink in (hand.query, *hand.candidates)]
        characters, drawers = drawings.character[rows].tolist(), drawings.drawer[rows].tolist()
        assert len(set(drawings.alphabet[rows].tolist())) == 1
        assert drawings.alphabet_names[drawings.alphabet[rows[0]]].replace("_", " ") == hand.alphabet
        assert len(set(characters[1:])) == 5
        assert characters[0] == characters[1 + hand.truth]
        assert len(set(drawers[1:])) == 1
        assert drawers[0] != drawers[1]
        assert same_hand(hand, Deck(lambda: drawings).hand(game, number))


def row_of(drawings: Drawings, ink: torch.Tensor) -> int:
    (found,) = (drawings.ink == ink).flatten(1).all(1).nonzero().flatten().tolist()[:1]
    return found


def test_a_drawing_of_a_candidate_is_guessed(table):
    from siamese.ui.pictures import data_url
    from siamese.ui.validation import decoded

    dealt = table.deal_sheet(5, "invented")
    result = table.guess(dealt["round"], dealt["candidates"][3])
    assert result["network_choice"] == 3
    assert result["similarities"][3] == max(result["similarities"])
    assert decoded(dealt["candidates"][3], "It").startswith(b"\x89PNG")
    from PIL import Image

    with pytest.raises(UserError, match="blank"):
        table.guess(dealt["round"], data_url(Image.new("L", (105, 105), 255)))
    with pytest.raises(UserError, match="too old"):
        table.guess("nothing", dealt["candidates"][0])
