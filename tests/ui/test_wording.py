import pytest

from siamese.ui.wording import about_of_hundred, of_hundred


@pytest.mark.parametrize(
    ("share", "words", "about"),
    [
        (0.0, "fewer than 1", "fewer than 1"),
        (0.25, "25", "about 25"),
        (0.994, "99", "about 99"),
        (1.0, "more than 99", "more than 99"),
    ],
)
def test_a_share_in_words_never_claims_all_or_none(share, words, about):
    assert of_hundred(share) == words
    assert about_of_hundred(share) == about
