import pytest

from siamese.characters.recognizer import Recognizer
from siamese.metrics import Calibration
from siamese.ui.pages import compare
from siamese.ui.pages.compare import reliability_sentence
from tests.networks import narrow_network


@pytest.fixture(scope="module")
def network():
    return narrow_network()


@pytest.fixture(scope="module")
def calibrated(network):
    measured = Calibration(similarity_edges=(0.0, 0.3, 0.5, 0.7, 1.0), share_same=(0.05, 0.4, 0.6, 0.98))
    return Recognizer(network, threshold=0.5, calibration=measured)


def test_a_score_that_is_often_wrong_is_too_close_to_call(calibrated):
    assert [calibrated.judge_similarity(score).verdict for score in (0.1, 0.4, 0.6, 0.9)] == [
        "different",
        "unsure",
        "unsure",
        "same",
    ]


def test_without_calibration_only_what_lies_at_the_threshold_is_too_close(network):
    bare = Recognizer(network, threshold=0.5)
    assert [bare.judge_similarity(score).verdict for score in (0.44, 0.46, 0.54, 0.56)] == [
        "different",
        "unsure",
        "unsure",
        "same",
    ]
    assert "not been measured" in reliability_sentence(bare, 0.9)


def test_the_sentence_gives_the_share_of_the_verdict(calibrated):
    assert "about 98 were the same character" in reliability_sentence(calibrated, 0.9)
    assert "about 95 were different characters" in reliability_sentence(calibrated, 0.1)


def test_examples_are_drawn_alike_each_time():
    assert compare.examples() == compare.examples()
    assert len({one["a"] for one in compare.examples()} | {one["b"] for one in compare.examples()}) == 8
