"""Layers from which a drawing is drawn again, by distances counted by hand."""

import numpy as np
import pytest
import torch

from train.pens import REACH_PX, distance_to_lines, pen_layers


def test_distances_are_those_to_the_nearest_pixel_of_a_line():
    lines = np.zeros((9, 9), dtype=bool)
    lines[4, 4] = True
    distance = distance_to_lines(lines)
    assert distance[4, 4] == 0
    assert distance[4, 7] == pytest.approx(3)
    assert distance[8, 7] == pytest.approx(5, abs=1e-3)


def test_without_a_line_everything_is_far():
    assert np.isinf(distance_to_lines(np.zeros((3, 4), dtype=bool))).all()
    assert pen_layers(torch.zeros(1, 1, 105, 105, dtype=torch.uint8)).max() == 0


@pytest.fixture
def letter_and_dot():
    """A bar of 5 x 61 px and, apart from it, a dot of 5 x 5."""
    made = torch.zeros(1, 1, 105, 105, dtype=torch.uint8)
    made[0, 0, 20:81, 50:55] = 255
    made[0, 0, 88:93, 50:55] = 255
    return made


def test_layers_of_a_letter_with_a_dot(letter_and_dot):
    ink, nearness, smallest = pen_layers(letter_and_dot)[0]
    assert torch.equal(ink, letter_and_dot[0, 0])
    assert nearness[50, 52] == 255  # the middle of the bar
    assert nearness[50, 55].item() == pytest.approx(255 * (1 - 3 / REACH_PX), abs=1)
    assert nearness[50, 70] == 0
    assert smallest[90, 52] == 255
    assert smallest[:85].max() == 0


def test_the_only_part_and_a_large_one_are_no_small_strokes(letter_and_dot):
    whole = letter_and_dot.clone()
    whole[0, 0, 80:89, 50:55] = 255
    halves = letter_and_dot.clone()
    halves[0, 0, 20:81, 70:75] = 255
    halves[0, 0, 88:93, 50:55] = 0
    assert pen_layers(torch.cat([whole, halves]))[:, 2].max() == 0
