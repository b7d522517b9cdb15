import json
import re

import pytest
import torch

from siamese.characters.recognizer import Recognizer
from siamese.ui.game_session import DealtRound, GameSession, RoundStore
from siamese.ui.trials import TrialSource
from siamese.ui.validation import UserError
from tests.networks import NARROW, narrow_network


@pytest.fixture(scope="module")
def recognizer():
    return Recognizer(narrow_network())


@pytest.fixture
def session(recognizer):
    return GameSession(recognizer, TrialSource())


def a_round(**changes):
    values = {
        "truth": 1,
        "alphabet": "Lumo",
        "source": "invented",
        "similarities": (0.1, 0.9),
        "network_choice": 1,
        "certainty": 0.8,
        "network_right": True,
    }
    return DealtRound(**values | changes)


def test_what_is_dealt_says_nothing_of_the_answer(session):
    game = session.trials.new_game(5, "invented")
    dealt = session.deal(game, 0)
    assert set(dealt) == {
        "round", "link", "rounds", "n_way", "source", "source_name", "query", "candidates",
    }  # fmt: skip
    trial = session.trials.trial(game, 0)
    assert trial.alphabet not in json.dumps(dealt)
    assert dealt["query"] not in dealt["candidates"]  # the query is another drawing than its candidate
    assert re.fullmatch(r"[\w-]{22}", dealt["round"])
    assert dealt["round"] != session.deal(game, 0)["round"]


def test_an_answer_is_judged_once_against_the_trial_that_was_dealt(session):
    game = session.trials.new_game(10, "invented")
    truth = session.trials.trial(game, 0).truth
    dealt = session.deal(game, 0)
    result = session.answer(dealt["round"], truth)
    assert result["right"] is True
    assert result["truth"] == truth
    assert len(result["similarities"]) == 10
    assert result["network_choice"] == max(range(10), key=result["similarities"].__getitem__)
    assert result["network_right"] == (result["network_choice"] == truth)
    assert 0.1 <= result["certainty"] <= 1
    with pytest.raises(UserError, match="answered already"):
        session.answer(dealt["round"], truth)


def test_a_wrong_choice_is_wrong_and_an_impossible_one_ends_nothing(session):
    game = session.trials.new_game(5, "invented")
    truth = session.trials.trial(game, 0).truth
    identity = session.deal(game, 0)["round"]
    for impossible in (5, -1, "0", None, 0.5):
        with pytest.raises(UserError, match="whole number from 0 to 4"):
            session.answer(identity, impossible)
    assert session.answer(identity, (truth + 1) % 5)["right"] is False


def test_the_network_is_not_right_on_a_tie(recognizer, session, monkeypatch):
    monkeypatch.setattr(
        recognizer, "embed_pictures", lambda pictures: torch.zeros(len(pictures), NARROW.embedding_units)
    )
    dealt = session.deal(session.trials.new_game(5, "invented"), 0)
    assert session.answer(dealt["round"], 0)["network_right"] is False


def test_rounds_are_forgotten_after_their_time_and_beyond_their_number():
    now = [0.0]
    rounds = RoundStore(max_rounds=3, life_s=10.0, clock=lambda: now[0])
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


def test_a_drawing_of_a_candidate_is_guessed(session):
    from siamese.ui.pictures import data_url
    from siamese.ui.validation import decoded

    dealt = session.deal_drawing(5, "invented")
    result = session.guess(dealt["round"], dealt["candidates"][3])
    assert result["network_choice"] == 3
    assert result["similarities"][3] == max(result["similarities"])
    assert decoded(dealt["candidates"][3], "It").startswith(b"\x89PNG")
    from PIL import Image

    with pytest.raises(UserError, match="blank"):
        session.guess(dealt["round"], data_url(Image.new("L", (105, 105), 255)))
    with pytest.raises(UserError, match="too old"):
        session.guess("nothing", dealt["candidates"][0])
