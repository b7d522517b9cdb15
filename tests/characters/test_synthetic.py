from dataclasses import replace

import numpy as np
import pytest
import torch

from siamese.characters.episodes import correct, sample_trials
from siamese.characters.synthetic import (
    Character,
    Hand,
    Stroke,
    draw,
    synthetic_alphabet,
    synthetic_drawings,
    write,
)
from siamese.data.pen_strokes import synthetic_hand
from siamese.preprocessing import Preprocessing, ink_box

PLAIN_HAND = Hand(
    slant=0.0, turn=0.0, size=1.0, aspect=1.0, step_px=4.0, tremor_px=0.0, looseness=0.0, slips=0.0, pen_px=4.0
)
# an upright line of length 1 with a bar at its upper end: a T
BAR = Stroke(np.array([[-0.3, 0.0], [0.3, 0.0]]), False, 0, 0.0, 0.5, (0.0, 0.0))
LETTER_T = Character((Stroke(np.array([[0.0, -0.5], [0.0, 0.5]]), False, None, 0.0, 0.0, (0.0, 0.0)), BAR), 60.0)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def box(ink: torch.Tensor) -> tuple[int, int]:
    top, left, bottom, right = ink_box(ink.float())
    return bottom - top, right - left


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


def test_a_plain_hand_draws_what_the_character_says():
    ink = draw(LETTER_T, PLAIN_HAND, generator())
    height, width = box(ink)
    assert 54 <= height - 4 <= 66  # 60 px and the pen's width; a drawing's size varies by 5 %
    assert 0.5 < (width - 4) / (height - 4) < 0.7
    top, left, _, _ = ink_box(ink.float())
    assert ink[top + 2, left : left + width].float().mean() > 0.9  # the bar of the T is at its upper end


def test_a_slant_to_the_right_moves_the_upper_end_to_the_right():
    line = Character(LETTER_T.strokes[:1], 60.0)
    (path,) = write(line, replace(PLAIN_HAND, slant=0.4), generator())
    upper, lower = path[path[:, 1].argmin()], path[path[:, 1].argmax()]
    assert 0.3 < (upper[0] - lower[0]) / (lower[1] - upper[1]) < 0.5


def test_size_aspect_and_pen_of_the_hand_show():
    plain = draw(LETTER_T, PLAIN_HAND, generator())
    small = draw(LETTER_T, replace(PLAIN_HAND, size=0.5), generator())
    wide = draw(LETTER_T, replace(PLAIN_HAND, aspect=1.4), generator())
    thick = draw(LETTER_T, replace(PLAIN_HAND, pen_px=8.0), generator())
    assert 0.45 < box(small)[0] / box(plain)[0] < 0.58
    assert box(wide)[1] / box(wide)[0] > 1.5 * box(plain)[1] / box(plain)[0]
    assert 1.7 < thick.sum() / plain.sum() < 2.2


def test_a_quick_hand_reports_fewer_points():
    slow, quick = (write(LETTER_T, replace(PLAIN_HAND, step_px=step), generator())[0] for step in (3.0, 12.0))
    assert len(slow) > 3 * len(quick)


def test_tremor_moves_the_line_off_its_path():
    (shaking,) = write(Character(LETTER_T.strokes[:1], 60.0), replace(PLAIN_HAND, tremor_px=0.8), generator())
    (steady,) = write(Character(LETTER_T.strokes[:1], 60.0), PLAIN_HAND, generator())
    off = shaking[:, 0] - np.polyval(np.polyfit(shaking[:, 1], shaking[:, 0], 1), shaking[:, 1])
    straight = steady[:, 0] - np.polyval(np.polyfit(steady[:, 1], steady[:, 0], 1), steady[:, 1])
    assert np.abs(straight).max() < 1e-6
    assert 0.3 < off.std() < 1.3


def test_a_loose_hand_moves_the_ends_of_strokes():
    ends = []
    for seed in range(40):
        _, bar = write(LETTER_T, replace(PLAIN_HAND, looseness=0.05), generator(seed))
        ends.append(bar[-1] - bar[0])
    assert np.std(ends, axis=0).min() > 1.5


def test_a_drawing_too_large_is_shrunk_into_the_picture():
    paths = write(LETTER_T, replace(PLAIN_HAND, size=4.0), generator())
    points = np.concatenate(paths)
    assert points.min() >= 3.99
    assert points.max() <= 101.01


def test_drawers_are_more_like_themselves_than_like_others():
    """Slant is a habit: over the characters of an alphabet it varies less within a drawer than between drawers."""
    hands = [synthetic_hand(generator(seed)) for seed in range(30)]
    assert np.std([hand.slant for hand in hands]) > 0.08
    slants = []
    for hand in hands:
        path, _ = write(LETTER_T, replace(hand, looseness=0.0, turn=0.0, aspect=1.0), generator(1))
        slants.append((path[0, 0] - path[-1, 0]) / (path[-1, 1] - path[0, 1]))
    assert np.corrcoef(slants, [hand.slant for hand in hands])[0, 1] > 0.9


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
