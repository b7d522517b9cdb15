import pytest
import torch

from siamese.characters.episodes import correct, sample_trials
from siamese.characters.strokes import draw, write
from siamese.characters.synthetic import synthetic_alphabet, synthetic_drawings
from siamese.data.pen_strokes import synthetic_hand
from siamese.preprocessing import Preprocessing
from tests.characters.test_strokes import PLAIN_HAND, generator


def test_rows_go_by_alphabet_character_and_drawer(drawings):
    assert drawings.ink.shape == (72, 105, 105)
    assert drawings.alphabet.tolist() == [a for a in range(3) for _ in range(24)]
    assert drawings.character.tolist() == [c for c in range(18) for _ in range(4)]
    assert drawings.drawer.tolist() == [1, 2, 3, 4] * 18
    assert len(set(drawings.alphabet_names)) == 3


def test_every_drawing_has_ink_and_stays_clear_of_the_edge(drawings):
    assert drawings.ink.flatten(1).any(1).all()
    for edge in (drawings.ink[:, 0], drawings.ink[:, -1], drawings.ink[:, :, 0], drawings.ink[:, :, -1]):
        assert not edge.any()


def test_no_two_drawings_are_the_same(drawings):
    assert len(drawings.ink.flatten(1).unique(dim=0)) == 72


def test_the_seed_decides_and_other_alphabets_do_not():
    two, again, other = (synthetic_drawings(2, 3, 2, seed) for seed in (5, 5, 6))
    one = synthetic_drawings(1, 3, 2, 5)
    assert torch.equal(two.ink, again.ink)
    assert two.alphabet_names == again.alphabet_names
    assert torch.equal(one.ink, two.ink[:6])
    assert not torch.equal(two.ink, other.ink)


def test_a_seed_means_the_same_on_every_machine():
    alphabet = synthetic_alphabet(3, generator(11))
    hand = synthetic_hand(generator(12))
    paths = write(alphabet.characters[2], hand, generator(13))
    assert alphabet.name == "Halzusian"
    assert paths[0][0] == pytest.approx([71.980, 49.382], abs=0.01)
    assert paths[-1][-1] == pytest.approx([72.087, 52.422], abs=0.01)


@pytest.mark.parametrize("counts", [(0, 3, 2), (1, 0, 2), (1, 3, 0)])
def test_nothing_to_draw_is_refused(counts):
    with pytest.raises(ValueError, match="hold no drawing"):
        synthetic_drawings(*counts, seed=0)


def test_names_of_alphabets_are_told_apart():
    names = synthetic_drawings(30, 1, 1, 3).alphabet_names
    assert len(set(names)) == 30


def test_characters_of_an_alphabet_differ():
    for seed in range(2):
        alphabet = synthetic_alphabet(20, generator(seed))
        looks = torch.stack([draw(character, PLAIN_HAND, generator(1)) for character in alphabet.characters])
        thick = torch.nn.functional.max_pool2d(looks[:, None].float(), 5, 1, 2).bool().flatten(1)
        for one in range(20):
            for other in range(one):
                # share of the ink of the two, widened by 2 px, that they have in common
                common = (thick[one] & thick[other]).sum() / (thick[one] | thick[other]).sum()
                assert common < 0.95


@pytest.mark.slow
def test_telling_them_apart_is_neither_trivial_nor_hopeless():
    drawings = synthetic_drawings(2, 20, 4, seed=1)
    trials = sample_trials(drawings, 20, 400, torch.Generator().manual_seed(0), within_alphabet=True)
    pictures = drawings.prepared(Preprocessing()).float()
    small = torch.nn.functional.avg_pool2d(pictures, 7, 3, 3).flatten(1)
    small = torch.nn.functional.normalize(small, dim=1)
    scores = torch.einsum("td,tnd->tn", small[trials.query], small[trials.support])
    accuracy = correct(scores, trials.label).float().mean()
    assert 0.35 < accuracy < 0.8  # blurred pixels: 0.48 on Omniglot's evaluation set
