from dataclasses import replace

import numpy as np
import torch

from siamese.characters.strokes import Character, Stroke, draw, write
from siamese.data.pen_strokes import Hand, synthetic_hand
from siamese.preprocessing import ink_box

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
