from types import SimpleNamespace

import pytest

from siamese.characters.recognizer import Recognizer
from siamese.hub.checkpoint import save_checkpoint
from siamese.preprocessing import Preprocessing
from siamese.ui.pages.challenge import lake_accuracy, percent, title
from tests.networks import narrow_network


def with_figures(folder, figures):
    """A recogniser whose config.json holds these figures."""
    save_checkpoint(folder, narrow_network(), Preprocessing(), figures=figures)
    recognizer = Recognizer(narrow_network())
    recognizer.origin = SimpleNamespace(folder=folder)
    return recognizer


def test_the_heading_compares_people_with_the_network_that_is_served(tmp_path):
    reports = [
        {"protocol": "within_alphabet", "n_way": 20, "accuracy": 0.9},
        {"protocol": "lake_runs", "n_way": 20, "accuracy": 0.9725},
    ]
    accuracy = lake_accuracy(with_figures(tmp_path, {"one_shot": reports}))
    assert accuracy == 0.9725
    assert title(accuracy).startswith("People get 95.5\u00a0% right, this network 97.25\u00a0%. You?")


def test_a_network_without_figures_claims_none():
    assert lake_accuracy(Recognizer(narrow_network())) is None
    assert title(None).startswith("People get 95.5\u00a0% right. You?")


@pytest.mark.parametrize(
    "figures",
    [
        None,
        {"one_shot": 3},
        {"one_shot": ["x"]},
        {"one_shot": [{"protocol": "lake_runs", "n_way": 20, "accuracy": "1"}]},
    ],
)
def test_strange_figures_of_a_stranger_are_no_claim(tmp_path, figures):
    assert lake_accuracy(with_figures(tmp_path, figures)) is None


def test_shares_have_no_needless_digits():
    assert percent(0.95) == "95\u00a0%"
    assert percent(0.9875) == "98.75\u00a0%"
